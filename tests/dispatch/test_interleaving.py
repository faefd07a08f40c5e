"""Opt-outs, each at another moment of the sending, by several connections: none that has committed is passed over."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection

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
from worker.lib.store import Store
from worker.plays import records as plays
from worker.plays.arbiter import Rules

TEMPLATES = Templates([assets.folder("templates") / "email"])
SENDER = Sender("Engines", "Ann", "ann@engines.example", "", "1 Lane", "https://keepwell.example")


class Channel:
    """A channel for mail that takes several at a time, and notes whom it was given."""

    deduplicates = False

    def __init__(self, connections: int, dice: random.Random) -> None:
        self.connections, self._dice = connections, dice
        self.sent: list[str] = []

    def send(self, letter: Letter) -> str:
        self.sent.append(letter.to)
        time.sleep(self._dice.random() / 2000)  # the others go on
        return "taken"

    def find(self, sought: Sought) -> str | None:
        return None

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.fixture
def live(sqlite_store: Store) -> Store:
    plays.set_switch(sqlite_store, "mode", "live", NOON)
    return sqlite_store


def customer(store: Store, email: str) -> str:
    customer_id = records.add_customer(store, name=email, first_at=NOON - DAY)
    identity_id = records.add_identity(store, Identity("keap", email), customer_id, NOON)
    contact = CrmContact(email, email, "SINGLE_OPT_IN", True, (), (), NOON)
    records.put_crm_contact(store, "keap", identity_id, contact, NOON)
    return customer_id


def queue(store: Store, customer_id: str, email: str, play: str = "usage-drop") -> None:
    letter = Mail(customer_id, email, "C", "usage-drop", play, "service", VALUES, NOON + DAY)
    outbox.put(store, letter, f"{play}:{email}:{customer_id}", NOON, play=play)


def empty(store: Store, channel: Channel) -> dict[str, int]:
    return mail.send_waiting(
        store, channel, TEMPLATES, SENDER, Rules(check_sender=False), VirtualClock(NOON),
        time_zone="UTC", sign=str, reread=lambda addresses: True,
    )  # fmt: skip


def by_suppression(store: Store, email: str) -> None:
    plays.suppress(store, email, "no more", NOON)


def by_the_crm(store: Store, email: str) -> None:
    mirror.take_consent(store, "keap", mirror.contacts_at(store, "keap", [email]), {}, NOON)


WAYS: tuple[Callable[[Store, str], None], ...] = (by_suppression, by_the_crm)


def opt_out(store: Store, email: str, way: Callable[[Store, str], None]) -> bool:
    """Whether the mail had not been begun when this committed: then it must never leave."""
    begun = (
        "select 1 as n from handed_over h join effects e on e.id = h.effect_id where e.target = :email"
        " union all select 1 as n from messages where email = :email"
    )
    with store.atomic():
        too_late = store.value(begun, {"email": email}) is not None
        way(store, email)
    return not too_late


class Leaving(threading.Thread):
    """Customers who opt out, one after the other, at moments of their own."""

    def __init__(self, store: Store, everybody: Collection[str], dice: random.Random) -> None:
        super().__init__()
        self._store = store
        self._order = [(email, dice.choice(WAYS), dice.random() / 60) for email in everybody]
        self.forbidden: set[str] = set()
        """Those to whom nothing must have left."""

    def run(self) -> None:
        for email, way, rest in self._order:
            time.sleep(rest)
            if opt_out(self._store, email, way):
                self.forbidden.add(email)
        self._store.let_go()


def interleave(store: Store, rounds: int, each: int, connections: int, seed: int) -> tuple[int, int]:
    """(mails that left, mails that an opt-out stopped). Raises AssertionError for one that passed one over."""
    dice, left, stopped = random.Random(seed), 0, 0
    for turn in range(rounds):
        everybody = [f"c{turn}-{number}@customer.example" for number in range(each)]
        with store.atomic():
            for email in everybody:
                queue(store, customer(store, email), email)
        channel, others = Channel(connections, dice), Leaving(store, dice.sample(everybody, each), dice)
        others.start()
        empty(store, channel)
        others.join()
        assert not set(channel.sent) & others.forbidden
        assert len(channel.sent) == len(set(channel.sent))
        left += len(channel.sent)
        stopped += each - len(channel.sent)
        assert {*everybody} - set(channel.sent) <= others.forbidden
    return left, stopped


def test_of_mails_that_leave_side_by_side_none_is_begun_after_an_opt_out(live: Store) -> None:
    left, stopped = interleave(live, rounds=4, each=12, connections=4, seed=6)

    assert min(left, stopped) > 0, "or nothing was tried"


@pytest.mark.prove
@pytest.mark.parametrize("connections", [1, 4, 16])
def test_of_a_thousand_mails_none_is_begun_after_an_opt_out_has_committed(live: Store, connections: int) -> None:
    left, stopped = interleave(live, rounds=84, each=12, connections=connections, seed=connections)

    assert left + stopped >= 1000
    assert min(left, stopped) > 100, "or nothing was proved"


def test_a_pause_in_the_midst_lets_nothing_begin_after_it(live: Store) -> None:
    for number in range(40):
        email = f"c{number}@customer.example"
        queue(live, customer(live, email), email)
    dice, begun = random.Random(3), [0]

    class Pausing(Channel):
        def send(self, letter: Letter) -> str:
            if letter.to.endswith("c7@customer.example"):
                with live.atomic():
                    begun[0] = int(live.value("select count(*) as n from handed_over h where not exists"
                                              " (select 1 from messages m where m.effect_id = h.effect_id)"))  # fmt: skip
                    begun[0] += int(live.value("select count(*) as n from messages"))
                    plays.set_switch(live, "paused", "yes", NOON)
            return super().send(letter)

    channel = Pausing(4, dice)
    empty(live, channel)

    assert 0 < len(channel.sent) <= begun[0] < 40
    waiting = live.value("select count(*) as n from effects where state = 'waiting'")
    assert waiting == 40 - len(channel.sent)


def test_the_cap_holds_for_letters_that_leave_side_by_side(live: Store) -> None:
    shared = "shared@customer.example"  # one person with two accounts
    for number in range(10):
        email = f"c{number}@customer.example" if number > 1 else shared
        one = customer(live, f"k{number}")
        live.run("update crm_contacts set email = :email where contact_id = :id", {"email": email, "id": f"k{number}"})
        for play in ("usage-drop", "low-nps", "went-quiet"):
            queue(live, one, email, play)
    channel = Channel(8, random.Random(1))

    empty(live, channel)

    assert Counter(channel.sent) == {shared: 1, **{f"c{number}@customer.example": 1 for number in range(2, 10)}}
