"""The lanes of letters, mail and text messages: each is asked about at the moment of sending, written and handed over.

Several leave at the same time, as many as the channel takes, in threads of their own; each is taken alone, and never are
two to one customer or one address under way (worker/dispatch/outbox.py). The order for one letter:

1. the arbiter is asked; what must not leave ends or waits here
2. it is written
3. the channel gets ready: a connection, its turn within the channel's rate
4. the arbiter is asked once more, and in the same transaction it is committed that the letter is about to be handed
   over: whatever has committed before, an opt-out or a pause, is obeyed; and after a crash it is known what may have left
5. it is handed over, and what came of it is committed
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from worker.dispatch import outbox
from worker.dispatch.hands import Hands
from worker.dispatch.letters import Sender, Templates
from worker.dispatch.links import Tracking, tracked
from worker.effects import Lane, Mail
from worker.integration import Letter, Mailer, ReadyMailer
from worker.lib.clock import Clock, seconds
from worker.lib.http import Failure, GiveUp, Held, Reconnect, Retry, Unsure
from worker.lib.store import Store, sql
from worker.plays import arbiter, cases
from worker.plays import records as plays
from worker.plays.files import Play
from worker.plays.rules import Refusal

AT_ONCE: Final = 50
"""Mails for which the CRM is read once: so few that they have left before what it said is old."""

Refresh = Callable[[Mail], Mail | Refusal | None]
"""A letter that has waited, before it is asked about: with present values, or why it is not to leave; None: as it is."""


def send_waiting(
    store: Store,
    mailer: Mailer,
    templates: Templates,
    sender: Sender,
    rules: arbiter.Rules,
    clock: Clock,
    *,
    time_zone: str,
    sign: Callable[[str], str],
    reread: Callable[[Collection[str]], bool],
    stop: Callable[[], bool] = lambda: False,
    plays_by_name: Mapping[str, Play] | None = None,
    not_coming_in: Collection[str] = (),
    lane: Lane = Lane.MAIL,
    at_once: int | None = None,
    refresh: Refresh | None = None,
    tell_crm: bool = False,
    tracking: Tracking | None = None,
) -> dict[str, int]:
    """Empty a lane of letters as far as it may be: each is asked about again, then sent; gives counts by outcome.

    `sign` makes the token of the unsubscribe address from an effect's id. `reread` is given the addresses of some mails
    before they leave, and takes in what the CRM says of them now: an opt-out moves no date there, so no pull brings it.
    Where it gives False, nobody knows, and the mails wait. `stop` is asked before each: whether this process is to end,
    or everything outward is paused. What rests on the kinds of fact that are `not_coming_in` waits too; a play says when
    what it is about is over. `at_once` is how many leave at the same time, None for as many as the channel takes.
    `tell_crm` is whether the CRM's own history is to be told of what has left, `tracking` what is to be known of it later.
    """

    def asked(mail: Mail, effect_id: str) -> arbiter.Verdict:
        play = (plays_by_name or {}).get(mail.play)
        try:
            case = cases.case(
                store, mail, rules, seconds(clock), time_zone=time_zone, effect_id=effect_id, play=play,
                not_coming_in=not_coming_in,
            )  # fmt: skip
        except (LookupError, TypeError, ValueError) as error:  # a time zone that is none, say
            return arbiter.Refuse("unreadable", f"what is known of this customer cannot be read: {error}")
        return arbiter.ask(case, rules)

    desk = _Desk(store, lane, mailer, templates, sender, clock, asked, sign, refresh, tell_crm, tracking)
    keep_arrived(store, lane, tell_crm=tell_crm)
    with Hands(mailer.connections if at_once is None else at_once, desk.see_to, store.let_go) as hands:
        while not stop() and not desk.tired:
            waiting = outbox.letters_due(store, lane, seconds(clock), AT_ONCE)
            if not waiting:
                if hands.wait():  # another letter to the same customer may have waited for that one
                    continue
                break
            if not reread(frozenset(waiting.values())):
                break
            for effect_id in waiting:
                if stop() or desk.tired:
                    break
                queued = outbox.claim_letter(store, effect_id, seconds(clock))
                if queued is not None:
                    hands.give(queued)
    return desk.outcomes


def keep_arrived(store: Store, lane: Lane, *, tell_crm: bool = False) -> int:
    """Note letters as messages of which something else told that they arrived: their channel, an event, a person."""
    store.run(sql("dispatch", "tidy_handed"))
    rows = store.rows(sql("dispatch", "arrived_unkept"), {"lane": lane.value})
    for row in rows:
        _keep(store, row["effect_id"], row["customer_id"], row, json.loads(row["mail"]), tell_crm=tell_crm)
    return len(rows)


def _keep(
    store: Store, effect_id: str, customer_id: str, texts: Mapping[str, str | int], mail: Mapping[str, str], *,
    tell_crm: bool,
) -> None:  # fmt: skip
    """One message, as it was handed over; the letter itself is kept for as long as the CRM has to be told of it."""
    tell = tell_crm and bool(mail["contact_id"])
    with store.atomic():
        store.run(
            sql("dispatch", "keep_message"),
            {
                "id": effect_id.replace("eff_", "msg_", 1), "effect_id": effect_id, "customer_id": customer_id,
                "email": mail["email"], "play": mail["play"], "purpose": mail["purpose"],
                "template": mail["template"], "subject": texts["subject"], "body": texts["body"],
                "basis": texts["basis"], "sent_at": texts["at"],
            },
        )  # fmt: skip
        store.run(sql("dispatch", "to_tell" if tell else "forget_letter"), {"effect_id": effect_id})


@contextmanager
def _ready(mailer: Mailer) -> Iterator[Callable[[Letter], str]]:
    """The channel's hand, ready for one letter now, where it can be got ready before it has one."""
    if isinstance(mailer, ReadyMailer):
        with mailer.ready() as hand_over:
            yield hand_over
    else:
        yield mailer.send


