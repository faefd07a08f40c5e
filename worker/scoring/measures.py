"""From facts to the values of a card's measures, as of a moment for each customer: one set-based pass of SQL.

Days before the customer's today come from the roll-up, today's from the facts up to the moment, so that any moment,
past or present, is exact. What happens after it has no influence.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from statistics import median
from typing import Any, Final, Literal

from worker.facts import MILLION
from worker.lib.rounding import CONTEXT, nine
from worker.lib.store import Row, Store, sql
from worker.scoring.card import Card, Measure
from worker.scoring.reads import Read, Window

State = Literal["value", "never", "source_down", "expired", "not_applicable"]

_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Moment:
    """As of when a customer is read: epoch seconds, and the number of the customer's local day they fall in."""

    customer_id: str
    at: int
    today: int


@dataclass(frozen=True, slots=True)
class Sources:
    """What we can know at all. Kinds of your own (`custom.…`) come by the API, which is always connected."""

    connected: Collection[str] | None = None
    """The kinds that some connected source can give; None where every kind is (as in `keepwell eval`)."""
    down: Collection[str] = frozenset()
    """The kinds whose source has not succeeded for too long."""

    def state(self, kinds: Collection[str]) -> State:
        """What these say about a measure over these kinds, before any fact is looked at."""
        if self.connected is not None and any(
            kind not in self.connected and not kind.startswith("custom.") for kind in kinds
        ):
            return "not_applicable"
        return "source_down" if any(kind in self.down for kind in kinds) else "value"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a measure was for one customer at one moment."""

    state: State
    value: Decimal | None = None
    """Nine places at most; None unless the state is `value`, or `source_down` with a last good value."""
    current: Decimal | None = None
    """Where the value is held against a normal: what was read, before it became a share."""
    normal: Decimal | None = None
    """Their own normal; None where there is none."""
    day: int | None = None
    """The local day of the answer or the event that spoke; None for what is counted."""
    frozen: State | None = None
    """While the source is down: the state it stays in."""


def read(
    store: Store, card: Card, moments: Sequence[Moment], sources: Sources | None = None, *, known: bool = False
) -> dict[str, dict[str, Reading]]:
    """Read every measure of the card for these customers: {customer: {measure: reading}}.

    One moment a customer. A customer who did not exist yet at the moment is left out. With `known`, only what we had
    learned by the moment counts, as the look-back wants it; that reads the facts, and takes longer.
    """
    sources = sources or Sources()
    plan = _Plan(card, sources, known)
    sums, singles = plan.sums(), plan.rows_apart() if plan.singles else ""
    binds = {"pass": secrets.token_hex(8), **plan.binds}
    with store.atomic():
        store.many(
            sql("scoring", "add_moment"),
            [{"pass": binds["pass"], "customer_id": m.customer_id, "at": m.at, "today": m.today} for m in moments],
        )
        rows = store.rows(sums, binds)
        found = store.rows(singles, binds) if singles else []
        store.run(sql("scoring", "end_pass"), {"pass": binds["pass"]})
    apart: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in found:
        apart[row["customer_id"]][row["what"]].append(row)
    return {
        row["customer_id"]: {
            name: _reading(measure, plan, row, apart[row["customer_id"]]) for name, measure in card.measures.items()
        }
        for row in rows
    }


# -- what to ask for --------------------------------------------------------------------------------------------------

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "days_with": ("count(distinct case when {test} then day end)",),
    "count": ("cast(sum(case when {test} then n else 0 end) as bigint)",),
    "total": ("cast(sum(case when {test} then total else 0 end) as bigint)",),
    "now": ("cast(sum(case when {test} then total else 0 end) as bigint)",),
    "average": (
        "cast(sum(case when {test} then total else 0 end) as bigint)",
        "cast(sum(case when {test} then n else 0 end) as bigint)",
    ),
    "lowest": ("min(case when {test} then lowest end)",),
    "highest": ("max(case when {test} then highest end)",),
    "since": ("max(case when {test} then day end)",),
}
"""What each read asks of the days of one customer, as columns of the one pass."""

_SINGLES: Final[dict[str, str]] = {
    # Of answers given in one second the greatest speaks, as in the roll-up.
    "latest": """
        select customer_id, {tag} as what, day, last_value as total, cast(1 as bigint) as n
        from (
            select customer_id, day, last_value,
                row_number() over (partition by customer_id order by last_at desc, last_value desc) as place
            from days where {test}
        ) as ranked
        where place = 1""",
    "median": """
        select customer_id, {tag} as what, day, cast(sum(total) as bigint) as total, cast(sum(n) as bigint) as n
        from days where {test}
        group by customer_id, day""",
}
"""Reads that need rows rather than one number."""


@dataclass
class _Plan:
    """The statements for one card, and the binds they need."""

    card: Card
    sources: Sources
    known: bool = False
    binds: dict[str, Any] = field(default_factory=dict)
    columns: dict[Read, tuple[str, ...]] = field(default_factory=dict)
    singles: dict[Read, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.states = {name: self.sources.state(one.kinds) for name, one in self.card.measures.items()}
        self._tests: dict[str, str] = {}
        self._reach: dict[str, int | None] = {}
        for one in self._reads():
            self._widen(one)
            if one.what in _SINGLES:
                self.singles.setdefault(one, f"x{len(self.singles)}")
            elif one not in self.columns:
                self.columns[one] = tuple(
                    self._column(text.format(test=self._test(one))) for text in _COLUMNS[one.what]
                )

    def _reads(self) -> Iterator[Read]:
        for name, measure in self.card.measures.items():
            if self.states[name] == "value":
                yield from (side for side in (measure.read, measure.against) if isinstance(side, Read))

    def _widen(self, one: Read) -> None:
        """Note how many days back a kind is needed; None for all."""
        oldest = _window(one).oldest
        for kind in one.kinds:
            before = self._reach.get(kind, 0)
            self._reach[kind] = None if before is None or oldest is None else max(before, oldest)

    def _column(self, expression: str) -> str:
        return self._tests.setdefault(expression, f"c{len(self._tests)}")

    def _test(self, one: Read) -> str:
        (chosen,) = one.selections
        tests = [f"kind = :{self._bind(chosen.kind)}"]
        if chosen.labels:
            tests.append("label in (" + ", ".join(f":{self._bind(label)}" for label in chosen.labels) + ")")
        window = _window(one)
        if window.newest:
            tests.append(f"age >= {window.newest}")
        if window.oldest is not None:
            tests.append(f"age <= {window.oldest}")
        return " and ".join(tests)

    def _bind(self, text: str) -> str:
        name = next((name for name, value in self.binds.items() if value == text), f"b{len(self.binds)}")
        self.binds[name] = text
        return name

    def _days(self, reads: Collection[Read]) -> str:
        """The days each customer of the pass has, by kind and label: the roll-up, and today's facts so far."""
        parts = []
        for kind in sorted({kind for one in reads for kind in one.kinds}):
            oldest = self._reach[kind]
            bind = self._bind(kind)
            since = "" if oldest is None else f" and r.day >= w.today - {oldest}"
            # S608: kinds and labels are binds, and the numbers are ours
            if self.known:
                parts.append(f"""
        select f.customer_id, f.kind, f.label, f.day, w.today - f.day as age,
            cast(1 as bigint) as n, f.value as total, f.value as lowest, f.value as highest,
            f.at as last_at, f.value as last_value
        from worklist w
        join facts f on f.customer_id = w.customer_id and f.kind = :{bind}{since.replace("r.day", "f.day")}
            and f.at <= w.at and f.known_at <= w.at
        where w.pass = :pass""")  # noqa: S608
                continue
            parts.append(f"""
        select w.customer_id, r.kind, r.label, r.day, w.today - r.day as age,
            r.n, r.total, r.lowest, r.highest, r.last_at, r.last_value
        from worklist w
        join rollup r on r.customer_id = w.customer_id and r.kind = :{bind}{since} and r.day < w.today
        where w.pass = :pass
        union all
        select w.customer_id, f.kind, f.label, w.today, cast(0 as bigint), cast(1 as bigint),
            f.value, f.value, f.value, f.at, f.value
        from worklist w
        join facts f on f.customer_id = w.customer_id and f.day >= w.today and f.kind = :{bind} and f.at <= w.at
        where w.pass = :pass""")  # noqa: S608
        return "\n        union all".join(parts)

    def sums(self) -> str:
        """One row a customer: when they began, and every column."""
        if not self._tests:
            return sql("scoring", "customers_of_pass")
        columns = ",\n            ".join(f"{expression} as {name}" for expression, name in self._tests.items())
        shown = ", ".join(f"s.{name}" for name in self._tests.values())
        return f"""
    with days as ({self._days(self.columns)}
    ),
    sums as (
        select customer_id,
            {columns}
        from days
        group by customer_id
    )
    select w.customer_id, w.at, w.today, c.first_at, {shown}
    from worklist w
    join customers c on c.id = w.customer_id
    left join sums s on s.customer_id = w.customer_id
    where w.pass = :pass and c.first_at <= w.at
    order by w.customer_id"""  # noqa: S608  kinds and labels are binds; the rest comes from the tables above

    def rows_apart(self) -> str:
        """Rows for the latest answers and the medians, each marked with the read it belongs to."""
        parts = [_SINGLES[one.what].format(tag=f"'{tag}'", test=self._test(one)) for one, tag in self.singles.items()]
        return f"with days as ({self._days(self.singles)}\n    )" + "\n        union all".join(parts)


