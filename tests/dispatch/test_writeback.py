"""Write-back: only ours, only what changed, nothing before a snapshot; and every write can be taken back."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from tests.conftest import START
from tests.dispatch.business import Business, business
from worker import controls
from worker.dispatch import journal, outbox
from worker.dispatch.writeback import write_waiting
from worker.effects import Lane
from worker.integration import Crm
from worker.lib.clock import HOUR
from worker.lib.http import Retry
from worker.lib.problems import Problems


def live(here: Business, *names: str) -> list[str]:
    contacts = [here.enter(name) for name in names or ("Ada",)]
    here.go_live(contacts[0])
    return contacts


# -- only ours, only what changed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", ["replaces", "merges"])
def test_a_contact_shows_its_standing_and_keeps_everything_of_others(
    tmp_path: Path, patch: Literal["replaces", "merges"]
) -> None:
    with business(tmp_path / "workspace", patch=patch) as here:
        (ada,) = live(here)
        here.show(ada, "green", "71", "active on 12 days")

        done = here.write()

        assert here.shown(ada) == ({"Health: green"}, "green", "71")
        assert here.keap.field_values(ada) == {
            "Plan": "Pro", "Birthday": "10 December", "Health score": 71, "Health band": "green",
            "Health reason": "active on 12 days", "Health as of": here.keap.field_values(ada)["Health as of"],
        }  # fmt: skip
        assert here.keap.tags_of(ada) == {"VIP", "Health: green"}
        assert (done.written.contacts, done.written.fields, done.written.tags, here.lost()) == (1, 4, 1, 0)


def test_when_nothing_moved_nothing_is_written(here: Business) -> None:
    contacts = live(here, "Ada", "Bob", "Cyd")
    for contact_id in contacts:
        here.show(contact_id, "green")
    here.write()
    before = len(here.keap.calls)
    here.clock.sleep(HOUR)
    for contact_id in contacts:
        here.show(contact_id, "green", reason="the same in other words")

    done = here.write()

    assert here.write_calls(before) == []
    assert done.written.contacts == 3


def test_of_several_standings_of_a_contact_only_the_newest_is_written(here: Business) -> None:
    (ada,) = live(here)
    older = here.show(ada, "green", "71")
    newer = here.show(ada, "red", "12")

    here.write()

    assert (here.effect(older)["state"], here.effect(newer)["state"]) == ("replaced", "done")
    assert here.shown(ada) == ({"Health: red"}, "red", "12")
    assert sum(call.startswith("PATCH") for call in here.write_calls()) == 3  # two are the canary's


def test_a_standing_that_was_put_off_does_not_come_after_a_newer_one(here: Business) -> None:
    (ada,) = live(here)
    older = here.show(ada, "green", "71")
    outbox.claim_all(here.store, Lane.CRM, here.now, 10)
    outbox.postpone(here.store, older, here.now + HOUR, "Keap was unwell")
    here.show(ada, "red", "12")
    here.write()
    here.clock.sleep(2 * HOUR)

    here.write()

    assert here.effect(older)["state"] == "replaced"
    assert here.shown(ada) == ({"Health: red"}, "red", "12")


def test_another_colour_is_put_on_before_the_old_one_goes_and_there_are_never_two_after_a_pass(here: Business) -> None:
    contacts = live(here, "Ada", "Bob", "Cyd", "Dot")
    dice = random.Random(3)
    for _ in range(6):
        before = len(here.keap.calls)
        for contact_id in contacts:
            here.show(contact_id, dice.choice(["green", "yellow", "red", "grey"]), str(dice.randrange(100)))
        here.write()
        calls = [call for call in here.write_calls(before) if "Tags" in call]
        assert calls == sorted(calls)  # …:applyTags before …:removeTags
        assert [len(here.shown(contact_id)[0]) for contact_id in contacts] == [1, 1, 1, 1]
    assert here.lost() == 0


def test_a_customer_who_moves_to_another_contact_leaves_nothing_on_the_old_one(here: Business) -> None:
    (ada,) = live(here)
    here.show(ada, "green", "71")
    here.write()
    here.show(ada, "", "", "")

    here.write()

    assert here.shown(ada) == (set(), "", "")
    assert here.keap.field_values(ada) == {"Plan": "Pro", "Birthday": "10 December"}


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_contact_that_is_gone_is_given_up_and_the_others_are_written(here: Business) -> None:
    ada, bob = live(here, "Ada", "Bob")
    lost, kept = here.show(ada, "green"), here.show(bob, "red")
    here.keap.delete_contact(ada)

    done = here.write()

    assert (here.effect(lost)["state"], here.effect(kept)["state"]) == ("failed", "done")
    assert here.effect(lost)["reason"] == "the contact is gone from the CRM"
    assert done.written.gone == 1


class OneFails:
    """A CRM whose tags stick on all contacts but one, the first time."""

    def __init__(self, crm: Crm, contact_id: str) -> None:
        self._crm, self._contact_id, self.asked = crm, contact_id, list[list[str]]()

    def __getattr__(self, name: str) -> object:
        return getattr(self._crm, name)

    def add_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        self.asked.append(list(contact_ids))
        fine = [one for one in contact_ids if one != self._contact_id or len(self.asked) > 1]
        return dict.fromkeys(contact_ids, "Keap says no") | self._crm.add_tag(tag_id, fine)


def test_a_tag_that_fails_on_one_contact_is_tried_again_for_that_one_only(here: Business) -> None:
    ada, bob = live(here, "Ada", "Bob")
    workspace, crm = here.workspace, here.workspace.crm
    assert crm is not None
    ids, flaky = workspace.crm_ids(crm), OneFails(crm, ada)
    failing, fine = here.show(ada, "green"), here.show(bob, "green")

    def write(run: str) -> None:
        write_waiting(here.store, flaky, "keap", ids, run, here.clock, stop=lambda: False)  # type: ignore[arg-type]  # passes the rest on

    run = here.turn(pulls=False, dispatch=False).run_id
    write(run)
    assert (here.effect(failing)["state"], here.effect(fine)["state"]) == ("waiting", "done")
    assert here.effect(failing)["reason"] == "Keap says no"
    here.clock.sleep(HOUR)
    write(run)

    assert flaky.asked == [[ada, bob], [ada]]
    assert here.shown(ada)[0] == here.shown(bob)[0] == {"Health: green"}


def test_while_keap_is_unwell_everything_waits_and_then_is_written(here: Business) -> None:
    (ada,) = live(here)
    effect_id = here.show(ada, "red", "12")
    here.keap.faults.planned += ["500"] * 60

    done = here.write()

    assert here.effect(effect_id)["state"] == "waiting"
    assert done.troubles["keap write-back"]
    here.keap.faults.planned.clear()
    here.clock.sleep(HOUR)
    here.write()
    assert here.shown(ada) == ({"Health: red"}, "red", "12")
    assert here.lost() == 0


def test_what_a_person_writes_between_our_read_and_our_write_takes_nothing_else_with_it(here: Business) -> None:
    (ada,) = live(here)
    here.show(ada, "green")
    here.keap.before_next_patch = lambda: here.keap.edit_field(ada, "Favourite colour", "blue")

    here.write()

    # Keap has no If-Match, so the edit itself may be lost (integrations/_keap_writes.py); nothing before it may.
    values = here.keap.field_values(ada)
    assert (values["Plan"], values["Birthday"]) == ("Pro", "10 December")
    assert here.shown(ada) == ({"Health: green"}, "green", "71")


# -- snapshot and journal ---------------------------------------------------------------------------------------------


class Recorder:
    """A CRM that notes, at each write, what had been kept of the contacts by then."""

    def __init__(self, crm: Crm, here: Business) -> None:
        self._crm, self._here, self.unkept, self.unintended = crm, here, list[str](), list[str]()

    def __getattr__(self, name: str) -> object:
        found = getattr(self._crm, name)
        if name not in {"write_fields", "add_tag", "remove_tag"}:
            return found

        def noted(*args: object) -> object:
            touched = args[-1]
            for contact_id in touched if isinstance(touched, (list, dict)) else ():
                binds = {"id": contact_id}
                if not self._here.store.row("select 1 as here from snapshots where contact_id = :id", binds):
                    self.unkept.append(contact_id)
                if not self._here.store.row(
                    "select 1 as here from journal where contact_id = :id and state = 'intended'", binds
                ):
                    self.unintended.append(contact_id)
            return found(*args)

        return noted


def test_nothing_is_written_before_a_snapshot_and_a_before_image_exist(anywhere: Business) -> None:
    ada, bob = live(anywhere, "Ada", "Bob")
    anywhere.store.run("delete from snapshots")
    crm = anywhere.workspace.crm
    assert crm is not None
    ids, recorder = anywhere.workspace.crm_ids(crm), Recorder(crm, anywhere)
    run = anywhere.turn(pulls=False, dispatch=False).run_id
    for band in ("green", "red"):
        anywhere.show(ada, band)
        anywhere.show(bob, band)
        written = write_waiting(anywhere.store, recorder, "keap", ids, run, anywhere.clock, stop=lambda: False)  # type: ignore[arg-type]  # passes the rest on
        assert written.contacts == 2

    assert (recorder.unkept, recorder.unintended) == ([], [])
    row = anywhere.store.row("select fields, tags from snapshots where contact_id = :id", {"id": ada})
    assert row is not None
    assert set(json.loads(row["fields"]).values()) == {"Pro", "10 December"}
    assert len(json.loads(row["tags"])) == 1


def test_the_snapshot_stays_as_it_was_before_our_first_write(here: Business) -> None:
    (ada,) = live(here)
    kept = here.store.rows("select tags, fields from snapshots")
    for band in ("green", "red"):
        here.show(ada, band)
        here.write()

    assert here.store.rows("select tags, fields from snapshots") == kept


def test_the_journal_says_what_was_written_over_what(here: Business) -> None:
    (ada,) = live(here)
    here.show(ada, "green", "71")
    here.write()
    here.show(ada, "red", "12")

    run = here.write().run_id

    rows = here.store.rows(
        "select what, before, after, state from journal where run_id = :run and (after in ('12', 'red') or what = 'tag')"
        " order by id", {"run": run},
    )  # fmt: skip
    assert [tuple(row.values()) for row in rows] == [
        ("field", "71", "12", "written"), ("field", "green", "red", "written"),
        ("tag", "", "on", "written"), ("tag", "on", "", "written"),
    ]  # fmt: skip


# -- undo -------------------------------------------------------------------------------------------------------------


def picture(here: Business, contacts: Sequence[str]) -> list[tuple[set[str], dict[str, object]]]:
    return [(here.keap.tags_of(one), here.keap.field_values(one)) for one in contacts]


def test_a_run_undone_leaves_keap_as_the_snapshot_says(anywhere: Business) -> None:
    contacts = live(anywhere, "Ada", "Bob")
    before = picture(anywhere, contacts)
    for contact_id in contacts:
        anywhere.show(contact_id, "green")
    run = anywhere.write().run_id

    result = controls.undo(anywhere.workspace, run, dry_run=False)

    assert picture(anywhere, contacts) == before
    assert (result["fields"], result["tags"], result["kept"], result["failed"]) == (8, 2, [], [])
    assert anywhere.workspace.paused
    assert anywhere.lost() == 0


def test_undoing_twice_changes_nothing(here: Business) -> None:
    contacts = live(here)
    here.show(contacts[0], "green")
    run = here.write().run_id
    controls.undo(here.workspace, run, dry_run=False)
    before, calls = picture(here, contacts), len(here.keap.calls)

    with pytest.raises(Problems, match="wrote nothing that still stands"):
        controls.undo(here.workspace, run, dry_run=False)

    assert picture(here, contacts) == before
    assert here.write_calls(calls) == []


def test_a_second_run_is_undone_to_what_the_first_one_wrote(here: Business) -> None:
    (ada,) = live(here)
    here.show(ada, "green", "71")
    here.write()
    after_the_first = picture(here, [ada])
    here.clock.sleep(HOUR)
    here.show(ada, "red", "12")
    run = here.write().run_id

    controls.undo(here.workspace, run, dry_run=False)

    assert picture(here, [ada]) == after_the_first


def test_what_a_person_has_changed_since_is_kept_and_said(here: Business) -> None:
    (ada,) = live(here)
    here.show(ada, "green", "71")
    run = here.write().run_id
    here.keap.edit_field(ada, "Health reason", "Olga: they are moving offices")
    here.keap.human_untag(ada, "Health: green")

    result = controls.undo(here.workspace, run, dry_run=False)

    assert here.keap.field_values(ada) == {
        "Plan": "Pro", "Birthday": "10 December", "Health reason": "Olga: they are moving offices",
    }  # fmt: skip
    (kept,) = result["kept"]
    assert "was changed since" in kept


def test_of_a_run_the_writes_to_one_customer_are_undone_and_the_others_stay(anywhere: Business) -> None:
    ada, bob = live(anywhere, "Ada", "Bob")
    before = picture(anywhere, [ada])
    for contact_id in (ada, bob):
        anywhere.show(contact_id, "green")
    run = anywhere.write().run_id
    bobs = picture(anywhere, [bob])
    whose = anywhere.customer(ada)

    told = controls.undo(anywhere.workspace, run, dry_run=True, customer_id=whose)
    result = controls.undo(anywhere.workspace, run, dry_run=False, customer_id=whose)

    assert all(line.startswith(f"contact {ada}: ") for line in told["lines"])
    assert (result["fields"], result["tags"]) == (4, 1)
    assert picture(anywhere, [ada]) == before
    assert picture(anywhere, [bob]) == bobs
    with pytest.raises(Problems, match="wrote nothing that still stands"):
        controls.undo(anywhere.workspace, run, dry_run=False, customer_id=whose)
    rest = controls.undo(anywhere.workspace, run, dry_run=False)
    assert (rest["fields"], rest["tags"], anywhere.lost()) == (4, 1, 0)


def test_an_undo_that_fails_in_part_says_so_and_can_be_done_again(here: Business) -> None:
    (ada,) = live(here)
    before = picture(here, [ada])
    here.show(ada, "green")
    run = here.write().run_id
    crm = here.workspace.crm
    assert crm is not None

    class Untaggable:
        def __getattr__(self, name: str) -> object:
            return getattr(crm, name)

        def remove_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
            raise Retry("Keap is unwell")

    done = journal.undo(here.store, Untaggable(), "keap", run, here.clock)  # type: ignore[arg-type]  # passes the rest on

    assert (done.fields, done.tags) == (4, 0)
    assert len(done.failed) == 1
    assert "Keap is unwell" in done.failed[0]
    again = controls.undo(here.workspace, run, dry_run=False)
    assert (again["fields"], again["tags"], again["kept"], again["failed"]) == (0, 1, [], [])
    assert picture(here, [ada]) == before


def test_an_undo_takes_back_a_write_that_a_crash_left_unconfirmed(here: Business) -> None:
    (ada,) = live(here)
    before = picture(here, [ada])
    here.show(ada, "green")
    run = here.write().run_id
    here.store.run("update journal set state = 'intended' where run_id = :run", {"run": run})
    never = journal.Entry(ada, journal.TAG, here.keap.ensure_tag("Health: red"), "", "on")
    journal.intend(here.store, run, "keap", [never], here.now)

    result = controls.undo(here.workspace, run, dry_run=False)

    assert picture(here, [ada]) == before
    assert (result["kept"], result["failed"]) == ([], [])


def test_a_dry_run_of_an_undo_writes_nothing_and_pauses_nothing(here: Business) -> None:
    (ada,) = live(here)
    here.show(ada, "green")
    run = here.write().run_id
    calls = len(here.keap.calls)

    result = controls.undo(here.workspace, run, dry_run=True)

    assert any("'green' → ''" in line for line in result["lines"])
    assert here.write_calls(calls) == []
    assert not here.workspace.paused


def test_after_an_undo_and_a_resume_the_standings_are_written_again(here: Business) -> None:
    (ada,) = live(here)
    here.turn(pulls=False, everyone=True)
    shown = here.shown(ada)
    assert len(shown[0]) == 1
    run = controls.runs_that_wrote(here.store)[0]["run_id"]
    controls.undo(here.workspace, run, dry_run=False)
    assert here.shown(ada) == (set(), "", "")

    here.turn(pulls=False, everyone=True)
    assert here.shown(ada) == (set(), "", "")
    controls.set_paused(here.workspace.store, START, paused=False)
    here.turn(pulls=False, everyone=True)

    assert here.shown(ada) == shown


def test_nothing_is_written_before_one_contact_has_been_tried(here: Business) -> None:
    ada = here.enter()
    here.clock.sleep(300)
    here.turn()
    controls.set_mode(here.workspace, "live")
    here.show(ada, "green")

    done = here.write()

    assert here.write_calls() == []
    assert "keepwell check --canary" in done.troubles["keap write-back"]


def test_a_pause_stops_between_two_batches(here: Business) -> None:
    contacts = live(here, *(f"C{number}" for number in range(5)))
    for contact_id in contacts:
        here.show(contact_id, "green")
    crm = here.workspace.crm
    assert crm is not None
    run, ids, asked = here.turn(pulls=False, dispatch=False).run_id, here.workspace.crm_ids(crm), list[int]()

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 1

    written = write_waiting(here.store, crm, "keap", ids, run, here.clock, stop=stop, most=2)

    assert written.contacts == 2
    assert sum(bool(here.shown(one)[0]) for one in contacts) == 2


def test_a_contact_is_read_as_it_is_now_and_not_as_it_was_mirrored(here: Business) -> None:
    (ada,) = live(here)
    here.show(ada, "green")
    here.write()
    here.keap.human_untag(ada, "Health: green")
    here.show(ada, "green")

    here.write()

    assert here.shown(ada)[0] == {"Health: green"}