@dataclass
class _Desk:
    """Sees to one letter after the other, from several threads, and counts what came of them."""

    store: Store
    lane: Lane
    mailer: Mailer
    templates: Templates
    sender: Sender
    clock: Clock
    asked: Callable[[Mail, str], arbiter.Verdict]
    sign: Callable[[str], str]
    refresh: Refresh | None
    tell_crm: bool
    tracking: Tracking | None
    outcomes: dict[str, int] = field(default_factory=dict)
    tired: bool = False
    """No letter more for now: the channel cannot be used."""
    _in_a_row: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def see_to(self, queued: outbox.Queued) -> None:
        """Send one letter that was taken, or see to why not."""
        try:
            outcome = self._send(queued)
        except Exception as error:  # noqa: BLE001  a fault of ours in one letter stops nobody else's
            outcome = self._broken(queued, f"Keepwell met a fault of its own: {type(error).__name__}: {error}"[:500])
        with self._counting:
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def _send(self, queued: outbox.Queued) -> str:
        mail = queued.effect
        assert isinstance(mail, Mail)
        waited = seconds(self.clock) > queued.created_at
        if self.refresh is not None and waited and not plays.approved(self.store, queued.id):  # that text was seen
            renewed = self.refresh(mail)
            if isinstance(renewed, Refusal):
                return self._refused(queued, renewed)
            mail = renewed or mail
        verdict = self.asked(mail, queued.id)
        if not isinstance(verdict, arbiter.Go):
            return self._objected(queued, mail, verdict)
        try:
            letter = self._written(mail, queued.id)
        except GiveUp as failure:
            return self._given_up(queued, str(failure))
        try:
            leaving = letter
            if self.tracking is not None:  # what is noted of it is noted with the links as they were written
                leaving = tracked(self.store, letter, self.tracking, seconds(self.clock))
            with _ready(self.mailer) as hand_over:
                with self.store.atomic():  # who opts out while we ask has to wait, and is too late for this one by then
                    verdict = self.asked(mail, queued.id)
                    at = self._intend(queued, mail, letter, verdict.basis) if isinstance(verdict, arbiter.Go) else 0
                if not isinstance(verdict, arbiter.Go):
                    return self._objected(queued, mail, verdict)
                reference = hand_over(leaving)
        except Failure as failure:
            return self._failed(queued, failure)
        self._in_a_row = 0
        with self.store.atomic():
            # `settle`: were we so slow that somebody else took us for dead, we know better.
            outbox.settle(self.store, queued.id, seconds(self.clock), reference=reference)
            texts: dict[str, str | int] = {
                "subject": letter.subject, "body": letter.text, "basis": verdict.basis, "at": at,
            }  # fmt: skip
            _keep(self.store, queued.id, mail.customer_id, texts, _noted(mail), tell_crm=self.tell_crm)
        return "sent"

    def _written(self, mail: Mail, effect_id: str) -> Letter:
        """The letter as it is handed over, as a person has edited it where one has. Raises GiveUp where it cannot be."""
        sender, templates = self.sender, self.templates
        unsubscribe_url = f"{sender.public_url}/unsubscribe/{self.sign(effect_id)}"
        signer = templates.signed_by(mail.template, mail.values, sender)
        edited = self.store.row(sql("dispatch", "edited"), {"id": effect_id})
        if edited is not None:
            rendered = templates.write(
                mail.template, edited["subject"], edited["body"], sender, unsubscribe_url, signer=signer
            )
        else:
            values = {
                **mail.values, "first_name": "".join(mail.name.split()[:1]), "sender_name": signer,
                "business": sender.business,
            }  # fmt: skip
            rendered = templates.render(mail.template, values, sender, unsubscribe_url)
        host = sender.address.rpartition("@")[2] or "localhost"
        return Letter(
            f"<{effect_id}@{host}>", f"{signer} <{sender.address}>", sender.reply_to, mail.to, mail.name,
            rendered.subject, rendered.text, rendered.html, unsubscribe_url, effect_id, mail.purpose, mail.play,
            mail.contact_id,
        )  # fmt: skip

    def _intend(self, queued: outbox.Queued, mail: Mail, letter: Letter, basis: str) -> int:
        """Commit what is about to be handed over; gives when."""
        at = seconds(self.clock)
        self.store.run(
            sql("dispatch", "hand_over"),
            {
                "effect_id": queued.id, "attempt": queued.attempts, "now": at, "message_id": letter.message_id,
                "sender": letter.sender, "subject": letter.subject, "body": letter.text, "html": letter.html,
                "basis": basis, "mail": json.dumps(_noted(mail), sort_keys=True),
            },
        )  # fmt: skip
        return at

    # -- what does not leave ------------------------------------------------------------------------------------------

    def _objected(self, queued: outbox.Queued, mail: Mail, verdict: arbiter.Objection) -> str:
        now, reason = seconds(self.clock), f"{verdict.rule}: {verdict.reason}"
        refusal = Refusal(mail.customer_id, mail.play, verdict.rule, verdict.reason)
        if isinstance(verdict, arbiter.Refuse):
            return self._refused(queued, refusal)
        with self.store.atomic():
            if isinstance(verdict, arbiter.Ask):
                outbox.ask(self.store, queued.id, reason)
                plays.ask_person(self.store, queued.id, verdict.reason, now)
            else:
                outbox.hold(self.store, queued.id, max(verdict.until, now + 1), reason)
            plays.keep_refusal(self.store, refusal, now, queued.id, waits=True)
        return "asked" if isinstance(verdict, arbiter.Ask) else "waiting"

    def _refused(self, queued: outbox.Queued, refusal: Refusal) -> str:
        now = seconds(self.clock)
        with self.store.atomic():
            outbox.finish(self.store, queued.id, "refused", now, f"{refusal.rule}: {refusal.reason}")
            plays.keep_refusal(self.store, refusal, now, queued.id)
        return "refused"

    def _failed(self, queued: outbox.Queued, failure: Failure) -> str:
        now = seconds(self.clock)
        if isinstance(failure, Unsure):
            return self._in_doubt(queued, str(failure), now)
        if isinstance(failure, Held):  # nothing may leave at the moment, and nothing was tried
            self.store.run(sql("dispatch", "forget_letter"), {"effect_id": queued.id})
            outbox.hold(self.store, queued.id, now, str(failure))
            self.tired = True
            return "waiting"
        if isinstance(failure, Retry | Reconnect):
            after = failure.after if isinstance(failure, Retry) else 900
            self._in_a_row += 1
            if after is not None or self._in_a_row >= outbox.IN_A_ROW:  # the vendor said so, or looks as if
                outbox.rest(self.store, self.lane, now, after, str(failure))
                self.tired = True
            return outbox.try_later(self.store, queued, now, str(failure), after)
        outbox.finish(self.store, queued.id, "failed", now, str(failure))
        return "failed"

    def _broken(self, queued: outbox.Queued, reason: str) -> str:
        """What comes of a letter that met a fault of ours: if it may have left, nobody knows; else it is given up."""
        handed = self.store.row(sql("dispatch", "handed_over"), {"effect_id": queued.id})
        if handed is not None and handed["attempt"] == queued.attempts:
            return self._in_doubt(queued, reason, seconds(self.clock))
        return self._given_up(queued, reason)

    def _given_up(self, queued: outbox.Queued, reason: str) -> str:
        """A template or a fault of ours is in the way: it will be in that of others, so somebody is told, once."""
        outbox.finish(self.store, queued.id, "failed", seconds(self.clock), reason)
        outbox.tell_once(self.store, self.lane, seconds(self.clock), reason)
        return "failed"

    def _in_doubt(self, queued: outbox.Queued, reason: str, now: int) -> str:
        handed = self.store.row(sql("dispatch", "handed_over"), {"effect_id": queued.id})
        if self.mailer.deduplicates and handed is not None and now - handed["first_at"] < outbox.KEY_HOLDS:
            return outbox.try_later(self.store, queued, now, reason, None)  # the same key again delivers once
        outbox.finish(self.store, queued.id, "unknown", now, reason)
        return "unknown"


def _noted(mail: Mail) -> dict[str, str]:
    """Of a mail what its message says, and whose it is in the CRM."""
    return {
        "email": mail.to, "play": mail.play, "purpose": mail.purpose, "template": mail.template,
        "contact_id": mail.contact_id,
    }  # fmt: skip
