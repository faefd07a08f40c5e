"""What plays and the arbiter read of a customer, and the refusals they leave. The station's door to the store."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.effects import Mail, Sms
from worker.facts import KINDS, MILLION, Shape, kind_named
from worker.lib import suppressions
from worker.lib.clock import DAY, HOUR, day_number, end_of_day, local_day, zone
from worker.lib.ids import new_id
from worker.lib.store import Row, Store, sql
from worker.plays.arbiter import BILLING
from worker.plays.files import Play, Template
from worker.plays.people import People
from worker.plays.rules import Happening, Recipient, Refusal, letter
from worker.plays.worth import Worth

SEGMENT = "plan"
"""The attribute that plays divide customers by."""
RENEWS_ON = "renews_on"
"""The attribute that holds the day of the next renewal, `2026-03-31`."""
LANGUAGE = "language"
MOBILE = "mobile"
"""The attribute that holds the number for text messages, in E.164 form (`+4930123456`)."""

POPULAR = "popular_products"
"""The switch that keeps what many customers use, as of which day."""
PRODUCT_DAYS = 60
"""Days for which use counts as present."""
SILENT_DAYS = 21
"""Days without it after which a product that was used has gone silent."""

EVIDENCE_DAYS = 30
"""How old a fact may be that a mail names."""

NEWS_DAYS = 3
"""How old a fact may be that sets a play off; older ones that only became known now are no news."""


def switch(store: Store, name: str, default: str = "") -> str:
    """What a person has set: mode, pause, the canary's finding …"""
    found = store.value("select value from switches where name = :name", {"name": name})
    return default if found is None else str(found)


def set_switch(store: Store, name: str, value: str, now: int) -> None:
    """Set it."""
    store.run(sql("plays", "set_switch"), {"name": name, "value": value, "at": now})


def address_hash(store: Store, email: str) -> str:
    """An address as suppressions keep it: salted, so that it outlives the person's erasure without naming them."""
    return suppressions.address_hash(store, email)


def suppress(store: Store, email: str, reason: str, now: int) -> None:
    """This address wants no more mail. Effective with the commit; never taken back by an import."""
    suppressions.suppress(store, email, reason, now)


def over(store: Store, customer_id: str, play: Play, now: int, *, since: int, band: str) -> str:
    """Why what sets this play off is over, or its goal reached, for this customer; "" while it is not.

    `since` is when it was set off, `band` where the customer stands now.
    """
    return (
        _no_longer_so(play, band)
        or _reached(store, customer_id, play, now, since, band)
        or _past(store, customer_id, play, now)
    )


def _no_longer_so(play: Play, band: str) -> str:
    wanted = play.when.band_turns or play.when.band
    return f"the customer is {band} again" if wanted and band and band not in wanted else ""


def _reached(store: Store, customer_id: str, play: Play, now: int, since: int, band: str) -> str:
    until = play.until
    if until is None:
        return ""
    if until.fact:
        binds = {"customer_id": customer_id, "kind": until.fact, "since": since, "now": now}
        if store.row(sql("plays", "came_since"), binds) is not None:
            return f"the goal is reached: {kind_named(until.fact).singular}"
    return f"the goal is reached: the customer is {band}" if band and band in until.band else ""


def _past(store: Store, customer_id: str, play: Play, now: int) -> str:
    unless = play.unless
    if unless is None:
        return ""
    said = []
    if unless.later:
        binds = {"customer_id": customer_id, "one": play.when.fact, "other": unless.later, "now": now}
        last = store.row(sql("plays", "last_of_two"), binds) or {}
        if (last.get("then_at") or 0) <= (last.get("first_at") or 0):
            return ""
        said.append(f"{kind_named(unless.later).singular} came later")
    if unless.none_open:
        if open_now(store, customer_id, unless.none_open, now) > 0:
            return ""
        said.append(f"no {kind_named(unless.none_open).singular} is open")
    return "; ".join(said)


def has_left(here: Row) -> bool:
    """Whether the last that happened is a departure: the same as `departed`, of one customer."""
    left_at, here_at = here["left_at"], here["here_at"] or 0
    return left_at is not None and (left_at > here_at or (left_at == here_at and here["running"] <= 0))


