"""How a day ended: what the vendors and the database show, held against the same day without a kill.

The vendors' own records are the judges. What may differ is said here, and nothing else: ids and moments of a later life,
links in mails (they hold an id), and on plain SMTP the mails that are *unknown*.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.crash import business
from tests.crash.channels import PLAIN_SMTP
from tests.crash.stage import Stage
from worker.lib.store import Row, Store

Letter = tuple[str, str, str]
"""Recipient, subject, text without links."""
KEAP: Final = "INFUSIONSOFT"
"""What Keap calls itself as a sender of mails."""
REPEAT: Final = "(perhaps a repeat) "

_LINK: Final = re.compile(r"https?://\S+")
_ALIKE: Final = {
    # What a pull after a kill sees already of the tasks that we made today is no matter of the day.
    "facts": (
        "select customer_id, kind, label, at, day, value, source, source_id from facts where kind <> 'open_task'"
        " order by source, source_id"
    ),
    "rollup": "select * from rollup where kind <> 'open_task' order by customer_id, kind, label, day",
    "standings": (
        "select t.customer_id, t.band, s.score, s.coverage, s.version from standings t"
        " join scores s on s.id = t.score_id order by t.customer_id"
    ),
    "changes": "select customer_id, old_band, new_band, version, why from changes order by customer_id, id",
    "refusals": "select distinct customer_id, play, rule, reason from refusals order by customer_id, play, rule",
    "snapshots": "select source, contact_id, tags, fields from snapshots order by source, contact_id",
    "shown": (
        "select distinct target, payload from effects e where kind = 'standing' and id ="
        " (select max(id) from effects n where n.kind = 'standing' and n.target = e.target) order by target"
    ),
    "acts": (
        "select lane, kind, target, play, step, state from effects"
        " where kind <> 'standing' and state <> 'refused'"  # refusals tell, whether it was queued before or not
        " order by lane, kind, target, play, step, state"
    ),
    "messages": "select email, play, purpose, template, subject, basis from messages order by email, play",
    "open": (
        "select 'effect ' || lane || ' ' || state as what, target from effects"
        " where state = 'sending' or (state = 'waiting' and due_at <= :now)"
        " union all select 'delivery of ' || source, external_id from deliveries where parsed_at is null"
        " union all select 'untold mail', email from messages where log_state in ('waiting', 'telling') order by 1, 2"
    ),
}
"""What must come out the same, and what of it."""


@dataclass(frozen=True)
class Picture:
    """What there is to see at the end of a day."""

    contacts: dict[str, bytes]
    """Contact -> all that Keap has of it but update times, as bytes; the day of `as of` alone."""
    letters: Counter[Letter]
    """What the mail channel delivered."""
    alerts: Counter[tuple[str, bool]]
    """(text, whether it says of itself that it may be a repeat)."""
    tasks: Counter[tuple[str, str, str, str]]
    """(contact, user, title, priority) of the tasks that our people were given."""
    tables: dict[str, list[Row]]
    unknown: set[str]
    """Recipients of the mails of which nobody knows whether they left."""
    noted: Counter[tuple[str, str]]
    """(recipient, subject) of the mails that stand in Keap's own history and were not sent by it."""
    unsure: set[str]
    """Recipients of the mails of which Keap perhaps was told."""
    foreign_losses: int
    """Values and tags of others that were lost by our hand."""
    unjournalled: list[str]
    """What we changed in Keap without having written down before what we would."""


