"""The writing half of Keap: our tags and fields on a contact, and nobody else's touched.

Keap has no bulk update and no If-Match. Its specification says that a PATCH of `custom_fields` removes what is not
listed; others have seen it merge. So every PATCH carries the contact's whole list, as read just before, with ours put
in: right under either reading. What somebody writes in the moments between that read and the PATCH is overwritten, and
no later read can show it; so contacts are read and written a few at a time, and a list that has grown old is read again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from integrations._keap_calls import (
    API,
    CONTACT_FIELDS,
    TooLarge,
    contents,
    crm_contact,
    identifier,
    is_number,
    listed,
    model,
    query,
)
from integrations._keap_fields import FieldWork, differing
from integrations._keap_house import fields_called, find_or_create
from worker.facts import CrmContact
from worker.integration import Begin, CrmIds, CrmNames, FieldResult
from worker.lib.clock import Clock
from worker.lib.http import LONGEST_WAIT, Failure, GiveUp, Held, Http, Reply, Retry, Unsure

READ_AT_ONCE: Final = 200
"""Contacts in one `ids==` filter; the most is nowhere written, and an address has a length."""
TAG_AT_ONCE: Final = 200
"""Contacts in one bulk tag call; applying starts the account's automations, so it is slow."""
TAG_PATIENTLY: Final = 25
"""A bulk tag call this small is not too large for Keap: when it fails, Keap is unwell."""
WRITE_AT_ONCE: Final = 10
"""Contacts that are read together before they are written, one by one, at 3.5 calls a second."""
FRESH: Final = 5.0
"""Seconds for which a contact's list of fields, once read, may be written back."""
MISSES: Final = 4
"""How often a few contacts may fail before they are left to a later turn."""
SETTLING: Final = (0.0, 1.0, 3.0)
"""Seconds to wait before each look at whether a write shows in Keap's lists."""

CANARY: Final = "canary"
"""What stands in our field for the moment of the canary."""


