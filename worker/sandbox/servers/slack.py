"""The pretend Slack: one incoming webhook, answered in plain words as Slack does.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from flask import Response, request

from worker.lib.clock import Clock
from worker.sandbox.servers.base import Faults, PretendVendor

MOST_BLOCKS: Final = 50


@dataclass(frozen=True, slots=True)
class Message:
    """What the team read, and when."""

    at: int
    text: str
    blocks: tuple[dict[str, Any], ...] = ()


class PretendSlack(PretendVendor):
    """Slack on loopback; `webhook_url` is what its administrator would hand out."""

    name = "slack"

    def __init__(self, clock: Clock, faults: Faults | None = None, *, secret: str = "sandbox-secret") -> None:  # noqa: S107  opens nothing real
        """`secret` is the last part of the webhook's path."""
        super().__init__(clock, faults)
        self.messages: list[Message] = []
        self._path = f"/services/T0SANDBOX/B0SANDBOX/{secret}"
        self.app.add_url_rule("/services/<path:_rest>", "webhook", self._webhook, methods=["POST"])
        self.app.register_error_handler(404, lambda _error: _words("no_service", 404))

    @property
    def webhook_url(self) -> str:
        """Where to post."""
        return self.base_url + self._path

    def throttled(self, fault: str) -> Response:
        """Slack's 429: plain words, and how long to wait."""
        return _words("rate_limited", 429, {"Retry-After": "1"} if fault == "429_with_retry_after" else None)

    def _webhook(self, _rest: str) -> Response:
        if not secrets.compare_digest(request.path.encode(), self._path.encode()):
            return _words("no_service", 404)
        payload = request.get_json(silent=True)
        if not isinstance(payload, dict):
            return _words("invalid_payload", 400)
        text, blocks = payload.get("text", ""), payload.get("blocks", [])
        if not isinstance(text, str) or not _are_blocks(blocks):
            return _words("invalid_payload", 400)
        if not text.strip() and not blocks:
            return _words("no_text", 400)
        with self.lock:
            self.messages.append(Message(self.now, text, tuple(blocks)))
        return _words("ok", 200)


def _are_blocks(blocks: Any) -> bool:
    return (
        isinstance(blocks, list)
        and len(blocks) <= MOST_BLOCKS
        and all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in blocks)
    )


def _words(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(text, status, headers or {}, content_type="text/html")
