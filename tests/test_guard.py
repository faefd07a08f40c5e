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
from worker import check, controls, guard, report, setup
from worker.facts import Fact, Identity, Sighting
from worker.intake import inbox
from worker.lib.clock import DAY, HOUR, VirtualClock, seconds
from worker.river import Turn, turn
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.mailbox import Mailbox
from worker.sandbox.servers.slack import PretendSlack
from worker.sandbox.servers.stripe import PretendStripe
from worker.web import pages
from worker.workspace import Workspace, open_workspace

CONFIG = """\
[workspace]
name = "Quiet Software"
sender_name = "Cleo"
sender_address = "cleo@quiet.example"
postal_address = "1 Quiet Lane, London"
scorecard = "card.toml"

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

    def earn(self, *days_ago: int, payers: int = PAYERS + 1) -> None:
        """So many pay at six in the morning of those days, as pages of Stripe would tell."""
        self._daily("stripe", "payment", days_ago, payers)

    def use(self, *days_ago: int) -> None:
        """Everybody uses the product on those days, as the product itself tells."""
        self._daily("api", "usage", days_ago, PAYERS + 1)

    def _daily(self, source: str, kind: str, days_ago: tuple[int, ...], payers: int) -> None:
        sightings = []
        for number in range(payers):
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

    def tell_of_ann(self, kind: str) -> None:
        """Stripe says something of Ann by webhook, now."""
        fact = Fact(kind, self.now, "stripe", f"ann:{kind}:{self.now}")
        sighting = Sighting(self.now, (Identity("payer", "0"),), facts=(fact,))
        inbox.take_in(self.workspace.store, "stripe", [sighting], self.now, known_at=self.now)

    def refused(self) -> list[tuple[str, str]]:
        rows = self.workspace.store.rows("select play, rule from refusals where outcome = 'refused' order by at, id")
        return [(row["play"], row["rule"]) for row in rows]

    def mails_waiting(self) -> int:
        query = "select count(*) as n from effects where lane = 'mail' and state = 'waiting' and step = ''"
        return int(self.workspace.store.value(query))

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


@pytest.mark.parametrize("shut", ["fails", pytest.param("empty", marks=pytest.mark.prove)])
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
        assert {row["rule"] for row in rows} == {"dunning"}


def test_an_evening_that_could_not_be_asked_for_turns_nobody_worse_at_midnight(tmp_path: Path) -> None:
    """Before the outage is noticed: what was missed late in the day is not read as nothing once the day has turned."""
    with staged(tmp_path) as stage:
        healthy(stage, 1)
        stage.clock.move_to(START + 2 * DAY + 19 * HOUR)
        stage.use(0)
        stage.earn(0, payers=12)  # the others pay at ten in the evening
        stage.at(2, 20)
        stage.shut = "fails"

        at_midnight = stage.at(3, 5 / 60)

        assert at_midnight.assessed.customers > 0
        assert (at_midnight.down, guard.open_outages(stage.workspace)) == ([], [])
        assert stage.worse() == []


def test_a_worker_that_slept_alarms_nobody_since_it_did_not_ask(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        healthy(stage, 1)
        stage.clock.move_to(START + 4 * DAY + 10 * HOUR)
        stage.use(0, 1, 2)

        done = turn(stage.workspace, pulls=False)

        assert (done.down, stage.worse(), stage.told()) == ([], [], [])


@pytest.mark.prove
def test_what_came_by_webhook_while_the_pull_was_late_is_held_and_answered_once(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        healthy(stage, 1)
        stage.shut = "fails"
        stage.at(2, 10)
        assert [one.source for one in guard.open_outages(stage.workspace)] == ["stripe"]
        stage.tell_of_ann("payment_failed")
        stage.tell_of_ann("unpaid_invoice")
        stage.at(2, 11)
        stage.at(2, 12)
        assert stage.mailbox.messages == []
        assert stage.refused() == [("failed-payment", "switch")]

        stage.shut = None
        stage.clock.move_to(START + 6 * DAY + 9 * HOUR)  # later than a fact is news
        stage.earn(*range(5))
        stage.use(0)
        for hour in (10, 11, 12):
            stage.at(6, hour)

        assert len(stage.mailbox.messages) == 1
        assert stage.refused() == [("failed-payment", "switch")]


def test_a_mail_that_waited_for_the_morning_waits_for_the_source_and_is_asked_about_again(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        healthy(stage, 1)
        stage.clock.move_to(START + DAY + 21 * HOUR)
        stage.tell_of_ann("payment_failed")
        stage.at(1, 21)
        assert stage.mails_waiting() == 1
        stage.shut = "fails"
        stage.at(2, 5)
        stage.at(2, 10)
        stage.at(2, 15)
        assert (stage.mails_waiting(), stage.mailbox.messages) == (1, [])

        stage.shut = None
        stage.tell_of_ann("payment")
        stage.at(2, 16)

        assert (stage.mails_waiting(), stage.mailbox.messages) == (0, [])
        assert stage.refused() == [("failed-payment", "dunning")]


def test_in_watch_an_outage_is_told_at_the_terminal_and_on_the_overview(tmp_path: Path) -> None:
    with staged(tmp_path, live=False) as stage:
        healthy(stage, 1)
        stage.shut = "empty"
        stage.at(2, 10)
        stage.use(0)
        suspected = stage.at(3, 5 / 60)
        assert suspected.down == []  # the day is hardly over, and some vendors tell in the night
        [outage] = guard.open_outages(stage.workspace)
        assert outage.noticed_at is None

        noticed = stage.at(3, 10)

        said = "stripe says far less than usual: 0 payments on 2026-01-03, where 25 are usual"
        assert noticed.down == [said]
        assert f"{said}; what rests on it stands still." in report.turn_in_words(noticed, "watch")
        assert any(said.partition(": ")[2] in line for line in check.check(stage.workspace).findings)
        assert said in [one.what for one in pages.overview_of(stage.workspace, stage.now)["troubles"]]
        assert (stage.told(), stage.worse()) == ([], [])
        stage.shut = None
        stage.earn(0, 1)
        assert stage.at(3, 11).back == ["stripe"]
        assert any("stripe is back" in line for line in check.check(stage.workspace).fine)


def test_a_day_on_which_one_is_closed_is_no_outage(tmp_path: Path) -> None:
    with staged(tmp_path, config='closed_days = ["2026-01-03", "sunday"]') as stage:
        healthy(stage, 1)
        for day in (2, 3, 4):  # Saturday the third, a Sunday, and the Monday after
            stage.at(day, 10)
            assert guard.open_outages(stage.workspace) == []

        stage.at(5, 10)
        [outage] = guard.open_outages(stage.workspace)
        assert outage.seen == "0 payments on 2026-01-05, where 25 are usual"


def test_a_silence_that_no_pull_has_shown_yet_turns_nobody_worse_at_midnight(tmp_path: Path) -> None:
    """An urgent turn comes before the first pull of the day: what yesterday lacks is a suspicion, and no news."""
    with staged(tmp_path) as stage:
        healthy(stage, 1)
        stage.shut = "empty"
        stage.at(2, 10)
        stage.use(0)
        stage.clock.move_to(START + 2 * DAY + int(23.9 * HOUR))
        stage.at(2, 23.9)
        stage.clock.move_to(START + 3 * DAY + 60)

        urgent = turn(stage.workspace, pulls=False)

        assert urgent.assessed.customers > 0
        assert (urgent.down, stage.worse(), stage.told()) == ([], [], [])
