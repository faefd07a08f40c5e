"""The arbiter's cases: all that it asks about one message, read as of now. A door of the station to the store."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Final

from worker.effects import Mail, Sms
from worker.lib.clock import DAY, zone
from worker.lib.store import Row, Store, sql
from worker.plays import records, sending, trials
from worker.plays.arbiter import BILLING, MARKETING, MINUTE, TRANSACTIONAL, Case, Rules
from worker.plays.files import Play
from worker.plays.records import address_hash, has_left, open_now, switch, unwanted

CONSENT_TO_SMS: Final = "sms_opt_in"
"""The attribute that holds somebody's consent to text messages: yes, true or 1."""
COUNTED_FOR: Final = 30 * DAY
TOGETHER: Final = 15 * MINUTE
"""A mail of ours that the CRM's history shows as well is one mail: they lie closer together than this."""
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def case(
    store: Store, mail: Mail, rules: Rules, now: int, *, time_zone: str, effect_id: str = "",
    play: Play | None = None, not_coming_in: Collection[str] = (), planned: bool = False,
) -> Case:  # fmt: skip
    """Read all that the arbiter asks about; `play` is the mail's, None where there is none any more.

    `not_coming_in` are the kinds of fact whose source is down. `planned` says that it is asked before it is queued: then a
    mode that only shows or holds bars nothing. Raises LookupError, TypeError or ValueError for what cannot be read.
    """
    customer_id, transactional = mail.customer_id, mail.purpose == TRANSACTIONAL
    binds: dict[str, str | int] = {
        "customer_id": customer_id, "email": mail.to, "now": now, "effect_id": effect_id, "play": mail.play,
    }  # fmt: skip
    here = store.row(sql("plays", "here"), {"customer_id": customer_id, "now": now})
    local = datetime.fromtimestamp(now, zone((here["time_zone"] if here else "") or time_zone))
    stands = store.row(sql("plays", "stands"), {"customer_id": customer_id})
    this = store.row(sql("plays", "this_effect"), {"id": effect_id}) if effect_id else None
    since = this["created_at"] if this else now
    over = (
        records.over(store, customer_id, play, now, since=since, band=stands["band"] if stands else "") if play else ""
    )
    opt_ins = store.rows(sql("plays", "opt_ins"), {"email": mail.to})
    tags = {tag for row in opt_ins for tag in json.loads(row["tags"])} & set(rules.stop_tags)
    doubt = store.row(sql("plays", "in_doubt"), binds)
    unsteady, steady_at = _unsteady(store, play, stands, now)
    wanted, why = _approval(store, mail, rules, now, stands, effect_id)
    billing = play is not None and play.priority == BILLING
    known_for = sending.reputation(store, mail.play, now, sender=rules.check_sender and not isinstance(mail, Sms))
    return Case(
        now=now, expires_at=mail.expires_at, purpose=mail.purpose,
        barred=_barred(store, mail, rules, planned=planned),
        paused=switch(store, "paused") == "yes",
        not_coming_in=tuple(kind for kind in mail.rests_on if kind in not_coming_in),
        stranger=_stranger(here, mail, rules),
        statuses=_statuses(store, mail, opt_ins, now),
        stopped=store.value(sql("plays", "suppressed"), {"address_hash": address_hash(store, mail.to)})
        or unwanted(store, mail, now),
        troubles=tuple(_troubles(store, customer_id, rules, now, tags, lenient=transactional)),
        promotion_amiss=_promotion_amiss(store, customer_id, mail, now),
        person_until=_person_until(store, customer_id, rules, now),
        settled=over if billing else "",
        unsteady=unsteady, steady_at=steady_at,
        known=int(Decimal(stands["coverage"]) * 100) if stands and play and play.when.main_driver else 100,
        mails=_mails(store, {**binds, "since": now - COUNTED_FOR}),
        outranked_by=_outranked_by(store, mail, rules, {**binds, "until": now + DAY}),
        minute_of_day=local.hour * 60 + local.minute,
        day_is_closed=local.date().isoformat() in rules.closed_days or _WEEKDAYS[local.weekday()] in rules.closed_days,
        approval=wanted, approval_why=why,
        over="" if billing else over,
        acted_at=store.value(sql("plays", "acted_before"), {**binds, "before": since}),
        cool_down=play.at_most_every * DAY if play else 0,
        reputation=known_for.state, reputation_why=known_for.reason,
        in_doubt=f"nobody knows whether the last one to {doubt['target']} arrived" if doubt else "",
        held_out=trials.holds_back(store, mail.play, customer_id, since),
    )  # fmt: skip


def _barred(store: Store, mail: Mail, rules: Rules, *, planned: bool) -> str:
    mode = switch(store, "mode", "watch")
    if rules.only_to and not _listed(mail.to, rules.only_to):
        return f"{mail.to} is not on the trial's list (only_to)"
    if mode == "live" or (planned and mode in ("draft", "approve")):
        return ""
    if mode == "approve":
        kinds = {row["kind"] for row in store.rows(sql("plays", "released"))}
        return "" if f"play:{mail.play}" in kinds else f"the play {mail.play} has not been released"
    return f"the workspace is in {mode}"


def _listed(address: str, entries: Collection[str]) -> bool:
    whole = address.strip().casefold()
    return any(whole == one.casefold() or (one.startswith("@") and whole.endswith(one.casefold())) for one in entries)


