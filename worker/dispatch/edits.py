"""What people put into the places of ours in a CRM: noticed, told, and not fought while the band stays.

The rule. Somebody wrote something else into one of our fields, or put another colour of ours in the place of the one
that we gave: that place is left alone until the customer's band is another than the one we had shown, or until a person
takes it back (`keepwell take-back`). What is merely missing, or shows two colours, says nothing and is put right. The
moment of the score (`as_of`) is no place for an opinion and is always ours.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from worker.dispatch.journal import FIELD, TAG, Place
from worker.effects import Standing
from worker.facts import CrmContact
from worker.integration import CrmIds
from worker.lib.store import Row, Store, sql

COLOUR: Final = ""
"""The name of the place in which our tags stand: whichever it is, it is one place."""

BAND_CHANGED: Final = "the band changed"
OVERWRITTEN: Final = 'when_edited is "overwrite"'


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody put in a place of ours."""

    place: Place
    ours: str
    """What we had written: a field's value, a tag's id."""
    theirs: str


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was found on some contacts."""

    left: frozenset[Place]
    """The places to be left alone."""
    words: tuple[str, ...]
    """Each edit in words, with what becomes of it."""


def notice(
    store: Store, source: str, contacts: Mapping[str, CrmContact], wanted: Mapping[str, Standing], ids: CrmIds, now: int,
    *, keep: bool,
) -> Noticed:  # fmt: skip
    """Hold contacts, as they were just read, against what we wrote there, and keep what somebody has put instead.

    `keep` False is the setting by which ours is written again. A contact that shall show nothing of ours is cleared
    whatever stands there.
    """
    known = {_place(row): row for row in store.rows(sql("dispatch", "edits"), {"source": source})}
    left, words, seen = set[Place](), list[str](), set[Place]()
    with store.atomic():
        for contact_id in sorted(contacts.keys() & wanted.keys()):
            standing = wanted[contact_id]
            for found in _found(store, source, contacts[contact_id], standing, ids) if standing.band else ():
                seen.add(found.place)
                ended_why = _why_ours(store, source, found, known.get(found.place), standing, now, keep=keep)
                if not ended_why:
                    left.add(found.place)
                words.append(in_words(found, ids, ended_why))
        for place in known.keys() - seen:
            if place[0] in contacts and place[0] in wanted:  # it was put right by hand
                _forget(store, source, place)
    return Noticed(frozenset(left), tuple(words))


def settled(store: Store, source: str, places: Collection[Place]) -> None:
    """Ours was written there: what had stood there has no say any more."""
    store.many(
        sql("dispatch", "edit_overwritten"),
        [{"source": source, "contact_id": contact_id, "what": what, "name": name} for contact_id, what, name in places],
    )


def take_back(store: Store, source: str, contact_id: str, by: str) -> int:
    """A person says that our places on this contact are ours again; gives how many somebody else had taken."""
    return store.run(
        sql("dispatch", "take_back"), {"source": source, "contact_id": contact_id, "why": f"taken back by {by}"}
    )


def standing_now(store: Store, source: str, contact_id: str = "") -> list[Row]:
    """The places that are left alone, of one contact or of all."""
    return [
        row
        for row in store.rows(sql("dispatch", "edits"), {"source": source})
        if row["ended_why"] is None and contact_id in ("", row["contact_id"])
    ]


def place_of(what: str, name: str) -> tuple[str, str]:
    """An entry of the journal as a place of an edit: all our tags are one."""
    return what, COLOUR if what == TAG else name


def in_words(edit: Edit, ids: CrmIds, ended_why: str) -> str:
    """`contact 7: score '80' in the place of '63'; it stays until the band changes`."""
    contact_id, what, name = edit.place
    if what == TAG:
        bands = {tag_id: band for band, tag_id in ids.tags.items()}
        shown = f"tag {bands.get(edit.theirs, edit.theirs)} in the place of {bands.get(edit.ours, edit.ours)}"
    else:
        labels = {field_id: key for key, field_id in ids.fields.items()}
        shown = f"{labels.get(name, name)} {edit.theirs!r} in the place of {edit.ours!r}"
    then = f"ours is written again: {ended_why}" if ended_why else "it stays until the band changes or it is taken back"
    return f"contact {contact_id}: somebody put {shown}; {then}"


# -- finding ----------------------------------------------------------------------------------------------------------


def _found(store: Store, source: str, contact: CrmContact, standing: Standing, ids: CrmIds) -> Iterator[Edit]:
    shows = dict(contact.fields)
    suspect = {
        field_id: shows[field_id]
        for key, field_id in ids.fields.items()
        if key != "as_of" and shows.get(field_id) and not same(shows[field_id], _wanted(standing, key))
    }
    colours = set(contact.tags) & set(ids.tags.values())
    odd_colour = len(colours) == 1 and colours != {ids.tags.get(standing.band)}
    if not suspect and not odd_colour:
        return
    entries = store.rows(sql("dispatch", "journal_of_contact"), {"source": source, "contact_id": contact.contact_id})
    for field_id, value in suspect.items():
        ours = _left_there([row for row in entries if (row["what"], row["name"]) == (FIELD, field_id)])
        if ours and not any(same(value, one) for one in ours):
            yield Edit((contact.contact_id, FIELD, field_id), ours[-1], value)
    if odd_colour:
        (theirs,) = colours
        put_on = [
            tag_id
            for tag_id in ids.tags.values()
            if "on" in _left_there([row for row in entries if (row["what"], row["name"]) == (TAG, tag_id)])
        ]
        if put_on and theirs not in put_on:
            yield Edit((contact.contact_id, TAG, COLOUR), put_on[-1], theirs)


def _wanted(standing: Standing, key: str) -> str:
    return {"score": standing.score, "band": standing.band, "reason": standing.reason}.get(key, "")


def _left_there(entries: list[Row]) -> list[str]:
    """What our entries of one place, the newest first, may have left there: the last one written, and any in doubt."""
    found = []
    for row in entries:
        found.append(row["after"] or "")
        if row["state"] == "written":
            break
    else:
        return []  # none was ever written for sure: what stands there may be what we found
    return found


def same(one: str, other: str) -> bool:
    """Whether two values say the same: 71 and 71.0 do."""
    if one.strip() == other.strip():
        return True
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return False


def _why_ours(
    store: Store, source: str, found: Edit, row: Row | None, standing: Standing, now: int, *, keep: bool
) -> str:
    """Why ours is written over it, "" while it is left alone. Keeps a new edit, and the end of an old one."""
    if row is None or row["theirs"] != found.theirs:
        row = _new(found, _band_before(store, found.place[0]) or standing.band, source, now)
        store.run(sql("dispatch", "put_edit"), row)
    ended_why = str(row.get("ended_why") or "")
    if not ended_why and row["band"] != standing.band:
        ended_why = BAND_CHANGED
    if not ended_why and not keep:
        ended_why = OVERWRITTEN
    if ended_why and not row.get("ended_why"):
        contact_id, what, name = found.place
        binds = {"source": source, "contact_id": contact_id, "what": what, "name": name, "why": ended_why}
        store.run(sql("dispatch", "end_edit"), binds)
    return ended_why


def _new(found: Edit, band: str, source: str, now: int) -> Row:
    contact_id, what, name = found.place
    return {
        "source": source, "contact_id": contact_id, "what": what, "name": name, "ours": found.ours,
        "theirs": found.theirs, "band": band, "now": now,
    }  # fmt: skip


def _band_before(store: Store, contact_id: str) -> str:
    """The band that we last showed there."""
    payload = store.value(sql("dispatch", "last_done"), {"contact_id": contact_id})
    return str(json.loads(payload)["band"]) if payload else ""


def _forget(store: Store, source: str, place: Place) -> None:
    contact_id, what, name = place
    binds = {"source": source, "contact_id": contact_id, "what": what, "name": name}
    store.run(sql("dispatch", "forget_edit"), binds)


def _place(row: Row) -> Place:
    return row["contact_id"], row["what"], row["name"]