@dataclass
class Judgement:
    """What was wrong with a day."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    unsound: list[str] = field(default_factory=list)
    unknown: int = 0
    letters: int = 0

    @property
    def faults(self) -> list[str]:
        """All that must not be."""
        return [
            f"{word}: {one}"
            for word, some in (
                ("lost", self.lost), ("doubled", self.doubled), ("differs", self.differs), ("unsound", self.unsound),
            )
            for one in some
        ]  # fmt: skip


def look(stage: Stage) -> Picture:
    """See how the day has ended."""
    with stage.opened() as store:
        now = {"now": int(stage.page.now())}
        tables = {name: store.rows(text, now if ":now" in text else {}) for name, text in _ALIKE.items()}
        unknown = store.rows("select target from effects where state = 'unknown' and lane = 'mail'")
        unsure = store.rows("select email from messages where log_state = 'unsure'")
        journal = {
            (row["contact_id"], row["what"], row["name"], row["after"])
            for row in store.rows("select contact_id, what, name, after from journal")
        }
    for one in tables["shown"]:
        one["payload"] = {**json.loads(one["payload"]), "as_of": ""}
    return Picture(
        contacts={one: _bytes_of(stage, one) for one in sorted(stage.keap.contacts)},
        letters=_letters(stage),
        alerts=Counter((one.text.replace(REPEAT, ""), REPEAT in one.text) for one in stage.slack.messages),
        tasks=Counter((one.contact_id, one.user_id, one.title, one.priority) for one in stage.keap.tasks.values()),
        tables=tables,
        unknown={row["target"] for row in unknown},
        noted=Counter((one.to, one.subject) for one in stage.keap.mails.values() if one.provider != KEAP),
        unsure={row["email"] for row in unsure},
        foreign_losses=stage.keap.foreign_losses("Keepwell", set(stage.ours["fields"].values())),
        unjournalled=[
            f"contact {one.contact_id}: {one.kind} {one.name} = {one.after!r}"
            for one in stage.keap.audit
            if one.who == stage.keap.key and one.kind in {"field", "tag"}
            and (one.contact_id, one.kind, one.thing, _noted(one.kind, one.after)) not in journal
        ],
    )  # fmt: skip


def _noted(kind: str, after: Any) -> str:
    if kind == "tag":
        return "on" if after else ""
    return "" if after is None else str(after)


def _bytes_of(stage: Stage, contact_id: str) -> bytes:
    keap, contact = stage.keap, stage.keap.contacts[contact_id]
    fields = dict(keap.field_values(contact_id))
    as_of = stage.ours["fields"]["as_of"]
    fields[as_of] = str(fields.get(as_of, ""))[:10]
    shown = {
        "properties": contact.properties,
        "emails": [{**email, "status": keap.addresses[email["email"].lower()].status} for email in contact.emails],
        "fields": fields,
        "tags": sorted(keap.tags_of(contact_id)),
    }
    return json.dumps(shown, sort_keys=True).encode()


def _letters(stage: Stage) -> Counter[Letter]:
    if stage.channel != PLAIN_SMTP:
        return Counter(_letter(one["to"], one["subject"], one["text"]) for one in stage.post.letters)
    return Counter(_letter(one.to, one.subject, one.text) for one in stage.mailbox.messages)


def _letter(to: str, subject: str, text: str) -> Letter:
    return to, subject, " ".join(_LINK.sub("", text).split())


def judge(stage: Stage, peace: Picture, seen: Picture, kills: int, acknowledged: list[bytes]) -> Judgement:
    """Hold a day with so many kills against the one without."""
    told = Judgement(unknown=len(seen.unknown), letters=seen.letters.total())
    _judge_letters(stage, peace, seen, kills, told)
    _judge_history(peace, seen, kills, told)
    told.doubled += [f"task {task}, {n} times too often" for task, n in (seen.tasks - peace.tasks).items()]
    told.lost += [f"task {task}" for task in peace.tasks - seen.tasks]
    _judge_alerts(peace, seen, told)
    for one in sorted(peace.contacts.keys() | seen.contacts.keys()):
        if peace.contacts.get(one) != seen.contacts.get(one):
            told.differs.append(f"contact {one}: {seen.contacts.get(one)!r} instead of {peace.contacts.get(one)!r}")
    for name, rows in seen.tables.items():
        told.differs += _difference(name, peace.tables[name], _forgiven(stage, name, rows, seen, peace))
    told.differs += [f"{seen.foreign_losses} values of others were lost"] if seen.foreign_losses else []
    told.differs += [f"not in the journal: {one}" for one in seen.unjournalled]
    with stage.opened() as store:
        told.lost += _unstored(store, acknowledged)
        told.unsound += soundness(stage, store)
    return told


def _judge_letters(stage: Stage, peace: Picture, seen: Picture, kills: int, told: Judgement) -> None:
    for (to, subject, _), n in (seen.letters - peace.letters).items():
        told.doubled.append(f"mail {subject!r} to {to}, {n} times too often")
    for (to, subject, _), n in (peace.letters - seen.letters).items():
        if to not in seen.unknown:
            told.lost.append(f"mail {subject!r} to {to}, {n} times")
    most = kills * business.CONNECTIONS if stage.channel == PLAIN_SMTP else 0
    if len(seen.unknown) > most:
        told.differs.append(f"{len(seen.unknown)} mails are unknown after {kills} kills")


def _judge_history(peace: Picture, seen: Picture, kills: int, told: Judgement) -> None:
    """Keap is told of each mail at most once; where that was interrupted, it is noted that nobody is sure."""
    for (to, subject), n in (seen.noted - peace.noted).items():
        told.doubled.append(f"note of mail {subject!r} to {to}, {n} times too often")
    for to, subject in peace.noted - seen.noted:
        if to not in seen.unsure | seen.unknown:
            told.lost.append(f"note of mail {subject!r} to {to}")
    if seen.unsure and not kills:
        told.differs.append(f"Keap perhaps was told of mails to {sorted(seen.unsure)}")


def _judge_alerts(peace: Picture, seen: Picture, told: Judgement) -> None:
    """An alert is repeated rather than lost, and says so."""
    for text in {text for text, _ in peace.alerts} | {text for text, _ in seen.alerts}:
        wanted, plain, marked = peace.alerts[text, False], seen.alerts[text, False], seen.alerts[text, True]
        if plain > wanted:
            told.doubled.append(f"alert {text!r}, and does not say so")
        if plain + marked < wanted:
            told.lost.append(f"alert {text!r}")


def _forgiven(stage: Stage, name: str, rows: list[Row], seen: Picture, peace: Picture) -> list[Row]:
    """The rows as they would be had every unknown mail been noted as done: only that may differ, and only on SMTP."""
    if stage.channel != PLAIN_SMTP or not seen.unknown:
        return rows
    if name == "acts":
        rows = [{**row, "state": "done"} if row["state"] == "unknown" else row for row in rows]
        return sorted(rows, key=lambda row: [str(value) for value in row.values()])
    if name == "messages":
        missing = [row for row in peace.tables[name] if row["email"] in seen.unknown and row not in rows]
        return sorted([*rows, *missing], key=lambda row: (row["email"], row["play"]))
    return rows


def _difference(name: str, wanted: list[Row], found: list[Row]) -> list[str]:
    if wanted == found:
        return []
    too_many = [row for row in found if row not in wanted]
    too_few = [row for row in wanted if row not in found]
    return [f"{name}: has {row}" for row in too_many] + [f"{name}: lacks {row}" for row in too_few] or [
        f"{name}: {len(found)} rows instead of {len(wanted)}"
    ]


def _unstored(store: Store, acknowledged: list[bytes]) -> list[str]:
    """What was acknowledged and is not there as it was sent."""
    bodies = {row["external_id"]: row["body"] for row in store.rows("select external_id, body from deliveries")}
    told = {row["source_id"].split(":")[0] for row in store.rows("select source_id from facts where source = 'api'")}
    lost = []
    for body in acknowledged:
        content = json.loads(body)
        if isinstance(content, list):
            lost += [f"event {one['event_id']}" for one in content if one["event_id"] not in told]
        elif bodies.get(content["id"], "").encode() != body:
            lost.append(f"webhook {content['id']}")
    return lost


# -- the database -----------------------------------------------------------------------------------------------------

_REFERENCES: Final = """
select c.conname, c.conrelid::regclass::text as here, c.confrelid::regclass::text as there,
    a.attname as of, b.attname as to
