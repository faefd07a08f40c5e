"""A letter that may have left: never sent again by itself, asked about, and settled by whoever knows."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.dispatch.business import VALUES, Business
from worker import unknowns
from worker.cli import main
from worker.dispatch import doubt, mail, outbox
from worker.effects import Lane, Mail
from worker.facts import CrmContact, Identity
from worker.intake import records
from worker.integration import Letter, Sought
from worker.lib.clock import DAY, HOUR
from worker.lib.http import GiveUp, Retry, Unsure
from worker.lib.problems import Problems


class Channel:
    """A channel that keeps a list, and breaks off in mid-send when told to."""

    connections = 1

    def __init__(self, *, deduplicates: bool = False, takes: bool = True, tells: bool = True) -> None:
        self.deduplicates, self.takes, self.tells = deduplicates, takes, tells
        self.breaks: list[Exception] = []
        self.letters: list[Letter] = []
        self.asked: list[Sought] = []

    def send(self, letter: Letter) -> str:
        if self.takes and not (self.deduplicates and letter in self.letters):
            self.letters.append(letter)
        if self.breaks:
            raise self.breaks.pop(0)
        return f"ref:{letter.effect_id}"

    def find(self, sought: Sought) -> str | None:
        self.asked.append(sought)
        if not self.tells:
            return None
        return next((f"ref:{one.effect_id}" for one in self.letters if one.message_id == sought.message_id), "")

    def close(self) -> None:
        """Nothing to let go of."""


def ready(here: Business, *names: str) -> list[str]:
    contacts = [here.enter(name) for name in names or ("Ada",)]
    here.go_live(contacts[0])
    return [here.queue_mail(contact_id) for contact_id in contacts]


def send(here: Business, channel: Channel) -> dict[str, int]:
    """What a turn does in the mail lane."""
    one = here.workspace
    outbox.recover(here.store, Lane.MAIL, here.now, deduplicates=channel.deduplicates)
    doubt.ask_channel(here.store, Lane.MAIL, channel, here.clock)
    return mail.send_waiting(
        here.store, channel, one.templates, one.sender, one.limits, here.clock, time_zone="UTC", sign=one.sign,
        reread=lambda addresses: True,
    )  # fmt: skip


def state(here: Business, effect_id: str) -> str:
    return str(here.effect(effect_id)["state"])


def messages(here: Business) -> list[tuple[str, str]]:
    return [(row["effect_id"], row["subject"]) for row in here.store.rows("select * from messages order by id")]


# -- the channel is asked -----------------------------------------------------------------------------------------------


def test_a_letter_that_the_channel_knows_is_done_with_its_message(anywhere: Business) -> None:
    here, channel = anywhere, Channel()
    (effect_id,) = ready(here)
    channel.breaks.append(Unsure("broke off"))
    assert send(here, channel) == {"unknown": 1}
    here.clock.sleep(outbox.SETTLED_AFTER)

    assert send(here, channel) == {}

    row = here.effect(effect_id)
    assert (row["state"], row["reference"]) == ("done", f"ref:{effect_id}")
    assert messages(here) == [(effect_id, "Is reports still doing its job?")]
    (sought,) = channel.asked
    assert (sought.effect_id, sought.to, sought.subject) == (
        effect_id, "ada@customer.example", "Is reports still doing its job?",
    )  # fmt: skip
    assert len(channel.letters) == 1
    assert here.store.value("select count(*) as n from handed_over") == 0


def test_a_letter_that_surely_never_left_waits_again_and_leaves_once(anywhere: Business) -> None:
    here, channel = anywhere, Channel(takes=False)
    (effect_id,) = ready(here)
    channel.breaks.append(Unsure("broke off"))
    send(here, channel)
    channel.takes = True
    here.clock.sleep(outbox.SETTLED_AFTER)

    assert send(here, channel) == {"sent": 1}

    assert (state(here, effect_id), len(channel.letters), len(messages(here))) == ("done", 1, 1)


def test_the_channel_is_not_asked_while_the_letter_may_be_under_way_and_less_and_less_often_later(
    here: Business,
) -> None:
    channel = Channel(tells=False)
    (effect_id,) = ready(here)
    channel.breaks.append(Unsure("broke off"))
    send(here, channel)
    tried, asked_after = here.now, []
    while here.now < tried + 2 * DAY:
        before = len(channel.asked)
        send(here, channel)
        asked_after += [here.now - tried] * (len(channel.asked) - before)
        here.clock.sleep(60)

    assert state(here, effect_id) == "unknown"
    assert asked_after[0] == outbox.SETTLED_AFTER
    assert len(asked_after) < 15
    assert len(channel.letters) == 1


def test_a_channel_that_cannot_be_asked_settles_nothing(here: Business) -> None:
    channel = Channel()
    (effect_id,) = ready(here)
    channel.breaks.append(Unsure("broke off"))
    send(here, channel)
    here.clock.sleep(outbox.SETTLED_AFTER)

    def away(sought: Sought) -> str | None:
        raise Retry("the channel is away")

    channel.find = away  # type: ignore[method-assign]  # as a vendor that is down
    with pytest.raises(Retry):
        send(here, channel)

    assert state(here, effect_id) == "unknown"


def test_a_channel_that_deduplicates_gets_the_same_key_again_while_it_knows_it(here: Business) -> None:
    channel = Channel(deduplicates=True)
    (effect_id,) = ready(here)
    channel.breaks += [Unsure("broke off")] * 9
    for _ in range(3):
        send(here, channel)
        here.clock.move_to(here.effect(effect_id)["due_at"])
    assert (state(here, effect_id), len(channel.letters)) == ("waiting", 1)
    here.clock.sleep(outbox.KEY_HOLDS)

    send(here, channel)

    assert state(here, effect_id) == "unknown"  # the key may have run out, and a second mail would be one


def test_a_letter_that_is_refused_at_the_last_moment_was_not_handed_over(here: Business) -> None:
    from worker.plays import records as plays

    (effect_id,) = ready(here)

    class Late(Channel):
        def send(self, letter: Letter) -> str:
            raise AssertionError("handed over after the opt-out")

        def ready(self) -> object:
            from contextlib import nullcontext

            plays.suppress(here.store, "ada@customer.example", "stop", here.now)
            return nullcontext(self.send)

    assert send(here, Late()) == {"refused": 1}
    assert state(here, effect_id) == "refused"
    assert here.store.value("select count(*) as n from handed_over") == 0


# -- poison -------------------------------------------------------------------------------------------------------------


def _queued_to_another(here: Business, number: int) -> str:
    """A mail to a customer of its own."""
    email, customer_id = f"c{number}@customer.example", records.add_customer(here.store, name="C", first_at=here.now)
    identity_id = records.add_identity(here.store, Identity("keap", f"c{number}"), customer_id, here.now)
    contact = CrmContact(f"c{number}", email, "SINGLE_OPT_IN", True, (), (), here.now)
    records.put_crm_contact(here.store, "keap", identity_id, contact, here.now)
    letter = Mail(customer_id, email, "C", "usage-drop", "usage-drop", "service", VALUES, here.now + DAY)
    return outbox.put(here.store, letter, f"mail:{number}", here.now)


def test_one_in_a_hundred_is_poison_and_all_others_leave(here: Business) -> None:
    poison = {"raises": 40, "cannot be read": 80, "is never taken": 120}
    here.go_live(here.enter())
    with here.store.atomic():
        ids = [_queued_to_another(here, number) for number in range(300)]
    here.store.run("update effects set payload = 'no JSON' where id = :id", {"id": ids[poison["cannot be read"]]})

    class Picky(Channel):
        def send(self, letter: Letter) -> str:
            if letter.to.startswith("c40@"):
                raise ZeroDivisionError("a fault of ours")
            if letter.to.startswith("c120@"):
                raise GiveUp("550 no such user")
            return super().send(letter)

    channel = Picky()
    for _ in range(5):
        send(here, channel)
        here.clock.sleep(60)

    assert len(channel.letters) == 297
    assert {state(here, one) for number, one in enumerate(ids) if number not in poison.values()} == {"done"}
    ends = {what: (state(here, ids[n]), here.effect(ids[n])["reason"]) for what, n in poison.items()}
    assert ends["raises"][0] == "unknown"  # it was being handed over
    assert "ZeroDivisionError" in ends["raises"][1]
    assert ends["cannot be read"][0] == "failed"
    assert ends["is never taken"] == ("failed", "550 no such user")
    told = here.store.rows("select title, text from notices where key like 'given up:%'")
    assert [one["title"] for one in told] == ["Something to customers by mail was given up"]  # once, not per try


# -- people say -----------------------------------------------------------------------------------------------------------


def in_doubt(here: Business) -> str:
    (effect_id,) = ready(here)
    here.mailbox.drop_next()
    here.turn(pulls=False)
    assert state(here, effect_id) == "unknown"
    return effect_id


def test_people_see_what_is_in_doubt_and_what_of_it(anywhere: Business) -> None:
    effect_id = in_doubt(anywhere)

    (one,) = unknowns.listed(anywhere.workspace)

    assert (one["id"], one["lane"], one["to"], one["subject"]) == (
        effect_id, "mail", "ada@customer.example", "Is reports still doing its job?",
    )  # fmt: skip
    assert one["tried_at"].startswith("2026-01-01T12:")


def test_a_person_says_that_it_arrived(anywhere: Business) -> None:
    effect_id = in_doubt(anywhere)

    unknowns.arrived(anywhere.workspace, effect_id, "Ann")

    row = anywhere.effect(effect_id)
    assert (row["state"], row["reason"]) == ("done", "it arrived, says Ann")
    assert messages(anywhere) == [(effect_id, "Is reports still doing its job?")]


def test_a_person_has_it_sent_again(anywhere: Business) -> None:
    effect_id = in_doubt(anywhere)

    unknowns.send_again(anywhere.workspace, effect_id, "Ann")
    anywhere.turn(pulls=False)

    assert state(anywhere, effect_id) == "done"
    assert len(anywhere.mailbox.messages) == 2  # the one that came in spite of the broken line, and this one


def test_a_person_lets_it_go(anywhere: Business) -> None:
    effect_id = in_doubt(anywhere)

    unknowns.let_go(anywhere.workspace, effect_id, "Ann")
    anywhere.clock.sleep(HOUR)
    anywhere.turn(pulls=False)

    assert state(anywhere, effect_id) == "failed"
    assert anywhere.effect(effect_id)["reason"] == "nobody knows whether it arrived; let go by Ann"
    assert len(anywhere.mailbox.messages) == 1


def test_what_is_not_in_doubt_cannot_be_settled(here: Business) -> None:
    (effect_id,) = ready(here)
    for say in (unknowns.arrived, unknowns.send_again, unknowns.let_go):
        with pytest.raises(Problems, match="no letter in doubt"):
            say(here.workspace, effect_id, "Ann")

    assert state(here, effect_id) == "waiting"


def test_the_command_lists_and_settles(here: Business, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effect_id = in_doubt(here)
    for name, value in {
        "KEAP_KEY": "k",
        "KEAP_HOOK_SECRET": "0123456789abcdef",
        "SLACK_URL": "http://127.0.0.1/x",
    }.items():
        monkeypatch.setitem(os.environ, name, value)

    def keepwell(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(main, ["-w", str(tmp_path / "workspace"), "unknown", *words])
        return found.exit_code, found.output

    code, listed = keepwell("--json")
    assert (code, [one["id"] for one in json.loads(listed)]) == (1, [effect_id])
    assert keepwell("--arrived")[0] == 2
    assert keepwell(effect_id)[0] == 2
    assert keepwell(effect_id, "--arrived", "--by", "Ann")[0] == 0
    assert keepwell() == (0, "none\n")
    assert here.effect(effect_id)["reason"] == "it arrived, says Ann"


def test_who_was_taken_for_dead_and_was_only_slow_tells_what_it_knows(anywhere: Business) -> None:
    here = anywhere
    (effect_id,) = ready(here)

    class Slow(Channel):
        def send(self, letter: Letter) -> str:
            def another() -> None:
                outbox.recover(here.store, Lane.MAIL, here.now, older_than=0)
                here.store.let_go()

            thread = threading.Thread(target=another)
            thread.start()
            thread.join()
            assert state(here, effect_id) == "unknown"
            return super().send(letter)

    assert send(here, Slow()) == {"sent": 1}
    assert (state(here, effect_id), len(messages(here))) == ("done", 1)
