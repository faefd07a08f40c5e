"""What scoring keeps: scores, where each customer stands, the changes, and overrides. The station's door to the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from worker.lib.clock import DAY, local_day
from worker.lib.ids import new_id
from worker.lib.problems import Problems
from worker.lib.rounding import plain
from worker.lib.store import Row, Store, sql
from worker.scoring import population, scorecard
from worker.scoring.bands import Standing
from worker.scoring.card import Card
from worker.scoring.ledger import Ledger, Side, ledger
from worker.scoring.measures import Moment, Reading, Sources
from worker.scoring.reads import Read
from worker.scoring.score import Assessment, Override, assess

LATELY: Final = 30 * DAY
"""How far back a change of band is told, where the band before it is older."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One customer's result, to be saved."""

    customer_id: str
    at: int
    """As of when, epoch seconds UTC."""
    version: str
    """The card's."""
    assessment: Assessment
    previous: Standing | None
    """What the standing was decided from; None for the first."""
    standing: Standing
    why: str = ""
    """The drivers in words, kept with a change."""


@dataclass(frozen=True, slots=True)
class Change:
    """A customer went from one band to another. The first standing is no change: everyone is newly something then."""

    id: str
    customer_id: str
    at: int
    old_band: str
    new_band: str
    score_id: str
    version: str
    why: str


@dataclass(frozen=True)
class Score:
    """A stored score."""

    id: str
    customer_id: str
    at: int
    version: str
    score: Decimal | None
    band: str
    """As the edges and rules cut it, before any hold; the standing has the band that counts."""
    coverage: Decimal
    detail: str
    run_id: str

    @cached_property
    def assessment(self) -> Assessment:
        """All of it: measures, drivers, rules, signals."""
        return Assessment.from_json(self.detail)

    @property
    def tells_of_override(self) -> bool:
        """Whether a person's word spoke in it, or had just ended; without reading all of it."""
        return '"override":{' in self.detail or '"ended":{' in self.detail  # within a text the quotes are escaped


@dataclass(frozen=True, slots=True)
class Saved:
    """What `save` wrote."""

    score_ids: dict[str, str]
    """{customer: the id of the score}."""
    changes: tuple[Change, ...]
    overtaken: tuple[str, ...]
    """Customers whose standing another pass had moved meanwhile: their score is kept, their standing is the other's."""


def save_card(store: Store, card: Card, text: str, since: int) -> None:
    """Keep a version of the card, once; `text` is the file as it was written."""
    store.run(sql("scoring", "put_card"), {"version": card.version, "name": card.name, "body": text, "since": since})


def save(store: Store, scored: Sequence[Scored], run_id: str) -> Saved:
    """Keep scores, standings and changes, in one transaction (inside the caller's, where there is one)."""
    ids = {one.customer_id: new_id("scr") for one in scored}
    changes: list[Change] = []
    with store.atomic():
        store.many(sql("scoring", "add_score"), (_score_row(one, ids[one.customer_id], run_id) for one in scored))
        overtaken = _stand(store, scored, ids)
        for one in scored:
            if one.previous is None or one.previous.band == one.standing.band or one.customer_id in overtaken:
                continue
            changes.append(_change(one, ids[one.customer_id]))
        store.many(sql("scoring", "add_change"), map(_change_row, changes))
    return Saved(ids, tuple(changes), tuple(overtaken))


def standings(store: Store, ids: Collection[str] | None = None) -> dict[str, Standing]:
    """Where these customers stand (all where None); those without a standing are left out."""
    return {one[0]: Standing(*one[2:]) for one in _stand_of(store, "standings", ids)}


def latest_scores(store: Store, ids: Collection[str] | None = None) -> dict[str, Score]:
    """The score that each of these customers' standing rests on (all where None)."""
    return {one[1]: _score(*one) for one in _stand_of(store, "latest_scores", ids)}


def history(store: Store, customer_id: str) -> list[Score]:
    """Every stored score of a customer, oldest first."""
    return [_score(*row) for row in store.tuples(sql("scoring", "history"), {"customer_id": customer_id})]


def changes_of(store: Store, customer_id: str) -> list[Change]:
    """Every change of a customer, oldest first."""
    return [Change(**row) for row in store.rows(sql("scoring", "changes_of"), {"customer_id": customer_id})]


