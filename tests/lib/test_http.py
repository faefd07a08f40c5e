"""The one seam to the network: patience within bounds, no blind repeats, and no secret in a word of it."""

from __future__ import annotations

import threading
from email.utils import formatdate
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import START
from worker.lib.clock import VirtualClock
from worker.lib.http import LONGEST_WAIT, Bucket, GiveUp, Http, Reconnect, Retry, Unsure, retry_after

BASE = "https://vendor.example"
SECRET = "sk_live_tell_nobody"


def connection(clock: VirtualClock, **more: Any) -> Http:
    return Http("Vendor", BASE, clock, headers={"Authorization": f"Bearer {SECRET}"}, **more)


# -- Retry-After ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", 7.0), ("0", 0.0), ("1.5", 1.5), ("-3", 0.0), ("", None), ("soon", None), ("nan", None), ("inf", None),
        ("1e999", None), (formatdate(START + 90, usegmt=True), 90.0), (formatdate(START - 90, usegmt=True), 0.0),
        ("Fri, 32 Foo 2026 99:99:99 GMT", None), ("Fri, 31 Dec 9999 23:59:59 GMT", 251_635_075_199.0),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_as_a_date_and_nonsense_as_nothing(text: str, wait: float | None) -> None:
    found = retry_after({"Retry-After": text}, START)

    assert found == wait if text != "Fri, 31 Dec 9999 23:59:59 GMT" else found is not None and found > 10**11


@given(st.text(max_size=40))
def test_no_retry_after_makes_anything_stumble(text: str) -> None:
    found = retry_after({"Retry-After": text}, START)

    assert found is None or 0 <= found < float("inf")


@pytest.mark.parametrize("asked", ["1", "30", str(int(LONGEST_WAIT)), formatdate(START + 45, usegmt=True)])
@responses.activate
def test_nobody_comes_back_earlier_than_asked_and_everybody_a_little_later(clock: VirtualClock, asked: str) -> None:
    responses.get(f"{BASE}/x", status=429, headers={"Retry-After": asked})
    responses.get(f"{BASE}/x", json={})
    wait = retry_after({"Retry-After": asked}, START)
    assert wait is not None

    connection(clock).get("/x")

    assert clock.now() - START > wait


@responses.activate
def test_a_vendor_that_asks_for_hours_is_left_alone_at_once(clock: VirtualClock) -> None:
    responses.get(f"{BASE}/x", status=429, headers={"Retry-After": "7200"})

    with pytest.raises(Retry) as caught:
        connection(clock).get("/x")

    assert caught.value.after == 7200
    assert len(responses.calls) == 1
    assert clock.now() == START


@responses.activate
def test_the_waits_between_tries_are_never_the_same_for_two(clock: VirtualClock) -> None:
    responses.get(f"{BASE}/x", status=503)
    waits = set()
    for _ in range(4):
        before = clock.now()
        with pytest.raises(Retry):
            connection(clock).get("/x")
        waits.add(clock.now() - before)

    assert len(waits) == 4
    assert min(waits) > 0


# -- bounds -----------------------------------------------------------------------------------------------------------


def html(_: Any) -> tuple[int, dict[str, str], str]:
    return 200, {"Content-Type": "text/html"}, "<html>We are upgrading</html>"


def half_a_body(_: Any) -> tuple[int, dict[str, str], str]:
    return 200, {}, '{"contacts": [{"id'


def reset(_: Any) -> tuple[int, dict[str, str], str]:
    raise requests.exceptions.ConnectionError("('Connection aborted.', ConnectionResetError(104, 'reset by peer'))")


def server_error(_: Any) -> tuple[int, dict[str, str], str]:
    return 500, {}, "oops"


TROUBLES = [html, half_a_body, reset, server_error]


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@responses.activate
def test_what_may_be_repeated_is_tried_within_bounds_and_then_left_to_later(
    clock: VirtualClock, method: str, trouble: Any
) -> None:
    responses.add_callback(method, f"{BASE}/x", trouble)
    http = connection(clock, attempts=4)

    with pytest.raises(Retry):
        http.call(method, "/x")

    assert len(responses.calls) == 4
    assert http.counts.calls == 4
    assert sum(http.counts.retried.values()) == 4


