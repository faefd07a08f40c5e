"""What plays and the arbiter read of a customer, and the refusals they leave. The station's door to the store."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from worker.effects import Mail
from worker.facts import KINDS, MILLION, Shape
from worker.lib import suppressions
from worker.lib.clock import DAY, HOUR, local_day, zone
from worker.lib.ids import new_id
from worker.lib.store import Row, Store, sql
from worker.plays.arbiter import Case, Rules
from worker.plays.rules import Play, Recipient, Refusal

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


def case(
    store: Store, mail: Mail, rules: Rules, now: int, *, time_zone: str, effect_id: str = "",
    play: Play | None = None, not_coming_in: Collection[str] = (),
) -> Case:  # fmt: skip
    """Read all that the arbiter asks about, as of now; `play` is the mail's, None where there is none any more.

    `not_coming_in` are the kinds of fact whose source is down.
    """
    binds = {"customer_id": mail.customer_id, "email": mail.to, "now": now, "effect_id": effect_id}
    here = store.row(sql("plays", "here"), {"customer_id": mail.customer_id, "now": now})
    local = datetime.fromtimestamp(now, zone((here["time_zone"] if here else "") or time_zone))
    hashed = {"address_hash": address_hash(store, mail.to)}
    return Case(
        now=now,
        mode=switch(store, "mode", "watch"),
        paused=switch(store, "paused") == "yes",
        expires_at=mail.expires_at,
        customer_here=here is not None and not here["merged_into"] and not has_left(here),
        statuses=tuple(
            (row["opt_in"], bool(row["may_mail"])) for row in store.rows(sql("plays", "opt_ins"), {"email": mail.to})
        ),
        suppressed=store.value(sql("plays", "suppressed"), hashed) or "",
        last_mail_at=store.value(sql("plays", "last_mail"), binds),
        open_urgent_tickets=sum(
            max(0, open_now(store, mail.customer_id, "open_ticket", now, label)) for label in rules.urgent_labels
        ),
        open_disputes=open_now(store, mail.customer_id, "open_dispute", now),
        minute_of_day=local.hour * 60 + local.minute,
        not_coming_in=tuple(kind for kind in mail.rests_on if kind in not_coming_in),
        over=over(store, mail.customer_id, play, now) if play else "",
    )


def over(store: Store, customer_id: str, play: Play, now: int) -> str:
    """Why what sets this play off is over for this customer, "" while it is not."""
    unless = play.unless
    if unless is None:
        return ""
    said = []
    if unless.later:
        binds = {"customer_id": customer_id, "one": play.when.fact, "other": unless.later, "now": now}
        last = store.row(sql("plays", "last_of_two"), binds) or {}
        if (last.get("then_at") or 0) <= (last.get("first_at") or 0):
            return ""
        said.append(f"{KINDS[unless.later].singular} came later")
    if unless.none_open:
        if open_now(store, customer_id, unless.none_open, now) > 0:
            return ""
        said.append(f"no {KINDS[unless.none_open].singular} is open")
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


def newly_known(
    store: Store, customer_id: str, since: int, heard: str, now: int, *, news_since: int | None = None
) -> dict[str, str]:
    """kind -> source id of the newest fact of that kind that has been taken in since and is still news.

    `heard` tells apart what had been taken in when the customer was last looked at, at `since`: seconds cannot, since a
    delivery may arrive in the second of a look and be read after it. What was known long before is an import. What
    happened after `news_since` is news, however long ago that is: a source was down, and told nobody.
    """
    not_before = now - NEWS_DAYS * DAY
    if news_since is not None:
        not_before = min(not_before, news_since)
    binds = {"customer_id": customer_id, "since": since - HOUR, "heard": heard, "not_before": not_before, "now": now,
             "since_day": not_before // DAY - 1}  # fmt: skip
    return {row["kind"]: row["source_id"] for row in store.rows(sql("plays", "newly_known"), binds)}


def main_contact(store: Store, customer_id: str, crm: str) -> Row | None:
    """The one CRM contact that stands for a customer: of several, the oldest, which has the shortest, lowest id."""
    found = store.rows(sql("plays", "contacts_of"), {"customer_id": customer_id, "source": crm})
    return min(found, key=lambda row: (len(row["contact_id"]), row["contact_id"]), default=None)


def other_contacts(store: Store, customer_id: str, crm: str, main: str) -> list[str]:
    """The customer's CRM contacts beside the main one."""
    found = store.rows(sql("plays", "contacts_of"), {"customer_id": customer_id, "source": crm})
    return sorted(row["contact_id"] for row in found if row["contact_id"] != main)


def recipients(store: Store, customer_id: str, crm: str) -> dict[str, Recipient]:
    """role -> whom to write to. The main person is the one on the CRM contact; the billing person must be in the CRM
    too, since that is where the basis for writing is recorded.
    """
    people = store.rows(sql("plays", "people_of"), {"customer_id": customer_id})
    found: dict[str, Recipient] = {}
    contact = main_contact(store, customer_id, crm)
    if contact and contact["email"]:
        name = next((row["name"] for row in people if row["email"] == contact["email"]), "")
        found["main"] = Recipient(contact["email"], name)
    for row in people:
        if row["role"] == "billing" and store.rows(sql("plays", "opt_ins"), {"email": row["email"]}):
            found.setdefault("billing", Recipient(row["email"], row["name"]))
    return found


def last_acts(store: Store, customer_id: str) -> dict[str, int]:
    """play -> when it last did something for this customer."""
    return {row["play"]: row["at"] for row in store.rows(sql("plays", "last_acts"), {"customer_id": customer_id})}


def segment(store: Store, customer_id: str, attribute: str, now: int) -> str:
    """The customer's segment: the newest value of the attribute that the workspace divides by."""
    binds = {"customer_id": customer_id, "name": attribute, "now": now}
    return str(store.value(sql("plays", "segment"), binds) or "")


def keep_refusal(store: Store, refusal: Refusal, now: int, effect_id: str | None = None) -> None:
    """Record what was not done, and why."""
    store.run(
        sql("plays", "refuse"),
        {
            "id": new_id("ref"), "customer_id": refusal.customer_id, "effect_id": effect_id, "play": refusal.play,
            "rule": refusal.rule, "reason": refusal.reason, "at": now,
        },
    )  # fmt: skip