# -- what came back ---------------------------------------------------------------------------------------------------


def _reading(measure: Measure, plan: _Plan, row: Row, apart: Mapping[str, list[Row]]) -> Reading:
    state = plan.states[measure.name]
    if state == "not_applicable" or row["at"] - row["first_at"] < measure.not_in_first * _DAY:
        return Reading("not_applicable")
    if state == "source_down":
        return Reading("source_down")
    assert isinstance(measure.read, Read)
    value, day = _value(measure.read, plan, row, apart)
    if value is None:
        return Reading("never")
    if measure.answer_valid_for and day is not None and row["today"] - day >= measure.answer_valid_for:
        return Reading("expired", day=day)
    if not isinstance(measure.against, Read):
        return Reading("value", nine(value), day=day)
    normal, _ = _value(measure.against, plan, row, apart)
    if normal is None or normal <= 0:
        return Reading("never", current=nine(value), day=day)
    return Reading("value", nine(CONTEXT.divide(value, normal)), nine(value), nine(normal), day)


def _value(one: Read, plan: _Plan, row: Row, apart: Mapping[str, list[Row]]) -> tuple[Decimal | None, int | None]:
    """The number, not yet rounded, and the day that spoke; None where it was never seen."""
    if one.what in _SINGLES:
        return _single(one, apart.get(plan.singles[one], []))
    first, *others = (row[name] for name in plan.columns[one])
    match one.what:
        case "days_with":
            return Decimal(first or 0), None
        case "count":
            return _per(Decimal(first or 0), one), None
        case "total":
            return _per(_units(first or 0), one), None
        case "now":
            # The end of a thing may be heard of before its beginning; less than none is open never.
            return max(_units(first or 0), Decimal(0)), None
        case "average":
            return (CONTEXT.divide(_units(first), Decimal(others[0])) if others[0] else None), None
        case "since":
            return (None, None) if first is None else (Decimal(row["today"] - first), first)
        case _:
            return (None if first is None else _units(first)), None


def _single(one: Read, rows: list[Row]) -> tuple[Decimal | None, int | None]:
    if not rows:
        return None, None
    if one.what == "latest":
        return _units(rows[0]["total"]), rows[0]["day"]
    with localcontext(CONTEXT):
        return median(_units(row["total"]) / row["n"] for row in rows), None


def _window(one: Read) -> Window:
    assert isinstance(one.window, Window)
    return one.window


def _units(millionths: int) -> Decimal:
    return CONTEXT.divide(Decimal(millionths), Decimal(MILLION))


def _per(number: Decimal, one: Read) -> Decimal:
    """The plain number, or the mean over all the periods of the window, empty ones included."""
    if not one.per:
        return number
    return CONTEXT.divide(number, Decimal(_window(one).days // one.per))
