"""What channels tell of messages: any number of times and in any order, it is told once and about the right customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import START
from tests.intake.worlds import laws, seen, take
from worker.dispatch import outbox
from worker.effects import Lane, Mail, Sms
from worker.facts import Delivery, MailEvent, MailWord, Parsed
from worker.intake import mail_events
from worker.intake.identity import Register
from worker.intake.inbox import parse_waiting
from worker.intake.pull import store_raw
from worker.lib.clock import DAY, HOUR
from worker.lib.store import SqliteStore, Store
from worker.plays import records as plays

ADA, PHONE = "ada@customer.example", "+4915112345678"
NOW = START + DAY


def queue(
    store: Store, *, to: str = ADA, state: str = "done", reference: str = "ref-1", key: str = "one", who: str = "keap:1",
    at: int = START,
) -> str:  # fmt: skip
    """A message of ours in this state; gives the effect's id."""
    source, external_id = who.split(":")
    customer = store.value(
        "select customer_id from identities where source = :source and external_id = :id",
        {"source": source, "id": external_id},
    )
    kind = Sms if to.startswith("+") else Mail
    effect = kind(str(customer), to, "Ada", "usage-drop", "usage-drop", "service", expires_at=at + 9 * DAY)
    effect_id = outbox.put(store, effect, key, at, play="usage-drop")
    outbox.claim_letter(store, effect_id, at)
    if state != "sending":
        outbox.finish(store, effect_id, state, at, "lost" if state == "unknown" else "", reference)
    return effect_id


def event(word: MailWord, name: str = "", **more: Any) -> MailEvent:
    about: dict[str, Any] = {"at": START + HOUR, "address": ADA, "reference": "ref-1", **more}
    return MailEvent(word, source_id=name or word.value, **about)


def told(store: Store, *events: MailEvent, source: str = "postmark") -> mail_events.Told:
    return mail_events.take_in(store, source, events, NOW, known_at=NOW)


def facts(store: Store) -> list[tuple[str, str, str, str]]:
    rows = store.rows("select kind, label, source, source_id from facts order by kind, source_id")
    return [(row["kind"], row["label"], row["source"], row["source_id"]) for row in rows]


def state(store: Store, effect_id: str) -> str:
    return str(store.value("select state from effects where id = :id", {"id": effect_id}))


def stopped(store: Store, address: str) -> bool:
    return store.value(
        "select reason from suppressions where address_hash = :hash", {"hash": plays.address_hash(store, address)}
    ) is not None  # fmt: skip


@pytest.fixture
def ada(store: Store) -> str:
    """One customer, and the id of a mail that went to her."""
    take(store, seen("keap:1", name="Ada", email=ADA))
    return queue(store)


# -- what it becomes --------------------------------------------------------------------------------------------------


def test_each_word_becomes_the_fact_that_the_vocabulary_has_for_it(store: Store, ada: str) -> None:
    found = told(
        store, event(MailWord.DELIVERED), event(MailWord.OPENED), event(MailWord.CLICKED), event(MailWord.REPLIED),
        event(MailWord.BOUNCED, "soft"), event(MailWord.BOUNCED, "hard", final=True), event(MailWord.COMPLAINED),
        event(MailWord.UNSUBSCRIBED),
    )  # fmt: skip

    assert (found.events, found.facts) == (8, 7)
    assert facts(store) == [
        ("mail_bounced", "hard", "postmark", "hard"),
        ("mail_bounced", "soft", "postmark", "soft"),
        ("mail_clicked", "keepwell", "postmark", "clicked"),
        ("mail_complained", "", "postmark", "complained"),
        ("mail_opened", "keepwell", "postmark", "opened"),
        ("mail_replied", "", "postmark", "replied"),
        ("opted_out", "mail", "postmark", "unsubscribed"),
    ]
    laws(store)


@pytest.mark.parametrize(
    ("word", "final", "ends"),
    [
        (MailWord.BOUNCED, True, True), (MailWord.BOUNCED, False, False), (MailWord.COMPLAINED, False, True),
        (MailWord.UNSUBSCRIBED, False, True), (MailWord.OPENED, False, False), (MailWord.REPLIED, False, False),
    ],
)  # fmt: skip
def test_what_ends_an_address_ends_it_at_once(store: Store, ada: str, word: MailWord, final: bool, ends: bool) -> None:
    told(store, event(word, final=final, address="ADA@Customer.example"))

    assert stopped(store, ADA) is ends


def test_who_stops_text_messages_still_gets_mail(store: Store, ada: str) -> None:
    queue(store, to=PHONE, key="two", reference="SM1")
    told(store, event(MailWord.UNSUBSCRIBED, address=PHONE, reference=""), source="twilio")

    assert (stopped(store, PHONE), stopped(store, ADA)) == (True, False)
    assert facts(store) == [("opted_out", "text messages", "twilio", "unsubscribed")]


