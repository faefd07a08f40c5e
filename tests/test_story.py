"""The whole river, told once: from a customer's doings at the vendors to the CRM, the mailbox and the team.

Everything is real but the vendors, who are pretend ones on loopback: signed webhooks go through the web app, pulls
through the pooled connections, mails through SMTP.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import POSTGRES, START
from worker import check, controls, setup
from worker.app import create_app
from worker.lib.clock import DAY, HOUR, VirtualClock, iso
from worker.lib.store import PostgresStore
from worker.river import Turn, turn
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.loopback import Loopback
from worker.sandbox.servers.mailbox import Mailbox
from worker.sandbox.servers.slack import PretendSlack
from worker.sandbox.servers.stripe import PretendStripe
from worker.sandbox.servers.zendesk import PretendZendesk
from worker.web import auth
from worker.workspace import Workspace, open_workspace

MORNING = 10 * HOUR

CONFIG = """\
[workspace]
name = "Story Software"
sender_name = "Cleo"
sender_address = "cleo@story.example"
postal_address = "1 Story Lane, London"

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

[integrations.zendesk]
base_url = "{zendesk}"
email = "sam@sandbox.example"
token_env = "ZENDESK_TOKEN"
webhook_secret_env = "ZENDESK_WEBHOOK_SECRET"

[integrations.slack]
url_env = "SLACK_URL"