def departed(store: Store, now: int) -> set[str]:
    """The customers who have left and not come back."""
    return {row["customer_id"] for row in store.rows(sql("plays", "departed"), {"now": now})}


def open_now(store: Store, customer_id: str, kind: str, now: int, label: str = "") -> int:
    """How many things of that kind are open."""
    binds = {"customer_id": customer_id, "kind": kind, "label": label, "now": now}
    return int(store.value(sql("plays", "open_now"), binds)) // MILLION


def evidence(store: Store, customer_id: str, now: int, time_zone: str) -> dict[str, str]:
    """What a text may name: this customer's own facts of the last 30 local days, worded.

    For each kind seen: `<kind>_count`, `<kind>_days`, `<kind>_last_on` ("3 March"), `<kind>_last_label` and
    `<kind>_last_value`; for kinds that open and close also `<kind>_now`.
    """
    today = local_day(now, time_zone)
    words: dict[str, str] = {"as_of": day_words(now, time_zone)}
    days: dict[str, set[int]] = {}
    counts: dict[str, int] = {}
    binds = {"customer_id": customer_id, "since": today - EVIDENCE_DAYS, "today": today}
    for row in store.rows(sql("plays", "recent"), binds):  # in the order of last_at: the last one speaks
        kind = row["kind"].replace(".", "_")
        days.setdefault(kind, set()).add(row["day"])
        counts[kind] = counts.get(kind, 0) + row["n"]
        words[f"{kind}_last_on"] = day_words(row["last_at"], time_zone)
        words[f"{kind}_last_label"] = row["label"]
        words[f"{kind}_last_value"] = number_words(row["last_value"])
    words |= {f"{kind}_days": str(len(seen)) for kind, seen in days.items()}
    words |= {f"{kind}_count": str(n) for kind, n in counts.items()}
    for kind in counts:
        if kind in KINDS and KINDS[kind].shape is Shape.OPEN:
            words[f"{kind}_now"] = str(open_now(store, customer_id, kind, now))
    return {name: text for name, text in words.items() if text}


def day_words(moment: int, time_zone: str) -> str:
    """A local day as people write it: `3 March`."""
    local = datetime.fromtimestamp(moment, zone(time_zone) if time_zone else UTC)
    return f"{local.day} {local:%B}"


def number_words(value: int) -> str:
    """Millionths as people write them: `49`, `49.5`."""
    whole, rest = divmod(abs(value), MILLION)
    digits = f"{rest:06d}".rstrip("0")
    return ("-" if value < 0 else "") + str(whole) + (f".{digits}" if digits else "")


@dataclass(frozen=True, slots=True)
class News:
    """The newest fact of one kind that has just become known."""

    source_id: str
    """Of what opens and closes also when, since the same thing may open again."""
    label: str


