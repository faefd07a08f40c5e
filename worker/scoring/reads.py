"""What a measure can be read from, as frozen values; what is made of other numbers is in `derived`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Window:
    """The customer's local days from `oldest` to `newest`, both included, as ages: today is 0. None is without end."""

    newest: int = 0
    oldest: int | None = None

    @property
    def days(self) -> int:
        """How many days long it is. Only where it has an end."""
        assert self.oldest is not None
        return self.oldest - self.newest + 1

    def on(self, today: int) -> Window:
        """Itself: it is the same stretch on every day."""
        return self


EVER: Final = Window()


@dataclass(frozen=True, slots=True)
class Calendar:
    """A week (from Monday), month, quarter or year of the calendar: today's, or one so many of them before it."""

    unit: Literal["week", "month", "quarter", "year"]
    back: int = 0
    years_back: int = 0
    """So many calendar years earlier: the same month last year."""

    def on(self, today: int) -> Window:
        """The stretch of days it is, seen from this local day (days since 1970); days to come are left out."""
        begin = _beginning(_EPOCH + timedelta(days=today), self.unit)
        for _ in range(self.back):
            begin = _beginning(begin - timedelta(days=1), self.unit)
        if self.years_back and self.unit == "week":
            begin -= timedelta(weeks=52 * self.years_back)
        elif self.years_back:
            begin = begin.replace(year=begin.year - self.years_back)
        end = _beginning(begin + timedelta(days=_LONGEST[self.unit]), self.unit)
        oldest, newest = (today - (day - _EPOCH).days for day in (begin, end - timedelta(days=1)))
        return Window(max(newest, 0), oldest)


_EPOCH: Final = date(1970, 1, 1)

_LONGEST: Final = {"week": 7, "month": 31, "quarter": 92, "year": 366}
"""So many days after its first day the next one has begun, and not the one after it."""


def _beginning(day: date, unit: str) -> date:
    """The first day of the week, month, quarter or year that this day is in."""
    match unit:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case _:
            return day.replace(month=1, day=1)


Stretch = Window | Calendar


@dataclass(frozen=True, slots=True)
class Selection:
    """Facts of one kind, all or by their labels."""

    kind: str
    labels: tuple[str, ...] = ()
    """Only with one of these; () for all."""
    without: tuple[str, ...] = ()
    """None with one of these."""


@dataclass(frozen=True, slots=True)
class Fade:
    """How an event loses weight with its age in days."""

    how: Literal["half-life", "linear"]
    days: int
    """The half-life; or the length of one period."""
    loses: Decimal = Decimal(0)
    """linear: the share of its weight lost with each whole period, never below none."""


What = Literal[
    "days_with",  # distinct local days
    "weeks_with",  # distinct calendar weeks
    "months_with",
    "count",
    "total",
    "now",  # how many are open
    "latest",
    "first",
    "latest_label",  # the label of the latest, a text
    "average",
    "median",
    "lowest",
    "highest",
    "since",  # days since the last
    "since_first",
    "labels",  # how many different labels
    "slope",  # by how much the count or total changes per period: least squares over the window's periods
    "age",  # how long the customer has been one, in whole `per` days
    "attribute",  # the customer's attribute: a number where it is one, else a text
    "days_since_attribute",  # the attribute is a date
    "days_until_attribute",
]


@dataclass(frozen=True, slots=True)
class Read:
    """What is to be read from a customer's facts or attributes."""

    what: What
    selections: tuple[Selection, ...] = ()
    """Facts of any of these count; a measure about use may read logins and usage."""
    window: Stretch = EVER
    per: int = 0
    """Days of one period: the count or total (`of`) is given per period; 0 for the plain number."""
    of: Literal["count", "total"] = "total"
    """With `per`, and for `slope`: what is taken of each period."""
    spread: Literal["average", "median", "lowest", "highest"] = "average"
    """With `per`: which of the periods' numbers."""
    skip_empty: bool = False
    """With `per`: periods without any are left out instead of counting as 0."""
    fade: Fade | None = None
    """For count and total: older events weigh less."""
    attribute: str = ""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of fact that it rests on; none for an attribute or the age."""
        return frozenset(one.kind for one in self.selections)


@dataclass(frozen=True, slots=True)
class Rank:
    """Where the customer's `measure` lies among all customers that have a value: the population stage.

    percentile: the share of the others that lie below, ties counting half, 0 to 100; z-score: in standard deviations
    from the mean (of the population). With `peers` only among those whose attribute of this name is the same.
    """

    how: Literal["percentile", "z-score"]
    measure: str
    peers: str = ""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A normal that is not their own: the middle of all customers' values (those without a value left out)."""

    how: Literal["average", "median"]
    peers: str = ""
    """Only among those whose attribute of this name is the same."""