def test_the_customer_is_looked_at_again(store: Store, ada: str) -> None:
    store.run("delete from dirty")
    told(store, event(MailWord.REPLIED))

    assert store.value("select count(*) as n from dirty") == 1


# -- whose it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["our name", "the channel's name", "the address"])
def test_a_message_is_found_by_our_name_else_the_channels_else_the_address(store: Store, ada: str, by: str) -> None:
    about = {
        "our name": {"effect_id": ada, "reference": "never heard of"},
        "the channel's name": {"effect_id": "", "reference": "ref-1"},
        "the address": {"effect_id": "", "reference": ""},
    }[by]
    told(store, event(MailWord.REPLIED, **about))

    assert store.rows("select effect_id, address from mail_events") == [{"effect_id": ada, "address": ADA}]
    assert [kind for kind, *_ in facts(store)] == ["mail_replied"]


def test_an_answer_belongs_to_the_newest_message_that_had_left_by_then(store: Store, ada: str) -> None:
    queue(store, key="later", reference="ref-2", at=START + 2 * DAY)
    queue(store, key="doubt", reference="", state="unknown", at=START + HOUR // 2)
    told(store, event(MailWord.REPLIED, reference=""))

    assert store.value("select effect_id from mail_events") == ada


def test_an_answer_to_something_else_is_an_answer_all_the_same(store: Store, ada: str) -> None:
    told(store, event(MailWord.REPLIED, reference="a colleague's mail"))

    assert store.value("select effect_id from mail_events") == ada
    assert [kind for kind, *_ in facts(store)] == ["mail_replied"]


@pytest.mark.parametrize("word", [word for word in MailWord if word is not MailWord.REPLIED])
def test_what_others_send_through_the_same_account_may_end_an_address_and_tells_nothing_else(
    store: Store, ada: str, word: MailWord
) -> None:
    told(store, event(word, reference="somebody else's", effect_id="eff_elsewhere", final=True))

    ends = word in {MailWord.BOUNCED, MailWord.COMPLAINED, MailWord.UNSUBSCRIBED}
    assert facts(store) == []
    assert store.rows("select effect_id from mail_events") == []
    assert stopped(store, ADA) is ends


def test_the_news_goes_to_the_customer_that_one_was_merged_into(store: Store, ada: str) -> None:
    take(store, seen("keap:2", name="Ada Ltd"))
    first, second = (
        str(row["customer_id"]) for row in store.rows("select customer_id from identities order by external_id")
    )
    Register(store, NOW).merge(second, first, "one and the same")
    told(store, event(MailWord.CLICKED))

    assert store.rows("select customer_id from facts") == [{"customer_id": second}]
    laws(store)


def test_of_several_identities_the_one_with_the_address_gets_the_fact(store: Store) -> None:
    take(store, seen("stripe:1", "keap:1"), seen("keap:1", name="Ada", email=ADA))
    queue(store)
    told(store, event(MailWord.OPENED))

    found = store.value("select i.source from facts f join identities i on i.id = f.identity_id")
    assert found == "keap"


# -- any number of times, in any order --------------------------------------------------------------------------------


def test_the_same_event_again_changes_nothing_even_where_the_channel_does_not_date_it(store: Store, ada: str) -> None:
    first = event(MailWord.REPLIED)
    told(store, first)
    before = store.rows("select * from facts"), store.rows("select * from mail_events")
    again = told(store, first, replace(first, at=START + 9 * HOUR), replace(first, detail="other words"))

    assert (again.events, again.facts) == (0, 0)
    assert (store.rows("select * from facts"), store.rows("select * from mail_events")) == before


STORY: Sequence[MailEvent] = (
    event(MailWord.DELIVERED, at=START + 1), event(MailWord.OPENED, "open:1", at=START + 60),
    event(MailWord.OPENED, "open:2", at=START + 70), event(MailWord.REPLIED, reference="", at=START + 90),
    event(MailWord.COMPLAINED, at=START + 100),
)  # fmt: skip


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(STORY), max_size=6), st.permutations(STORY))
def test_any_order_and_any_repeating_tell_the_same(repeated: list[MailEvent], order: list[MailEvent]) -> None:
    outcomes = []
    for events in (STORY, [*repeated, *order]):
        store = SqliteStore(None)
        store.migrate()
        take(store, seen("keap:1", name="Ada", email=ADA))
        doubtful = queue(store, state="unknown")
        queue(store, key="two", reference="ref-2")
        for one in events:
            told(store, one)
            mail_events.settle(store, NOW)
        laws(store)
        rows = store.rows(
            "select source_id, word, at, final, effect_id is null as foreign_one from mail_events order by 1"
        )
        outcomes.append((facts(store), rows, state(store, doubtful), stopped(store, ADA)))
        store.close()

    assert outcomes[0] == outcomes[1]