[integrations.smtp]
host = "127.0.0.1"
port = {smtp}
tls = "none"
"""


@dataclass
class Stage:
    """The vendors, the business, and Keepwell between them."""

    clock: VirtualClock
    keap: PretendKeap
    stripe: PretendStripe
    zendesk: PretendZendesk
    slack: PretendSlack
    mailbox: Mailbox
    workspace: Workspace
    url: str
    key: str
    usage: int = 0

    def use(self, email: str, days: range, *, feature: str = "reports") -> None:
        """The product tells of a use a day, at noon, so many days before today."""
        events = []
        for ago in days:
            self.usage += 1
            at = iso(int(self.clock.now()) // DAY * DAY - ago * DAY + 9 * HOUR)
            events.append(
                {"event_id": f"use-{self.usage}", "kind": "usage", "at": at, "email": email, "label": feature}
            )
        self.post(events)

    def post(self, events: list[dict[str, Any]]) -> None:
        """Post product events, as Make or the product itself would."""
        answer = requests.post(f"{self.url}/api/v1/events", json=events, headers={"X-API-Key": self.key}, timeout=30)
        assert answer.status_code == 202, answer.text

    def shown(self, contact_id: str) -> tuple[set[str], dict[str, Any]]:
        """What Keap shows of a contact, by Keap's own record: (tags, fields)."""
        return self.keap.tags_of(contact_id), self.keap.field_values(contact_id)

    def next_day(self, days: int = 1) -> Turn:
        """Sleep, and turn the wheel in the morning."""
        self.clock.move_to((int(self.clock.now()) // DAY + days) * DAY + MORNING)
        return turn(self.workspace)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.prove)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    clock = VirtualClock(START + MORNING)
    keap, stripe, zendesk, slack = PretendKeap(clock), PretendStripe(clock), PretendZendesk(clock), PretendSlack(clock)
    mailbox = Mailbox(clock)
    vendors = (keap, stripe, zendesk, slack)
    for vendor in vendors:
        vendor.start()
    mailbox.start()
    environ = {
        "KEAP_KEY": keap.key, "STRIPE_KEY": stripe.key, "STRIPE_WEBHOOK_SECRET": "whsec_story",
        "ZENDESK_TOKEN": zendesk.token, "ZENDESK_WEBHOOK_SECRET": "story", "SLACK_URL": slack.webhook_url,
    }  # fmt: skip
    text = CONFIG.format(
        keap=keap.base_url, stripe=stripe.base_url, zendesk=zendesk.base_url, smtp=mailbox.port
    )  # fmt: skip
    if request.param == "postgresql":
        schema = f"test_{secrets.token_hex(8)}"
        text = text.replace("[outreach]", f'database_schema = "{schema}"\n\n[outreach]', 1)
        environ["DATABASE_URL"] = POSTGRES
        request.getfixturevalue("postgres_store")  # skips, or fails in CI, where no server answers
    (tmp_path / "config.toml").write_text(text, "utf-8")
    setup.migrate(tmp_path, environ)
    workspace = open_workspace(tmp_path, environ, clock)
    app = create_app(workspace)
    server = Loopback(app, "story", threads=8)
    key = auth.create_key(workspace.store, "product", int(clock.now()))
    yield Stage(clock, keap, stripe, zendesk, slack, mailbox, workspace, server.url, key)
    server.stop()
    app.extensions["receiver"].close()
    if isinstance(workspace.store, PostgresStore):
        workspace.store.drop()
    workspace.close()
    for vendor in vendors:
        vendor.stop()
    mailbox.stop()


def test_a_customer_falls_silent_and_fails_to_pay_and_is_seen_tagged_and_written_to_once(stage: Stage) -> None:
    """A customer uses the product less, then a payment fails: CRM, mailbox and team each hear of it, once."""
    keap, stripe, clock = stage.keap, stage.stripe, stage.clock
    keap.ensure_field("Account notes", "TEXT")
    ann = keap.add_contact(
        "Ann", "Berger", "ann@acme.example", company="Acme", custom_fields={"Account notes": "Likes tea"}, tags=["VIP"]
    )
    bo = keap.add_contact("Bo", "Chen", "bo@bright.example", company="Bright")
    customer = stripe.add_customer("Acme", "ann@acme.example", {"keap_id": ann}, START - 200 * DAY)
    subscription = stripe.subscribe(customer, "Team", 4900, at=START - 90 * DAY)
    stripe.add_customer("Bright", "bo@bright.example", {"keap_id": bo}, START - 200 * DAY)
    stage.use("ann@acme.example", range(30, 90))
    stage.use("ann@acme.example", range(12, 30, 3))
    stage.use("bo@bright.example", range(90))

    # In `watch` Keepwell reads and scores, and nobody outside can tell.
    assert stage.workspace.mode == "watch"
    first = turn(stage.workspace)
    assert first.silent
    assert first.assessed.customers == 2
    assert first.troubles == {}
    turn(stage.workspace, everyone=True)
    assert (keap.writes(), stripe.writes(), stage.zendesk.writes()) == (0, 0, 0)
    assert (stage.mailbox.messages, stage.slack.messages) == ([], [])

    # One contact is tried before any is written to; then the business goes live.
    assert check.check(stage.workspace, ann).findings == []
    controls.set_mode(stage.workspace, "live")
    controls.release_backfill(stage.workspace)
    before = stage.shown(ann)
    went_live = stage.next_day()

    tags, fields = stage.shown(ann)
    assert tags == {"VIP", "Health: yellow"}
    assert fields["Account notes"] == "Likes tea"
    assert (fields["Health band"], int(fields["Health score"])) == ("yellow", 63)
    assert "active on 6 of the last 30 days" in fields["Health reason"]
    assert stage.shown(bo)[0] == {"Health: green"}
    assert stage.mailbox.messages == []  # nobody has changed band: no news, no mail

    # A second turn finds everything as it should be, and writes nothing.
    calls = keap.writes()
    again = turn(stage.workspace, everyone=True)
    assert (keap.writes(), again.written.contacts, again.assessed.changes) == (calls, 0, 0)

    # The payment fails, and Stripe says so at once, twice; the wheel turns without asking anybody.
    stripe.hook_to(f"{stage.url}/hooks/stripe", "whsec_story")
    stripe.bill(subscription, decline="card_declined")
    stripe.deliver_hooks(duplicate=1.0)
    assert (stripe.hooks_sent, stripe.hooks_accepted) == (stripe.hooks_accepted, stripe.hooks_accepted)
    urgent = turn(stage.workspace, kind="urgent", pulls=False)
    assert urgent.taken.urgent

    [mail] = stage.mailbox.messages
    assert (mail.to, "did not go through" in mail.subject) == ("ann@acme.example", True)
    assert "List-Unsubscribe=One-Click" in mail.headers["list-unsubscribe-post"]
    for told in (mail.subject, mail.text, mail.html):
        assert "yellow" not in told
        assert "score" not in told.lower()
    assert "an invoice is unpaid" in stage.shown(ann)[1]["Health reason"]
    turn(stage.workspace)  # the pull brings the same news again
    assert len(stage.mailbox.messages) == 1

    # She cancels. The team hears of it within the same turn, and the contact turns red; no second mail within a week.
    stripe.cancel(subscription, at_period_end=True)
    stripe.deliver_hooks()
    turn(stage.workspace, kind="urgent", pulls=False)
    tags, fields = stage.shown(ann)
    assert tags == {"VIP", "Health: red"}
    [alert] = stage.slack.messages
    assert "Acme" in alert.text
    assert "red" in alert.text
    assert len(stage.mailbox.messages) == 1

    # Everything that was written since going live can be put back, run by run, newest first.
    runs = controls.runs_that_wrote(stage.workspace.store)
    for run in runs:
        controls.undo(stage.workspace, run["run_id"], dry_run=False)
    assert stage.shown(ann) == before
    assert stage.workspace.paused
    assert keap.foreign_losses("Keepwell", set(stage.workspace.config.crm.fields.values())) == 0
    assert went_live.run_id in {run["run_id"] for run in runs}
    assert clock.now() > START


def test_a_customer_who_unsubscribes_is_not_written_to_again(stage: Stage) -> None:
    """One click by POST ends the mails, before the next one leaves; looking at the link changes nothing."""
    keap, stripe = stage.keap, stage.stripe
    ann = keap.add_contact("Ann", "Berger", "ann@acme.example", company="Acme")
    customer = stripe.add_customer("Acme", "ann@acme.example", {"keap_id": ann}, START - 200 * DAY)
    subscription = stripe.subscribe(customer, "Team", 4900, at=START - 90 * DAY)
    stage.use("ann@acme.example", range(90))
    turn(stage.workspace)
    check.check(stage.workspace, ann)
    controls.set_mode(stage.workspace, "live")
    controls.release_backfill(stage.workspace)
    stage.next_day()
    stripe.bill(subscription, decline="card_declined")
    stage.next_day()
    [mail] = stage.mailbox.messages
    address = mail.headers["list-unsubscribe"].strip("<>")
    link = f"{stage.url}/{address.split('/', 3)[3]}"

    assert requests.get(link, timeout=30).status_code == 200
    assert requests.head(link, timeout=30).status_code == 200
    assert stage.workspace.store.rows("select * from suppressions") == []
    answer = requests.post(link, data={"List-Unsubscribe": "One-Click"}, timeout=30)
    assert answer.status_code == 200

    for _ in range(30):
        stage.next_day()
    stripe.bill(subscription, decline="card_declined")
    stage.next_day()
    assert len(stage.mailbox.messages) == 1
    rows = stage.workspace.store.rows("select rule from refusals where play = 'failed-payment' order by at")
    assert rows[-1]["rule"] == "suppression"
