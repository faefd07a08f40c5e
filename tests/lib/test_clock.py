"""Time: whole seconds in UTC, local days in any zone, and a clock that only moves when told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lib.clock import DAY, VirtualClock, day_number, day_text, end_of_day, from_iso, iso, local_day, seconds

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
MOMENTS = st.integers(day_number("1972-01-01") * DAY, day_number("2100-01-01") * DAY)


def test_a_virtual_clock_moves_by_sleeping_and_never_back(clock: VirtualClock) -> None:
    start = clock.now()
    clock.sleep(2.5)
    clock.sleep(-10)
    clock.move_to(start)

    assert clock.now() == start + 2.5
    assert seconds(clock) == int(start) + 2


@given(MOMENTS)
def test_a_moment_that_is_written_reads_back(moment: int) -> None:
    assert from_iso(iso(moment)) == moment
    assert len(iso(moment)) == len("2026-01-31T09:30:00.000Z")


@pytest.mark.parametrize(("moment", "text"), [
    (0, "1970-01-01T00:00:00.000Z"), (1_767_225_600.9996, "2026-01-01T00:00:01.000Z"),
    (1_767_225_600.1234, "2026-01-01T00:00:00.123Z"),
])  # fmt: skip
def test_milliseconds_are_three_digits(moment: float, text: str) -> None:
    assert iso(moment) == text


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "2026-01-01", "", "yesterday"])
def test_a_moment_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_iso(text)


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_local_day_is_what_the_calendar_there_shows(moment: int, zone: str) -> None:
    there = datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(zone)).date()

    assert local_day(moment, zone) == (there - date(1970, 1, 1)).days
    assert day_text(local_day(moment, zone)) == there.isoformat()


@given(st.integers(day_number("1975-01-01"), day_number("2090-01-01")), st.sampled_from(ZONES))
def test_the_end_of_a_day_is_its_last_second(day: int, zone: str) -> None:
    there = date(1970, 1, 1) + timedelta(days=day)
    if zone == "Pacific/Apia" and there == date(2011, 12, 30):
        return  # a day that Samoa left out when it crossed the date line
    last = end_of_day(day, zone)

    assert local_day(last, zone) == day
    assert local_day(last + 1, zone) > day