from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
join pg_attribute b on b.attrelid = c.confrelid and b.attnum = c.confkey[1]
where c.contype = 'f' and c.connamespace = cast(current_schema() as regnamespace)
"""


def soundness(stage: Stage, store: Store) -> list[str]:
    """What is wrong with the database itself and with the files beside it, [] for nothing."""
    files = [one for path in (stage.folder / "snapshots").glob("*.json") for one in _snapshot_soundness(stage, path)]
    if store.dialect == "sqlite":
        return files + _sqlite_soundness(stage.folder / "keepwell.db")
    questions = [
        f"select '{row['conname']}' as broken, count(*) as n from {row['here']} h where h.{row['of']} is not null"
        f" and not exists (select 1 from {row['there']} t where t.{row['to']} = h.{row['of']})"
        for row in store.rows(_REFERENCES)
    ]
    assert len(questions) > 20, "or the server was not asked"
    return files + [
        f"{row['broken']}: {row['n']} rows" for row in store.rows(" union all ".join(questions)) if row["n"]
    ]


def _snapshot_soundness(stage: Stage, path: Path) -> list[str]:
    try:
        contacts = json.loads(path.read_text("utf-8"))["contacts"]
    except (ValueError, LookupError) as error:
        return [f"{path.name}: {error!r}"]
    return [] if contacts.keys() == stage.keap.contacts.keys() else [f"{path.name} holds {len(contacts)} contacts"]


def sound_after_kill(stage: Stage) -> list[str]:
    """The same for the file as the dead have left it: of a copy, so that the next life mends what there is to mend."""
    if stage.schema:
        return []  # the server itself was not killed
    copy = stage.folder / "look"
    copy.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):
        there = Path(f"{stage.folder / 'keepwell.db'}{suffix}")
        if there.exists():
            shutil.copyfile(there, copy / there.name)
        else:
            (copy / there.name).unlink(missing_ok=True)
    (copy / "keepwell.db-shm").unlink(missing_ok=True)
    return _sqlite_soundness(copy / "keepwell.db")


def _sqlite_soundness(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        said = [str(row[0]) for row in connection.execute("pragma integrity_check")]
        orphans = [f"foreign key of {row[0]}" for row in connection.execute("pragma foreign_key_check")]
    finally:
        connection.close()
    return [one for one in said if one != "ok"] + orphans
