"""The one statement that reads what a card asks of facts and attributes, made from its reads; the same on both engines.

Each part of it asks about one group of kinds, so that the key of the roll-up (customer, kind, label, day) leads to the
rows that count and to no others, and aggregates them before anything is put together. All parts have the same columns:
a text, whole numbers, the part's number (`place`), and whose it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from worker.scoring.reads import Read, Selection, Window

BORN: Final = 0
"""The place of the part that says who exists; its number is since when, epoch seconds."""

TEXT: Final = 0
"""Where the text stands in a row; from `FIRST` on the numbers, and at its end `PLACE` and `WHOSE`."""
FIRST: Final = 1
PLACE: Final = -2
WHOSE: Final = -1

_TODAY: Final = "{today}"
"""In a statement, the local day of the moment; `Asked.on` says where it is found."""

ENDS: Final = frozenset({"latest", "latest_label", "first"})
"""Reads of single answers. Rows of label, day, value; several where some came in one second."""

ATTRIBUTES: Final = frozenset({"attribute", "days_since_attribute", "days_until_attribute"})

_SUMS: Final = {
    "count": ("sum({n})",),
    "total": ("sum({total})",),
    "now": ("sum({total})",),
    "average": ("sum({total})", "sum({n})"),
    "lowest": ("min({lowest})",),
    "highest": ("max({highest})",),
    "since": ("max({day})",),
    "since_first": ("min({day})",),
}
"""What can be taken of each kind for itself, and put together afterwards."""

# The calendar in whole numbers: days since March of the year 0, so that a leap day is the last of its year.
_DAY_OF_CENTURY: Final = "(4 * ((4 * (r.day + 719468) + 3) % 146097 / 4) + 3)"
_DISTINCT: Final = {
    "days_with": "r.day",
    "weeks_with": "(r.day + 3) / 7",  # from Monday: day 0 was a Thursday
    "months_with": f"((4 * (r.day + 719468) + 3) / 146097 * 100 + {_DAY_OF_CENTURY} / 1461) * 12"
    f" + (5 * ({_DAY_OF_CENTURY} % 1461 / 4) + 2) / 153",
    "labels": "r.label",
}
"""What is counted, each once, over all the kinds of the read."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the days come from: the roll-up, which knows whole days, or the facts up to the moment."""

    facts: bool = False
    known: bool = False
    """Of the facts only what was known by then."""
    people: bool = False
    """The facts of one person: an identity stands in the worklist in the customer's place."""

    @property
    def is_rollup(self) -> bool:
        """Whether the roll-up will do."""
        return not (self.facts or self.known or self.people)


@dataclass
class Asked:
    """A statement, and where in its rows each read finds its numbers."""

    text: str = ""
    binds: dict[str, Any] = field(default_factory=dict)
    places: dict[Read, tuple[tuple[int, tuple[int, ...]], ...]] = field(default_factory=dict)
    """{read: ((place, where in its rows), …)}, one for each part that it is put together from."""
    attributes: dict[str, int] = field(default_factory=dict)
    """{attribute: place}; a row with the value as its text for each that is the newest."""

    def on(self, days: Collection[int]) -> tuple[str, dict[str, Any]]:
        """The statement for moments on these local days, with its binds.

        Where all have the same, it is bound once: the engines then work out the edges of windows once and not a row.
        """
        if len(days) != 1:
            return self.text.replace(_TODAY, "w.today"), self.binds
        (today,) = days
        return self.text.replace(_TODAY, ":today"), {**self.binds, "today": today}


def ask(reads: Iterable[Read], attributes: Iterable[str], door: Door) -> Asked:
    """Make the statement for reads (their windows are days, not of the calendar) and attributes; it binds `pass` too."""
    return _Asking(door).asked(list(dict.fromkeys(reads)), sorted(set(attributes)))


def window_of(read: Read) -> Window:
    """The window of a read whose calendar was looked up already."""
    assert isinstance(read.window, Window)
    return read.window


def period_of(read: Read) -> int:
    """The days of the periods whose numbers a read needs one by one; 0 for a read that needs sums only.

    Rows of how many periods before the window's end, how many, how much.
    """
    if read.what == "median":
        return 1
    if read.fade is not None:
        return read.fade.days if read.fade.how == "linear" else 1
    return read.per if read.what == "slope" or read.spread != "average" or read.skip_empty else 0


@dataclass
class _Part:
    """The sums over the days of one group of kinds."""

    kinds: tuple[str, ...]
    reads: list[Read] = field(default_factory=list)


