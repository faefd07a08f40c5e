"""The lane of mails: each is asked about again at the moment of sending, then written and handed over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from worker.dispatch import outbox
from worker.dispatch.letters import Sender, Templates
from worker.effects import Lane, Mail
from worker.integration import Letter, Mailer
from worker.lib.clock import Clock, seconds
from worker.lib.http import Failure, Reconnect, Retry, Unsure
from worker.lib.ids import new_id
from worker.lib.store import Store, sql
from worker.plays import arbiter, cases
from worker.plays import records as plays
from worker.plays.files import Play
from worker.plays.rules import Refusal

AT_ONCE: Final = 50
"""Mails for which the CRM is read once: so few that they have left before what it said is old."""


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
) -> dict[str, int]:
    """Empty the mail lane as far as it may be: each mail is asked about again, then sent; gives counts by outcome.

    `sign` makes the token of the unsubscribe address from an effect's id. `reread` is given the addresses of some mails
    before they leave, and takes in what the CRM says of them now: an opt-out moves no date there, so no pull brings it.
    Where it gives False, nobody knows, and the mails wait. `stop` is asked before each: whether this process is to end.
    What rests on the kinds of fact that are `not_coming_in` waits too; a play says when what it is about is over.
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

    outcomes: dict[str, int] = {}
    while not stop() and (waiting := outbox.due(store, Lane.MAIL, seconds(clock), AT_ONCE)):
        if not reread(frozenset(waiting.values())):
            break
        for effect_id in waiting:
            if stop():
                break
            queued = outbox.claim_this(store, effect_id, seconds(clock))
            if queued is not None:
                outcome = _send(store, mailer, templates, sender, clock, queued, asked, sign)
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def _send(
    store: Store, mailer: Mailer, templates: Templates, sender: Sender, clock: Clock, queued: outbox.Queued,
    asked: Callable[[Mail, str], arbiter.Verdict], sign: Callable[[str], str],
) -> str:  # fmt: skip
    mail, now = queued.effect, seconds(clock)
    assert isinstance(mail, Mail)
    verdict = asked(mail, queued.id)
    if isinstance(verdict, arbiter.Wait):
        with store.atomic():
            outbox.hold(store, queued.id, max(verdict.until, now + 1), f"{verdict.rule}: {verdict.reason}")
            refusal = Refusal(mail.customer_id, mail.play, verdict.rule, verdict.reason)
            plays.keep_refusal(store, refusal, now, queued.id, waits=True)
        return "waiting"
    if isinstance(verdict, arbiter.Ask):
        with store.atomic():
            outbox.ask(store, queued.id, f"{verdict.rule}: {verdict.reason}")
            plays.ask_person(store, queued.id, verdict.reason, now)
            refusal = Refusal(mail.customer_id, mail.play, verdict.rule, verdict.reason)
            plays.keep_refusal(store, refusal, now, queued.id, waits=True)
        return "asked"
    if isinstance(verdict, arbiter.Refuse):
        with store.atomic():
            outbox.finish(store, queued.id, "refused", now, f"{verdict.rule}: {verdict.reason}")
            refusal = Refusal(mail.customer_id, mail.play, verdict.rule, verdict.reason)
            plays.keep_refusal(store, refusal, now, queued.id)
        return "refused"
    unsubscribe_url = f"{sender.public_url}/unsubscribe/{sign(queued.id)}"
    try:
        signer = templates.signed_by(mail.template, mail.values, sender)
        values = {
            **mail.values, "first_name": "".join(mail.name.split()[:1]), "sender_name": signer,
            "business": sender.business,
        }  # fmt: skip
        rendered = templates.render(mail.template, values, sender, unsubscribe_url)
        host = sender.address.rpartition("@")[2] or "localhost"
        reference = mailer.send(
            Letter(
                f"<{queued.id}@{host}>", f"{signer} <{sender.address}>", sender.reply_to, mail.to, mail.name,
                rendered.subject, rendered.text, rendered.html, unsubscribe_url,
            )
        )  # fmt: skip
    except Failure as failure:
        return _failed(store, queued, failure, seconds(clock))
    with store.atomic():
        outbox.finish(store, queued.id, "done", seconds(clock), reference=reference)
        store.run(
            sql("dispatch", "keep_message"),
            {
                "id": new_id("msg"), "effect_id": queued.id, "customer_id": mail.customer_id, "email": mail.to,
                "play": mail.play, "purpose": mail.purpose, "template": mail.template, "subject": rendered.subject,
                "body": rendered.text, "basis": verdict.basis, "sent_at": now,
            },
        )  # fmt: skip
    return "sent"


def _failed(store: Store, queued: outbox.Queued, failure: Failure, now: int) -> str:
    if isinstance(failure, Unsure):
        outbox.finish(store, queued.id, "unknown", now, str(failure))
        return "unknown"
    if isinstance(failure, Retry | Reconnect):
        outbox.try_later(store, queued, now, str(failure), failure.after if isinstance(failure, Retry) else 900)
        return "later"
    outbox.finish(store, queued.id, "failed", now, str(failure))
    return "failed"
