"""Text messages: the same lane as mails by another channel, with a consent of their own, and words alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dispatch.business import NOON
from tests.dispatch.test_doubt import Channel
from worker.dispatch import doubt, mail, outbox
from worker.dispatch.letters import Sender, Templates
from worker.effects import Lane, Sms
from worker.facts import Attribute, Identity
from worker.intake import records
from worker.lib import assets
from worker.lib.clock import DAY, VirtualClock
from worker.lib.http import Unsure
from worker.lib.store import Store
from worker.plays import records as plays
from worker.plays.arbiter import Rules

SENDER = Sender("Engines", "Ann", "ann@engines.example", "", "1 Lane", "https://keepwell.example")
PHONE = "+4915112345678"
TEMPLATE = """\
+++
subject = "A call"
purpose = "service"
medium = "sms"
needs = ["usage_days"]
+++
Hello {{ first_name }}, may we call you? You were here on {{ usage_days }} days. Reply STOP to get no more.
"""


def queued(store: Store, consent: str) -> str:
    customer_id = records.add_customer(store, name="Ada", first_at=NOON - DAY)
    identity_id = records.add_identity(store, Identity("keap", "1"), customer_id, NOON)
    if consent:
        records.put_attributes(store, customer_id, identity_id, [Attribute("sms_opt_in", consent, NOON - DAY)])
    plays.set_switch(store, "mode", "live", NOON)
    text = Sms(customer_id, PHONE, "Ada Lovelace", "call", "by-hand", "service", {"usage_days": "3"}, NOON + DAY)
    return outbox.put(store, text, "sms", NOON, play="by-hand")


def send(store: Store, channel: Channel, folder: Path, clock: VirtualClock) -> dict[str, int]:
    (folder / "call.md").write_text(TEMPLATE)
    templates = Templates([assets.folder("templates") / "email", folder])
    outbox.recover(store, Lane.SMS, int(clock.now()))
    doubt.ask_channel(store, Lane.SMS, channel, clock)
    return mail.send_waiting(
        store, channel, templates, SENDER, Rules(check_sender=False), clock, time_zone="UTC", sign=str,
        reread=lambda addresses: True, lane=Lane.SMS,
    )  # fmt: skip


def test_a_text_message_leaves_as_words_with_the_basis_for_it(store: Store, tmp_path: Path) -> None:
    effect_id, channel = queued(store, "yes"), Channel()

    assert send(store, channel, tmp_path, VirtualClock(NOON)) == {"sent": 1}

    (letter,) = channel.letters
    assert (letter.to, letter.html) == (PHONE, "")
    assert letter.text.startswith("Hello Ada, may we call you? You were here on 3 days.")
    row = store.row("select effect_id, email, basis from messages")
    assert row is not None
    assert (row["effect_id"], row["email"]) == (effect_id, PHONE)
    assert "sms_opt_in yes" in row["basis"]


@pytest.mark.parametrize("consent", ["", "no"])
def test_consent_to_mail_is_none_to_text_messages(store: Store, tmp_path: Path, consent: str) -> None:
    queued(store, consent)
    channel = Channel()

    assert send(store, channel, tmp_path, VirtualClock(NOON)) == {"refused": 1}
    assert channel.letters == []


def test_one_whose_answer_was_lost_is_asked_about(store: Store, tmp_path: Path) -> None:
    effect_id, channel, clock = queued(store, "yes"), Channel(), VirtualClock(NOON)
    channel.breaks.append(Unsure("broke off"))
    assert send(store, channel, tmp_path, clock) == {"unknown": 1}
    clock.sleep(outbox.SETTLED_AFTER)

    send(store, channel, tmp_path, clock)

    assert store.value("select state from effects where id = :id", {"id": effect_id}) == "done"
    assert len(channel.letters) == 1
