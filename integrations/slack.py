"""Slack: alerts to the team, through an incoming webhook.

Documentation: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

Oddities
- The webhook's whole address is its secret; it belongs to one channel.
- Answers are plain words (`ok`, `invalid_payload`, `no_service` …), not JSON.
- About one message a second; a 429 says how long to wait.
- `&`, `<` and `>` are Slack's own signs (`<!channel>` would call everybody), so they are escaped in all we say.
- It does not recognise a message that is sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from worker.effects import Alert
from worker.integration import Integration, SecretStr, Settings
from worker.lib.clock import Clock
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Reply, Unsure

LONGEST_SECTION: Final = 3000
"""Characters in the text of a section block."""
LONGEST_TITLE: Final = 150


# -- settings ---------------------------------------------------------------------------------------------------------


class SlackSettings(Settings):
    """Where the team reads."""

    url: SecretStr = Field(
        description="The address of an incoming webhook: https://hooks.slack.com/services/T…/B…/… All of it is secret."
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in {"https", "http"} or not parts.hostname or len(parts.path) < 2:
            raise ValueError("is no address of an incoming webhook; copy it whole from Slack, https:// included")
        if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost"}:
            raise ValueError("would send alerts unencrypted; it begins with https://")
        return url


def connect(settings: SlackSettings, clock: Clock) -> Http:
    """Slack's connection; the secret path is kept out of it."""
    parts = urlsplit(settings.url.get_secret_value())
    return Http("Slack", f"{parts.scheme}://{parts.netloc}", clock, per_second=1.0, burst=3, timeout=20.0, judge=judge)


# -- what Slack answers -----------------------------------------------------------------------------------------------

CURES: Final[Mapping[int, str]] = {
    403: "the workspace forbids it; ask a Slack administrator",  # invalid_token, action_prohibited
    404: "the webhook is no more; make a new one in Slack and set its address as `url`",  # no_service, channel_not_found
    410: "the channel is archived; make a webhook for another one and set its address as `url`",  # channel_is_archived
}


def judge(reply: Reply) -> Failure | None:
    """Read Slack's words; what is not in the table is judged by its status."""
    cure = CURES.get(reply.status)
    if cure is not None:
        return Reconnect(f"Slack answered {reply.status} {_word(reply)}: {cure}")
    if reply.status == 400:
        return GiveUp(f"Slack does not take the message: {_word(reply)}")
    return None


def _word(reply: Reply) -> str:
    return " ".join(reply.text.split())[:60]


# -- writes -----------------------------------------------------------------------------------------------------------


class SlackChannel:
    """The channel behind the webhook: the role `worker.integration.Alerter`."""

    def __init__(self, http: Http, settings: SlackSettings) -> None:
        """No call is made yet."""
        self._http = http
        parts = urlsplit(settings.url.get_secret_value())
        self._path = parts.path + (f"?{parts.query}" if parts.query else "")

    def send(self, alert: Alert) -> None:
        """Post one message. Raises Unsure where Slack may have shown it, though its answer was lost."""
        reply = self._http.post(self._path, json=message(alert), expect_json=False)
        if reply.text.strip() != "ok":
            raise Unsure(f"Slack answered {_word(reply)!r} where 'ok' means done")


def message(alert: Alert) -> dict[str, Any]:
    """The payload: blocks for the channel, and their gist as text for notifications.

    `verbatim` keeps Slack from making links and mentions out of what customers wrote.
    """
    title, body = escaped(" ".join(alert.title.split()), LONGEST_TITLE), escaped(alert.text, LONGEST_SECTION)
    sections = [f"*{title}*", body, _link(alert.link)]
    return {
        "text": f"{title}: {body}" if body else title,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": words, "verbatim": True}}
            for words in sections
            if words not in {"", "**"}
        ],
    }


def escaped(words: str, longest: int) -> str:
    """Text in which Slack finds no signs of its own, at most so many characters long after escaping.

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    out: list[str] = []
    length = 0
    for letter in words.strip():
        safe = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(letter, letter)
        if length + len(safe) > longest - 1:
            return "".join(out) + "…"
        out.append(safe)
        length += len(safe)
    return "".join(out)


def _link(link: str) -> str:
    if not link.startswith(("https://", "http://")):
        return ""
    return f"<{escaped(link.replace('|', '%7C'), LONGEST_SECTION - 20)}|Open in Keepwell>"


INTEGRATION = Integration(
    name="slack",
    title="Slack",
    does="alerts to the team, out",
    settings=SlackSettings,
    docs="https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    connect=connect,
    alerter=SlackChannel,
)
