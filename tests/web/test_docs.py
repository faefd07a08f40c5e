"""docs/api.md says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import worker.web
from tests.web.house import House
from worker.intake.events import Event
from worker.lib.clock import DAY, iso

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


@pytest.fixture(scope="module")
def text() -> str:
    if not DOCS.exists():
        pytest.skip("only a checkout holds the docs")
    return DOCS.read_text("utf-8")


def shown(text: str) -> list[dict[str, Any]]:
    return [json.loads(one) for one in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def test_its_examples_have_the_keys_of_live_answers(house: House, text: str) -> None:
    me, paused, event, accepted, customer, change, pulse, stored, parted, override, overridden, problem = shown(text)
    house.used("ann@example.com", 10)
    house.turn()
    house.clock.sleep(25 * DAY)
    house.turn()

    assert house.call("GET", "/me").get_json().keys() == me.keys()
    assert house.call("POST", "/pause").get_json().keys() == paused.keys()
    assert event.keys() == Event.model_fields.keys()
    assert house.post(event).get_json().keys() == accepted.keys()
    assert house.call("GET", "/customers").get_json()[0].keys() == customer.keys()
    assert house.call("GET", "/changes").get_json()[0].keys() == change.keys()
    found = house.call("GET", "/customers").get_json()[0]
    whose = {"customer": found["customer_id"], "email": ""}
    low = {**pulse, **whose, "at": iso(house.now), "value": 1 if found["band"] == "green" else 5}
    assert house.call("POST", "/pulses", json=low).get_json().keys() == stored.keys()
    upheld = {**override, **whose, "how": "set", "limit": "green" if low["value"] == 1 else "red"}
    assert house.call("POST", "/overrides", json=upheld).get_json().keys() == overridden.keys()
    house.turn()
    assert house.call("GET", "/overrides").get_json()[0].keys() == overridden.keys()
    assert house.call("GET", "/disagreements").get_json()[0].keys() == parted.keys()
    refused = house.post(event, {**event, "at": "2026-01-31T09:30:00"}).get_json()
    assert refused == problem


def test_it_names_every_route_and_every_code(house: House, text: str) -> None:
    rules = {
        rule.rule.replace("<word>", "{id}")
        for rule in house.app.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
    }
    source = Path(str(worker.web.__file__)).parent.glob("*.py")
    codes = {
        code
        for path in source
        if path.stem in {"api", "guard", "opinions"}
        for code in re.findall(r'code="(\w+)"', path.read_text("utf-8"))
    }

    assert [rule for rule in sorted(rules) if rule not in text] == []
    assert codes
    assert [code for code in sorted(codes) if f"`{code}`" not in text] == []
