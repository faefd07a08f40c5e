"""The CRM's history knows of every mail that left by another way: each once, and never blindly again."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.dispatch.business import Business
from worker.dispatch import outbox, telling
from worker.integration import Logged
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure


class Diary:
    """A history that breaks off when told to, and refuses what it is told to."""

    def __init__(self) -> None:
        self.breaks: list[Failure] = []
        self.refuses: dict[str, str] = {}
        self.batches: list[list[Logged]] = []

    def log(self, mails: Sequence[Logged]) -> dict[str, str]:
        self.batches.append(list(mails))
        if self.breaks:
            raise self.breaks.pop(0)
        return {one.effect_id: self.refuses.get(one.effect_id, "") for one in mails}


def sent(here: Business, *names: str) -> list[str]:
    """Mails that have left by SMTP."""
    contacts = [here.enter(name) for name in names or ("Ada",)]
    here.go_live(contacts[0])
    ids = [here.queue_mail(one) for one in contacts]
    here.turn(pulls=False)
    return ids


def tell(here: Business, diary: Diary) -> dict[str, int]:
    return telling.tell_waiting(here.store, diary, here.clock, stop=lambda: False)


def states(here: Business) -> list[str]:
    return [str(row["log_state"]) for row in here.store.rows("select log_state from messages order by effect_id")]


def test_keap_shows_a_mail_that_left_by_smtp_and_does_not_tell_it_back_to_us(anywhere: Business) -> None:
    here = anywhere
    (effect_id,) = sent(here)
    mails = list(here.keap.mails.values())

    done = here.turn(pulls=False)

    assert done.told == {"told": 1}
    new = [mail for mail in here.keap.mails.values() if mail not in mails]
    assert [(mail.subject, mail.contact_id) for mail in new] == [
        ("Is reports still doing its job?", next(iter(here.keap.contacts)))
    ]
    assert states(here) == ["told"]
    assert here.store.value("select count(*) as n from handed_over") == 0
    here.clock.sleep(3600)
    here.turn()  # pulls it back
    assert here.store.value("select count(*) as n from facts where kind = 'mail_sent'") == 0
    assert here.turn(pulls=False).told == {}
    assert effect_id


def test_many_are_told_in_batches_each_once(here: Business) -> None:
    sent(here, *(f"A{n}" for n in range(7)))
    diary = Diary()

    done = telling.tell_waiting(here.store, diary, here.clock, stop=lambda: False, most=3)

    assert done == {"told": 7}
    assert [len(batch) for batch in diary.batches] == [3, 3, 1]
    assert len({one.effect_id for batch in diary.batches for one in batch}) == 7
    first = diary.batches[0][0]
    assert (first.sender, first.to, first.subject) == (
        "Ann Keeper <ann@engines.example>", "a0@customer.example", "Is reports still doing its job?",
    )  # fmt: skip
    assert first.html.startswith("<!DOCTYPE html>")
    assert "reports" in first.text
    assert tell(here, diary) == {}


@pytest.mark.parametrize(
    ("failure", "state", "told"),
    [
        (Unsure("the answer was lost"), "unsure", {"unsure": 1}),
        (GiveUp("no such history"), "failed", {"failed": 1}),
        (Retry("busy"), "waiting", {"later": 1}),
        (Reconnect("who are you"), "waiting", {"later": 1}),
    ],
)
def test_what_cannot_be_told_is_tried_again_only_where_it_surely_was_not(
    here: Business, failure: Failure, state: str, told: dict[str, int]
) -> None:
    sent(here)
    diary = Diary()
    diary.breaks.append(failure)

    assert tell(here, diary) == told
    assert states(here) == [state]
    assert tell(here, diary) == {}
    here.clock.sleep(telling.AGAIN_AFTER)
    assert tell(here, diary) == ({"told": 1} if state == "waiting" else {})


def test_of_a_batch_only_what_was_refused_has_failed(here: Business) -> None:
    ids = sent(here, "Ada", "Bob", "Cyd")
    diary = Diary()
    diary.refuses[ids[1]] = "that contact is gone"

    assert tell(here, diary) == {"told": 2, "failed": 1}
    assert states(here) == ["told", "failed", "told"]


def test_what_a_crash_interrupted_is_not_told_again(anywhere: Business) -> None:
    sent(anywhere)
    anywhere.store.run("update messages set log_state = 'telling', logged_at = :now", {"now": anywhere.now})
    diary = Diary()
    assert tell(anywhere, diary) == {}
    anywhere.clock.sleep(outbox.STRANDED_AFTER)

    assert tell(anywhere, diary) == {"unsure": 1}
    assert diary.batches == []


def test_a_mail_to_somebody_who_is_no_contact_is_told_to_nobody(here: Business) -> None:
    ada = here.enter()
    here.go_live(ada)
    effect_id = here.queue_mail(ada)
    payload = json.dumps(json.loads(here.effect(effect_id)["payload"]) | {"contact_id": ""})
    here.store.run("update effects set payload = :payload where id = :id", {"id": effect_id, "payload": payload})
    here.turn(pulls=False)

    assert states(here) == [""]
    assert here.turn(pulls=False).told == {}


def test_where_it_is_not_wanted_nothing_is_told(here: Business) -> None:
    crm = here.workspace.config.crm.model_copy(update={"log_mails": False})
    object.__setattr__(here.workspace.config, "crm", crm)
    sent(here)

    assert states(here) == [""]
    assert here.turn(pulls=False).told == {}
