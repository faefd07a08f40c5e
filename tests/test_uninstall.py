"""An uninstall leaves the CRM without a trace of us, says what it could not do, and may be done again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.dispatch.business import Business, business
from worker import controls, uninstall
from worker.dispatch import backfill
from worker.integration import CrmIds, Removed
from worker.lib.clock import DAY
from worker.lib.http import Retry


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        yield opened


def whole(here: Business) -> dict[str, Any]:
    """Everything that Keap holds, but when it was last touched."""
    found = here.keap
    return {
        "tags": {one.id: one.name for one in found.tags.values()},
        "categories": {one.id: one.name for one in found.categories.values()},
        "fields": {one.id: one.label for one in found.fields.values()},
        "hooks": {one.key: (one.event_key, one.url) for one in found.subscriptions.values()},
        "contacts": {
            one: {key: value for key, value in found.contact(one).items() if not key.startswith(("update", "last_upd"))}
            for one in found.contacts
        },
    }


def live(here: Business, contacts: Sequence[str], *, weeks: int = 2) -> None:
    here.go_live(contacts[0])
    for week in range(weeks):
        for place, contact_id in enumerate(contacts):
            here.show(contact_id, ("green", "yellow", "red")[(week + place) % 3], str(80 - 20 * week))
        here.write()
        here.clock.sleep(7 * DAY)


def test_an_uninstall_leaves_keap_without_a_trace_of_us(here: Business) -> None:
    contacts = [here.enter(name) for name in ("Ada", "Bob", "Cyd")]
    other = here.keap.subscribe("contact.edit", "https://others.example/keap")
    here.clock.sleep(300)
    here.turn()
    before = whole(here)
    live(here, contacts)
    ours = here.keap.subscribe("contact.delete", "https://keepwell.example/hooks/keap/0123456789abcdef")
    assert whole(here).keys() == before.keys()
    assert whole(here) != before

    told = uninstall.would(here.workspace)
    done = uninstall.uninstall(here.workspace)

    assert whole(here) == before
    assert other.key in here.keap.subscriptions
    assert ours.key not in here.keap.subscriptions
    assert (here.workspace.mode, here.lost()) == ("watch", 0)
    assert "3 contacts in keap get back what stood in our fields and tags before us" in told[1]
    assert any("fields and 3 tags of contacts are as they were before us." in line for line in done.done)
    assert any(line.startswith("Revoke the key of Keap") for line in done.asked)


def test_an_uninstall_again_does_nothing_more(here: Business) -> None:
    contacts = [here.enter(name) for name in ("Ada", "Bob")]
    live(here, contacts)
    uninstall.uninstall(here.workspace)
    after, writes = whole(here), here.keap.writes()

    again = uninstall.uninstall(here.workspace)

    assert (whole(here), here.keap.writes()) == (after, writes)
    assert again.done == []


def test_an_uninstall_that_broke_off_is_done_again_to_the_end(here: Business) -> None:
    contacts = [here.enter(name) for name in ("Ada", "Bob")]
    before = whole(here)
    live(here, contacts)
    here.keap.faults.planned += ["500"] * 60
    broken = uninstall.uninstall(here.workspace)
    here.keap.faults.planned.clear()

    done = uninstall.uninstall(here.workspace)

    assert any("keap cannot be read" in line for line in broken.left)
    assert whole(here) == before
    assert not any("could not be put back" in line for line in done.left)


def test_after_an_uninstall_it_can_be_installed_again_and_begins_as_the_first_time(here: Business) -> None:
    ada = here.enter()
    live(here, [ada])
    uninstall.uninstall(here.workspace)
    controls.set_mode(here.workspace, "live")
    here.clock.sleep(DAY)
    told = here.turn().troubles

    assert "keepwell check --canary" in told["keap write-back"]
    here.try_canary(ada)
    here.clock.sleep(DAY)
    here.turn()
    tags, band, _ = here.shown(ada)
    assert (tags, band) == (set(), "grey")  # no tag of a backfill that nobody has released
    assert backfill.waiting(here.store) == {here.customer(ada)}


class Adopting:
    """What `remove` was handed."""

    def __init__(self) -> None:
        self.ids = list[CrmIds]()

    def __call__(self, http: object, settings: object, public_url: str, ids: CrmIds) -> Removed:
        self.ids.append(ids)
        if len(self.ids) == 1:
            raise Retry("Keap is unwell")
        return Removed(("tag 'Health: red'",), ("custom field 'Health band' was there before",))


def test_what_was_there_before_us_and_only_adopted_gets_its_value_back(here: Business) -> None:
    here.keap.ensure_field("Health band", "TEXT")
    ada, bob = here.enter("Ada"), here.enter("Bob")
    for contact_id in (ada, bob):
        here.keap.edit_field(contact_id, "Health band", "A-customer")
    config = here.workspace.config
    adopting = replace(config, crm=config.crm.model_copy(update={"adopt": True}))
    remove, keap = Adopting(), here.workspace.connected["keap"]
    connected = {
        **here.workspace.connected,
        "keap": replace(keap, integration=replace(keap.integration, remove=remove)),
    }
    here.workspace = replace(here.workspace, config=adopting, connected=connected)
    live(here, [ada, bob])
    here.keap.edit_field(bob, "Health band", "Olga's word")

    done = uninstall.uninstall(here.workspace)
    again = uninstall.uninstall(here.workspace)

    assert here.keap.field_values(ada)["Health band"] == "A-customer"
    assert here.keap.field_values(bob)["Health band"] == "Olga's word"
    assert any(f"contact {bob}: field" in line and "was changed since" in line for line in done.done)
    assert (done.left, again.left) == (["Keap: Keap is unwell"], ["Keap: custom field 'Health band' was there before"])
    assert again.done == ["Keap: tag 'Health: red'"]
    assert json.dumps(asdict(done))
    assert remove.ids[1].fields
