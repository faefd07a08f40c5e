"""Mail channels as the contract knows them, beside plain SMTP: one that deduplicates, and one that can be asked.

A pretend service takes letters by HTTP, and a mailer hands them over. The crash test holds the worker to the contract;
which of the services that ship keeps which part of it is their own tests' affair.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import quote, urlsplit

from flask import Response, request

from worker.integration import Letter, Sought
from worker.lib.clock import Clock
from worker.lib.http import Retry, Unsure
from worker.sandbox.servers.base import PretendVendor, json_response
from worker.workspace import Workspace

DEDUPLICATES: Final = "a channel that deduplicates"
"""The same key twice is one letter."""
CAN_BE_ASKED: Final = "a channel that can be asked"
"""The same letter twice is two; but it knows what it has had."""
PLAIN_SMTP: Final = "plain SMTP"
"""Neither: what was interrupted is *unknown* for good."""


class PretendPost(PretendVendor):
    """Takes letters by HTTP; where it deduplicates, the same key twice is one letter and gets the same answer."""

    name = "post"

    def __init__(self, clock: Clock, *, deduplicates: bool) -> None:
        super().__init__(clock)
        self.deduplicates = deduplicates
        self.letters: list[dict[str, Any]] = []
        """Those that were delivered."""
        self.app.add_url_rule("/letters", "take", self._take, methods=["POST"])
        self.app.add_url_rule("/letters/<key>", "find", self._find)

    def _take(self) -> Response:
        letter = request.get_json()
        with self.lock:
            if not (self.deduplicates and self._has(letter["message_id"])):
                self.letters.append(letter)
        return json_response({"id": letter["message_id"]})

    def _find(self, key: str) -> Response:
        with self.lock:
            return json_response({"id": key if self._has(key) else ""})

    def _has(self, key: str) -> bool:
        return any(one["message_id"] == key for one in self.letters)


class PostMailer:
    """The mailer: the role `worker.integration.Mailer`."""

    connections = 2

    def __init__(self, url: str, *, deduplicates: bool) -> None:
        self._host, self.deduplicates = urlsplit(url).netloc, deduplicates

    def send(self, letter: Letter) -> str:
        try:
            return self._call("POST", "/letters", json.dumps(asdict(letter)))
        except (OSError, http.client.HTTPException) as error:
            broken = f"the post broke off: {error}"
            raise (Retry(broken) if self.deduplicates else Unsure(broken)) from None

    def find(self, sought: Sought) -> str | None:
        try:
            return self._call("GET", f"/letters/{quote(sought.message_id, safe='')}")
        except (OSError, http.client.HTTPException) as error:
            raise Retry(f"the post broke off: {error}") from None

    def close(self) -> None:
        """Nothing is held."""

    def _call(self, method: str, path: str, body: str | None = None) -> str:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            return str(json.loads(connection.getresponse().read())["id"])
        finally:
            connection.close()


def use_post(url: str, *, deduplicates: bool) -> None:
    """Let this process send its mails there."""
    mailer = property(lambda workspace: PostMailer(url, deduplicates=deduplicates))
    for name, one in {"mailer": mailer}.items():
        setattr(Workspace, name, one)
