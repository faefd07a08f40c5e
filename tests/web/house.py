"""A whole Keepwell behind its doors: the real app over a real store, with nobody connected but the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from worker.app import create_app
from worker.config import read
from worker.dispatch import outbox
from worker.dispatch.letters import Templates
from worker.effects import Mail
from worker.intake.receive import Receiver
from worker.lib import assets
from worker.lib.clock import DAY, VirtualClock, iso, seconds
from worker.lib.store import Store
from worker.plays import files
from worker.plays.records import set_switch
from worker.river import Turn, turn
from worker.scoring.choice import deck_of
from worker.web import auth
from worker.workspace import Workspace

PASSWORD = "correct horse battery staple"

_RECIPES, _MAILS = assets.folder("recipes"), assets.folder("templates") / "email"
_FILES = {
    "doors.toml": """
name = "Doors"
goal = "Small enough to know by heart"
leaving = ["left by choice"]

[measures.active_days]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 10 -> 100"
says = "active on {value} of the last 30 days"
do = "usage-drop"

[measures.last_nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"
says = "answered {value} of 10"
do = "low-nps"

[dimensions.adoption]
share = 60
measures = { active_days = 100 }

[dimensions.voice]
share = 40
measures = { last_nps = 100 }

[rules.unhappy]
when = "last_nps <= 2"
at_most = "yellow"
because = "is unhappy"

[signals.loved]
when = "active_days >= 20"
do = "thriving"

[bands]
green = "70 and up"
yellow = "40 and up"
unknown_if_known_less_than = "50%"
"""
}
_DECK = deck_of(_FILES)
_PLAYS = files.load((_RECIPES / "plays").glob("*.toml"))
_TEMPLATES = Templates([_MAILS])
_HASH = auth.hash_password(PASSWORD)


@dataclass
class House:
    """One workspace with its app and a browser."""

    store: Store
    clock: VirtualClock
    folder: Path
    url: str = "http://localhost"
    settings: str = ""
    woken: list[int] = field(default_factory=list)

    @cached_property
    def workspace(self) -> Workspace:
        text = f'[workspace]\nname = "Acme"\npublic_url = "{self.url}"\n{self.settings}'
        config = read(text, "config.toml", self.folder, {})
        set_switch(self.store, auth.PASSWORD, _HASH, self.now)
        return Workspace(config, self.store, self.clock, {}, _DECK, _PLAYS, _TEMPLATES, _FILES)

    @cached_property
    def app(self) -> Flask:
        return create_app(self.workspace, wake=lambda: self.woken.append(1))

    @cached_property
    def key(self) -> str:
        return auth.create_key(self.store, "make", self.now)

    @property
    def now(self) -> int:
        return seconds(self.clock)

    @property
    def receiver(self) -> Receiver:
        found: Receiver = self.app.extensions["receiver"]
        return found

    # -- visitors -----------------------------------------------------------------------------------------------------

    def browser(self) -> FlaskClient:
        return self.app.test_client()

    def operator(self) -> FlaskClient:
        """A browser whose owner has logged in (by a link: a password takes its time on purpose)."""
        browser = self.browser()
        link = auth.create_login_link(self.workspace).removeprefix(self.url)
        assert browser.post(link).status_code == 303
        return browser

    def call(self, method: str, path: str, **named: Any) -> TestResponse:
        """Call the API with the key."""
        headers = {"X-API-Key": self.key, **named.pop("headers", {})}
        return self.browser().open(f"/api/v1{path}", method=method, headers=headers, **named)

    # -- what has happened --------------------------------------------------------------------------------------------

    def post(self, *events: dict[str, Any]) -> TestResponse:
        return self.call("POST", "/events", json=list(events))

    def turn(self) -> Turn:
        return turn(self.workspace, pulls=False)

    def used(self, email: str, days: int, *, name: str = "", day: int = 0) -> None:
        """This customer used the product on so many days, one after the other up to `day` days ago."""
        events = [
            {
                "event_id": f"{email} {self.now} {n}",
                "kind": "usage",
                "email": email,
                "name": name,
                "at": iso(self.now - (day + n) * DAY),
            }
            for n in range(days)
        ]
        assert self.post(*events).status_code == 202

    def customer_id(self, email: str) -> str:
        found: str = self.call("GET", f"/customers/email:{email}").get_json()["customer_id"]
        return found

    def mail(self, customer_id: str, to: str) -> str:
        """A mail was meant for this address; gives the effect's id."""
        mail = Mail(customer_id, to, "Ann", "low-nps", "low-nps", "service", {}, self.now + DAY)
        return outbox.put(self.store, mail, f"mail {to} {self.now}", self.now, play="low-nps")


class Page(HTMLParser):
    """A page as a browser reads it: its tags with the names of their attributes, its attributes, its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.shape.append((f"/{tag}", ()))

    def handle_data(self, data: str) -> None:
        self.text += data

    def value(self, name: str) -> str:
        """What the first hidden field of that name holds."""
        inputs = iter(self.attributes)
        for tag, key, held in inputs:
            if tag == "input" and key == "name" and held == name:
                return next(value for _, other, value in inputs if other == "value")
        raise AssertionError(f"the page has no field {name!r}")
