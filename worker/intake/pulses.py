"""Pulses: what a person at the business thinks of a customer, 1 to 5; from the API, the page, the terminal or the CRM.

The first three store a delivery of this source's own. In the CRM a pulse is a custom field of the contact, so it comes
with the contact's own delivery: a value that the mirror has not shown yet is a pulse.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from worker.facts import CrmContact, Delivery, Fact, Identity, Parsed, Sighting, millionths
from worker.integration import Receipt
from worker.lib.clock import from_iso
from worker.lib.store import Store, sql

SOURCE: Final = "pulse"
KIND: Final = "pulse"
LOWEST, HIGHEST = 1, 5
VALUES: Final = frozenset(str(value) for value in range(LOWEST, HIGHEST + 1))
LONGEST_NOTE: Final = 2000
STRANGE: Final = "a pulse that is not 1 to 5"
"""As which a value in the CRM's field is counted that is none."""


class Given(BaseModel):
    """One pulse, as a delivery holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pulse_id: str = Field(min_length=1, max_length=200, description="The same again is no second.")
    source: str = Field(description="The customer by an identity that we know: its source …")
    external_id: str = Field(description="… and its id.")
    value: int = Field(ge=LOWEST, le=HIGHEST, strict=True)
    author: str = Field(min_length=1, max_length=100)
    note: str = Field("", max_length=LONGEST_NOTE)
    at: str = Field("", description="When, ISO 8601 with a zone; nothing means when it arrived.")

    @field_validator("pulse_id", "author", "note")
    @classmethod
    def _storable(cls, text: str) -> str:
        if "\0" in text:
            raise ValueError("holds a NUL character, which text must not")
        return text.strip()

    @field_validator("at")
    @classmethod
    def _moment(cls, at: str) -> str:
        if at:
            from_iso(at)
        return at

    def receipt(self) -> Receipt:
        """What is stored."""
        return Receipt(self.pulse_id, json.dumps(self.model_dump(), ensure_ascii=False, sort_keys=True))


def parse(delivery: Delivery) -> Parsed:
    """Read a stored pulse. Raises ValueError for what is none."""
    given = Given.model_validate_json(delivery.body)
    at = from_iso(given.at) if given.at else delivery.received_at
    fact = Fact(KIND, at, SOURCE, given.pulse_id, millionths(given.value))
    who = Identity(given.source, given.external_id)
    return Parsed((Sighting(at, (who,), facts=(fact,), author=given.author, note=given.note),))


def seen_in_crm(store: Store, source: str, title: str, field_id: str, parsed: Parsed) -> Parsed:
    """The same with a pulse for each contact whose field shows another value than the mirror does.

    Dated by the contact's update; its author is the owner, or the CRM's `title`. What is not 1 to 5 is none, and counted.
    """
    sightings, strange = [], 0
    for sighting in parsed.sightings:
        contact = sighting.crm
        value = dict(contact.fields).get(field_id, "").strip() if contact else ""
        if contact is not None and value and _is_new(store, source, contact, field_id, value):
            if value in VALUES:
                fact_id = f"{contact.contact_id}:pulse:{contact.updated_at}"
                fact = Fact(KIND, contact.updated_at, source, fact_id, millionths(value))
                sighting = replace(sighting, facts=(*sighting.facts, fact), author=sighting.owner or title)
            else:
                strange += 1
        sightings.append(sighting)
    return replace(parsed, sightings=tuple(sightings), unknown=(*parsed.unknown, *[STRANGE] * strange))


def _is_new(store: Store, source: str, contact: CrmContact, field_id: str, value: str) -> bool:
    """Whether the mirror shows another value, and is no newer."""
    row = store.row(sql("opinions", "crm_fields"), {"source": source, "contact_id": contact.contact_id})
    if row is None:
        return True
    shown = str(json.loads(row["fields"]).get(field_id, "")).strip()
    return bool(contact.updated_at >= row["updated_at"]) and value != shown
