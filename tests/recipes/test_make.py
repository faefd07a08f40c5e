"""The blueprints for Make: whole by Make's own rules for what can be imported, and true to our API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.web.house import House
from worker.lib import assets
from worker.lib.clock import VirtualClock
from worker.lib.store import Store

FOLDER = assets.folder("recipes") / "make"
BLUEPRINTS = sorted(FOLDER.glob("*.json"))

ACCOUNT_BOUND = {
    "__IMTCONN__", "__IMTKEY__", "hook", "datastore", "agent", "apiKeyKeychain", "basicAuthKeychain", "oAuthAccount",
    "proxyKeychain", "bodyDataStructure",
}  # fmt: skip
EDITORS_OWN = {"restore", "expect", "interface", "parameters", "advanced"}
VERSIONS = {
    "gateway:CustomWebHook": 1, "http:MakeRequest": 4, "builtin:BasicRouter": 1, "builtin:Break": 1, "builtin:Ignore": 1,
}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def modules(flow: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every module of a flow, of its routes and of its error handlers."""
    for module in flow:
        yield module
        yield from modules(module.get("onerror", []))
        for route in module.get("routes", []):
            yield from modules(route["flow"])


def strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for one in data.values() if isinstance(data, dict) else data:
            yield from strings(one)


# -- what can be imported ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_make_can_import_it(path: Path) -> None:
    blueprint = read(path)
    found = list(modules(blueprint["flow"]))
    ids = [module["id"] for module in found]

    assert blueprint.keys() <= {"name", "description", "flow", "metadata"}
    assert 1 <= len(blueprint["name"]) <= 120
    assert blueprint["metadata"]["version"] == 1
    assert blueprint["metadata"]["designer"]["orphans"] == []
    assert {"roundtrips", "maxErrors", "autoCommit", "autoCommitTriggerLast", "freshVariables"} <= blueprint[
        "metadata"
    ]["scenario"].keys()
    assert all(isinstance(one, int) and one >= 1 for one in ids)
    assert len(ids) == len(set(ids))
    assert "filter" not in blueprint["flow"][0]
    for module in found:
        assert re.fullmatch(r"[a-z][a-z0-9-]*:[A-Za-z0-9]+", module["module"])
        assert module["version"] == VERSIONS[module["module"]]
        assert not ACCOUNT_BOUND & (module.get("parameters") or {}).keys()
        assert not EDITORS_OWN & module["metadata"].keys()
        assert {type(module["metadata"]["designer"][axis]) for axis in "xy"} <= {int, float}
        if module["module"] == "builtin:BasicRouter":
            assert module["mapper"] is None
            assert "filter" not in module
            assert module["routes"]
            assert all(route["flow"] for route in module["routes"])


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_it_maps_only_modules_that_come_before(path: Path) -> None:
    def walk(flow: list[dict[str, Any]], before: set[int]) -> None:
        seen = set(before)
        for module in flow:
            own = {key: value for key, value in module.items() if key in {"mapper", "parameters", "filter"}}
            named = {
                int(found)
                for text in strings(own)
                for inside in re.findall(r"\{\{(.*?)\}\}", text)
                for found in re.findall(r"\b(\d+)\.[a-z_]", inside)
            }
            assert named <= seen, f"module {module['id']} maps {named - seen}"
            seen.add(module["id"])
            walk(module.get("onerror", []), seen)
            for route in module.get("routes", []):
                walk(route["flow"], seen)

    walk(read(path)["flow"], set())


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_it_holds_no_key_and_nobodys_address(path: Path) -> None:
    for text in strings(read(path)):
        assert not re.search(r"kw_|sk_|whsec_|Bearer |[A-Za-z0-9_-]{32,}", text), text
        assert not re.search(r"[\w.+-]+@(?!example\.com)[\w-]+\.\w+", text), text
        for host in re.findall(r"https?://([^/\"{]+)", text):
            assert host == "example.com" or host.endswith(".example.com"), text


# -- whether it works -------------------------------------------------------------------------------------------------


