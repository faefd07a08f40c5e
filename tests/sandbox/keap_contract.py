"""Holds every answer of the pretend Keap against the vendor's own specification."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import requests
import yaml

ROOT = "/crm"
Parameter = str | list[str]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _closed(schema: Any) -> Any:
    """The same schema, allowing no property that it does not name."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


class Contract:
    """The operations of Keap's v2 and v1 specifications."""

    def __init__(self, folder: Path) -> None:
        v2 = yaml.load((folder / "keap-v2.yml").read_text(), Loader=yaml.CSafeLoader)
        v1 = json.loads((folder / "keap-v1.json").read_text())
        self.schemas: dict[str, Any] = v2["components"]["schemas"]
        self._closed = _closed(self.schemas)
        self.paths: dict[str, Any] = v2["paths"] | {f"/rest{path}": item for path, item in v1["paths"].items()}
        self._validators: dict[tuple[str, str, int], jsonschema.Draft202012Validator] = {}

    def template(self, path: str) -> str:
        """The path of the specification that this one is an instance of, "" for none; `-` is nobody's id."""
        fits = [
            known
            for known in self.paths
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/:-]+", known.replace(".", r"\.")), path.removeprefix(ROOT))
        ]
        return min(fits, key=lambda known: known.count("{"), default="")

    def check(self, method: str, path: str, answer: requests.Response) -> None:
        """Fail where status, properties or types are not what the specification declares."""
        template = self.template(path)
        operation = self.paths.get(template, {}).get(method.lower())
        if operation is None or answer.status_code in {401, 429}:  # the gateway's, which no specification covers
            return
        if template.startswith("/rest/v1") and answer.status_code >= 400:
            return  # declared as Java's Throwable and without 400; what is seen is {"message"}
        assert str(answer.status_code) in operation["responses"], (method, template, answer.status_code, answer.text)
        content = operation["responses"][str(answer.status_code)].get("content")
        if not content:
            assert answer.content == b""
            return
        place = (method, template, answer.status_code)
        if place not in self._validators:
            schema = _closed(content["application/json"]["schema"]) | {"components": {"schemas": self._closed}}
            self._validators[place] = jsonschema.Draft202012Validator(schema)
        self._validators[place].validate(answer.json())
        _check_moments(answer.json())


def _check_moments(data: Any) -> None:
    for value in data if isinstance(data, list) else data.values() if isinstance(data, dict) else ():
        _check_moments(value)
    if isinstance(data, dict):
        for name, value in data.items():
            assert not name.endswith("_time") or MOMENT.fullmatch(value), (name, value)


class Client:
    """Calls the pretend Keap over HTTP and holds what it answers against the contract, where that is at hand."""

    def __init__(self, base_url: str, contract: Contract | None, key: str = "KeapAK-sandbox") -> None:
        self.base_url = base_url
        self.contract = contract
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["X-Keap-API-Key"] = key

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
        **params: Parameter,
    ) -> requests.Response:
        """One call; parameters are percent-encoded as Keap wants them."""
        return self._send(method, path, body, headers, params)

    def get(self, path: str, **params: Parameter) -> Any:
        """The data of a read that must succeed."""
        return self._data("GET", path, None, params)

    def patch(self, path: str, body: Any, **params: Parameter) -> Any:
        """The data of a change that must succeed."""
        return self._data("PATCH", path, body, params)

    def post(self, path: str, body: Any, **params: Parameter) -> Any:
        """The data of a write that must succeed."""
        return self._data("POST", path, body, params)

    def _data(self, method: str, path: str, body: Any, params: Mapping[str, Parameter]) -> Any:
        answer = self._send(method, path, body, None, params)
        assert answer.status_code in {200, 201, 204}, answer.text
        return answer.json() if answer.content else None

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str | None] | None,
        params: Mapping[str, Parameter],
    ) -> requests.Response:
        query = "&".join(
            f"{name}={quote(value, safe='')}"
            for name, values in params.items()
            for value in ([values] if isinstance(values, str) else values)
        )
        url = f"{self.base_url}/crm/rest{path}" + (f"?{query}" if query else "")
        answer = self.session.request(method, url, json=body, headers=headers, timeout=10)
        if self.contract is not None:
            self.contract.check(method, f"{ROOT}/rest{path}", answer)
        return answer
