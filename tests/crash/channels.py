"""A mail channel that deduplicates: a pretend service by HTTP that honours an idempotency key, and a mailer for it.

No service of those that ship does; the contract of a channel that does is what the crash test holds the worker to.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request

from worker.integration import Letter, Sought
from worker.lib.clock import Clock
from worker.lib.http import Retry
from worker.sandbox.servers.base import PretendVendor, json_response
from worker.workspace import Workspace


class PretendPost(PretendVendor):
    """Takes letters by HTTP; the same key twice is one letter, and gets the same answer."""

    name = "post"

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.letters: dict[str, dict[str, Any]] = {}
        """Idempotency key -> the letter that was delivered."""
        self.repeats = 0
        self.app.add_url_rule("/letters", "letters", self._take, methods=["POST"])

    def _take(self) -> Response:
        key, letter = request.headers["Idempotency-Key"], request.get_json()
        with self.lock:
            self.repeats += key in self.letters
            self.letters.setdefault(key, letter)
        return json_response({"id": key})


class PostMailer:
    """The mailer: the role `worker.integration.Mailer`."""

    deduplicates = True
    connections = 2

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc

    def send(self, letter: Letter) -> str:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            headers = {"Idempotency-Key": letter.message_id, "Content-Type": "application/json"}
            connection.request("POST", "/letters", json.dumps(asdict(letter)), headers)
            return str(json.loads(connection.getresponse().read())["id"])
        except (OSError, http.client.HTTPException) as error:
            raise Retry(f"the post broke off: {error}") from None
        finally:
            connection.close()

    def find(self, sought: Sought) -> str | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


def use_post(url: str) -> None:
    """Let this process send its mails there."""
    for name, one in {"mailer": property(lambda workspace: PostMailer(url))}.items():
        setattr(Workspace, name, one)
