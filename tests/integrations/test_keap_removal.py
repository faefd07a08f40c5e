"""Taking Keepwell out of Keap leaves no trace of us and everything of theirs, and says what a person has to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integrations._keap_writes import KeapCrm
from integrations.keap import INTEGRATION
from worker.integration import CrmIds, CrmNames, Removed
from worker.lib.clock import VirtualClock
from worker.lib.http import Http
from worker.sandbox.servers.keap import PretendKeap

NAMES = CrmNames(
    category="Keepwell",
    tags={"green": "Health: green", "red": "Health: red"},
    fields={"score": "Health score", "band": "Health band"},
)
US = "https://us.example"


@pytest.fixture
def crm(http: Http, clock: VirtualClock) -> KeapCrm:
    return KeapCrm(http, None, clock)


def removed(http: Http, ids: CrmIds, public_url: str = US) -> Removed:
    assert INTEGRATION.remove is not None
    return INTEGRATION.remove(http, None, public_url, ids)


def picture(keap: PretendKeap) -> Any:
    """All that others can see of this Keap."""
    return {
        "tags": sorted(tag.name for tag in keap.tags.values()),
        "categories": sorted(one.name for one in keap.categories.values()),
        "fields": sorted(one.label for one in keap.fields.values()),
        "contacts": {one: (keap.tags_of(one), keap.field_values(one)) for one in keap.contacts},
        "hooks": [one.url for one in keap.subscriptions.values()],
    }


@pytest.fixture
def theirs(keap: PretendKeap, ada: str) -> Any:
    keap.human_tag(ada, "VIP")
    keap.edit_field(ada, "Plan", "Pro")
    keap.subscribe("contact.edit", f"{US}.elsewhere.example/hooks/keap/secret")
    return picture(keap)


def test_nothing_of_ours_is_left_and_all_of_theirs(
    keap: PretendKeap, http: Http, crm: KeapCrm, ada: str, theirs: Any
) -> None:
    ids = crm.find_or_create(NAMES, adopt=False)
    ids = crm.find_or_create(NAMES, adopt=False, known=CrmIds(**json.loads(json.dumps(_plain(ids)))))
    crm.add_tag(ids.tags["red"], [ada])
    crm.write_fields({ada: {ids.fields["score"]: "12", ids.fields["band"]: "red"}})
    keap.subscribe("contact.edit", f"{US}/hooks/keap/0123456789abcdef")

    found = removed(http, ids)

    assert picture(keap) == theirs
    assert sorted(words.split(" (")[0].rstrip("0123456789 ") for words in found.done) == [
        "REST hook", "custom field 'Health band'", "custom field 'Health score'", "tag 'Health: green'",
        "tag 'Health: red'", "tag category 'Keepwell'",
    ]  # fmt: skip
    assert len(found.left) == 1, "only that what happened stays"
    assert removed(http, ids).done == ()


def _plain(ids: CrmIds) -> dict[str, Any]:
    return {"tags": dict(ids.tags), "fields": dict(ids.fields), "made": list(ids.made)}


def test_what_was_only_adopted_stays_and_a_person_is_told(
    keap: PretendKeap, http: Http, crm: KeapCrm, ada: str
) -> None:
    keap.human_tag(ada, "Health: red")
    keap.edit_field(ada, "Health band", "good")
    ids = crm.find_or_create(NAMES, adopt=True)

    found = removed(http, ids)

    assert (keap.tags_of(ada), keap.field_values(ada)) == ({"Health: red"}, {"Health band": "good"})
    assert set(found.done) == {"tag 'Health: green'", "tag category 'Keepwell'", "custom field 'Health score'"}
    assert [words.split(" was ")[0].split(" may ")[0] for words in found.left[:2]] == [
        "tag 'Health: red'", "custom field 'Health band'"
    ]  # fmt: skip


def test_a_tag_of_theirs_in_our_category_stays_with_it(keap: PretendKeap, http: Http, crm: KeapCrm) -> None:
    ids = crm.find_or_create(NAMES, adopt=False)
    keap.ensure_tag("Mine", "Keepwell")

    found = removed(http, ids)

    assert [tag.name for tag in keap.tags.values()] == ["Mine"]
    assert any("'Mine'" in words and "Keepwell" in words for words in found.left)


def test_without_a_public_address_hooks_are_left_to_a_person(keap: PretendKeap, http: Http) -> None:
    keap.subscribe("contact.edit", f"{US}/hooks/keap/0123456789abcdef")

    found = removed(http, CrmIds({}, {}), "")

    assert (len(keap.subscriptions), "public_url" in found.left[0]) == (1, True)
    assert "0123456789abcdef" not in " ".join(found.left), "the address holds a secret"


def test_what_fails_is_told_and_the_rest_goes_on(keap: PretendKeap, http: Http, crm: KeapCrm, clock: VirtualClock) -> None:  # fmt: skip
    ids = crm.find_or_create(NAMES, adopt=False)
    keap.faults.planned = ["", "", "", "", *["500"] * 6]

    found = removed(http, ids)

    assert [words.split(":")[0] for words in found.left[:1]] == ["tag 'Health"]
    assert {"custom field 'Health score'", "custom field 'Health band'"} <= set(found.done)
    assert removed(http, ids).left == found.left[-1:], "the next time takes the rest"
    assert (keap.tags, keap.categories, keap.fields) == ({}, {}, {})
