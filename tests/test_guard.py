"""A source goes quiet for three days: nobody turns worse, nobody is written to, one alert; and then all is caught up with.

Keap, Stripe, Slack and the mailbox are the pretend ones on loopback. The card waits for nothing ("at once"), so only the
guard stands between a source's silence and everybody's colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from tests.conftest import START
from worker import check, controls, guard, setup
from worker.facts import Fact, Identity, Sighting
from worker.intake import inbox
from worker.lib.clock import DAY, HOUR, VirtualClock, seconds
from worker.river import Turn, turn
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.mailbox import Mailbox
from worker.sandbox.servers.slack import PretendSlack
from worker.sandbox.servers.stripe import PretendStripe
from worker.workspace import Workspace, open_workspace

CONFIG = """\
[workspace]
name = "Quiet Software"
sender_name = "Cleo"
sender_address = "cleo@quiet.example"
postal_address = "1 Quiet Lane, London"
scorecard = "card.toml"

[outreach]
mailer = "smtp"
alerts = "slack"

[integrations.keap]
base_url = "{keap}"
key_env = "KEAP_KEY"

[integrations.stripe]
base_url = "{stripe}"
key_env = "STRIPE_KEY"

[integrations.slack]
url_env = "SLACK_URL"

[integrations.smtp]
host = "127.0.0.1"
port = {smtp}
tls = "none"
"""

CARD = """\
name = "Hasty"

[measures.paid_lately]
read = "number of payments in the last 2 days"
points = ["0 -> 0", "otherwise -> 100"]
do = "failed-payment"

[measures.used_lately]
read = "days with usage in the last 2 days"
points = ["0 -> 0", "otherwise -> 100"]
do = "usage-drop"

[measures.unpaid_invoices]
read = "number of unpaid invoices now"
points = ["0 -> 100", "otherwise -> 0"]

[dimensions.money]
share = 50
measures = { paid_lately = 100 }

[dimensions.use]
share = 50
measures = { used_lately = 100 }

[rules.unpaid]
when = "unpaid_invoices > 0"
at_most = "yellow"
because = "an invoice is unpaid"

[bands]
green = "70 and up"
yellow = "40 and up"
change_when = "at once"
"""

PAYERS = 24
"""Customers beside Ann who pay, and use the product, every day."""

Shut = Literal["fails", "empty"]


@dataclass
class Stage:
    clock: VirtualClock
    keap: PretendKeap
    stripe: PretendStripe
    slack: PretendSlack
    mailbox: Mailbox
    workspace: Workspace
    subscription: str = ""
    shut: Shut | None = None
    turns: list[Turn] = field(default_factory=list)

    @property
    def now(self) -> int:
        return seconds(self.clock)

    def earn(self, *days_ago: int) -> None:
        """Everybody pays at six in the morning of those days, as pages of Stripe would tell."""
        self._daily("stripe", "payment", days_ago)

    def use(self, *days_ago: int) -> None:
        """Everybody uses the product on those days, as the product itself tells."""
        self._daily("api", "usage", days_ago)

    def _daily(self, source: str, kind: str, days_ago: tuple[int, ...]) -> None:
        sightings = []
        for number in range(PAYERS + 1):
            moments = [(self.now // DAY - ago) * DAY + 6 * HOUR for ago in days_ago]
            facts = tuple(
                Fact(kind, at, source, f"{kind}:{number}:{at // DAY}", label="usd" if kind == "payment" else "reports")
                for at in moments
            )
            sightings.append(Sighting(self.now, (Identity("payer", str(number)),), f"Payer {number}", facts=facts))
        inbox.take_in(self.workspace.store, source, sightings, self.now, known_at=self.now)

    def at(self, day: int, hour: float) -> Turn:
        """Go to an hour of a day of the story, and turn the wheel."""
        self.clock.move_to(START + day * DAY + int(hour * HOUR))
        if self.shut == "fails":
            self.stripe.faults.planned[:] = ["500"] * 1000
        with self._hushed() if self.shut == "empty" else _as_it_is():
            done = turn(self.workspace)
        self.stripe.faults.planned.clear()
        self.turns.append(done)
        return done

    @contextmanager
    def _hushed(self) -> Iterator[None]:
        """Stripe answers, and has nothing to tell."""
        records = self.stripe.records
        self.stripe.records = {kind: {} for kind in records}
        yield
        self.stripe.records = records

    def worse(self) -> list[tuple[str, str]]:
        order = [*self.workspace.card.order, "grey"]
        rows = self.workspace.store.rows("select old_band, new_band from changes order by at, id")
        return [
            (row["old_band"], row["new_band"]) for row in rows
            if order.index(row["new_band"]) > order.index(row["old_band"])
        ]  # fmt: skip

    def told(self) -> list[str]:
        return [message.text for message in self.slack.messages]


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def staged(folder: Path, *, live: bool = True, config: str = "") -> Iterator[Stage]:
    clock = VirtualClock(START + 10 * HOUR)
    keap, stripe, slack, mailbox = PretendKeap(clock), PretendStripe(clock), PretendSlack(clock), Mailbox(clock)
    vendors = (keap, stripe, slack, mailbox)
    for vendor in vendors:
        vendor.start()
    environ = {"KEAP_KEY": keap.key, "STRIPE_KEY": stripe.key, "SLACK_URL": slack.webhook_url}
    text = CONFIG.format(keap=keap.base_url, stripe=stripe.base_url, smtp=mailbox.port)
    (folder / "config.toml").write_text(text.replace("[outreach]", f"{config}\n[outreach]", 1), "utf-8")
    (folder / "card.toml").write_text(CARD, "utf-8")
    setup.migrate(folder, environ)
    workspace = open_workspace(folder, environ, clock)
    stage = Stage(clock, keap, stripe, slack, mailbox, workspace)
    ann = keap.add_contact("Ann", "Berger", "ann@acme.example", company="Acme", custom_fields={"Plan": "Pro"})
    customer = stripe.add_customer("Acme", "ann@acme.example", {"keap_id": ann}, START - 200 * DAY)
    stage.subscription = stripe.subscribe(customer, "Team", 4900, at=START - 90 * DAY)
    clock.sleep(300)
    stage.earn(*range(40))
    stage.use(0, 1, 2)
    turn(workspace)  # the silent first pass
    linked = Sighting(stage.now, (Identity("payer", "0"), Identity("stripe", customer)))
    inbox.take_in(workspace.store, "payer", [linked], stage.now)  # Ann is the first of the payers
    turn(workspace, everyone=True)
    if live:
        assert check.check(workspace, ann).findings == []
        controls.set_mode(workspace, "live")
    try:
        yield stage
    finally:
        workspace.close()
        for vendor in vendors:
            vendor.stop()


def healthy(stage: Stage, day: int) -> None:
    stage.clock.move_to(START + day * DAY + 9 * HOUR)
    stage.earn(0)
    stage.use(0)
    stage.at(day, 10)


def live_through(stage: Stage, shut: Shut) -> None:
    """A healthy day, then three days without Stripe; on the second of them Ann's payment fails."""
    healthy(stage, 1)
    assert stage.turns[-1].down == []
    stage.shut = shut
    for day in (2, 3, 4):
        stage.at(day, 5 / 60)
        stage.use(0)
        stage.at(day, 10)
        if day == 3:
            stage.stripe.bill(stage.subscription, decline="card_declined")
        stage.at(day, 20)