def newly_known(
    store: Store, customer_id: str, since: int, heard: str, now: int, *, news_since: int | None = None
) -> dict[str, News]:
    """kind -> the newest fact of that kind that has been taken in since and is still news.

    `heard` tells apart what had been taken in when the customer was last looked at, at `since`: seconds cannot, since a
    delivery may arrive in the second of a look and be read after it. What was known long before is an import. What
    happened after `news_since` is news, however long ago that is: a source was down, and told nobody.
    """
    not_before = now - NEWS_DAYS * DAY
    if news_since is not None:
        not_before = min(not_before, news_since)
    binds = {"customer_id": customer_id, "since": since - HOUR, "heard": heard, "not_before": not_before, "now": now,
             "since_day": not_before // DAY - 1}  # fmt: skip
    found = {}
    for row in store.rows(sql("plays", "newly_known"), binds):
        shape = kind_named(row["kind"]).shape
        if shape is not Shape.OPEN:
            found[row["kind"]] = News(row["source_id"], row["label"])
        elif row["value"] > 0:  # that something is over sets nothing off
            found[row["kind"]] = News(f"{row['source_id']}@{row['at']}", row["label"])
    return found


# -- the customer's circumstances -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What plays look at of a customer beside what has just come in."""

    attributes: Mapping[str, tuple[str, int]]
    """name -> (newest value, since when)."""
    joined_at: int
    """When the customer came, or came back."""
    used_on: int | None
    """The last local day on which somebody there used the product, None for never."""
    used: Mapping[str, tuple[int, int]]
    """product -> (its last local day, on how many days)."""
    fired: frozenset[str]
    """`play:occasion` of all that has been set off."""


def told_of(store: Store, ids: Collection[str], now: int, today: int) -> dict[str, Told]:
    """Of each of these customers what plays look at, in a few questions however many there are.

    `today` is the latest local day of any of them.
    """
    if not ids:
        return {}
    binds: dict[str, str | int] = {"from_id": min(ids), "to_id": max(ids), "now": now, "today": today}
    attributes_of: dict[str, dict[str, tuple[str, int]]] = {one: {} for one in ids}
    used: dict[str, dict[str, tuple[int, int]]] = {one: {} for one in ids}
    done: dict[str, set[str]] = {one: set() for one in ids}
    for row in store.rows(sql("plays", "newest_attributes"), binds):
        if row["customer_id"] in attributes_of:
            attributes_of[row["customer_id"]][row["name"]] = (row["value"], row["at"])  # the last one stays
    for row in store.rows(sql("plays", "used_products"), binds):
        if row["customer_id"] in used:
            used[row["customer_id"]][row["label"]] = (row["day"], row["days"])
    for row in store.rows(sql("plays", "fired"), binds):
        if row["customer_id"] in done:
            done[row["customer_id"]].add(f"{row['play']}:{row['occasion']}")
    joined = {row["customer_id"]: row["joined_at"] for row in store.rows(sql("plays", "joinings"), binds)}
    used_on = {row["customer_id"]: row["day"] for row in store.rows(sql("plays", "last_uses"), binds)}
    return {
        one: Told(attributes_of[one], joined.get(one, 0), used_on.get(one), used[one], frozenset(done[one])) for one in ids
    }  # fmt: skip


def attributes(store: Store, customer_id: str, now: int) -> dict[str, tuple[str, int]]:
    """name -> (newest value, since when)."""
    rows = store.rows(sql("plays", "newest_attributes"), {"from_id": customer_id, "to_id": customer_id, "now": now})
    return {row["name"]: (row["value"], row["at"]) for row in rows}  # in order of time: the last one stays


def present(
    told: Told, customer_id: str, name: str, band: str, now: int, *, time_zone: str, worth: Worth, new_for: int
) -> Happening:
    """What is so of a customer now, before anything has come about: for whom plays are, and when renewals come.

    `new_for` is how many seconds after joining a customer is new.
    """
    said, today = told.attributes, local_day(now, time_zone)
    renews_on = said.get(RENEWS_ON, ("", 0))[0]
    day = _day(renews_on)
    return Happening(
        customer_id, name, now, "", band,
        renews_on=renews_on if day is not None else "",
        days_to_renewal=None if day is None else day - today,
        segment=said.get(SEGMENT, ("", 0))[0],
        lifecycle="new" if now - told.joined_at < new_for else "settled",
        worth=worth.of(said, now),
        language=said.get(LANGUAGE, ("", 0))[0].replace("_", "-").partition("-")[0].lower(),
        mobile=said.get(MOBILE, ("", 0))[0],
        last_usage_day=told.used_on,
        no_usage_for_days=None if told.used_on is None else today - told.used_on,
        done=told.fired,
    )  # fmt: skip


def _day(text: str) -> int | None:
    try:
        return day_number(text[:10]) if text else None
    except ValueError:
        return None


def with_evidence(store: Store, happening: Happening, *, time_zone: str, crm: str, people: People) -> Happening:
    """The same with what its messages may name, and whom they would go to."""
    words = evidence(store, happening.customer_id, happening.at, time_zone)
    if happening.renews_on and happening.days_to_renewal is not None:
        day = _day(happening.renews_on) or 0
        words |= {"renews_on": day_words(day * DAY, "UTC"), "days_to_renewal": str(happening.days_to_renewal)}
    words |= {
        name: value
        for name, value in (("unused_product", happening.never_used), ("silent_product", happening.gone_silent)) if value
    }  # fmt: skip
    contact = main_contact(store, happening.customer_id, crm)
    owner = people.by_id.get(str(store.value(sql("plays", "owner"), {"customer_id": happening.customer_id}) or ""))
    return replace(
        happening, evidence=words, owner_name=owner.name if owner else "", contact_id=contact["contact_id"] if contact else "",
        recipients=recipients(store, happening.customer_id, crm),
        last_acts=last_acts(store, happening.customer_id),
    )  # fmt: skip


def refreshed(
    store: Store, mail: Mail, play: Play | None, templates: Mapping[str, Template], now: int, *, time_zone: str,
    crm: str, worth: Worth, new_for: int, people: People,
) -> Mail | Refusal:  # fmt: skip
    """A message that has waited, with what it names as it is now; a refusal where nothing of it is so any more.

    It goes to the same address: where that has changed, the arbiter finds no basis for it. What rests on a source that is
    down the arbiter holds.
    """
    if play is None:
        return mail
    row = store.row(sql("plays", "here"), {"customer_id": mail.customer_id, "now": now}) or {}
    zone_name = row.get("time_zone") or time_zone
    stands = store.row(sql("plays", "stands"), {"customer_id": mail.customer_id})
    told = told_of(store, [mail.customer_id], now, local_day(now, zone_name))[mail.customer_id]
    happening = present(
        told,
        mail.customer_id,
        "",
        stands["band"] if stands else "",
        now,
        time_zone=zone_name,
        worth=worth,
        new_for=new_for,
    )
    happening = replace(
        happening, never_used=mail.values.get("unused_product", ""), gone_silent=mail.values.get("silent_product", ""),
        driver=mail.driver, rests_on={play.name: frozenset(mail.rests_on)},
    )  # fmt: skip
    happening = with_evidence(store, happening, time_zone=zone_name, crm=crm, people=people)
    if mail.step not in {name for name, _, _ in play.steps}:
        return Refusal(mail.customer_id, mail.play, "variant", f"the play has no step {mail.step!r} any more")
    found = letter(play, mail.step, templates, happening, now, sms=isinstance(mail, Sms))
    if isinstance(found, Refusal):
        return found
    return replace(
        mail, template=found.template, purpose=found.purpose, values=found.values, rests_on=found.rests_on,
        language=found.language,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Products:
    """How a customer stands to the products that many others use."""

    never_used: str = ""
    gone_silent: str = ""
    silent_since: int = 0
    """The last local day of the one that has gone silent."""


def popular_products(store: Store, today: int) -> tuple[str, ...]:
    """What at least a fifth of those who use anything have used in the last 60 days, the commonest first.

    Counted once a day: it reads everybody's use.
    """
    kept = json.loads(switch(store, POPULAR) or "{}")
    if kept.get("day") != today:
        rows = store.rows(sql("plays", "popular_products"), {"since": today - PRODUCT_DAYS, "today": today})
        most = max((row["customers"] for row in rows), default=0)
        kept = {"day": today, "labels": [row["label"] for row in rows if row["customers"] * 5 >= most and most >= 5]}
        set_switch(store, POPULAR, json.dumps(kept), today * DAY)
    return tuple(kept["labels"])


def products(told: Told, today: int, popular: Sequence[str]) -> Products:
    """The commonest product that this customer never used, and the one that has gone silent. Who uses nothing lacks all."""
    used = told.used
    if not used or max(day for day, _ in used.values()) < today - PRODUCT_DAYS:
        return Products()  # another play's matter
    silent = [
        (day, label)
        for label, (day, days) in used.items() if day < today - SILENT_DAYS and days >= 3 and label in popular
    ]  # fmt: skip
    since, gone = max(silent, default=(0, ""))
    return Products(next((one for one in popular if one not in used), ""), gone, since)


def keep_fired(store: Store, customer_id: str, play: str, occasion: str, now: int) -> None:
    """Note that a play was set off; on the same occasion it is not again."""
    binds = {"customer_id": customer_id, "play": play, "occasion": occasion, "at": now}
    store.run(sql("plays", "fire"), binds)


def tasks_on(store: Store, owner: str, day: int, time_zone: str) -> int:
    """How many tasks of ours somebody has been given for one local day."""
    binds = {"owner": owner, "from": end_of_day(day - 1, time_zone) + 1, "until": end_of_day(day, time_zone) + 1}
    return int(store.value(sql("plays", "tasks_of_day"), binds))


def main_contact(store: Store, customer_id: str, crm: str) -> Row | None:
    """The one CRM contact that stands for a customer: of several, the oldest, which has the shortest, lowest id."""
    found = store.rows(sql("plays", "contacts_of"), {"customer_id": customer_id, "source": crm})
    return min(found, key=lambda row: (len(row["contact_id"]), row["contact_id"]), default=None)


def other_contacts(store: Store, customer_id: str, crm: str, main: str) -> list[str]:
    """The customer's CRM contacts beside the main one."""
    found = store.rows(sql("plays", "contacts_of"), {"customer_id": customer_id, "source": crm})
    return sorted(row["contact_id"] for row in found if row["contact_id"] != main)


def recipients(store: Store, customer_id: str, crm: str) -> dict[str, Recipient]:
    """role -> whom to write to. The main person is the one on the CRM contact; the billing person and the champion must be
    in the CRM too, since that is where the basis for writing is recorded.
    """
    people = store.rows(sql("plays", "people_of"), {"customer_id": customer_id})
    found: dict[str, Recipient] = {}
    contact = main_contact(store, customer_id, crm)
    if contact and contact["email"]:
        name = next((row["name"] for row in people if row["email"] == contact["email"]), "")
        found["main"] = Recipient(contact["email"], name)
    for row in people:
        if row["role"] in ("billing", "champion") and store.rows(sql("plays", "opt_ins"), {"email": row["email"]}):
            found.setdefault(row["role"], Recipient(row["email"], row["name"]))
    return found


def last_acts(store: Store, customer_id: str) -> dict[str, int]:
    """play -> when it last did something for this customer."""
    return {row["play"]: row["at"] for row in store.rows(sql("plays", "last_acts"), {"customer_id": customer_id})}


def keep_refusal(
    store: Store, refusal: Refusal, now: int, effect_id: str | None = None, *, waits: bool = False
) -> None:
    """Record what was not done, or waits, and why. That one rule holds one effect is recorded once."""
    if waits and store.row(sql("plays", "waits_already"), {"effect_id": effect_id, "rule": refusal.rule}):
        return
    store.run(
        sql("plays", "refuse"),
        {
            "id": new_id("ref"), "customer_id": refusal.customer_id, "effect_id": effect_id, "play": refusal.play,
            "rule": refusal.rule, "reason": refusal.reason, "at": now, "outcome": "waits" if waits else "refused",
        },
    )  # fmt: skip


def approved(store: Store, effect_id: str) -> bool:
    """Whether a person has said that this message is to be sent, as it is or as they wrote it."""
    said = store.row(sql("plays", "approval"), {"effect_id": effect_id})
    return said is not None and said["decision"] == "send"


def over_now(store: Store, customer_id: str, play: Play, set_off_at: int, now: int) -> Refusal | None:
    """What speaks against an act of a play that was set off then: it is over, or its goal reached; None for nothing."""
    stands = store.row(sql("plays", "stands"), {"customer_id": customer_id})
    here = store.row(sql("plays", "here"), {"customer_id": customer_id, "now": now})
    if here is None or here["merged_into"] or has_left(here):
        return Refusal(customer_id, play.name, "identity", "no longer a customer")
    why = over(store, customer_id, play, now, since=set_off_at, band=stands["band"] if stands else "")
    return Refusal(customer_id, play.name, "dunning" if play.priority == BILLING else "goal", why) if why else None


def ask_person(store: Store, effect_id: str, why: str, now: int) -> None:
    """Note that a person is to see this message first."""
    store.run(sql("plays", "ask_person"), {"effect_id": effect_id, "why": why, "now": now})


def unwanted(store: Store, mail: Mail, now: int) -> str:
    """Why the address wants no mail of this purpose or topic, or none just now; "" where it does (worker/preferences.py)."""
    binds = {"address_hash": address_hash(store, mail.to), "purpose": mail.purpose, "topic": mail.topic, "now": now}
    row = store.row(sql("desk", "preference"), binds)
    if row is None:
        return ""
    if row["topic"]:
        return f"the address wants nothing of {row['topic'].replace('-', ' ')}"
    return f"the address has paused its mails until {day_words(row['until'], 'UTC')}"
