"""What a person does to a running workspace: mode, releases, pause, undo; and what shows before they do it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker import deliverability
from worker.dispatch import backfill, edits, journal, outbox, pools
from worker.effects import Standing
from worker.integration import CrmIds
from worker.lib.clock import iso, seconds
from worker.lib.ids import new_id
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell
from worker.lib.store import Row, Store, sql
from worker.plays import modes
from worker.plays.records import set_switch, switch
from worker.workspace import Workspace

CASES: Final = 3
"""How many cases of a kind are shown before it is released."""


def waiting(store: Store) -> list[Row]:
    """The effects that would leave next, in words."""
    return pooled(store, "waiting")


def pooled(store: Store, state: str) -> list[Row]:
    """What lies in a pool (draft, held, asked) or waits to leave, in words, in the order in which it would leave."""
    rows = store.rows(sql("dispatch", "pooled"), {"state": state})
    return [
        {"id": row["id"], "due_at": iso(row["due_at"]), "what": effect_in_words(row)}
        for row in sorted(rows, key=lambda row: (row["due_at"], row["id"]))
    ]


def effect_in_words(row: Row) -> str:
    """One act in a few words: `mail usage-drop to ann@example.com (usage-drop)`, for a row of effects."""
    payload: dict[str, Any] = json.loads(row["payload"])
    if row["kind"] == "standing":
        shown = f"{payload['band']} {payload['score']}".strip() if payload["band"] else "nothing of ours"
        later = "" if payload.get("tag", True) else "; its tag waits for the backfill"
        return f"show {shown} on contact {row['target']}{later}"
    if row["kind"] == "task":
        return f"task {payload['title']} ({row['play']})"
    if row["kind"] in ("mail", "sms"):
        return f"{row['kind']} {payload['template']} to {row['target']} ({row['play']})"
    return f"tell the team: {payload['title']}"


# -- kinds of act -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of act: whether it is released, and what of it waits."""

    name: str
    """`tag:red`, `field:score`, `play:usage-drop`, `alert`."""
    n: int
    """How many acts wait, or contacts whose place would be written."""
    cases: tuple[str, ...]
    """The first three, in words."""
    released_at: int | None = None
    released_by: str = ""


def kinds(workspace: Workspace) -> list[Kind]:
    """Every kind of act that has been released, or of which something waits to be. Places first, then plays."""
    store = workspace.store
    released = {row["kind"]: row for row in store.rows(sql("dispatch", "releases"))}
    cases = _by_kind(workspace, store.rows(sql("dispatch", "pooled"), {"state": "held"}))
    for kind, contacts in _by_place(workspace, _shown_now(store)).items():
        cases[kind] = contacts
    found = [
        Kind(
            kind, 0 if kind in released else len(some), tuple(some[:CASES]),
            released[kind]["at"] if kind in released else None, released[kind]["by"] if kind in released else "",
        )
        for kind, some in {**{kind: list[str]() for kind in released}, **cases}.items()
    ]  # fmt: skip
    order = {kind: place for place, kind in enumerate(workspace.places)}
    return sorted(found, key=lambda one: (order.get(one.name, len(order)), one.name))


