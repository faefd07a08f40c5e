"""Slack: alerts to the team, through an incoming webhook; and what people press under them.

Documentation: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
Buttons: https://docs.slack.dev/interactivity/handling-user-interaction,
https://docs.slack.dev/authentication/verifying-requests-from-slack

Oddities
- The webhook's whole address is its secret; it belongs to one channel.
- Answers are plain words (`ok`, `invalid_payload`, `no_service` …), not JSON.
- About one message a second; a 429 says how long to wait.
- `&`, `<` and `>` are Slack's own signs (`<!channel>` would call everybody), so they are escaped in all we say.
- It does not recognise a message that is sent twice.
- What is pressed comes as a form with one field, `payload`, of JSON; Slack waits 3 s for a 200, and shows nothing of what
  that says. An answer to the person goes to the payload's `response_url`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator

from worker.effects import Alert, Button, Line
from worker.integration import Incoming, Integration, Refused, SecretStr, Settings
from worker.lib.clock import Clock
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Reply, Unsure
from worker.lib.signing import fresh, signature_matches
from worker.lib.strict_json import read_json

LONGEST_SECTION: Final = 3000
"""Characters in the text of a section block."""
LONGEST_TITLE: Final = 150
LONGEST_LINE: Final = 600
LONGEST_LINK: Final = 700
MOST_OF_LINES: Final = 20
"""Each makes two blocks at most, and a message holds 50."""


# -- settings ---------------------------------------------------------------------------------------------------------


class SlackSettings(Settings):
    """Where the team reads."""

    url: SecretStr = Field(
        description="The address of an incoming webhook: https://hooks.slack.com/services/T…/B…/… All of it is secret."
    )
    signing_secret: SecretStr | None = Field(
        default=None,
        description="The signing secret of your Slack app; without one no button in Slack does anything. Its request"
        " address is /slack/actions of this server.",
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


# -- what people press ------------------------------------------------------------------------------------------------

MOST_SIGNS: Final = 20
"""Digits of a timestamp that are looked at."""


@dataclass(frozen=True, slots=True)
class Press:
    """A button that somebody pressed."""

    value: str
    """What the button holds."""
    by: str
    """Who pressed it: `ann (Slack U012AB3CD)`."""
    note: str
    """What was written into the message's input, "" where there is none."""
    answer_at: str
    """The path under Slack's own address where the person is answered, "" where there is none."""