@pytest.mark.parametrize("trouble", TROUBLES)
@responses.activate
def test_a_trouble_that_passes_is_not_heard_of_outside(clock: VirtualClock, trouble: Any) -> None:
    responses.add_callback("GET", f"{BASE}/x", trouble)
    responses.get(f"{BASE}/x", json={"fine": True})

    assert connection(clock).get("/x").data == {"fine": True}


@pytest.mark.parametrize("trouble", TROUBLES)
@responses.activate
def test_an_unrepeatable_call_that_may_have_been_carried_out_is_not_repeated(clock: VirtualClock, trouble: Any) -> None:
    responses.add_callback("POST", f"{BASE}/x", trouble)

    with pytest.raises(Unsure):
        connection(clock).post("/x", json={})

    assert len(responses.calls) == 1


@responses.activate
def test_an_unrepeatable_call_that_was_surely_not_carried_out_is_repeated(clock: VirtualClock) -> None:
    responses.post(f"{BASE}/x", status=429)
    responses.post(f"{BASE}/x", json={"done": True})

    assert connection(clock).post("/x", json={}).data == {"done": True}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, GiveUp), (401, Reconnect), (403, Reconnect), (404, GiveUp), (410, GiveUp), (422, GiveUp), (302, GiveUp)],
)
@responses.activate
def test_what_will_not_change_by_waiting_is_tried_once(clock: VirtualClock, status: int, kind: type[Exception]) -> None:
    responses.get(f"{BASE}/x", status=status)

    with pytest.raises(kind):
        connection(clock).get("/x")

    assert len(responses.calls) == 1


@pytest.mark.parametrize("page", [
    "https://evil.example/next", "http://vendor.example.evil.example/", "https://vendor.example@evil.example/",
    "https://vendor.example:444/next",
])  # fmt: skip
@responses.activate
def test_a_next_page_on_another_host_is_not_followed(clock: VirtualClock, page: str) -> None:
    with pytest.raises(GiveUp, match="another host"):
        connection(clock).get(page)

    assert len(responses.calls) == 0


# -- the rate ---------------------------------------------------------------------------------------------------------


@given(st.floats(0.5, 50), st.floats(1, 20), st.integers(1, 80))
def test_no_more_calls_are_made_than_the_burst_and_the_rate_allow(rate: float, burst: float, calls: int) -> None:
    clock = VirtualClock(START)
    bucket = Bucket(rate, burst, clock)
    for made in range(1, calls + 1):
        bucket.take()
        assert made <= burst + (clock.now() - START) * rate + 1e-3


def test_threads_share_one_rate(clock: VirtualClock) -> None:
    bucket = Bucket(10, 5, clock)

    def take_ten() -> None:
        for _ in range(10):
            bucket.take()

    threads = [threading.Thread(target=take_ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert clock.now() - START >= (40 - 5) / 10 - 0.01


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES)
@responses.activate
def test_no_secret_shows_in_an_error_or_in_what_a_connection_says_of_itself(clock: VirtualClock, trouble: Any) -> None:
    responses.add_callback("GET", f"{BASE}/hooks/{SECRET}", trouble)
    http = connection(clock, attempts=1)

    with pytest.raises(Retry) as caught:
        http.get(f"/hooks/{SECRET}")

    assert SECRET not in f"{http!r} {caught.value} {caught.value!r} {http.counts}"


@pytest.mark.parametrize("base", ["htps://vendor.example", "http://127.0.0.1:1", "https://", "http://[::1"])
def test_an_address_that_leads_nowhere_is_told_without_its_path(clock: VirtualClock, base: str) -> None:
    http = Http("Vendor", base, clock, attempts=1)

    with pytest.raises((Retry, GiveUp)) as caught:
        http.get(f"/hooks/{SECRET}")

    assert SECRET not in f"{caught.value}"