def _stranger(here: Row | None, mail: Mail, rules: Rules) -> str:
    if here is None or here["merged_into"] or has_left(here):
        return "no longer a customer"
    return f"{mail.to} is one of our own addresses" if _listed(mail.to, rules.internal) else ""


def _statuses(store: Store, mail: Mail, opt_ins: Collection[Row], now: int) -> tuple[tuple[str, bool, bool], ...]:
    if isinstance(mail, Sms):
        said = records.attributes(store, mail.customer_id, now).get(CONSENT_TO_SMS, ("", 0))[0]
        agreed = said.strip().casefold() in {"yes", "true", "1"}
        return ((f"{CONSENT_TO_SMS} {said}", agreed, agreed),) if said else ()
    return tuple((row["opt_in"], bool(row["may_mail"]), bool(row["may_serve"])) for row in opt_ins)


def _troubles(
    store: Store, customer_id: str, rules: Rules, now: int, tags: Collection[str], *, lenient: bool
) -> list[str]:
    """What a person has to see to first; of a transactional message, only what stands against any message."""
    found = []
    if any(open_now(store, customer_id, "open_ticket", now, label) > 0 for label in rules.urgent_labels):
        found.append("an urgent ticket is open")
    if open_now(store, customer_id, "open_dispute", now) > 0:
        found.append("a charge is disputed")
    if tags:
        found.append(f"the contact carries a tag that says stop ({', '.join(sorted(tags))})")
    if lenient:
        return found
    if open_now(store, customer_id, "cancellation_planned", now) > 0:
        found.append("a cancellation is under way")
    refunded = store.value(sql("plays", "last_of_kind"), {"customer_id": customer_id, "kind": "refund", "now": now})
    if refunded is not None and now - refunded < rules.after_refund:
        found.append("money was given back lately")
    return found


def _promotion_amiss(store: Store, customer_id: str, mail: Mail, now: int) -> str:
    if mail.purpose != MARKETING or open_now(store, customer_id, "open_ticket", now) <= 0:
        return ""
    return "a ticket is open, so nothing promotional is sent"


def _person_until(store: Store, customer_id: str, rules: Rules, now: int) -> int | None:
    last = store.value(sql("plays", "last_word_of_a_person"), {"customer_id": customer_id, "now": now})
    return None if last is None else int(last) + rules.after_person


def _unsteady(store: Store, play: Play | None, stands: Row | None, now: int) -> tuple[str, int]:
    if play is None or stands is None or not (play.when.band_turns or play.when.band_left):
        return "", 0
    waiting = stands["waiting"]
    if waiting and waiting != stands["band"] and play.when.band_turns and waiting not in play.when.band_turns:
        return f"the band is about to turn to {waiting}", now + DAY
    since = store.value(sql("plays", "card_since"))
    if since is not None and now - since < DAY:
        return "the scorecard was changed less than a day ago", since + DAY
    return "", 0


def _mails(store: Store, binds: dict[str, str | int]) -> tuple[int, ...]:
    """When mails went; what lies close together is one that is on record twice."""
    found: list[int] = []
    for row in store.rows(sql("plays", "mails_since"), binds):
        if not found or row["at"] - found[-1] > TOGETHER:
            found.append(row["at"])
    return tuple(found)


def _outranked_by(store: Store, mail: Mail, rules: Rules, binds: dict[str, str | int]) -> str:
    mine = rules.ranks.get(mail.play, len(rules.ranks))
    others = [row["play"] for row in store.rows(sql("plays", "others_waiting"), binds)]
    above = [one for one in others if rules.ranks.get(one, len(rules.ranks)) < mine]
    return min(above, key=lambda one: (rules.ranks.get(one, 0), one), default="")


def _approval(store: Store, mail: Mail, rules: Rules, now: int, stands: Row | None, effect_id: str) -> tuple[str, str]:
    """(wanted, given or denied; why), "" where nobody needs to see it."""
    said = store.row(sql("plays", "approval"), {"effect_id": effect_id}) if effect_id else None
    if said and said["decision"]:
        given = said["decision"] == "send"
        return ("given", "") if given else ("denied", f"a person said no: {said['note'] or 'without a reason'}")
    why = _to_be_seen(store, mail, rules, now, stands)
    return ("wanted", why) if why else ("", "")


def _to_be_seen(store: Store, mail: Mail, rules: Rules, now: int, stands: Row | None) -> str:
    if rules.approve_all:
        return "every message is seen by a person first"
    if stands and stands["band"] in rules.approve_bands:
        return f"messages to {stands['band']} customers are seen by a person first"
    if rules.approve_worth_from:
        worth = rules.worth.of(records.attributes(store, mail.customer_id, now), now)
        if worth is not None and worth >= rules.approve_worth_from:
            return f"customers worth {rules.approve_worth_from} a month or more: seen by a person first"
    if rules.approve_first:
        sent = int(store.value(sql("plays", "sent_of_template"), {"template": mail.template}))
        if sent < rules.approve_first:
            return f"one of the first {rules.approve_first} sends of {mail.template}"
    return ""


def fleet_alarm(store: Store, percent: int, now: int) -> str:
    """Why everything waits: more than so many of a hundred customers turned within a day; "" where all is well.

    Of fewer than twenty customers nothing can be told.
    """
    row = store.row(sql("plays", "fleet"), {"since": now - DAY, "now": now}) or {"customers": 0, "turned": 0}
    if row["customers"] < 20 or row["turned"] * 100 <= row["customers"] * percent:
        return ""
    return f"{row['turned']} of {row['customers']} customers turned within a day: something may be wrong with the data"
