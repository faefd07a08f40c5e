"""A thousand opt-outs, each at another moment of the sending: none that has committed is passed over."""

from __future__ import annotations

import random
from collections.abc import Collection

import pytest

from tests.dispatch.business import NOON, VALUES
from worker.dispatch import mail, outbox
from worker.dispatch.letters import Sender, Templates
from worker.effects import Mail
from worker.facts import CrmContact, Identity
from worker.intake import mirror, records
from worker.integration import Letter, Sought
from worker.lib import assets
from worker.lib.clock import DAY, VirtualClock
from worker.lib.store import SqliteStore, Store
from worker.plays import records as plays
from worker.plays.arbiter import Rules

ROUNDS, EACH = 200, 5
SENDER = Sender("Engines", "Ann", "ann@engines.example", "", "1 Lane", "https://keepwell.example")


class Moments:
    """A channel for mail and a CRM; at one of their moments somebody opts out."""

    deduplicates = False
    connections = 1

    def __init__(self, store: Store, dice: random.Random) -> None:
        self._store, self._dice = store, dice
        self.out: set[str] = set()
        """Addresses whose opt-out has committed."""
        self.sent: list[str] = []
        self.sent_after: list[str] = []

    def pass_by(self, addresses: Collection[str]) -> None:
        """One more moment: one of them may opt out in it."""
        if self._dice.random() < 0.4:
            email = self._dice.choice(sorted(addresses))
            if self._dice.random() < 0.5:
                plays.suppress(self._store, email, "no more", NOON)
            else:
                mirror.take_consent(self._store, "keap", mirror.contacts_at(self._store, "keap", [email]), {}, NOON)
            self.out.add(email)

    def reread(self, addresses: Collection[str]) -> bool:
        self.pass_by(addresses)
        return True

    def send(self, letter: Letter) -> str:
        self.sent.append(letter.to)
        if letter.to in self.out:
            self.sent_after.append(letter.to)
        self.pass_by(self.everybody)
        return "taken"

    def find(self, sought: Sought) -> str | None:
        return None

    def close(self) -> None:
        """Nothing to let go of."""

    everybody: Collection[str] = ()


@pytest.mark.prove
def test_of_a_thousand_mails_none_is_begun_after_an_opt_out_has_committed() -> None:
    store, clock, dice = SqliteStore(None), VirtualClock(NOON), random.Random(6)
    store.migrate()
    plays.set_switch(store, "mode", "live", NOON)
    templates = Templates([assets.folder("templates") / "email"])
    sent = refused = 0
    for turn in range(ROUNDS):
        moments = Moments(store, dice)
        moments.everybody = [f"c{turn}-{number}@customer.example" for number in range(EACH)]
        for email in moments.everybody:
            customer_id = records.add_customer(store, name=email, first_at=NOON - DAY)
            identity_id = records.add_identity(store, Identity("keap", email), customer_id, NOON)
            contact = CrmContact(email, email, "SINGLE_OPT_IN", True, (), (), NOON)
            records.put_crm_contact(store, "keap", identity_id, contact, NOON)
            letter = Mail(customer_id, email, "C", "usage-drop", "usage-drop", "service", VALUES, NOON + DAY)
            outbox.put(store, letter, email, NOON)
        moments.pass_by(moments.everybody)

        mail.send_waiting(
            store, moments, templates, SENDER, Rules(), clock, time_zone="UTC", sign=str, reread=moments.reread
        )

        assert moments.sent_after == []
        sent += len(moments.sent)
        refused += EACH - len(moments.sent)
    reasons = store.value("select count(*) as n from refusals where rule in ('unsubscribed', 'consent')")
    store.close()

    assert sent + refused == ROUNDS * EACH
    assert min(sent, refused) > 100, "or nothing was proved"
    assert reasons == refused
