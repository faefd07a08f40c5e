"""A look-back as a newcomer runs it: keys that may only read, a folder of its own, and what comes out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import START
from tests.review.pasts import DAYS, News, tell
from worker import lookback, setup
from worker.cli import main
from worker.lib import assets
from worker.lib.clock import DAY, HOUR, VirtualClock
from worker.lib.problems import Problems
from worker.review import words
from worker.review.lookback import Square
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.stripe import PretendStripe
from worker.sandbox.servers.zendesk import PretendZendesk
from worker.workspace import Workspace, open_workspace

CARD = """
name = "Money alone"
leaving = ["left by choice"]

[measures.unpaid]
read = "number of unpaid invoices now"
points = ["0 -> 100", "otherwise -> 0"]
says = "unpaid invoices: {value}"
do = "failed-payment"

[measures.ending]
read = "number of planned cancellations now"
points = ["0 -> 100", "otherwise -> 0"]

[dimensions.money]
share = 100
measures = { unpaid = 50, ending = 50 }

[bands]
green = "70 and up"
yellow = "55 and up"
"""


# -- with pretend vendors ---------------------------------------------------------------------------------------------


@dataclass
class Newcomer:
    """A business that has accounts and keys, and nothing else."""

    clock: VirtualClock
    keap: PretendKeap
    stripe: PretendStripe
    zendesk: PretendZendesk
    folder: Path
    environ: dict[str, str]

    def customer(self, company: str, days: int) -> tuple[str, str]:
        """One in Keap and Stripe for so many days; gives Stripe's customer and subscription."""
        name = company.lower()
        contact = self.keap.add_contact(company, "Berger", f"{name}@x.example", company=company)
        customer = self.stripe.add_customer(company, f"{name}@x.example", {"keap_id": contact}, START - days * DAY)
        return customer, self.stripe.subscribe(customer, "Team", 4900, at=START - days * DAY)


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    clock = VirtualClock(START + 10 * HOUR)
    keap, stripe, zendesk = PretendKeap(clock), PretendStripe(clock), PretendZendesk(clock)
    for vendor in (keap, stripe, zendesk):
        vendor.start()
    environ = {
        "KEAP_KEY": keap.key, "KEAP_BASE_URL": keap.base_url, "STRIPE_KEY": stripe.key,
        "STRIPE_BASE_URL": stripe.base_url, "ZENDESK_TOKEN": zendesk.token, "ZENDESK_EMAIL": zendesk.email,
        "ZENDESK_BASE_URL": zendesk.base_url,
    }  # fmt: skip
    yield Newcomer(clock, keap, stripe, zendesk, tmp_path / "acme", environ)
    for vendor in (keap, stripe, zendesk):
        vendor.stop()


def test_read_only_keys_and_an_empty_folder_are_enough_and_nothing_is_written_to_anybody(newcomer: Newcomer) -> None:
    stripe = newcomer.stripe
    _, leaving = newcomer.customer("Acme", 300)
    stripe.bill(leaving, decline="card_declined", at=START - 70 * DAY)
    stripe.cancel(leaving, at_period_end=False, at=START - 20 * DAY)
    _, owing = newcomer.customer("Bright", 300)
    stripe.bill(owing, decline="card_declined", at=START - 40 * DAY)
    newcomer.customer("Calm", 300)
    (newcomer.folder.parent / "card.toml").write_text(CARD, "utf-8")

    setup.from_environment(newcomer.folder, newcomer.environ)
    workspace = open_workspace(newcomer.folder, newcomer.environ, newcomer.clock)
    troubles = lookback.backfill(workspace)
    card = lookback.recipe(str(newcomer.folder.parent / "card.toml"))
    look = lookback.look_back(workspace, card, 365, troubles=troubles)
    kept = workspace.store.rows("select 1 from scores union all select 1 from effects")
    workspace.close()

    assert (newcomer.keap.writes(), stripe.writes(), newcomer.zendesk.writes()) == (0, 0, 0)
    assert (kept, look.troubles) == ([], {})
    [left] = look.left
    assert (left.name, left.on) == ("Acme", "2025-12-12")
    assert [(one.days, one.band, one.score) for one in left.before] == [
        (90, "green", "100"),
        (60, "green", "100"),
        (30, "red", "50"),
    ]
    assert left.before[2].why == ("unpaid invoices: 1; 0 is full marks; costs 50 points",)
    assert [one.name for one in look.stayed] == ["Bright"]
    assert look.stayed[0].until == ""
    assert (look.square.red_left, look.square.red_stayed, look.square.other_left) == (1, 1, 0)
    assert look.square.other_stayed == 1
    assert "Only 1 left by choice" in words.warnings(look)[0]


