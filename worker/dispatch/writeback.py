"""CRM write-back: the standing a contact shall show, against what it shows. Only ours, only what changed.

Order of a batch: read the contacts, snapshot those we never touched, journal what is intended, write the fields, add the
new tag before the old one goes. Nothing is decided from memory: what is already right is not written again, so a batch
that was interrupted is simply done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from worker.dispatch import edits, journal, outbox
from worker.effects import Lane, Standing
from worker.facts import CrmContact
from worker.integration import Crm, CrmIds
from worker.lib.clock import Clock, iso, seconds
from worker.lib.http import Failure, Held, Retry
from worker.lib.store import Store

BATCH = 200
"""Contacts a batch: as many ids as fit one list call."""


@dataclass
class Written:
    """What came of a write-back."""

    contacts: int = 0
    fields: int = 0
    tags: int = 0
    gone: int = 0
    later: int = 0
    lost_races: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)
    """What somebody has put into places of ours, in words, and whether it stays."""


def write_waiting(
    store: Store, crm: Crm, source: str, ids: CrmIds, run_id: str, clock: Clock, *, stop: Callable[[], bool],
    most: int = BATCH, may: Callable[[str], bool] = lambda kind: True,
    only: Collection[str] = (), keep_edits: bool = True,
) -> Written:  # fmt: skip
    """Empty the CRM lane: of several standings of one contact only the newest is written.

    `may` says whether a place is released, `tag:<band>` or `field:<name>`: any other is left as it is. `only`,
    where it is not empty, names the contacts that may be touched at all. What somebody
    else put into a place of ours is left while the band stays, with `keep_edits` (worker/dispatch/edits.py). `stop` is asked before each batch of at most `most`: whether everything outward has been paused meanwhile.
    """
    written = Written()
    while not stop() and (queued := outbox.claim_all(store, Lane.CRM, seconds(clock), most)):
        newest = _newest(store, queued, seconds(clock), only)
        batch = _Batch(store, crm, source, released(ids, may), run_id, clock, written, keep_edits)
        try:
            batch.write(newest)
        except Failure as failure:
            written.reasons.append(str(failure))
            after = failure.after if isinstance(failure, Retry) else 900.0
            for one in newest.values():
                if isinstance(failure, Held):
                    outbox.hold(store, one.id, seconds(clock), str(failure))
                else:
                    outbox.try_later(store, one, seconds(clock), str(failure), after)
            written.later += len(newest)
            break
    return written


def released(ids: CrmIds, may: Callable[[str], bool]) -> CrmIds:
    """Of our places in the CRM those that may be written."""
    return CrmIds(
        {band: tag_id for band, tag_id in ids.tags.items() if may(f"tag:{band}")},
        {name: field_id for name, field_id in ids.fields.items() if may(f"field:{name}")},
    )


def _newest(store: Store, queued: Sequence[outbox.Queued], now: int, only: Collection[str]) -> dict[str, outbox.Queued]:
    """{contact: its newest standing}. One that was put off must not come after what followed it."""
    newest: dict[str, outbox.Queued] = {}
    for one in queued:
        if outbox.overtaken(store, one):
            outbox.finish(store, one.id, "replaced", now, "a newer standing of the contact followed")
        elif only and _standing(one).contact_id not in only:
            outbox.finish(store, one.id, "refused", now, "not on the trial list (only_contacts)")
        else:
            newest[_standing(one).contact_id] = one
    return newest


def _standing(queued: outbox.Queued) -> Standing:
    assert isinstance(queued.effect, Standing)
    return queued.effect


@dataclass
class _Batch:
    """Up to BATCH contacts on their way through read, snapshot, journal, fields, tags."""

    store: Store
    crm: Crm
    source: str
    ids: CrmIds
    """Of our places those that may be written."""
    run_id: str
    clock: Clock
    written: Written
    keep_edits: bool
    failed: dict[str, str] = field(default_factory=dict)
    """contact -> why its standing is not, or not wholly, there."""
    left: frozenset[journal.Place] = frozenset()
    """The places that somebody else has taken."""

    def write(self, queued: Mapping[str, outbox.Queued]) -> None:
        contacts = self.crm.read(sorted(queued))
        journal.snapshot(self.store, self.source, contacts.values(), seconds(self.clock))
        wanted = {one: _standing(queued[one]) for one in contacts}
        noticed = edits.notice(
            self.store, self.source, contacts, wanted, self.ids, seconds(self.clock), keep=self.keep_edits
        )
        self.left = noticed.left
        self.written.edits += noticed.words
        self._write_fields(contacts, wanted)
        self._write_tags(contacts, wanted)
        for contact_id, one in queued.items():
            if contact_id not in contacts:
                outbox.finish(self.store, one.id, "failed", seconds(self.clock), "the contact is gone from the CRM")
                self.written.gone += 1
            elif contact_id in self.failed:
                reason = self.failed[contact_id]
                outbox.try_later(self.store, one, seconds(self.clock), reason, None)
                self.written.later += 1
                self.written.reasons.append(f"contact {contact_id}: {reason}")
            else:
                outbox.finish(self.store, one.id, "done", seconds(self.clock))
                self.written.contacts += 1

    def _write_fields(self, contacts: Mapping[str, CrmContact], wanted: Mapping[str, Standing]) -> None:
        changes: dict[str, dict[str, str]] = {}
        entries: list[journal.Entry] = []
        for contact_id, standing in wanted.items():
            shows = dict(contacts[contact_id].fields)
            fields = fields_of(standing, self.ids)
            differ = {
                name: value
                for name, value in fields.items()
                if shows.get(name, "") != value and (contact_id, journal.FIELD, name) not in self.left
            }
            # Another date or wording alone is no news, and would cost a call for every contact and day.
            wording = {one for key, one in self.ids.fields.items() if key in ("as_of", "reason") and shows.get(one)}
            if not differ or (standing.band and set(differ) <= wording):
                continue
            changes[contact_id] = differ
            entries += [
                journal.Entry(contact_id, journal.FIELD, name, shows.get(name, ""), value)
                for name, value in differ.items()
            ]
        if not changes:
            return
        entry_ids = journal.intend(self.store, self.run_id, self.source, entries, seconds(self.clock))
        results = self.crm.write_fields(changes)
        reasons = {one: "" if result.ok else result.reason for one, result in results.items()}
        self.written.fields += self._settle(entry_ids, entries, reasons)
        self.written.lost_races += [
            f"contact {contact_id}: field {', '.join(result.lost_race)}"
            for contact_id, result in results.items()
            if result.lost_race
        ]

    def _write_tags(self, contacts: Mapping[str, CrmContact], wanted: Mapping[str, Standing]) -> None:
        add: dict[str, list[str]] = {}
        remove: dict[str, list[str]] = {}
        for contact_id, standing in wanted.items():
            if not standing.tag or (contact_id, journal.TAG, edits.COLOUR) in self.left:
                continue
            has = set(contacts[contact_id].tags)
            want = self.ids.tags.get(standing.band)
            if want and want not in has:
                add.setdefault(want, []).append(contact_id)
            for tag_id in sorted(has & set(self.ids.tags.values()) - {want}):
                remove.setdefault(tag_id, []).append(contact_id)
        # The new one first: a contact never stands without a colour in between.
        for tag_id, contact_ids in sorted(add.items()):
            self._turn_tag(tag_id, contact_ids, self.crm.add_tag, "", "on")
        for tag_id, contact_ids in sorted(remove.items()):
            self._turn_tag(tag_id, contact_ids, self.crm.remove_tag, "on", "")

    def _turn_tag(
        self,
        tag_id: str,
        contact_ids: Sequence[str],
        act: Callable[[str, Sequence[str]], dict[str, str]],
        before: str,
        after: str,
    ) -> None:
        due = [one for one in contact_ids if one not in self.failed]
        if not due:
            return
        entries = [journal.Entry(one, journal.TAG, tag_id, before, after) for one in due]
        entry_ids = journal.intend(self.store, self.run_id, self.source, entries, seconds(self.clock))
        self.written.tags += self._settle(entry_ids, entries, act(tag_id, due))

    def _settle(self, entry_ids: list[str], entries: list[journal.Entry], reasons: Mapping[str, str]) -> int:
        """Note in the journal how each went; gives how many were written."""
        outcomes = {
            entry_id: reasons.get(entry.contact_id, "the CRM gave no answer for this contact")
            for entry_id, entry in zip(entry_ids, entries, strict=True)
        }
        journal.settle(self.store, outcomes)
        for entry_id, entry in zip(entry_ids, entries, strict=True):
            if outcomes[entry_id]:
                self.failed[entry.contact_id] = outcomes[entry_id]
        places = {
            (entry.contact_id, *edits.place_of(entry.what, entry.name))
            for entry_id, entry in zip(entry_ids, entries, strict=True)
            if not outcomes[entry_id]
        }
        edits.settled(self.store, self.source, places)
        return sum(not reason for reason in outcomes.values())


def fields_of(standing: Standing, ids: CrmIds) -> dict[str, str]:
    """The fields a standing puts on a contact, by the CRM's ids; all empty for a contact that shall show nothing."""
    shown = {
        "score": standing.score,
        "band": standing.band,
        "reason": standing.reason if standing.band else "",
        "as_of": iso(standing.as_of) if standing.band else "",
    }
    return {field_id: shown[key] for key, field_id in ids.fields.items()}