def _by_kind(workspace: Workspace, rows: Iterable[Row]) -> dict[str, list[str]]:
    """The acts of each kind in words; what the CRM shall show, place by place."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["kind"] == "standing":
            for kind, cases in _by_place(workspace, [Standing(**json.loads(row["payload"]))]).items():
                found.setdefault(kind, []).extend(cases)
        else:
            found.setdefault(modes.kind_of(row["play"]), []).append(effect_in_words(row))
    return found


def _by_place(workspace: Workspace, standings: Iterable[Standing]) -> dict[str, list[str]]:
    """What each of our places in the CRM would show, in words, by its kind."""
    labels, tags = workspace.config.crm.fields, workspace.config.crm.tags
    found: dict[str, list[str]] = {}
    for one in standings:
        shown = {"score": one.score, "band": one.band, "reason": one.reason, "as_of": iso(one.as_of)}
        if one.tag and one.band in tags:
            found.setdefault(f"tag:{one.band}", []).append(f"contact {one.contact_id}: {tags[one.band]}")
        for name in labels if one.band else ():
            found.setdefault(f"field:{name}", []).append(f"contact {one.contact_id}: {labels[name]} {shown[name]!r}")
    return found


def _shown_now(store: Store) -> Iterator[Standing]:
    """What each contact shows, or will once the lane is empty."""
    for row in store.rows(sql("dispatch", "standings_now")):
        if row["state"] != "undone":
            yield Standing(**json.loads(row["payload"]))


def release(workspace: Workspace, kind: str, by: str) -> int:
    """Let acts of this kind leave from now on; gives how many that were held now wait to leave.

    `by` says who released it. For a place in the CRM it is the contacts that will be looked at again. Raises Problems
    for a kind that there is not.
    """
    store, now = workspace.store, seconds(workspace.clock)
    known = [*workspace.places, modes.ALERT, *(f"play:{name}" for name in workspace.plays)]
    if kind not in known:
        raise Problems([Problem(kind, 0, "", "is no kind of act", spell(kind, known))])
    with store.atomic():
        if not store.run(sql("dispatch", "release"), {"kind": kind, "now": now, "by": by}):
            return 0
        if kind not in workspace.places:
            return store.run(sql("dispatch", "let_kind_go"), {"play": kind.partition(":")[2], "now": now})
        if workspace.mode != modes.APPROVE:
            return 0
        return show_again(store, _touched(kind, _shown_now(store)), now)


def _touched(kind: str, standings: Iterable[Standing]) -> list[Standing]:
    """Whose places are of this kind. A tag may also have to go, from whoever stands elsewhere now."""
    return [one for one in standings if one.tag or not kind.startswith("tag:")]


def show_again(store: Store, standings: Iterable[Standing], now: int) -> int:
    """Have contacts written again as they shall be; what is right already costs a read and no write."""
    once = new_id("see")
    return sum(bool(outbox.put(store, one, f"standing:{one.contact_id}:{once}", now)) for one in standings)


def release_backfill(workspace: Workspace, per_hour: int | None = None) -> int:
    """Let the tags be written of those who merely stand where they stood when nothing left yet; gives how many wait.

    `per_hour` spreads them, so that an automation that hangs on a tag is not set off for all at once.
    """
    return backfill.release(workspace.store, seconds(workspace.clock), per_hour)


# -- mode -------------------------------------------------------------------------------------------------------------


def mode_would(workspace: Workspace, to: str) -> list[str]:
    """What changing the mode would let happen, and what it lets go of, in words."""
    lines = [*_would_drop(workspace, to)]
    if to == modes.WATCH:
        return ["Nothing will leave any more; facts still come in, and scores are still made.", *lines]
    if to == modes.DRAFT:
        return [
            "Every act is decided and shown as a draft from the next turn on: keepwell drafts. None leaves.",
            *lines,
        ]
    store, crm = workspace.store, workspace.crm_source
    bands = ", ".join(f"{row['n']} {row['band']}" for row in store.rows(sql("house", "bands_shown"))) or "nobody yet"
    released = workspace.released if to == modes.APPROVE else {*workspace.places, *workspace.plays, modes.ALERT}
    if to == modes.APPROVE:
        lines.insert(0, "An act leaves once its kind has been released: keepwell release. "
                     f"Released now: {', '.join(sorted(released)) or 'none'}.")  # fmt: skip
    if any(kind in released for kind in workspace.places):
        lines.append(f"From the next turn on, the standing of each customer is shown in {crm}: {bands}.")
        lines += _calls(store)
    if untagged := len(backfill.waiting(store)):
        lines.append(
            f"The tags of {untagged} who merely stand where they stood before are not written, since automations may hang"
            " on them: keepwell release backfill --per-hour 20"
        )
    if workspace.crm is not None and not switch(store, f"canary:{crm}"):
        lines.append("Nothing is written there before one contact has been tried: keepwell check --canary CONTACT")
    if to == modes.LIVE or any(kind.startswith(("play:", modes.ALERT)) for kind in released):
        lines.append(
            f"Mails leave by {workspace.config.outreach.mailer}, alerts by {workspace.config.outreach.alerts}."
        )
        lines += deliverability.before_live(workspace)
    if not switch(store, "first_pass"):
        lines.append("The first pass is silent: it scores everybody, and tells nobody.")
    return lines


def _would_drop(workspace: Workspace, to: str) -> Iterator[str]:
    """What waits in this mode and will not in another, by kind, with the first cases."""
    in_words = {"draft": "drafts", "held": "held", "asked": "waiting for a person", "waiting": "waiting"}
    goes_on = (workspace.mode, to) == (modes.APPROVE, modes.LIVE)
    for state, words in [*in_words.items()][: 2 if goes_on else None]:
        rows = workspace.store.rows(sql("dispatch", "pooled"), {"state": state})
        for kind, some in sorted(_by_kind(workspace, rows).items()):
            first = "; ".join(some[:CASES])
            kept = " (decided anew)" if modes.lets_out(to) and kind in workspace.places else ""
            yield f"Let go of{kept}: {len(some)} {words} of {kind}, as {first}"


def _calls(store: Store) -> Iterator[str]:
    """What the first writing costs in calls: a field write a contact, and all else in bulk."""
    n = int(store.value(sql("house", "standing_customers")))
    if n:
        yield f"That is about {n} calls to write the fields, and {n // 200 + 1} to read; later only what changes."


def set_mode(workspace: Workspace, to: str) -> None:
    """Change the mode. What was decided in another mode and still waits is let go: it would be old news.

    From `approve` to `live` only what was held is let go: what had been released goes on, the later steps of a play too.
    What the CRM shall show is no news but how things are, so all of it is looked at again.
    """
    store, now = workspace.store, seconds(workspace.clock)
    if to not in modes.MODES:
        raise Problems([Problem(to, 0, "", "is no mode", spell(to, modes.MODES))])
    with store.atomic():
        goes_on = (workspace.mode, to) == (modes.APPROVE, modes.LIVE)
        shown = list(_shown_now(store)) if goes_on else []
        set_switch(store, "mode", to, now)
        store.run(
            sql("house", "let_held_go" if goes_on else "let_go"), {"reason": f"the mode changed to {to}", "now": now}
        )
        show_again(store, shown, now)


# -- pause ------------------------------------------------------------------------------------------------------------


def set_paused(store: Store, now: int, *, paused: bool) -> None:
    """Stop everything outward, or let it leave again. Needs the store alone, so that no mistake in a file hinders it."""
    if paused:
        set_switch(store, "paused", "yes", now)
    else:
        resume(store, now)


@dataclass(frozen=True)
class Resumed:
    """What a pause held up."""

    waited: Mapping[str, int]
    """How many acts leave now, by kind; `crm` for the contacts to be written."""
    expired: tuple[str, ...]
    """What is no longer worth sending and does not leave, in words."""


def resume(store: Store, now: int) -> Resumed:
    """Let things leave again. What has become old news meanwhile is refused first."""
    with store.atomic():
        expired = tuple(effect_in_words(row) for row in pools.expire(store, "waiting", now))
        set_switch(store, "paused", "no", now)
        rows = store.rows(sql("dispatch", "pooled"), {"state": "waiting"})
    waited = Counter("crm" if row["kind"] == "standing" else modes.kind_of(row["play"]) for row in rows)
    return Resumed(dict(sorted(waited.items())), expired)


# -- undo -------------------------------------------------------------------------------------------------------------


def runs_that_wrote(store: Store) -> list[Row]:
    """The runs that wrote to a CRM, newest first."""
    return [{**row, "at": iso(row["at"])} for row in store.rows(sql("house", "runs_that_wrote"))]


def undo(workspace: Workspace, run_id: str, *, dry_run: bool, customer_id: str = "") -> dict[str, Any]:
    """Put back what a run wrote to the CRM, and pause, since the next turn would write it again.

    `customer_id` narrows it to the contacts of one customer. What somebody has changed since stays, and is named. Raises Problems for a run that wrote nothing, or where the CRM is not set up.
    """
    only = contacts_of(workspace, customer_id) if customer_id else None
    rows = journal.of_run(workspace.store, run_id, only)
    crm = workspace.crm
    if not rows:
        raise Problems([Problem(run_id, 0, "", "wrote nothing that still stands", "list the runs with: keepwell undo")])
    if crm is None:
        raise Problems([Problem(run_id, 0, "", f"wrote to {workspace.crm_source}, which is not set up", "set it up")])
    if dry_run:
        lines = [f"contact {r['contact_id']}: {r['what']} {r['name']}: {r['after']!r} → {r['before']!r}" for r in rows]
        return {"run": run_id, "lines": lines, "fields": 0, "tags": 0, "kept": [], "failed": []}
    set_paused(workspace.store, seconds(workspace.clock), paused=True)
    with workspace.by_hand():
        done = journal.undo(workspace.store, crm, workspace.crm_source, run_id, workspace.clock, only)
    lines = [f"{done.fields} fields and {done.tags} tags are as they were before {run_id}."]
    lines += [f"left as it is: {one}" for one in done.kept] + [f"could not be put back: {one}" for one in done.failed]
    lines.append("Everything outward is paused now; let it leave again with: keepwell resume")
    return {
        "run": run_id, "lines": lines, "fields": done.fields, "tags": done.tags, "kept": done.kept, "failed": done.failed,
    }  # fmt: skip


def contacts_of(workspace: Workspace, customer_id: str) -> frozenset[str]:
    """The CRM contacts of a customer."""
    binds = {"customer_id": customer_id, "source": workspace.crm_source}
    return frozenset(row["contact_id"] for row in workspace.store.rows(sql("plays", "contacts_of"), binds))


def take_back(workspace: Workspace, customer_id: str, by: str) -> int:
    """Let our places on a customer's contacts be ours again, whatever somebody put there; gives how many that were.

    Ours is written in the next turn.
    """
    store, now = workspace.store, seconds(workspace.clock)
    contacts = contacts_of(workspace, customer_id)
    with store.atomic():
        n = sum(edits.take_back(store, workspace.crm_source, one, by) for one in sorted(contacts))
        if n and modes.lets_out(workspace.mode):
            show_again(store, [one for one in _shown_now(store) if one.contact_id in contacts], now)
    return n


def taken(workspace: Workspace, customer_id: str = "") -> list[str]:
    """What people have put into places of ours and stays there, in words; of one customer, or of all."""
    store, ids = workspace.store, workspace.known_crm_ids or CrmIds({}, {})
    contacts = contacts_of(workspace, customer_id) if customer_id else None
    return [
        edits.in_words(edits.Edit((row["contact_id"], row["what"], row["name"]), row["ours"], row["theirs"]), ids, "")
        for row in edits.standing_now(store, workspace.crm_source)
        if contacts is None or row["contact_id"] in contacts
    ]