def card_of(store: Store, version: str) -> Card | None:
    """A version of the card as it was kept; None where it was not, or says what nobody can read any more."""
    text = store.value(sql("history", "card_text"), {"version": version})
    try:
        return scorecard.load(text, version) if text else None
    except Problems:
        return None


def score_as_of(store: Store, customer_id: str, at: int) -> Score | None:
    """The score that stood at a moment: the last one kept by then. For the time before the first, that one."""
    found = store.tuples(sql("history", "score_as_of"), {"customer_id": customer_id, "at": at})
    return _score(*found[0]) if found else None


def told_since(store: Store, customer_id: str, began: int, at: int) -> Score | None:
    """What a change of band at `at` is told from: the score with which the band before it `began`, or of 30 days ago."""
    return score_as_of(store, customer_id, max(began, at - LATELY))


def moved(
    store: Store, old: Score, new: Assessment, *, card: Card, at: int, sources: Sources, time_zone: str
) -> Ledger:
    """The ledger from a stored score to an assessment of moment `at` under `card`.

    The sources are those of that moment, and the zone that of customers who have none; both matter only where the card
    is another than then, and what the old one reads must be read anew.
    """
    row = store.row(sql("history", "customer"), {"id": old.customer_id})
    assert row is not None, f"{old.customer_id} has a score"
    zone = row["time_zone"] or time_zone
    old_card = card if old.version == card.version else card_of(store, old.version)
    before, after = (
        Side(which, one, local_day(when, zone), (when - row["first_at"]) // DAY)
        for which, one, when in ((old_card, old.assessment, old.at), (card, new, at))
    )
    between: dict[str, Reading] = new.readings
    if old_card is not None and old_card is not card:
        today = Moment(old.customer_id, at, after.day)
        others = everyone_at(store, at, time_zone) if population.needs_everyone(old_card) else ()
        found = population.read(store, old_card, [today], sources, everyone=others).get(old.customer_id, {})
        whole = found.keys() >= old_card.measures.keys() and old.assessment.measures.keys() >= old_card.measures.keys()
        frozen = assess(old_card, found, last_good=old.assessment.readings).readings if whole else {}
        between = {name: new.readings[name] if _alike(old_card, card, name) else one for name, one in frozen.items()}
    return ledger(before, after, between, time_zone=zone)


def everyone_at(store: Store, at: int, time_zone: str) -> list[Moment]:
    """A moment for every customer there was; `time_zone` is for those who have none."""
    rows = store.rows(sql("house", "customers_by"), {"now": at})
    return [Moment(row["id"], at, local_day(at, row["time_zone"] or time_zone)) for row in rows]


def _alike(card: Card, other: Card, name: str) -> bool:
    """Whether both cards read the measure in the same way, whatever they make of it."""
    if name not in other.measures or not isinstance(card.measures[name].read, Read):
        return False
    one, two = card.measures[name], other.measures[name]
    return (one.read, one.against, one.not_in_first, one.answer_valid_for) == (
        two.read, two.against, two.not_in_first, two.answer_valid_for,
    )  # fmt: skip


_TOGETHER: Final = 500
"""Customers that one statement names."""


def _stand_of(store: Store, query: str, ids: Collection[str] | None) -> Iterator[tuple[Any, ...]]:
    """What a query says of the standings of these customers, all where None; by customer."""
    text, listed = sql("scoring", query), sorted(ids or ())
    if ids is None:
        yield from store.tuples(f"{text} order by t.customer_id")
    for start in range(0, len(listed), _TOGETHER):
        binds = {f"id{place}": one for place, one in enumerate(listed[start : start + _TOGETHER])}
        named = ", ".join(f":{name}" for name in binds)
        yield from store.tuples(f"{text} where t.customer_id in ({named}) order by t.customer_id", binds)


def _stand(store: Store, scored: Sequence[Scored], ids: Mapping[str, str]) -> frozenset[str]:
    """Have the customers stand where they were found to; gives those whom another pass has moved meanwhile."""
    begun, moved = [], []
    for one in scored:
        binds = {
            "customer_id": one.customer_id, "score_id": ids[one.customer_id], "band": one.standing.band,
            "since": one.standing.since, "waiting": one.standing.waiting, "waiting_since": one.standing.waiting_since,
        }  # fmt: skip
        if one.previous is None:
            begun.append(binds)
        else:
            moved.append({**binds, "old_band": one.previous.band})
    touched = store.many(sql("scoring", "begin_standing"), begun) + store.many(sql("scoring", "move_standing"), moved)
    if touched == len(scored):
        return frozenset()
    ours = {one[1] for one in _stand_of(store, "standings", ids)}
    return frozenset(customer_id for customer_id, score_id in ids.items() if score_id not in ours)


def _score_row(one: Scored, score_id: str, run_id: str) -> Row:
    assessment = one.assessment
    return {
        "id": score_id,
        "customer_id": one.customer_id,
        "at": one.at,
        "version": one.version,
        "score": None if assessment.score is None else plain(assessment.score),
        "band": assessment.band,
        "coverage": plain(assessment.coverage),
        "detail": assessment.to_json(),
        "run_id": run_id,
    }


def _change(one: Scored, score_id: str) -> Change:
    assert one.previous is not None
    return Change(
        new_id("chg"), one.customer_id, one.at, one.previous.band, one.standing.band, score_id, one.version, one.why
    )


def _change_row(change: Change) -> Row:
    return {name: getattr(change, name) for name in Change.__slots__}


def _score(
    score_id: str, customer_id: str, at: int, version: str, score: str | None, band: str, coverage: str, detail: str,
    run_id: str,
) -> Score:  # fmt: skip
    """From the columns as every query has them."""
    number = None if score is None else Decimal(score)
    return Score(score_id, customer_id, at, version, number, band, Decimal(coverage), detail, run_id)


# -- overrides --------------------------------------------------------------------------------------------------------


def set_override(store: Store, customer_id: str, override: Override) -> None:
    """Keep an override from its `since` on, in place of the one that is open, and have the customer assessed at once."""
    now = override.since
    limit = override.limit
    with store.atomic():
        for other, whose in _open(store):
            if whose == customer_id:
                _end(store, other.id, f"replaced by {override.author}", now)
        store.run(
            sql("opinions", "add_override"),
            {
                "id": override.id, "customer_id": customer_id, "how": override.how,
                "band": limit if isinstance(limit, str) else None,
                "score": plain(limit) if isinstance(limit, Decimal) else None,
                "author": override.author, "reason": override.reason, "since": now, "until": override.until,
            },
        )  # fmt: skip
        store.run(sql("opinions", "soil"), {"customer_id": customer_id, "now": now})


def end_override(store: Store, customer_id: str, override_id: str, why: str, now: int) -> bool:
    """End an override, and have the customer assessed at once; False where it has ended already."""
    with store.atomic():
        ended = _end(store, override_id, why, now)
        if ended:
            store.run(sql("opinions", "soil"), {"customer_id": customer_id, "now": now})
    return ended


def expire_override(store: Store, override_id: str, now: int) -> bool:
    """Note, with the assessment that sees it, that an override's time is over; False where it has ended already."""
    return _end(store, override_id, "expired", now)


def open_overrides(store: Store) -> dict[str, Override]:
    """{customer: the override that nobody has ended}; its time may be over. Of merged customers the newer one holds."""
    return {whose: override for override, whose in _open(store)}


def overrides_at(store: Store, moment: int) -> dict[str, Override]:
    """{customer: the override in force at a moment}."""
    return {_kept(store, row): _override(row) for row in store.rows(sql("opinions", "overrides_at"), {"now": moment})}


def _open(store: Store) -> list[tuple[Override, str]]:
    return [(_override(row), _kept(store, row)) for row in store.rows(sql("opinions", "open_overrides"))]


def _end(store: Store, override_id: str, why: str, now: int) -> bool:
    return store.run(sql("opinions", "end_override"), {"id": override_id, "why": why, "now": now}) == 1


def _override(row: Row) -> Override:
    limit: str | Decimal = row["band"] if row["band"] is not None else Decimal(row["score"])
    return Override(row["id"], row["how"], limit, row["author"], row["reason"], row["since"], row["until"])


def _kept(store: Store, row: Row) -> str:
    """Whose it is now: the customer's, or whom they were merged into."""
    customer_id, into = row["customer_id"], row["merged_into"]
    while into:
        customer_id = into
        into = store.value(sql("opinions", "merged_into"), {"customer_id": customer_id})
    return str(customer_id)