class _Asking:
    def __init__(self, door: Door) -> None:
        self._door = door
        self._asked = Asked()
        self._parts: list[tuple[str, list[str], str]] = []

    def asked(self, reads: Sequence[Read], attributes: Sequence[str]) -> Asked:
        asked = self._asked
        self._born()
        for name in attributes:
            asked.attributes[name] = self._attribute(name)
        for read in reads:
            if read.kinds and read.what in ENDS:
                asked.places[read] = ((self._end(read), ()),)
            elif read.kinds and period_of(read):
                asked.places[read] = ((self._periods(read), ()),)
        self._sums([read for read in reads if read.kinds and read not in asked.places])
        width = max(len(columns) for _, columns, _ in self._parts)
        asked.text = "\n    union all".join(
            self._select(place, text, [*columns, *["cast(null as bigint)"] * (width - len(columns))], rest)
            for place, (text, columns, rest) in enumerate(self._parts)
        )
        return asked

    # -- the parts ----------------------------------------------------------------------------------------------------
    # S608: kinds, labels and names are binds; the numbers and the rest are ours.

    def _add(self, text: str, columns: list[str], rest: str) -> int:
        self._parts.append((text, columns, rest))
        return len(self._parts) - 1

    @staticmethod
    def _select(place: int, text: str, columns: Sequence[str], rest: str) -> str:
        numbers = ", ".join(f"{column} as c{number}" for number, column in enumerate(columns))
        return f"""
    select {text} as text, {numbers}, cast({place} as bigint) as place, w.customer_id
    from {rest}"""  # noqa: S608

    def _born(self) -> None:
        table, since = ("identities", "at") if self._door.people else ("customers", "first_at")
        since = f"coalesce(w.since, c.{since})"
        rest = f"worklist w join {table} c on c.id = w.customer_id and {since} <= w.at where w.pass = :pass"
        self._add("''", [since], rest)

    def _attribute(self, name: str) -> int:
        """The newest at the moment; not of an identity that its source had deleted by then."""
        whose = "identity_id" if self._door.people else "customer_id"
        bind = self._bind(name)
        there = (
            f"{{a}}.{whose} = w.customer_id and {{a}}.name = :{bind} and {{a}}.at <= w.at"
            " and ({i}.gone_at is null or {i}.gone_at > w.at)"
        )
        return self._add(
            "a.value",
            ["a.at"],
            f"""worklist w
    join attributes a on a.{whose} = w.customer_id and a.name = :{bind}
    join identities i on i.id = a.identity_id
    where w.pass = :pass and {there.format(a="a", i="i")} and a.at = (
        select max(b.at) from attributes b join identities j on j.id = b.identity_id
        where {there.format(a="b", i="j")}
    )""",  # noqa: S608
        )

    def _end(self, read: Read) -> int:
        first = read.what == "first"
        end, at, value = ("min", "r.first_at", "r.first_value") if first else ("max", "r.last_at", "r.last_value")
        joined = f"{self._days(read.kinds, [read], single=True)} r on {self._test(read)}"
        inner = f"""select w.customer_id, w.at, w.today, {end}({at}) as spoke
        from worklist w join {joined}
        where w.pass = :pass group by w.customer_id, w.at, w.today"""  # noqa: S608
        return self._add("r.label", ["r.day", value], f"({inner}) w join {joined} and {at} = w.spoke")

    def _periods(self, read: Read) -> int:
        newest, days = window_of(read).newest, period_of(read)
        period = f"(w.today - {newest} - r.day) / {days}"
        rest = f"""worklist w
    join {self._days(read.kinds, [read])} r on {self._test(read)}
    where w.pass = :pass
    group by w.customer_id, {period}"""
        return self._add("''", [period, "cast(sum(r.n) as bigint)", "cast(sum(r.total) as bigint)"], rest)

    def _sums(self, reads: Sequence[Read]) -> None:
        parts: dict[tuple[str, ...], _Part] = {}
        for read in reads:
            kinds = sorted(read.kinds)
            for group in [kinds] if read.what in _DISTINCT else [[kind] for kind in kinds]:
                parts.setdefault(tuple(group), _Part(tuple(group))).reads.append(read)
        for part in parts.values():
            self._sum(part)

    def _sum(self, part: _Part) -> None:
        windows = [window_of(read) for read in part.reads]
        shared = Window(min(one.newest for one in windows), _longest(windows))
        columns: dict[str, int] = {}
        place = len(self._parts)
        for read in part.reads:
            found = tuple(
                columns.setdefault(expression, FIRST + len(columns)) for expression in self._columns(read, part, shared)
            )
            self._asked.places[read] = (*self._asked.places.get(read, ()), (place, found))
        rest = f"""worklist w
    join {self._days(part.kinds, part.reads)} r on {self._whose(part.kinds)}{_within(shared)}
    where w.pass = :pass
    group by w.customer_id"""
        self._add("''", list(columns), rest)

    def _columns(self, read: Read, part: _Part, shared: Window) -> list[str]:
        mine = [one for one in read.selections if one.kind in part.kinds]
        tests = [test for test in (self._selected(mine, part.kinds), _inside(window_of(read), shared)) if test]
        if read.what in _DISTINCT:
            if read.what == "labels":
                tests.append("r.label <> ''")
            # The roll-up has one row for each kind, label and day.
            alone = read.what == "days_with" and len(mine) == 1 and len(mine[0].labels) == 1
            what = _DISTINCT[read.what]
            counted = f"case when {' and '.join(tests)} then {what} end" if tests else what
            return [f"count({'' if alone else 'distinct '}{counted})"]
        if not tests:
            shown = {name: f"r.{name}" for name in ("n", "total", "lowest", "highest", "day")}
        else:
            test = " and ".join(tests)
            shown = {name: f"case when {test} then r.{name} end" for name in ("n", "total", "lowest", "highest", "day")}
        columns = [text.format(**shown) for text in _SUMS[read.what]]
        return [f"cast({text} as bigint)" if text.startswith("sum") else text for text in columns]

    # -- what they are made of ----------------------------------------------------------------------------------------

    def _days(self, kinds: Iterable[str], reads: Sequence[Read], *, single: bool = False) -> str:
        """The roll-up, or what it would be as of the moment; `single` for single answers instead of days."""
        if self._door.is_rollup:
            return "rollup"
        whose = "identity_id" if self._door.people else "customer_id"
        test = f"f.kind in ({self._list(sorted(kinds))}) and f.at <= w.at"
        oldest = _longest([window_of(read) for read in reads])
        if oldest is not None:
            test += f" and f.day >= {_TODAY} - {oldest}"
        if self._door.known:
            test += " and f.known_at <= w.at"
        came = [f"worklist w join facts f on f.{whose} = w.customer_id and {test}"]
        if self._door.known:
            came[0] += " and f.mended_at <= w.at"
            # What a fact said then that was mended since.
            came.append(
                f"worklist w join facts g on g.{whose} = w.customer_id and g.mended_at > 0 and g.mended_at > w.at"
                f" join former_facts f on f.fact_id = g.id and f.until > w.at and {test}"
            )
        rows = " union all ".join(
            f"select w.customer_id, f.kind, f.label, f.day, f.at, f.value from {one} where w.pass = :pass"  # noqa: S608
            for one in came
        )
        if single:
            columns, end = "at as first_at, value as first_value, at as last_at, value as last_value", ""
        else:
            columns = "count(*) as n, cast(sum(value) as bigint) as total, min(value) as lowest, max(value) as highest"
            end = " group by customer_id, kind, label, day"
        return f"(select customer_id, kind, label, day, {columns} from ({rows}) as came{end})"  # noqa: S608

    def _whose(self, kinds: Sequence[str]) -> str:
        alone = f"= :{self._bind(kinds[0])}" if len(kinds) == 1 else f"in ({self._list(kinds)})"
        return f"r.customer_id = w.customer_id and r.kind {alone}"

    def _test(self, read: Read) -> str:
        kinds = sorted(read.kinds)
        selected = self._selected(read.selections, kinds)
        return self._whose(kinds) + _within(window_of(read)) + (f" and {selected}" if selected else "")

    def _selected(self, selections: Sequence[Selection], kinds: Sequence[str]) -> str:
        """Which of the rows of these kinds are meant; "" for all."""
        if {one.kind for one in selections if not (one.labels or one.without)} == set(kinds):
            return ""
        return "(" + " or ".join(self._selection(one, alone=len(kinds) == 1) for one in selections) + ")"

    def _selection(self, one: Selection, *, alone: bool) -> str:
        tests = [] if alone else [f"r.kind = :{self._bind(one.kind)}"]
        if one.labels:
            tests.append(f"r.label in ({self._list(one.labels)})")
        if one.without:
            tests.append(f"r.label not in ({self._list(one.without)})")
        return " and ".join(tests)

    def _list(self, texts: Iterable[str]) -> str:
        return ", ".join(f":{self._bind(text)}" for text in texts)

    def _bind(self, text: str) -> str:
        binds = self._asked.binds
        name = next((name for name, value in binds.items() if value == text), f"b{len(binds)}")
        binds[name] = text
        return name


def _longest(windows: Sequence[Window]) -> int | None:
    """The oldest day of all; None where one of them has no end."""
    oldest = [one.oldest for one in windows]
    return None if None in oldest else max(one for one in oldest if one is not None)


def _within(window: Window) -> str:
    oldest = "" if window.oldest is None else f" and r.day >= {_TODAY} - {window.oldest}"
    return f" and r.day <= {_TODAY} - {window.newest}{oldest}"


def _inside(window: Window, shared: Window) -> str:
    """What is still to be asked of a day that lies in the `shared` window."""
    tests = [f"r.day <= {_TODAY} - {window.newest}"] if window.newest != shared.newest else []
    if window.oldest != shared.oldest:
        tests.append(f"r.day >= {_TODAY} - {window.oldest}")
    return " and ".join(tests)
