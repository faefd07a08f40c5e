"""A file a day of our tags and fields in the CRM, and the way back to one: only ours, shown before, and undoable."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dispatch.business import Business, business
from worker import controls, snapshots
from worker.lib.clock import DAY, HOUR
from worker.lib.problems import Problems


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        yield opened


def live(here: Business, *names: str) -> list[str]:
    contacts = [here.enter(name) for name in names or ("Ada", "Bob")]
    here.go_live(contacts[0])
    for contact_id in contacts:
        here.show(contact_id, "green")
    here.write()
    return contacts


def keep(here: Business) -> Path:
    path = snapshots.keep(here.workspace, snapshots.read_contacts(here.workspace))
    assert path is not None
    return path


def picture(here: Business, contacts: Sequence[str]) -> list[tuple[set[str], dict[str, object]]]:
    return [(here.keap.tags_of(one), here.keap.field_values(one)) for one in contacts]


def test_a_snapshot_holds_ours_of_every_contact_nothing_of_others_and_is_for_nobody_else_to_read(
    here: Business,
) -> None:
    ada, bob = live(here)
    here.keap.human_tag(bob, "Health: red")
    path = keep(here)

    data = json.loads(path.read_text("utf-8"))
    tags, fields = {v: k for k, v in data["tags"].items()}, {v: k for k, v in data["fields"].items()}
    held = {
        one: ({tags[tag] for tag in found["tags"]}, {fields[name]: value for name, value in found["fields"].items()})
        for one, found in data["contacts"].items()
    }
    assert path.name == "2026-01-01.json"
    assert held.keys() == {ada, bob}
    assert (held[ada][0], held[bob][0]) == ({"green"}, {"green", "red"})
    assert {name: held[ada][1][name] for name in ("score", "band")} == {"score": "71", "band": "green"}
    assert "Birthday" not in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_what_a_snapshot_says_comes_back_and_nothing_of_others_is_touched(here: Business) -> None:
    contacts = live(here)
    before = picture(here, contacts)
    path = keep(here)
    for contact_id in contacts:
        here.show(contact_id, "red", "3", "gone wrong")
    here.clock.sleep(HOUR)
    here.write()
    here.keap.edit_field(contacts[0], "Plan", "Enterprise")
    wrong = picture(here, contacts)

    told = snapshots.restore(here.workspace, path, dry_run=True)
    assert (len(told.lines), told.run_id, picture(here, contacts)) == (12, "", wrong)
    done = snapshots.restore(here.workspace, path, dry_run=False)

    before[0][1]["Plan"] = "Enterprise"
    assert picture(here, contacts) == before
    assert (done.fields, done.tags, done.failed, here.workspace.paused) == (8, 4, [], True)
    assert snapshots.restore(here.workspace, path, dry_run=False).run_id == ""  # it is as it says
    controls.undo(here.workspace, done.run_id, dry_run=False)
    wrong[0][1]["Plan"] = "Enterprise"
    assert picture(here, contacts) == wrong
    assert here.lost() == 0


def test_one_customer_is_restored_and_the_others_stay(here: Business) -> None:
    ada, bob = live(here)
    path = keep(here)
    before, _ = picture(here, [ada, bob])
    for contact_id in (ada, bob):
        here.show(contact_id, "red", "3")
    here.write()
    _, wrong = picture(here, [ada, bob])

    snapshots.restore(here.workspace, path, dry_run=False, customer_id=here.customer(ada))

    assert picture(here, [ada, bob]) == [before, wrong]


def test_the_things_are_found_by_what_they_are_for_when_they_were_made_anew(here: Business) -> None:
    (ada,) = live(here, "Ada")
    path = keep(here)
    tag_id = here.keap.ensure_tag("Health: green")
    here.keap.human_untag(ada, "Health: green")
    del here.keap.tags[tag_id]
    crm = here.workspace.crm
    assert crm is not None
    assert here.workspace.crm_ids(crm).tags["green"] != tag_id

    snapshots.restore(here.workspace, path, dry_run=False)

    assert here.shown(ada) == ({"Health: green"}, "green", "71")


def test_the_oldest_snapshots_go_and_one_of_the_same_day_is_replaced(here: Business) -> None:
    live(here)
    config = here.workspace.config
    workspace = replace(here.workspace, config=replace(config, crm=config.crm.model_copy(update={"keep_snapshots": 3})))
    (config.folder / "snapshots").mkdir(mode=0o700)
    (config.folder / "snapshots" / "mine.json").write_text("kept by hand", "utf-8")
    for _ in range(5):
        for _ in range(2):
            snapshots.keep(workspace, {})
        here.clock.sleep(DAY)

    assert [one.name for one in snapshots.kept(workspace)] == ["2026-01-03.json", "2026-01-04.json", "2026-01-05.json"]
    assert (config.folder / "snapshots" / "mine.json").exists()


def test_before_anything_in_the_crm_is_ours_there_is_nothing_to_keep(here: Business) -> None:
    here.enter()
    here.clock.sleep(300)
    here.turn()

    assert snapshots.keep(here.workspace, snapshots.read_contacts(here.workspace)) is None
    assert here.keap.writes() == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"), ("{", "is no snapshot"), ("[]", "is no snapshot"), ('{"contacts": {"1": 2}}', "is no snapshot"),
        ('{"contacts": {}, "tags": {}, "fields": {}, "source": "hubspot"}', "is of 'hubspot'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_snapshot_changes_nothing_and_says_which_there_are(
    here: Business, tmp_path: Path, text: str | None, says: str
) -> None:
    live(here)
    keep(here)
    file, before = tmp_path / "file.json", here.keap.writes()
    if text is not None:
        file.write_text(text, "utf-8")

    with pytest.raises(Problems, match=says):
        snapshots.restore(here.workspace, file, dry_run=False)

    assert here.keap.writes() == before
    assert not here.workspace.paused
