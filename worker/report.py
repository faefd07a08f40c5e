"""What commands and pages tell about facts, scores and turns."""

from __future__ import annotations

from typing import Any, Final

from worker import cards
from worker.assess import shown_score
from worker.facts import FAMILIES, KINDS, kind_named
from worker.intake import inbox
from worker.lib.clock import day_number, day_text, end_of_day, iso, local_day, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.store import Row, Store, sql
from worker.plays.records import departed
from worker.river import Turn
from worker.scoring import counterfactual, ledger, overrides, population, records
from worker.scoring import explain as words
from worker.scoring.card import Card
from worker.scoring.dealing import dealt
from worker.scoring.score import Assessment, assess
from worker.workspace import Workspace

LABELS_SHOWN: Final = 6
"""Of one kind of fact, the commonest."""

LONGEST_VALUE: Final = 30
"""Characters of an attribute's value."""


def facts(store: Store) -> list[Row]:
    """What a scorecard can read: every kind with how much of it there is, the families of kinds, and the attributes.

    Of each the facts, the customers (of a family None: they may be the same) and the commonest labels; of an attribute
    its commonest values.
    """
    kinds = _kinds(store)
    by_name = {one["kind"]: one for one in kinds}
    families = [
        {
            "kind": " or ".join(family.kinds), "singular": family.singular, "plural": family.plural,
            "sentence": family.sentence, "unit": "", "facts": sum(by_name[one]["facts"] for one in family.kinds),
            "customers": None, "labels": "",
        }
        for family in FAMILIES
    ]  # fmt: skip
    return [*kinds, *families, *_attributes(store)]


def _attributes(store: Store) -> list[Row]:
    found: dict[str, list[Row]] = {}
    for row in store.rows(sql("house", "attributes_by_value")):
        found.setdefault(row["name"], []).append(row)
    return [
        {
            "kind": f"attribute {name}", "singular": f"attribute {name}", "plural": f"attribute {name}",
            "sentence": "A property of the customer.", "unit": "", "facts": sum(row["n"] for row in rows),
            "customers": sum(row["n"] for row in rows),
            "labels": ", ".join(row["value"][:LONGEST_VALUE] for row in rows[:LABELS_SHOWN]),
        }
        for name, rows in found.items()
    ]  # fmt: skip


def _kinds(store: Store) -> list[Row]:
    found: dict[str, list[Row]] = {}
    for row in store.rows(sql("house", "kinds_by_label")):
        found.setdefault(row["kind"], []).append(row)
    customers = {row["kind"]: row["customers"] for row in store.rows(sql("house", "customers_by_kind"))}
    kinds = [*KINDS.values(), *(kind_named(name) for name in sorted(found.keys() - KINDS.keys()))]
    listed = []
    for kind in kinds:
        rows = found.get(kind.name, [])
        labels = sorted((row for row in rows if row["label"]), key=lambda row: (-row["n"], row["label"]))
        listed.append(
            {
                "kind": kind.name, "singular": kind.singular, "plural": kind.plural, "sentence": kind.sentence,
                "unit": kind.unit, "facts": sum(row["n"] for row in rows),
                "customers": customers.get(kind.name, 0),
                "labels": ", ".join(row["label"] for row in labels[:LABELS_SHOWN]),
            }
        )  # fmt: skip
    return listed


def scores(workspace: Workspace, as_of: str = "") -> dict[str, Any]:
    """Everybody's score now, or as of the end of a local day; who had left by then is counted, and scored too.

    Keeps nothing.

    Facts, and customers, of after that moment have no influence. Raises Problems for what is no day.
    """
    store = workspace.store
    now = _moment(as_of, "--as-of", workspace) if as_of else seconds(workspace.clock)
    gone = departed(store, now)
    rows = store.rows(sql("house", "customers_by"), {"now": now})
    moments = records.everyone_at(store, now, workspace.time_zone)
    sources = workspace.sources(seconds(workspace.clock), now)
    judged: dict[str, tuple[Card, Assessment]] = {}
    hands = list(dealt(store, workspace.deck, moments, sources))
    scored = [one for _, hand in hands for one in hand]
    for card, hand in hands:
        for customer_id, readings in population.read(store, card, hand, sources, everyone=scored).items():
            judged[customer_id] = card, assess(card, readings)
    said = records.overrides_at(store, now)
    customers: list[Row] = []
    bands = dict.fromkeys([*workspace.card.order, "grey"], 0)
    for row in rows:
        if row["id"] not in judged:
            continue
        card, computed = judged[row["id"]]
        one = overrides.weighed(card, computed, said.get(row["id"]), None)
        bands[one.band] += 1
        reason = words.reason(card, one)
        customers.append(
            {
                "customer_id": row["id"],
                "name": row["name"],
                "score": shown_score(one),
                "band": one.band,
                "reason": reason,
                "left": row["id"] in gone,
            }
        )
    return {
        "as_of": iso(now), "card": ", ".join(card.name for card in workspace.deck.cards.values()),
        "version": workspace.deck.version, "bands": bands,
        "left": sum(one["left"] for one in customers), "customers": customers,
    }  # fmt: skip


def _moment(day: str, option: str, workspace: Workspace) -> int:
    """The end of a local day. Raises Problems for what is no day."""
    try:
        return end_of_day(day_number(day), workspace.time_zone)
    except (ValueError, OverflowError):  # the second for a day after the last that a calendar has
        raise Problems([Problem(option, 0, "", f"{day!r} is no day", "write it as 2026-01-31")]) from None