class KeapCrm:
    """Keap as a CRM: the role `worker.integration.Crm`."""

    def __init__(self, http: Http, settings: object, clock: Clock) -> None:
        """No call is made yet."""
        self._http, self._clock = http, clock
        self._types: dict[str, str] = {}
        self._random = random.Random()  # noqa: S311  jitter, not secrecy

    def find_or_create(
        self, names: CrmNames, *, adopt: bool, known: CrmIds | None = None, begin: Begin = lambda making: None
    ) -> CrmIds:
        """Find our category, tags and fields, or create them; nothing is created while a name is taken by others.

        Ours are: the category with our description, the tags in it, and the tags and fields in `known`. Anything else
        of the same name is somebody else's: taken over with `adopt`, else GiveUp names them all. What `known` says we
        had begun to make is ours too.
        """
        return find_or_create(self._http, names, adopt=adopt, known=known or CrmIds({}, {}), begin=begin)

    def field_called(self, label: str) -> str:
        """The id of the contacts' custom field of that label; "" where there is none, or several."""
        found = fields_called(self._http, label)
        return identifier(found[0]) if len(found) == 1 else ""

    # -- reading --------------------------------------------------------------------------------------------------------

    def read(self, contact_ids: Sequence[str]) -> dict[str, CrmContact]:
        """The contacts as they are now, 200 to a call; one that is gone is left out."""
        found: dict[str, CrmContact] = {}
        for chunk in _chunks(_numbers(contact_ids), READ_AT_ONCE):
            found |= {contact_id: crm_contact(record) for contact_id, record in self._records(chunk).items()}
        return found

    def _records(self, contact_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The raw contacts by id, at most `READ_AT_ONCE`."""
        if not contact_ids:
            return {}
        records = listed(
            self._http,
            "/contacts",
            "contacts",
            filter=f"ids=={','.join(contact_ids)}",
            fields=",".join(CONTACT_FIELDS),
        )
        asked = set(contact_ids)  # a filter that Keap does not know is ignored, and gives everybody
        return {identifier(record): record for record in records if str(record.get("id")) in asked}

    # -- tags -----------------------------------------------------------------------------------------------------------

    def add_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        """Put a tag on many; gives {contact: "" or the reason it failed}. Raises only where nothing was done at all."""
        return self._tag_many(f"{API}/tags/{tag_id}/contacts:applyTags", contact_ids, _applied)

    def remove_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        """Take a tag off many; gives {contact: "" or the reason it failed}. Raises only where nothing was done at all."""
        return self._tag_many(f"{API}/tags/{tag_id}/contacts:removeTags", contact_ids, _removed)

    def _tag_many(
        self, path: str, contact_ids: Sequence[str], outcome: Callable[[Reply, Sequence[str]], dict[str, str]]
    ) -> dict[str, str]:
        """Both calls may be repeated: what failed for its size, or perhaps did, is tried again by halves."""
        wanted = list(dict.fromkeys(contact_ids))
        known = set(_numbers(wanted))
        results = {contact_id: "Keap's contacts have numbers" for contact_id in wanted if contact_id not in known}
        done = len(results)
        waiting = list(_chunks([one for one in wanted if one in known], TAG_AT_ONCE))
        while waiting:
            chunk = waiting.pop(0)
            try:
                reply = self._http.post(path, repeatable=len(chunk) <= TAG_PATIENTLY, json={"contact_ids": chunk})
                results |= outcome(reply, chunk)
            except (TooLarge, Unsure) as failure:
                if len(chunk) > 1 and (isinstance(failure, TooLarge) or len(chunk) > TAG_PATIENTLY):
                    half = len(chunk) // 2
                    waiting[:0] = [chunk[:half], chunk[half:]]
                else:
                    results |= dict.fromkeys(chunk, str(failure))
            except Failure as failure:
                if len(results) == done:
                    raise
                rest = [contact_id for one in (chunk, *waiting) for contact_id in one]
                return results | dict.fromkeys(rest, str(failure))
        return results

    # -- fields ---------------------------------------------------------------------------------------------------------

    def write_fields(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, FieldResult]:
        """{contact: {field id: value}} -> {contact: result}. "" clears a field. What stands already costs no call.

        Numbers are written plainly, moments in ISO 8601. Raises lib.http's Failure kinds only while nothing has been
        written; from then on each contact has its result.
        """
        types = self._field_types({field_id for values in wanted.values() for field_id in values})
        work = FieldWork(wanted, types)
        for contact_id in set(wanted) - set(_numbers(wanted)):
            work.fail(contact_id, "Keap's contacts have numbers")
        try:
            for chunk in _chunks([one for one in wanted if one not in work.results], WRITE_AT_ONCE):
                self._write_some(work, chunk)
        except Failure as failure:
            if not work.written:
                raise
            for contact_id in wanted:
                if contact_id not in work.results:
                    work.fail(contact_id, str(failure), again=True)
        return work.results

    def _write_some(self, work: FieldWork, contact_ids: Sequence[str]) -> None:
        """Write a few contacts; read them again before every further try."""
        misses = 0
        while pending := [one for one in contact_ids if one not in work.results]:
            trouble = self._write_round(work, pending)
            if trouble is not None:
                misses += 1
                if misses > MISSES or isinstance(trouble, Held):
                    raise trouble
                self._pause(trouble, misses)

    def _write_round(self, work: FieldWork, pending: Sequence[str]) -> Failure | None:
        """Read, write and verify; gives what broke it off. What is left without a result is for another round."""
        records, trouble = self._records(pending), None
        until = self._clock.now() + FRESH
        patched = []
        for contact_id in pending:
            body = work.body(contact_id, records.get(contact_id))
            if body is None:
                continue
            if self._clock.now() > until:
                break
            try:
                self._patch(contact_id, body)
            except GiveUp as failure:
                work.fail(contact_id, str(failure))
            except (Retry, Unsure) as failure:
                work.written |= isinstance(failure, Unsure)
                trouble = failure
                break
            else:
                work.written = True
                patched.append(contact_id)
        self._verify(work, patched)
        return trouble

    def _patch(self, contact_id: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write a list of custom fields, once: after any wait it would be stale. An empty list would remove all."""
        assert entries, "an empty list of custom fields removes every one"
        self._http.patch(
            f"{API}/contacts/{contact_id}?{query(update_mask='custom_fields', fields='id')}",
            json={"custom_fields": list(entries)},
            repeatable=False,
            attempts=1,
        )

    def _verify(self, work: FieldWork, patched: Sequence[str]) -> None:
        waiting = list(patched)
        for wait in SETTLING:
            if not waiting:
                return
            if wait:
                self._clock.sleep(wait)
            records = self._records(waiting)
            waiting = [one for one in waiting if not work.shows(one, records.get(one))]
        for contact_id in waiting:
            work.fail(contact_id, "Keap took the fields and does not show them", again=True)

    def _pause(self, trouble: Failure, misses: int) -> None:
        """Leave Keap alone for as long as it asks and a little longer. Raises the trouble where that is too long."""
        asked = trouble.after if isinstance(trouble, Retry) else None
        if asked is not None and asked > LONGEST_WAIT:
            raise trouble
        wait = 2.0**misses if asked is None else asked
        self._clock.sleep(wait * self._random.uniform(1.0, 1.2))

    def _field_types(self, field_ids: Iterable[str]) -> Mapping[str, str]:
        """Field id -> type; read once, and again when one is new to us."""
        if not set(field_ids) <= set(self._types):
            self._types = {identifier(one): str(one.get("field_type")) for one in model(self._http)}
        return self._types

    # -- canary ---------------------------------------------------------------------------------------------------------

    def canary(self, contact_id: str, names: CrmNames) -> str:
        """Find out on one contact how a partial field write treats the other fields: `replaces` or `merges`.

        Our fields must be there already, and one field of others must have a value. Writes one of ours with the others
        left out, looks, and puts the whole list back at once. Raises GiveUp where that cannot be done or did not work.
        """
        ours = self._canary_field(names)
        before = self._contents(contact_id)
        if not set(before) - {ours}:
            raise GiveUp(
                f"Contact {contact_id} has no custom field of others with a value; fill one in, or name another"
            )
        try:
            self._patch(contact_id, [{"id": ours, "content": CANARY}])
            after = self._settled(contact_id, lambda now: now.get(ours) == CANARY)
        finally:
            self._put_back(contact_id, ours, before)
        if after.get(ours) != CANARY:
            raise GiveUp(f"Keap took a field of contact {contact_id} and does not show it; nothing can be said")
        lost = set(before) - set(after) - {ours}
        if lost and lost != set(before) - {ours}:
            raise GiveUp(f"Of the other fields of contact {contact_id} some stayed and some went: {_listed(lost)}")
        return "replaces" if lost else "merges"

    def _canary_field(self, names: CrmNames) -> str:
        label = names.fields.get("band", "")
        found = fields_called(self._http, label)
        if len(found) != 1:
            raise GiveUp(f"Keap has {len(found)} custom fields called {label!r}; Keepwell's own must be made first")
        return identifier(found[0])

    def _put_back(self, contact_id: str, ours: str, before: Mapping[str, Any]) -> None:
        """Restore the contact's list. Where ours had no value: by leaving it out, or by null, or by "" (undocumented)."""
        now: Mapping[str, Any] = {}
        for ending in ({}, {ours: None}, {ours: ""}):
            entries = [{"id": field_id, "content": content} for field_id, content in {**ending, **before}.items()]
            try:
                self._patch_patiently(contact_id, entries)
            except GiveUp:
                continue  # not a spelling that Keap takes
            now = self._settled(contact_id, lambda now: not differing(before, now))
            if not differing(before, now):
                return
        raise GiveUp(
            f"Contact {contact_id} is not as it was before the canary; put these custom fields right by hand:"
            f" {_listed(differing(before, now))}"
        )

    def _patch_patiently(self, contact_id: str, entries: Sequence[Mapping[str, Any]]) -> None:
        for misses in range(1, MISSES + 1):
            try:
                return self._patch(contact_id, entries)
            except (Retry, Unsure) as trouble:
                self._pause(trouble, misses)
        return self._patch(contact_id, entries)

    def _settled(self, contact_id: str, enough: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """The contact's fields once they are as hoped, or as they are after a few looks."""
        now: Mapping[str, Any] = {}
        for wait in SETTLING:
            if wait:
                self._clock.sleep(wait)
            now = self._contents(contact_id)
            if enough(now):
                break
        return now

    def _contents(self, contact_id: str) -> dict[str, Any]:
        record = self._records(_numbers([contact_id])).get(contact_id)
        if record is None:
            raise GiveUp(f"Keap has no contact {contact_id!r}")
        return contents(record)


def _numbers(contact_ids: Iterable[str]) -> list[str]:
    """Those that can be ids of Keap's, each once. Ids come from other services' links too, and stand in filters."""
    return [one for one in dict.fromkeys(contact_ids) if is_number(one)]


def _chunks(items: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _applied(reply: Reply, contact_ids: Sequence[str]) -> dict[str, str]:
    """Keap answers 200 even where some contacts failed: what it says of each."""
    said = reply.data.get("results") if isinstance(reply.data, dict) else None
    statuses = said if isinstance(said, dict) else {}
    return {one: _applied_reason(str(statuses.get(one) or "")) for one in contact_ids}


def _applied_reason(status: str) -> str:
    # The words are v1's; v2 types them as any text.
    return "" if status.upper() in {"SUCCESS", "DUPLICATE"} else f"Keap says {status or 'nothing about it'}"


def _removed(reply: Reply, contact_ids: Sequence[str]) -> dict[str, str]:
    """Keap answers 204 and no more."""
    reason = "" if reply.status == 204 else f"Keap answered {reply.status} where 204 means done"
    return dict.fromkeys(contact_ids, reason)


def _listed(field_ids: Iterable[str]) -> str:
    return ", ".join(sorted(field_ids))