@pytest.mark.parametrize("shut", ["fails", "empty"])
def test_a_source_that_is_shut_off_for_three_days_turns_nobody_worse_and_is_told_once(
    tmp_path: Path, shut: Shut
) -> None:
    with staged(tmp_path) as stage:
        live_through(stage, shut)

        assert stage.worse() == []
        assert stage.mailbox.messages == []
        [alert] = stage.told()
        assert alert.startswith(f"Stripe {guard.WHY['late' if shut == 'fails' else 'low']}")
        for words in ("stripe: ", "Since 2026-01-0", "paid lately", "failed payment", "To do: "):
            assert words in alert

        # It is back, and brings what happened meanwhile.
        stage.shut = None
        stage.clock.move_to(START + 5 * DAY + 9 * HOUR)
        stage.earn(0, 1, 2, 3)
        stage.use(0)
        back = stage.at(5, 10)
        assert back.back == ["stripe"]
        [mail] = stage.mailbox.messages
        assert (mail.to, "did not go through" in mail.subject) == ("ann@acme.example", True)
        assert stage.worse() == [("green", "yellow")]  # the invoice is unpaid: that is still true
        for day in (6, 7):
            healthy(stage, day)
        assert len(stage.mailbox.messages) == 1
        assert len(stage.told()) == 1
        assert stage.worse() == [("green", "yellow")]


@pytest.mark.parametrize("shut", ["fails", "empty"])
def test_a_payment_that_failed_and_was_made_while_the_source_was_away_is_past(tmp_path: Path, shut: Shut) -> None:
    with staged(tmp_path) as stage:
        live_through(stage, shut)
        [invoice] = [one for one in stage.stripe.records["invoices"].values() if one["status"] == "open"]
        stage.clock.sleep(HOUR)
        stage.stripe.retry_payment(invoice["id"])
        stage.shut = None
        stage.clock.move_to(START + 5 * DAY + 9 * HOUR)
        stage.earn(0, 1, 2, 3)
        stage.use(0)
        stage.at(5, 10)
        stage.at(6, 10)

        assert stage.mailbox.messages == []
        rows = stage.workspace.store.rows("select rule from refusals where play = 'failed-payment'")
        assert {row["rule"] for row in rows} == {"over"}