# -- what was in doubt ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [MailWord.DELIVERED, MailWord.OPENED, MailWord.CLICKED, MailWord.BOUNCED])
def test_news_of_a_message_proves_that_it_left(store: Store, ada: str, word: MailWord) -> None:
    doubtful = queue(store, key="doubt", reference="", state="unknown")
    told(store, event(word, effect_id=doubtful, reference="ref-9"))

    assert mail_events.settle(store, NOW) == 1
    assert mail_events.settle(store, NOW) == 0
    row = store.row("select state, reference, reason from effects where id = :id", {"id": doubtful})
    assert row == {"state": "done", "reference": "ref-9", "reason": f"it left: postmark told that it was {word.value}"}
    sent = store.rows("select effect_id, email, sent_at, purpose, template from messages")
    assert sent == [
        {"effect_id": doubtful, "email": ADA, "sent_at": START, "purpose": "service", "template": "usage-drop"}
    ]


def test_the_news_may_come_before_the_doubt(store: Store, ada: str) -> None:
    sending = queue(store, key="doubt", state="sending")
    told(store, event(MailWord.DELIVERED, effect_id=sending))
    assert mail_events.settle(store, NOW) == 0
    store.run("update effects set state = 'unknown' where id = :id", {"id": sending})

    assert mail_events.settle(store, NOW) == 1
    assert state(store, sending) == "done"


def test_what_was_thought_not_to_have_left_is_not_sent_again_once_the_channel_has_told_of_it(
    store: Store, ada: str
) -> None:
    again = queue(store, key="doubt", state="sending")
    outbox.postpone(store, again, START + HOUR, "the channel did not list it")
    told(store, event(MailWord.DELIVERED, effect_id=again))

    assert mail_events.settle(store, NOW) == 1
    assert state(store, again) == "done"
    assert outbox.claim(store, Lane.MAIL, NOW) is None


def test_an_answer_without_a_name_proves_nothing_of_a_message_in_doubt(store: Store) -> None:
    take(store, seen("keap:1", name="Ada", email=ADA))
    doubtful = queue(store, state="unknown", reference="")
    told(store, event(MailWord.REPLIED, reference=""))

    assert mail_events.settle(store, NOW) == 0
    assert state(store, doubtful) == "unknown"


@pytest.mark.parametrize("before", ["failed", "refused", "done"])
def test_what_is_not_in_doubt_stays_as_it_is(store: Store, before: str) -> None:
    take(store, seen("keap:1", name="Ada", email=ADA))
    effect_id = queue(store, state=before)
    told(store, event(MailWord.OPENED, effect_id=effect_id))

    assert mail_events.settle(store, NOW) == 0
    assert state(store, effect_id) == before


# -- by the inbox -----------------------------------------------------------------------------------------------------


def test_the_inbox_takes_it_in_with_its_delivery_or_not_at_all(store: Store, ada: str) -> None:
    for number, body in enumerate(("good", "bad")):
        store_raw(store, "postmark", "webhook", f"evt_{number}", f'"{body}"', NOW)

    def parse(delivery: Delivery) -> Parsed:
        good = event(MailWord.COMPLAINED)
        bad = (event(MailWord.OPENED), event(MailWord.UNSUBSCRIBED, at=2**70))
        return Parsed(mail_events=(good,) if "good" in delivery.body else bad)

    taken = parse_waiting(store, parse, NOW)

    assert (taken.mail_events, taken.facts) == (1, 1)
    assert [kind for kind, *_ in facts(store)] == ["mail_complained"]
    assert store.value("select known_at from facts") == NOW
    assert store.value("select count(*) as n from mail_events") == 1


def test_the_inbox_settles_what_is_in_doubt(store: Store, ada: str) -> None:
    doubtful = queue(store, key="doubt", reference="", state="unknown")
    store_raw(store, "postmark", "webhook", "evt", "1", NOW)
    parse_waiting(store, lambda _: Parsed(mail_events=(event(MailWord.DELIVERED, effect_id=doubtful),)), NOW)

    assert state(store, doubtful) == "done"


NASTY = ["'; drop table facts; --", "<script>", "\u202e\u2028", "=?utf-8?q?x?=", "a" * 5_000, "$$", "{{ 7*7 }}"]


@pytest.mark.parametrize("field", ["detail", "address", "effect_id", "reference"])
def test_words_of_strangers_are_values_and_nothing_else(store: Store, ada: str, field: str) -> None:
    for number, words in enumerate(NASTY):
        told(store, event(MailWord.UNSUBSCRIBED, f"{number}", **{field: words}))

    assert store.value("select count(*) as n from suppressions") == (len(NASTY) if field == "address" else 1)
    kept = 0 if field == "reference" else len(NASTY)
    assert store.value("select count(*) as n from mail_events where length(detail) <= 200") == kept