def test_the_folder_it_makes_names_the_variables_and_holds_no_secret(newcomer: Newcomer) -> None:
    told = setup.from_environment(newcomer.folder, newcomer.environ)
    text = (newcomer.folder / "config.toml").read_text("utf-8")

    assert "watch" in told[0]
    assert 'key_env = "STRIPE_KEY"' in text
    assert f'base_url = "{newcomer.stripe.base_url}"' in text
    for secret in (newcomer.keap.key, newcomer.stripe.key, newcomer.zendesk.token):
        assert secret not in text
    assert setup.from_environment(newcomer.folder, {}) == []  # it is there, and stays as it is
    assert newcomer.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "environment: there is neither a config.toml nor a vendor's key → export KEAP_KEY=… or STRIPE_KEY=…"),
        ({"ZENDESK_TOKEN": "t"}, "environment: ZENDESK_EMAIL: is not set → export ZENDESK_EMAIL=…"),
        (
            {"STRIPE_KEY": "pk_live_1"},
            "integrations.stripe.key: the secret will not do → a secret or restricted key begins",
        ),
    ],
)
def test_keys_that_are_missing_or_no_keys_are_told_with_what_to_do(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    with pytest.raises(Problems) as caught:
        setup.from_environment(tmp_path / "acme", environ)

    assert said in str(caught.value)
    assert not (tmp_path / "acme").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ann")

    with pytest.raises(Problems, match="is not there → make a workspace with: keepwell init"):
        setup.from_environment(tmp_path, {"STRIPE_KEY": "rk_test_1"})
    assert [one.name for one in tmp_path.iterdir()] == ["letter.txt"]


# -- what it tells ----------------------------------------------------------------------------------------------------


def _a_past(workspace: Workspace) -> None:
    """0 used it daily, faded and left; 1 faded and stayed; 2 is well; 3 failed to pay; 4 came and went at once."""
    store, number = workspace.store, iter(range(100_000))

    def happened(customer: int, kind: str, days: range, value: int = 1) -> None:
        for day in days:
            tell(store, News(customer, kind, day * DAY + HOUR, day * DAY + HOUR, value), next(number))

    with store.atomic():
        for customer in range(4):
            happened(customer, "joined", range(1, 2))
            happened(customer, "payment", range(10, 280, 30), 49)
        happened(0, "usage", range(10, 200))
        happened(0, "left", range(262, 263))
        happened(1, "usage", range(10, 200))
        happened(2, "usage", range(10, DAYS))
        happened(3, "usage", range(10, 260))
        happened(4, "joined", range(240, 241))
        happened(4, "usage", range(240, 250))
        happened(4, "left", range(250, 251))


def _id(workspace: Workspace, customer: int) -> str:
    return str(workspace.store.value("select id from customers where name = :name", {"name": f"Customer {customer}"}))


def test_who_left_is_told_with_why_and_the_other_side_too(workspace: Workspace) -> None:
    _a_past(workspace)
    tell(workspace.store, News(3, "left", 262 * DAY, 262 * DAY), 200_000)
    binds = {"id": _id(workspace, 3)}
    workspace.store.run("update facts set label = 'failed payment' where kind = 'left' and customer_id = :id", binds)

    look = lookback.look_back(workspace, lookback.recipe("starter"), 250)

    faded, short = look.left  # the last to go first
    assert (short.name, [one.band for one in short.before]) == ("Customer 4", ["", "", ""])
    assert (faded.name, faded.paid) == ("Customer 0", {"USD": "147"})
    assert [one.band for one in faded.before] == ["green", "green", "red"]
    assert faded.before[2].why[0] == "has all but stopped using it"
    assert any("active on" in why and "12 is full marks" in why for why in faded.before[2].why)
    assert faded.red_for >= 30
    acts = {act.play: act for act in faded.acts}
    assert (acts["turned-red"].does, acts["usage-drop"].does) == ("an alert to the team", "a mail to the customer")
    assert acts["turned-red"].days == faded.red_for
    dropped = [act.days for act in faded.acts if act.play == "usage-drop"]
    assert all(earlier - later >= 21 for earlier, later in pairwise(dropped))

    [stayed] = look.stayed
    assert (stayed.name, stayed.until, stayed.paid) == ("Customer 1", "", {"USD": "98"})
    assert look.left_otherwise == {"failed payment": 1}
    assert look.square == Square(red_left=1, red_stayed=1, other_left=1, other_stayed=1)
    assert look.horizons[-1].bands == {"green": 0, "yellow": 0, "red": 1, "grey": 0}
    assert look.horizons[-1].absent == 1
    assert look.horizons[-1].paid["red"] == {"USD": "147"}
    assert (look.paid_left, look.unseen["last nps"]) == ({"USD": "147"}, "0%")


ALL_IS_WELL = """
name = "Newcomers"
[measures.sneezes]
read = "number of usage in the last 7 days"
points = ["otherwise -> 100"]
[dimensions.sneezes]
share = 100
measures = { sneezes = 100 }
[bands]
green = "70 and up"
yellow = "40 and up"
"""


def test_each_is_held_against_the_card_of_the_folder_that_was_for_them_then(
    workspace: Workspace, tmp_path: Path
) -> None:
    _a_past(workspace)
    folder = tmp_path / "cards"
    folder.mkdir()
    ours = assets.folder("recipes") / "scorecards" / "starter.toml"
    (folder / "starter.toml").write_text(ours.read_text("utf-8"), "utf-8")
    (folder / "newcomers.toml").write_text(ALL_IS_WELL, "utf-8")
    choice = 'cards = ["newcomers.toml when age < 240 days", "starter.toml otherwise"]'
    (folder / "cards.toml").write_text(choice, "utf-8")

    young = lookback.look_back(workspace, lookback.recipe(str(folder)), 250)
    (folder / "cards.toml").write_text(choice.replace("240", "200"), "utf-8")
    old = lookback.look_back(workspace, lookback.recipe(str(folder)), 250)

    assert (young.card, old.card) == ("Newcomers, Starter",) * 2
    assert young.version != old.version
    assert [one.score for one in young.left[0].before] == ["100", "100", "100"]
    assert [one.band for one in old.left[0].before] == ["green", "green", "red"]
    assert old.left[0].before[2].why[0] == "has all but stopped using it"
    assert 0 < young.left[0].red_for < old.left[0].red_for
    assert "last nps" in old.unseen
    assert "sneezes" not in old.unseen


def test_the_page_needs_nothing_but_itself_and_takes_names_as_names(sqlite_workspace: Workspace) -> None:
    _a_past(sqlite_workspace)
    name = {"name": '<img src="x">&"', "id": _id(sqlite_workspace, 0)}
    sqlite_workspace.store.run("update customers set name = :name where id = :id", name)
    page = lookback.as_page(lookback.look_back(sqlite_workspace, lookback.recipe("starter"), 250))

    assert "&lt;img src=&#34;x&#34;&gt;&amp;&#34;" in page
    assert re.findall(r"<script|<img|<link|<iframe|<[^>]+ (?:src|href)=|@import|url\(|https?:", page) == []
    for told in ("Who left, and what we would have said", "has all but stopped using it", "Turned red", "147 USD"):
        assert told in page


def test_at_a_terminal_and_for_a_machine(
    sqlite_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_KEY", "rk_test_1")
    folder, to = sqlite_workspace.config.folder, tmp_path / "lookback.html"
    command = ["-w", str(folder), "lookback", "--no-pull", "--recipe", "starter", "--html", str(to)]

    told = CliRunner().invoke(main, command)
    machine = CliRunner().invoke(main, [*command, "--json"])

    assert (told.exit_code, machine.exit_code) == (0, 0), told.output + machine.output
    assert "Nobody left by choice in this time" in told.output
    assert json.loads(machine.stdout)["left"] == []
    assert to.read_text("utf-8").startswith("<!doctype html>")
    assert CliRunner().invoke(main, [*command[:4], "--recipe", "startre"]).exit_code == 2
