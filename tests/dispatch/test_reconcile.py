"""What people put into places of ours is noticed and not fought; what is merely wrong is put right at night."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dispatch.business import Business
from worker import check, controls, nightly, snapshots
from worker.dispatch import edits
from worker.lib.clock import DAY, HOUR
from worker.reconcile import Reconciled, reconcile
from worker.river import Turn, turn
from worker.schedule import Wheel


def live(here: Business, *names: str) -> list[str]:
    """Contacts that show green 71."""
    contacts = [here.enter(name) for name in names or ("Ada",)]
    here.go_live(contacts[0])
    for contact_id in contacts:
        here.show(contact_id, "green")
    here.write()
    return contacts


def night(here: Business) -> Reconciled:
    """What differs is queued, and written in the next turn."""
    here.clock.sleep(HOUR)
    done = reconcile(here.workspace)
    here.write()
    return done


def fields(here: Business, contact_id: str) -> dict[str, str]:
    return {name: str(value) for name, value in here.keap.field_values(contact_id).items()}


# -- what a person put there ------------------------------------------------------------------------------------------


def test_what_somebody_writes_into_a_field_of_ours_stays_until_the_band_changes(anywhere: Business) -> None:
    (ada,) = live(anywhere)
    anywhere.keap.edit_field(ada, "Health reason", "Olga: they are moving offices")
    anywhere.keap.edit_field(ada, "Health score", 99)
    anywhere.show(ada, "green", "64", "active on 2 days")
    told = anywhere.write().written.edits

    assert fields(anywhere, ada)["Health reason"] == "Olga: they are moving offices"
    assert anywhere.shown(ada) == ({"Health: green"}, "green", "99")
    assert told[1] == (
        f"contact {ada}: somebody put reason 'Olga: they are moving offices' in the place of 'active on 3 days';"
        " it stays until the band changes or it is taken back"
    )
    anywhere.show(ada, "red", "12", "active on no day")
    told = anywhere.write().written.edits

    assert anywhere.shown(ada) == ({"Health: red"}, "red", "12")
    assert fields(anywhere, ada)["Health reason"] == "active on no day"
    assert all("ours is written again: the band changed" in line for line in told)
    assert controls.taken(anywhere.workspace) == []
    assert anywhere.lost() == 0


def test_another_colour_of_ours_that_somebody_gave_stays_until_the_band_changes(here: Business) -> None:
    (ada,) = live(here)
    here.keap.human_untag(ada, "Health: green")
    here.keap.human_tag(ada, "Health: red")
    assert night(here).differ == []
    here.show(ada, "green", "80")
    here.write()

    assert here.shown(ada) == ({"Health: red"}, "green", "80")
    assert "tag red in the place of green" in controls.taken(here.workspace)[0]
    here.show(ada, "yellow", "50")
    here.write()
    assert here.shown(ada) == ({"Health: yellow"}, "yellow", "50")


def test_an_edit_that_is_first_seen_when_the_band_has_changed_is_written_over(here: Business) -> None:
    (ada,) = live(here)
    here.keap.edit_field(ada, "Health band", "purple")
    here.show(ada, "red", "12")

    here.write()

    assert here.shown(ada) == ({"Health: red"}, "red", "12")


def test_a_person_takes_a_place_back_and_the_next_edit_counts_again(anywhere: Business) -> None:
    (ada,) = live(anywhere)
    anywhere.keap.edit_field(ada, "Health score", 99)
    night(anywhere)
    assert anywhere.shown(ada)[2] == "99"

    assert controls.take_back(anywhere.workspace, anywhere.customer(ada), "Olga") == 1
    anywhere.write()
    assert anywhere.shown(ada)[2] == "71"
    assert controls.take_back(anywhere.workspace, anywhere.customer(ada), "Olga") == 0

    anywhere.keap.edit_field(ada, "Health score", 99)
    night(anywhere)
    assert anywhere.shown(ada)[2] == "99"


def test_with_the_setting_overwrite_an_edit_is_told_and_written_over(here: Business) -> None:
    (ada,) = live(here)
    config = here.workspace.config
    strict = replace(config, crm=config.crm.model_copy(update={"when_edited": "overwrite"}))
    workspace = replace(here.workspace, config=strict)
    here.keap.edit_field(ada, "Health score", 99)

    done = reconcile(workspace)
    written: Turn = turn(workspace, pulls=False)

    assert 'ours is written again: when_edited is "overwrite"' in done.edits[0]
    assert written.written.contacts == 1
    assert here.shown(ada)[2] == "71"


def test_an_edit_that_is_put_right_by_hand_is_forgotten(here: Business) -> None:
    (ada,) = live(here)
    here.keap.edit_field(ada, "Health score", 99)
    night(here)
    assert len(controls.taken(here.workspace, here.customer(ada))) == 1
    assert any("score '99' in the place of '71'" in line for line in check.check(here.workspace).fine)

    here.keap.edit_field(ada, "Health score", 71)
    night(here)

    assert controls.taken(here.workspace) == []


def test_a_clear_that_a_customer_s_move_calls_for_asks_nobody(here: Business) -> None:
    (ada,) = live(here)
    here.keap.edit_field(ada, "Health score", 99)
    here.show(ada, "", "", "")

    here.write()

    assert here.shown(ada) == (set(), "", "")


@pytest.mark.parametrize(("one", "other", "are"), [("71", "71.0", True), ("71", "17", False), ("a ", "a", True)])
def test_two_spellings_of_a_number_are_no_edit(one: str, other: str, are: bool) -> None:
    assert edits.same(one, other) is are


# -- what is wrong ----------------------------------------------------------------------------------------------------


def test_at_night_what_is_missing_or_double_is_put_right(anywhere: Business) -> None:
    ada, bob, cyd, dot = live(anywhere, "Ada", "Bob", "Cyd", "Dot")
    anywhere.keap.human_untag(ada, "Health: green")
    anywhere.keap.human_tag(bob, "Health: red")
    anywhere.keap.edit_field(cyd, "Health band", "")

    done = night(anywhere)

    assert done.differ == [
        f"contact {ada}: has the tags of no band, not of green",
        f"contact {bob}: has the tags of green and red, not of green",
        f"contact {cyd}: shows the band '', not 'green'",
    ]
    assert (done.contacts, done.queued) == (4, 3)
    assert [anywhere.shown(one) for one in (ada, bob, cyd, dot)] == [({"Health: green"}, "green", "71")] * 4
    again = night(anywhere)
    assert (again.differ, again.queued, anywhere.lost()) == ([], 0, 0)


def test_a_colour_on_another_contact_of_the_customer_is_taken_off(here: Business) -> None:
    (ada,) = live(here)
    other = here.enter("Adas-twin")
    here.clock.sleep(300)
    here.turn()
    binds = {"id": other, "customer": here.customer(ada)}
    here.store.run("delete from effects where target = :id", binds)
    here.store.run("update identities set customer_id = :customer where external_id = :id and source = 'keap'", binds)
    here.keap.human_tag(other, "Health: red")
    here.keap.human_tag(here.enter("Stranger"), "Health: red")  # in no pull yet: nothing is known of them

    night(here)

    assert here.shown(other)[0] == set()
    assert here.keap.tags_of(other) == {"VIP"}


def test_a_dry_run_and_a_workspace_that_lets_nothing_out_only_tell(here: Business) -> None:
    (ada,) = live(here)
    here.keap.human_untag(ada, "Health: green")
    before = here.keap.writes()

    told = reconcile(here.workspace, dry_run=True)
    controls.set_mode(here.workspace, "watch")
    watching = reconcile(here.workspace)
    here.write()

    assert told.differ == watching.differ != []
    assert (told.queued, watching.queued, here.keap.writes()) == (0, 0, before)


def test_what_a_person_took_back_is_not_written_again_at_night(here: Business) -> None:
    live(here)
    run = controls.runs_that_wrote(here.store)[0]["run_id"]
    controls.undo(here.workspace, run, dry_run=False)
    controls.resume(here.store, here.now)

    assert reconcile(here.workspace).differ == []


def test_a_contact_that_waits_for_the_backfill_lacks_no_tag(here: Business) -> None:
    ada = here.enter()
    here.clock.sleep(300)
    here.turn()
    here.try_canary(ada)
    controls.set_mode(here.workspace, "live")
    here.clock.sleep(DAY)
    here.turn()

    assert here.shown(ada)[0] == set()
    assert here.shown(ada)[1] != ""
    assert night(here).differ == []


def test_a_night_keeps_a_snapshot_mends_what_differs_and_says_what_it_could_not(here: Business) -> None:
    ada, bob = live(here, "Ada", "Bob")
    here.keap.human_untag(ada, "Health: green")
    found = nightly.look(here.workspace)
    assert found.suspects == [ada]
    nightly.mend(here.workspace, found)
    here.write()
    assert here.shown(ada)[0] == {"Health: green"}
    assert found.told[0].startswith("2 contacts are in ")
    assert found.told[-1] == "1 contacts are written again"

    here.keap.faults.planned += ["500"] * 20
    assert nightly.look(here.workspace).suspects == []
    here.keap.faults.planned.clear()
    assert any("no snapshot of keap last night" in line for line in check.check(here.workspace).findings)
    nightly.look(here.workspace)
    assert not any("last night" in line for line in check.check(here.workspace).findings)
    assert here.shown(bob)[0] == {"Health: green"}


def test_the_schedule_looks_once_a_day_after_everybody_was_looked_at(here: Business) -> None:
    (ada,) = live(here)
    here.keap.human_untag(ada, "Health: green")
    wheel = Wheel(here.workspace)
    wheel.nightly()
    assert snapshots.kept(here.workspace) == []

    wheel.daily()
    for _ in range(3):
        Wheel(here.workspace).nightly()
        reads = len(here.keap.calls)

    assert [one.name for one in snapshots.kept(here.workspace)] == ["2026-01-01.json"]
    assert len(here.keap.calls) == reads  # the second and third asked nobody
    here.write()
    assert len(here.shown(ada)[0]) == 1