def pressed(incoming: Incoming, settings: SlackSettings, now: int) -> Press:
    """Verify a press and read it. Raises Refused: 401 for what Slack has not signed, 400 for what is no press."""
    if settings.signing_secret is None:
        raise Refused(401, "No signing secret of Slack is set here, so nobody is believed.", "unsigned")
    stamp = incoming.headers.get("x-slack-request-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= MOST_SIGNS):
        raise Refused(401, "The request is not signed.", "unsigned")
    message = b"v0:%s:%s" % (stamp.encode(), incoming.body)
    given = [incoming.headers.get("x-slack-signature", "")]
    if not signature_matches([settings.signing_secret.get_secret_value()], message, given, prefix="v0="):
        raise Refused(401, "The signature is not Slack's.", "forged")
    if not fresh(int(stamp), now):
        raise Refused(401, "The request is too old.", "stale")
    try:
        (payload,) = parse_qs(incoming.body.decode(), strict_parsing=True, max_num_fields=10)["payload"]
        return _press(read_json(payload.encode()), settings)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Refused(400, "This is no press of a button.", "not_a_press") from None


def _press(payload: Any, settings: SlackSettings) -> Press:
    """The first action of a `block_actions` payload.

    https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
    """
    if payload["type"] != "block_actions":
        raise ValueError("another kind of interaction")
    action, user = payload["actions"][0], payload["user"]
    value = action["value"] if "value" in action else action["selected_option"]["value"]
    name = user.get("username") or user.get("name") or ""
    ours, theirs = urlsplit(settings.url.get_secret_value()), urlsplit(str(payload.get("response_url") or ""))
    known = theirs[:2] == ours[:2]  # we speak to the host that the operator has named, and to no other
    return Press(
        str(value), " ".join(f"{name} (Slack {user['id']})".split()), next(_written(payload), ""),
        theirs.path + (f"?{theirs.query}" if theirs.query else "") if known else "",
    )  # fmt: skip


def _written(payload: Any) -> Iterator[str]:
    for block in ((payload.get("state") or {}).get("values") or {}).values():
        for element in block.values():
            if element.get("type") == "plain_text_input" and element.get("value"):
                yield str(element["value"])


def answer(http: Http, press: Press, words: str) -> None:
    """Tell the person alone what came of it. Raises lib.http's Failure kinds."""
    if press.answer_at:
        told = {"response_type": "ephemeral", "replace_original": False, "text": escaped(words, LONGEST_SECTION)}
        http.post(press.answer_at, json=told, expect_json=False)


# -- writes -----------------------------------------------------------------------------------------------------------


class SlackChannel:
    """The channel behind the webhook: the role `worker.integration.Alerter`."""

    def __init__(self, http: Http, settings: SlackSettings) -> None:
        """No call is made yet."""
        self._http = http
        self._presses = settings.signing_secret is not None  # without it nobody hears of a button that is pressed
        parts = urlsplit(settings.url.get_secret_value())
        self._path = parts.path + (f"?{parts.query}" if parts.query else "")

    def send(self, alert: Alert) -> None:
        """Post one message. Raises Unsure where Slack may have shown it, though its answer was lost."""
        reply = self._http.post(self._path, json=message(alert, presses=self._presses), expect_json=False)
        if reply.text.strip() != "ok":
            raise Unsure(f"Slack answered {_word(reply)!r} where 'ok' means done")


def message(alert: Alert, *, presses: bool = False) -> dict[str, Any]:
    """The payload: blocks for the channel, and their gist as text for notifications.

    `verbatim` keeps Slack from making links and mentions out of what customers wrote. Where nobody would hear of
    `presses`, buttons are links to their pages.
    """
    title, body = escaped(" ".join(alert.title.split()), LONGEST_TITLE), escaped(alert.text, LONGEST_SECTION)
    blocks = [_section(f"*{title}*" if title else ""), _section(body)]
    for number, line in enumerate(alert.lines[:MOST_OF_LINES]):
        blocks += _line(number, line, presses=presses)
    blocks.append(_section(_link(alert.link)))
    gist = body or (escaped(" ".join(alert.lines[0].text.split()), LONGEST_SECTION) if alert.lines else "")
    return {"text": f"{title}: {gist}" if gist else title, "blocks": [block for block in blocks if block]}


def _section(words: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": words, "verbatim": True}} if words else {}


def _line(number: int, line: Line, *, presses: bool) -> list[dict[str, Any]]:
    """One line with its links, and the buttons that can be pressed right there."""
    pressed = [one for one in line.buttons if presses and one.value]
    followed = [one for one in line.buttons if one not in pressed]
    links = [_link(line.link, "Open"), *(_link(one.link, one.label) for one in followed)]
    blocks = [_section(" · ".join(filter(None, [escaped(" ".join(line.text.split()), LONGEST_LINE), *links])))]
    if pressed:
        buttons = [_button(f"{number}.{place}", one) for place, one in enumerate(pressed)]
        blocks.append({"type": "actions", "elements": buttons})
    return blocks


def _button(name: str, button: Button) -> dict[str, Any]:
    """https://docs.slack.dev/reference/block-kit/block-elements/button-element"""
    made = {"type": "button", "action_id": name, "text": _plain(button.label, 75), "value": button.value}
    if button.sure:
        made["confirm"] = {
            "title": _plain(button.label, 100), "text": _plain(button.sure, 300), "confirm": _plain(button.label, 30),
            "deny": _plain("Not now", 30),
        }  # fmt: skip
    return made


def _plain(words: str, longest: int) -> dict[str, Any]:
    plain = " ".join(words.split())
    cut = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    return {"type": "plain_text", "text": cut or "…", "emoji": False}


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


def _link(link: str, label: str = "Open in Keepwell") -> str:
    if not link.startswith(("https://", "http://")):
        return ""
    return f"<{escaped(link.replace('|', '%7C'), LONGEST_LINK)}|{escaped(label, 75)}>"


INTEGRATION = Integration(
    name="slack",
    title="Slack",
    does="alerts to the team, out",
    settings=SlackSettings,
    docs="https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    connect=connect,
    alerter=SlackChannel,
)