class Make:
    """As much of Make as the blueprints use, over our own app."""

    def __init__(self, house: House, blueprint: dict[str, Any]) -> None:
        self._house, self._blueprint = house, blueprint
        self.calls: list[tuple[str, str, int]] = []
        self.acted: list[tuple[str, dict[str, Any]]] = []

    def run(self, bundle: dict[str, Any]) -> None:
        self._flow(self._blueprint["flow"], {1: bundle})

    def _flow(self, flow: list[dict[str, Any]], seen: dict[int, Any]) -> None:
        for module in flow:
            if not self._passes(module.get("filter"), seen):
                return
            if module["module"] == "http:MakeRequest":
                seen = {**seen, module["id"]: self._request(module["mapper"], seen)}
            for route in module.get("routes", []):
                self._flow(route["flow"], seen)

    def _passes(self, condition: dict[str, Any] | None, seen: dict[int, Any]) -> bool:
        compare = {"text:equal": str.__eq__, "text:notequal": str.__ne__}
        return condition is None or any(
            all(compare[one["o"]](self._filled(one["a"], seen), one["b"]) for one in together)
            for together in condition["conditions"]
        )

    def _request(self, mapper: dict[str, Any], seen: dict[int, Any]) -> dict[str, Any]:
        url = urlsplit(self._filled(mapper["url"], seen))
        body = self._filled(mapper.get("jsonStringBodyContent", ""), seen)
        if url.hostname == "example.com":
            self.acted.append((url.path, json.loads(body)))
            return {}
        assert url.scheme == "https"
        headers = {one["name"]: self._filled(one["value"], seen) for one in mapper["headers"]}
        headers = {name: value.replace("PUT THE KEY HERE", self._house.key) for name, value in headers.items()}
        answer = self._house.browser().open(
            url.path, method=mapper["method"].upper(), data=body, headers=headers, content_type="application/json"
        )
        self.calls.append((mapper["method"], url.path, answer.status_code))
        assert answer.status_code < 400 or not mapper["stopOnHttpError"]
        return {"data": answer.get_json(), "statusCode": answer.status_code}

    def _filled(self, text: str, seen: dict[int, Any]) -> str:
        return re.sub(r"\{\{(.*?)\}\}", lambda found: self._worth(found[1], seen), text)

    def _worth(self, written: str, seen: dict[int, Any]) -> str:
        if called := re.fullmatch(r"encodeURL\((.+)\)", written):
            return quote(self._worth(called[1], seen), safe="")
        if called := re.fullmatch(r"ifempty\((.+); (.+)\)", written):
            return self._worth(called[1], seen) or called[2]
        number, *path = written.split(".")
        value = seen[int(number)]
        for key in path:
            if key not in value:
                assert number == "1", f"our answer has no {key!r}"
                return ""
            value = value[key]
        return "" if value is None else str(value)


@pytest.fixture
def house(sqlite_store: Store, clock: VirtualClock, tmp_path: Path) -> Iterator[House]:
    house = House(sqlite_store, clock, tmp_path)
    yield house
    house.receiver.close()


@pytest.mark.parametrize(
    ("active", "event", "branch"),
    [
        (0, {"kind": "usage"}, "/replace-me/red"),
        (5, {"kind": "usage", "value": 3}, "/replace-me/yellow"),
        (9, {"kind": "usage"}, "/replace-me/other"),
        (14, {"kind": "nps_answer", "value": 2}, "/replace-me/yellow"),
    ],
)
def test_an_event_is_told_scored_read_back_and_branched_on(
    house: House, active: int, event: dict[str, Any], branch: str
) -> None:
    if active:
        house.used("ann+1@example.com", active, day=1)
    make = Make(house, read(FOLDER / "score-and-branch.json"))

    make.run({"event_id": "4711", "email": "ann+1@example.com", **event})

    customer = house.call("GET", "/customers/email:ann%2B1@example.com").get_json()
    assert [(method, status) for method, _, status in make.calls] == [("post", 202), ("post", 200), ("get", 200)]
    assert make.acted == [
        (branch, {key: str(customer[key]) for key in ("customer_id", "band", "main_driver", "url")})
    ]  # fmt: skip


def test_the_readme_shows_an_event_that_is_accepted(house: House) -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    shown = re.search(r"```json\n(.*?)```", text, re.DOTALL)

    assert shown is not None
    assert house.call("POST", "/events", data=shown[1]).status_code == 202
