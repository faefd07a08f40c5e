"""Apprise: alerts to the team in Teams, Discord, Telegram, by mail, and in any other place that Apprise knows.

Documentation: https://github.com/caronc/apprise/wiki

Oddities
- Each place is one address, `discord://…`, `workflows://…`, `mailto://…`, and all of it is secret. Apprise logs parts of
  them, so none of its log lines leaves this file.
- It tells true or false, never why. Most of its services end a log line with the status that they were answered; only
  that number is read. Without one nobody can know whether the message arrived: Unsure.
- Each place is told once, and a message that one of several has taken has arrived: to send it again for the sake of the
  others would repeat it there. Who did not take it is said in the remark.
- What customers wrote must call nobody and link nowhere, in places whose signs differ: `@`, `<` and `](` are broken
  apart by a space without width.
- Some services speak to this machine alone (its desktop, its system log). They are refused: nobody reads there.
- It is installed with the extra `alerts`, and loaded only when a message is sent.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field, field_validator

from worker.effects import Alert
from worker.integration import Integration, SecretStr, Settings
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Retry, Unsure

LOCAL: Final = frozenset(
    {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)  # fmt: skip
"""Schemes of services that reach nobody outside this machine."""

INSTALL: Final = "pip install 'keepwell[alerts]'"
MISSING: Final = f"Apprise is not installed here; {INSTALL}"

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://\S+", re.IGNORECASE)
_STATUS: Final = re.compile(r"error=([1-5]\d\d)\b")
_SIGNS: Final = re.compile(r"([@<])(?=\S)|\](?=\()")
_NO_WIDTH: Final = "\u200b"


# -- settings ---------------------------------------------------------------------------------------------------------


class AppriseSettings(Settings):
    """The places where the team reads."""

    urls: list[SecretStr] = Field(
        min_length=1,
        max_length=20,
        description='An address of Apprise for each place: discord://…, workflows://…, mailto://… (["TEAMS_URL", …]).',
    )

    @field_validator("urls", mode="before")
    @classmethod
    def _or_one(cls, urls: object) -> object:
        return [urls] if isinstance(urls, str | SecretStr) else urls

    @field_validator("urls")
    @classmethod
    def _lead_outside(cls, urls: list[SecretStr]) -> list[SecretStr]:
        for place, url in enumerate(urls, 1):
            found = _SCHEME.fullmatch(url.get_secret_value())
            if not found:
                raise ValueError(f"number {place} is no address of Apprise; it begins like discord:// or mailto://")
            if found[1].lower() in LOCAL:
                raise ValueError(f"number {place} begins with {found[1].lower()}:// and speaks to this machine alone")
        if importlib.util.find_spec("apprise") is None:
            raise ValueError(f"cannot be used: {MISSING}")
        return urls


# -- what Apprise is --------------------------------------------------------------------------------------------------


def _loaded() -> Any:
    """Apprise itself, silent. Raises Reconnect where it is not installed."""
    log = logging.getLogger("apprise")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    logging.getLogger("urllib3").setLevel(logging.INFO)  # below that it tells paths, which are secrets here
    try:
        with _old_imports():
            return importlib.import_module("apprise")
    except ModuleNotFoundError:
        raise Reconnect(MISSING) from None


def _old_imports() -> warnings.catch_warnings[None]:
    """Some of its services import what Python is about to drop; nothing that we could mend."""
    return warnings.catch_warnings(action="ignore", category=DeprecationWarning)


class _Place:
    """One address, as Apprise understands it."""

    def __init__(self, apprise: Any, number: int, url: str) -> None:
        """Raises Reconnect, without the address, where Apprise does not understand it."""
        asset = apprise.AppriseAsset(app_id="Keepwell", app_desc="Keepwell", http_redirects=False)
        with _old_imports():
            service = apprise.Apprise.instantiate(url, asset=asset)
        scheme = url.partition("://")[0].lower()
        if service is None:
            raise Reconnect(
                f"Apprise does not understand the address of place {number} ({scheme}://…); see its wiki for {scheme}"
            )
        if service.overflow_mode == apprise.OverflowMode.UPSTREAM:
            service.overflow_mode = apprise.OverflowMode.SPLIT  # what is too long comes as several, and not cut
        self._sender = apprise.Apprise(asset=asset)
        self._sender.add(service)
        self._targets = len(service)
        self.name = f"{service.service_name} (place {number})"

    def send(self, title: str, text: str) -> None:
        """Post one message. Raises Retry, Reconnect, GiveUp or Unsure."""
        result = self._sender.notify(body=text, title=title, body_format="text", interpret_escapes=False)
        if result:
            return
        statuses = [int(found[1]) for entry in result.logs() if (found := _STATUS.search(entry.message))]
        raise self._failure(statuses)

    def _failure(self, statuses: list[int]) -> Failure:
        """What it means that Apprise said no. Of several targets of one address some may have been reached."""
        status = statuses[-1] if statuses else 0
        if self._targets > 1 or status < 400 or status >= 500 or status in (408, 425):
            answered = f" (the last answer was {status})" if status else ""
            return Unsure(f"{self.name} did not take the message, or its answer was lost{answered}")
        if status == 429:
            return Retry(f"{self.name} answered 429")
        if status in (400, 413, 422):
            return GiveUp(f"{self.name} does not take the message: {status}")
        return Reconnect(f"{self.name} answered {status}; is its address still the right one?")


# -- writes -----------------------------------------------------------------------------------------------------------


class AppriseChannel:
    """All the places: the role `worker.integration.Alerter`."""

    def __init__(self, http: Http, settings: AppriseSettings) -> None:
        """Nothing is loaded yet."""
        self._urls = [url.get_secret_value() for url in settings.urls]
        self._places: list[_Place | Failure] = []

    def send(self, alert: Alert) -> str | None:
        """Tell each place once; gives those that did not take it, where another has.

        Raises what the places said where none has taken it: Unsure where one of them may have.
        """
        title, text = said(" ".join(alert.title.split())), words(alert)
        failures: list[Failure] = []
        places = self._found()
        for place in places:
            try:
                if isinstance(place, Failure):
                    raise place
                place.send(title, text)
            except Failure as failure:
                failures.append(failure)
        told = "; ".join(map(str, failures))
        if len(failures) < len(places):
            return f"not everywhere: {told}" if told else None
        worst = next((kind for kind in (Unsure, Retry, Reconnect) if _any(failures, kind)), GiveUp)
        raise worst(told)

    def _found(self) -> list[_Place | Failure]:
        """What Apprise makes of each address, tried once."""
        if not self._places:
            apprise = _loaded()
            self._places = [_understood(apprise, number, url) for number, url in enumerate(self._urls, 1)]
        return self._places

    def check(self) -> Iterator[str]:
        """One line for each place. Raises Reconnect for what Apprise does not understand."""
        for place in self._found():
            if isinstance(place, Failure):
                raise place
            yield f"{place.name} is understood; a message shows whether its address is still right"


def _any(failures: list[Failure], kind: type[Failure]) -> bool:
    return any(isinstance(one, kind) for one in failures)


def _understood(apprise: Any, number: int, url: str) -> _Place | Failure:
    try:
        return _Place(apprise, number, url)
    except Failure as failure:
        return failure


def words(alert: Alert) -> str:
    """The message as plain text: what it says, each line with its links, where to look. Never empty."""
    lines = [said(alert.text.strip()), *(line.in_words(said) for line in alert.lines)]
    return "\n".join(filter(None, [*lines, alert.link])) or said(alert.title)


def said(text: str) -> str:
    """Text in which no place finds a sign of its own: no mention, no link under another name, nothing invisible."""
    seen = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
    return _SIGNS.sub(lambda found: found[0] + _NO_WIDTH, seen)


def check(http: Http, settings: AppriseSettings) -> Iterator[str]:
    """Whether every address is one that Apprise understands."""
    return AppriseChannel(http, settings).check()


INTEGRATION = Integration(
    name="apprise",
    title="Apprise",
    does="alerts to the team in Teams, Discord, Telegram, by mail and in many other places, out",
    settings=AppriseSettings,
    docs="https://github.com/caronc/apprise/wiki",
    alerter=AppriseChannel,
    check=check,
)
