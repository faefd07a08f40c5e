"""Our own hook on loopback, for pretend vendors to post to, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask

from worker.dispatch import outbox
from worker.effects import Mail, Sms
from worker.facts import Delivery, Identity, MailEvent, Parsed, Person, Sighting
from worker.intake import inbox
from worker.intake.receive import Receiver
from worker.integration import Integration, Letter, Settings, Sought
from worker.lib.clock import DAY, VirtualClock, seconds
from worker.lib.store import Row, Store
from worker.plays import records as plays
from worker.registry import Connected
from worker.sandbox.servers.loopback import Loopback
from worker.web.hooks import hooks

ADA = "ada@engines.example"

LETTER = Letter(
    message_id="<eff_1@business.example>",
    sender="Keepwell <hello@business.example>",
    reply_to="Ann Ölund <ann@business.example>",
    to=ADA,
    to_name="Ada, Countess",
    subject="Your week",
    text="Hello Ada\nZoë",
    html="<p>Hello <b>Ada</b></p>",
    unsubscribe_url="https://keepwell.example/unsubscribe/abc?x=1",
    effect_id="eff_1",
    play="usage-drop",
)


@dataclass
class Front:
    """The hook of one integration over a real store."""

    integration: Integration
    settings: Settings
    store: Store
    clock: VirtualClock
    url: str
    """Of the hook, without what its address ends with."""
    receiver: Receiver

    def customer(self, address: str = ADA) -> None:
        """Somebody with that address."""
        who = Identity("keap", "1")
        people = (Person(address if "@" in address else ADA, "Ada", "main"),)
        inbox.take_in(self.store, "keap", [Sighting(0, (who,), "Ada", people)], seconds(self.clock))

    def sends(self, to: str = ADA, *, state: str = "done", reference: str = "", key: str = "1") -> str:
        """An effect that went there; gives its id."""
        now = seconds(self.clock)
        kind = Sms if to.startswith("+") else Mail
        customer = str(self.store.value("select id from customers"))
        effect = kind(customer, to, "Ada", "usage-drop", "usage-drop", "service", expires_at=now + DAY)
        effect_id = outbox.put(self.store, effect, key, now)
        outbox.claim_letter(self.store, effect_id, now)
        outbox.finish(self.store, effect_id, state, now, "the answer was lost" if state == "unknown" else "", reference)
        return effect_id

    def take_in(self) -> inbox.Taken:
        """Parse what has arrived."""
        assert self.integration.parse is not None
        parse = self.integration.parse
        return inbox.parse_waiting(self.store, lambda one: parse(one, self.settings), seconds(self.clock))

    def parsed(self) -> Parsed:
        """All that has arrived, as it is read."""
        assert self.integration.parse is not None
        found: list[MailEvent] = []
        unknown: list[str] = []
        for row in self.store.rows(
            "select id, source, stream, external_id, body, received_at from deliveries order by id"
        ):
            one = self.integration.parse(Delivery(*row.values()), self.settings)
            found += one.mail_events
            unknown += one.unknown
        return Parsed(unknown=tuple(unknown), mail_events=tuple(found))

    def facts(self) -> list[tuple[str, str]]:
        """(kind, label) of each."""
        return [
            (row["kind"], row["label"]) for row in self.store.rows("select kind, label from facts order by kind, label")
        ]

    def bodies(self) -> str:
        """All that is stored of what arrived."""
        return "\n".join(row["body"] for row in self.store.rows("select body from deliveries"))

    def effect(self, effect_id: str) -> Row:
        found = self.store.row("select * from effects where id = :id", {"id": effect_id})
        assert found is not None
        return found

    def stopped(self, address: str) -> bool:
        binds = {"hash": plays.address_hash(self.store, address)}
        return self.store.value("select reason from suppressions where address_hash = :hash", binds) is not None


@contextmanager
def front(integration: Integration, settings: Settings, store: Store, clock: VirtualClock) -> Iterator[Front]:
    receiver = Receiver(store, clock)
    app = Flask("front")
    connected = {integration.name: Connected(integration, settings, None)}
    app.register_blueprint(hooks(receiver, connected, clock, lambda: None))
    server = Loopback(app, "front")
    try:
        yield Front(integration, settings, store, clock, f"{server.url}/hooks/{integration.name}", receiver)
    finally:
        server.stop()
        receiver.close()


def sought(**more: Any) -> Sought:
    """The same letter, as it is asked for."""
    about = {"message_id": LETTER.message_id, "effect_id": "eff_1", "to": ADA, "contact_id": "", "subject": "Your week"}
    return Sought(**{"tried_at": 0, **about, **more})
