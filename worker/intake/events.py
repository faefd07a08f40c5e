"""Facts that come by the API: what Make, Zapier or the product itself posts to `/api/v1/events`."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from worker.facts import KINDS, MILLION, Delivery, Fact, Identity, Parsed, Person, Sighting, kind_named, millionths
from worker.lib.clock import from_iso

SOURCE: Final = "api"
MOST_EVENTS: Final = 1000
"""In one request."""


class Event(BaseModel):
    """One event, flat: who, what, when, how much."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: str = Field(min_length=1, max_length=200, description="Yours and unique: the same again is no second.")
    kind: str = Field(description="What happened: usage, nps_answer, custom.<name> … (`keepwell facts` lists them).")
    at: str = Field("", description="When, ISO 8601 with a zone; nothing means now.")
    email: str = Field("", max_length=320, description="Whose it is, by address …")
    customer: str = Field("", max_length=200, description="… or by an id: keap:123, stripe:cus_1, or yours, app:42.")
    name: str = Field("", max_length=200, description="The customer's name, where you know it.")
    value: float | int = Field(1, description="How much; 1 where nothing else is said.")
    label: str = Field("", max_length=200, description="Which: the feature, the priority, the reason.")

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        try:
            return kind_named(kind).name
        except KeyError:
            raise ValueError(f"{kind!r} is no kind of fact; use one of {', '.join(KINDS)}, or custom.<name>") from None

    @field_validator("at")
    @classmethod
    def _moment(cls, at: str) -> str:
        if at:
            from_iso(at)
        return at

    @field_validator("value")
    @classmethod
    def _number(cls, value: float) -> float:
        millionths(value)
        return value

    @field_validator("email")
    @classmethod
    def _address(cls, email: str) -> str:
        if email and ("@" not in email or any(sign.isspace() for sign in email.strip())):
            raise ValueError(f"{email!r} is no address")
        return email.strip()

    @model_validator(mode="after")
    def _whose(self) -> Event:
        if not self.email and not self.customer:
            raise ValueError("say whose it is: give email or customer")
        if self.customer and not all(self.customer.partition(":")):
            raise ValueError(f"customer {self.customer!r} is no id; write its source before it, as in keap:123")
        return self


def parse(delivery: Delivery) -> Parsed:
    """Read a stored list of events. Raises ValueError for what is none."""
    events: list[dict[str, Any]] = json.loads(delivery.body)
    return Parsed(tuple(_sighting(Event.model_validate(event), delivery.received_at) for event in events))


def _sighting(event: Event, received_at: int) -> Sighting:
    at = from_iso(event.at) if event.at else received_at
    if event.customer:
        source, _, external_id = event.customer.partition(":")
        who = Identity(source, external_id)
    else:
        who = Identity("email", event.email.casefold())
    value = millionths(event.value) if event.value != 1 else MILLION
    fact = Fact(event.kind, at, SOURCE, event.event_id, value, event.label)
    people = (Person(event.email),) if event.email and event.customer else ()
    return Sighting(at, (who,), event.name, people, facts=(fact,))