def find_customer(store: Store, word: str, *, by_beginning: bool = True) -> str:
    """A customer by id, name, address or `source:id`; a person at a terminal may give the beginning of a name.

    Raises Problems for none, or for several.
    """
    word = word.encode("utf-8", "replace").decode()  # a terminal may hand over bytes that are no text
    source, _, external_id = word.partition(":")
    binds = {"word": word, "source": source, "external_id": external_id, "email": word.strip().casefold()}
    found = sorted({_kept(store, row["id"]) for row in store.rows(sql("house", "find"), binds)})
    if not found and by_beginning:
        beginning = {"word": word, "after": word + "\U0010ffff"}
        found = [row["id"] for row in store.rows(sql("house", "find_by_beginning"), beginning)]
    if len(found) != 1:
        cure = f"say which by its id: {', '.join(found[:5])}" if found else "try an id, a name, an address or keap:123"
        raise Problems([Problem("customer", 0, "", f"{word!r} is {len(found) or 'no'} customers", cure)])
    return found[0]


def _kept(store: Store, customer_id: str) -> str:
    """The customer that this one was merged into, or itself."""
    while (row := store.row(sql("house", "customer"), {"id": customer_id})) and row["merged_into"]:
        customer_id = row["merged_into"]
    return customer_id


def explain(workspace: Workspace, word: str, since: str = "") -> dict[str, Any]:
    """Why a customer stands where they stand, by the last score that was kept; and what moved it since a local day.

    Raises Problems for what is nobody, or no day.
    """
    customer_id = find_customer(workspace.store, word)
    score = records.latest_scores(workspace.store, [customer_id]).get(customer_id)
    if score is None:
        cure = "score everybody with: keepwell run"
        raise Problems([Problem("customer", 0, "", f"{word!r} has no score yet", cure)])
    card = workspace.deck.card_of(score.version)
    if card is None:
        cure = "score everybody under the present one with: keepwell run"
        raise Problems([Problem("customer", 0, "", f"{word!r} was last scored under another scorecard", cure)])
    standing = records.standings(workspace.store, [customer_id])[customer_id]
    row = workspace.store.row(sql("house", "customer"), {"id": customer_id}) or {}
    old = records.score_as_of(workspace.store, customer_id, _moment(since, "--since", workspace)) if since else None
    lines = words.explain(card, score.assessment, standing, time_zone=workspace.time_zone)
    under = cards.named(workspace.store, score.version)
    return {
        "customer_id": customer_id,
        "name": row.get("name", ""),
        "score": shown_score(score.assessment),
        "band": standing.band,
        "since": iso(standing.since),
        "as_of": iso(score.at),
        "version": score.version,
        "number": cards.numbers(workspace.store).get(score.version),
        "could": counterfactual.in_words(card, score.assessment, standing),
        "ledger": _ledger(workspace, old, score) if old else None,
        "lines": [f"{row.get('name') or customer_id} as of {iso(score.at)}{under and f', {under}'}", *lines],
    }


def moved(workspace: Workspace, old: records.Score, new: records.Score) -> ledger.Ledger | None:
    """What moved a customer's score from one kept score to another; None where the newer card is not kept any more."""
    card = workspace.deck.card_of(new.version) or records.card_of(workspace.store, new.version)
    if card is None:
        return None
    sources = workspace.sources(seconds(workspace.clock), new.at)
    return records.moved(
        workspace.store, old, new.assessment, card=card, at=new.at, sources=sources, time_zone=workspace.time_zone
    )


def _ledger(workspace: Workspace, old: records.Score, new: records.Score) -> dict[str, Any] | None:
    found = moved(workspace, old, new)
    if found is None:
        return None
    total, lines = ledger.shown(found)
    since = day_text(local_day(old.at, workspace.time_zone))
    head = f"{total} since {since}: from {ledger.score_in_words(found.old)} to {ledger.score_in_words(found.new)}"
    return {
        "from": iso(old.at), "to": iso(new.at), "old_version": old.version, "new_version": new.version,
        **ledger.as_data(found), "head": head, "lines": [[line.points, line.kind, line.words] for line in lines],
    }  # fmt: skip


def replay(workspace: Workspace, source: str, since: int) -> inbox.Taken:
    """Read a source's stored deliveries again, from the day on."""
    store = workspace.store
    store.run(sql("intake", "replay"), {"source": source, "since": since})
    return inbox.parse_waiting(
        store, workspace.parse, seconds(workspace.clock), time_zone=workspace.time_zone, most=10**9
    )


def turn_in_words(done: Turn, mode: str) -> list[str]:
    """What a turn did, for a terminal."""
    bands = ", ".join(f"{n} {band}" for band, n in sorted(done.assessed.bands.items()))
    lines = [
        f"{len(done.pulled)} streams pulled, {done.taken.deliveries} deliveries read, {done.taken.facts} facts kept",
        f"{done.assessed.customers} customers assessed ({bands or 'nobody was due'}), {done.assessed.changes} changed band",
    ]
    lines += [f"{one}; what rests on it stands still." for one in done.down]
    lines += [f"{one} is back." for one in done.back]
    if done.silent:
        lines.append("This was the first pass, and silent: everyone is newly something, and that is no news.")
    elif mode in ("approve", "live"):
        sent = done.mails.get("sent", 0) + done.texts.get("sent", 0)
        given = done.tasks.get("added", 0) + done.tasks.get("found", 0)
        refused = sum(lane.get("refused", 0) for lane in (done.mails, done.texts, done.tasks))
        lines.append(
            f"{done.written.contacts} contacts written, {sent} mails sent, {given} tasks given, "
            f"{done.alerts.get('sent', 0) + done.notices} alerts, {done.assessed.refused + refused} refused"
        )
    else:
        lines.append(f"Nothing left: the workspace is in {mode}.")
    return lines
