"""A small business on the day that is lived again and again: who its customers are, and what happens to each that day."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from worker.lib.clock import DAY, HOUR, iso
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.stripe import PretendStripe

TODAY: Final = 1_767_225_600 + 30 * DAY + 12 * HOUR
"""2026-01-31T12:00:00Z, a Saturday."""
YESTERDAY: Final = TODAY - DAY

CARD: Final = """\
name = "Small"
goal = "Turn within a day"
leaving = ["left by choice"]

[measures.active_days]
read = "days with usage in the last 7 days"
sliding = "0 -> 0, 5 -> 100"
says = "active on {value} of the last 7 days"
do = "usage-drop"

[measures.unpaid_invoices]
read = "number of unpaid invoices now"
points = ["0 -> 100", "otherwise -> 0"]
says = "unpaid invoices: {value}"
do = "failed-payment"

[dimensions.adoption]
share = 90
measures = { active_days = 100 }

[dimensions.money]
share = 10
measures = { unpaid_invoices = 100 }

[rules.about-to-leave]
when = "number of planned cancellations now >= 1"
at_most = "red"
because = "a subscription is set to end"

[rules.invoice-unpaid]
when = "unpaid_invoices >= 1"
at_most = "yellow"
because = "an invoice is unpaid"

[bands]
green = "70 and up"
yellow = "40 and up"
unknown_if_known_less_than = "50%"
"""

CONFIG: Final = """\
[workspace]
name = "Crash Software"
sender_name = "Cleo"
sender_address = "cleo@crash.example"
postal_address = "1 Crash Lane, London"
scorecard = "card.toml"
database_schema = "{schema}"

[schedule]
pull_every = "1 day"

[server]
threads = 4

[outreach]
check_sender = false
mailer = "smtp"
alerts = "slack"

[integrations.keap]
base_url = "{keap}"
key_env = "KEAP_KEY"

[integrations.stripe]
base_url = "{stripe}"
key_env = "STRIPE_KEY"
webhook_secret_env = "STRIPE_WEBHOOK_SECRET"

[integrations.slack]
url_env = "SLACK_URL"

[integrations.smtp]
host = "127.0.0.1"
port = {smtp}
tls = "none"
connections = 2
"""
CONNECTIONS: Final = 2
"""So many mails may be on their way when the worker is killed."""

USED: Final = {
    "steady": range(1, 12), "falls": range(4, 12), "sinks": (6, 7, *range(11, 14)), "climbs": (1, 2, 3, *range(11, 14)),
}  # fmt: skip
"""The days before today on which somebody used the product."""
PARTS: Final = (
    "falls", "falls", "sinks", "climbs", "climbs", "fails", "fails", "leaves", "leaves", "refuses", "edited", "steady",
)  # fmt: skip
"""What today does to each: `falls` green to yellow, `sinks` yellow to red, `climbs` to green, `fails` to pay, `leaves`
at the end of the period, `refuses` mail and falls, is `edited` by hand."""
USES_TODAY: Final = ("climbs", "fails", "leaves", "edited", "steady")


@dataclass(frozen=True)
class Customer:
    """One of them."""

    part: str
    email: str
    contact_id: str
    subscription: str


def enter(keap: PretendKeap, stripe: PretendStripe, seed: int) -> list[Customer]:
    """The customers as both vendors have had them for long; who plays which part is drawn."""
    parts = [*PARTS]
    random.Random(seed).shuffle(parts)
    keap.ensure_field("Account notes", "TEXT")
    customers = []
    for number, part in enumerate(parts):
        name, email = f"Acme {number}", f"ann{number}@acme{number}.example"
        notes = {"Account notes": f"Likes tea no. {number}"}
        contact = keap.add_contact(
            "Ann", "Berger", email, company=name, custom_fields=notes, tags=["VIP"], owner_id="1"
        )
        customer = stripe.add_customer(name, email, {"keap_id": contact}, TODAY - 200 * DAY)
        subscription = stripe.subscribe(customer, "Team", 4900, at=TODAY - 15 * DAY)
        customers.append(Customer(part, email, contact, subscription))
    return customers


def past(customers: list[Customer]) -> list[dict[str, Any]]:
    """How they used the product until yesterday, for the API."""
    return [
        _used(one, ago)
        for one in customers
        for ago in USED.get({"refuses": "falls"}.get(one.part, one.part), USED["steady"])
    ]


def today(customers: list[Customer]) -> list[dict[str, Any]]:
    """Who uses it today."""
    return [_used(one, 0) for one in customers if one.part in USES_TODAY]


def _used(one: Customer, ago: int) -> dict[str, Any]:
    at = TODAY - ago * DAY - 3 * HOUR
    return {"event_id": f"{one.email}-{ago}", "kind": "usage", "at": iso(at), "email": one.email, "label": "reports"}


def happen(customers: list[Customer], keap: PretendKeap, stripe: PretendStripe) -> None:
    """What happens to them at the vendors today; Stripe's webhooks of it wait to be delivered."""
    for one in customers:
        if one.part == "fails":
            stripe.bill(one.subscription, decline="card_declined")
        elif one.part == "leaves":
            stripe.cancel(one.subscription, at_period_end=True)
        elif one.part == "refuses":
            keap.set_opt_status(one.contact_id, "MANUAL")
        elif one.part == "edited":
            keap.edit_field(one.contact_id, "Account notes", "Likes coffee now")
            keap.human_tag(one.contact_id, "Asked for coffee")
