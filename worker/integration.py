"""What an integration is: one value that says how a vendor is heard, pulled and written to.

Every file in `integrations/` ends with `INTEGRATION = Integration(…)`. A part that a vendor does not have stays None.
`connect` gives the vendor's connection; the pulls and roles below get that connection handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, SecretStr

from worker.effects import Alert, Task
from worker.facts import CrmContact, Delivery, Parsed
from worker.lib.clock import Clock
from worker.lib.http import Http


class Settings(BaseModel):
    """The settings of one integration: a section `[integrations.<name>]` of config.toml.

    A secret is a `SecretStr` field; the file never holds it, only the name of the environment variable that does:
    the field `key` is written as `key_env = "KEAP_KEY"`. Every field has a description; the example file is made
    from them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # it may be a secret


class Refused(Exception):
    """A request that is not to be believed or not to be had. Its text is the one sentence the sender gets."""

    def __init__(self, status: int, sentence: str, reason: str) -> None:
        """`reason` is a short word for the counter: unsigned, forged, stale, not_json, wrong_mode …"""
        super().__init__(sentence)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Incoming:
    """A webhook request before anyone has believed it."""

    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    secret: str = ""
    """The last part of `/hooks/<integration>/<secret>`, for vendors that cannot sign."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `verify` found out about a request that it believes."""

    external_id: str
    """The vendor's id of this delivery; it repeats another only if id *and* body are equal."""
    body: str
    """What is stored: the JSON text, with any field dropped that the integration declares as not to be kept."""
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    """Headers the vendor wants echoed (Keap's X-Hook-Secret)."""
    urgent: bool = False
    """Assess at once: a failed payment, a cancellation, an urgent ticket."""
    keep: bool = True
    """False for a handshake that carries no news."""


Verify = Callable[[Incoming, Any, int], Receipt]
"""(request, settings, now) -> receipt; raises Refused with 400 or 401. Compares digests as bytes, in constant time."""

Parse = Callable[[Delivery, Any], Parsed]
"""(delivery, settings) -> what it says. Pure: no clock, no network. Raises ValueError for a body of no known shape."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a pull, as it came."""

    external_id: str
    """Names the request that fetched it, so that the same page twice is one delivery."""
    body: str
    """JSON text."""
    cursor: str | None = None
    """The bookmark that is safe once this page is stored; None leaves the bookmark where it is."""


@dataclass(frozen=True, slots=True)
class Pull:
    """One stream that is read on a schedule."""

    stream: str
    fetch: Callable[[Http, Any, str | None, int], Iterator[Page]]
    """(connection, settings, cursor or None at first, now) -> pages, each stored with its cursor in one transaction."""
    feeds: tuple[str, ...] = ()
    """The kinds of fact that rest on this stream; when it goes quiet, measures over them freeze."""


# -- roles: what an integration can do for the outside world ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CrmNames:
    """What Keepwell calls its own things in a CRM."""

    category: str = "Keepwell"
    tags: Mapping[str, str] = field(default_factory=dict)
    """band -> tag name."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """our field key (score, band, reason, as_of) -> field label."""


@dataclass(frozen=True, slots=True)
class CrmIds:
    """The same things by the CRM's ids."""

    tags: Mapping[str, str]
    fields: Mapping[str, str]
    made: tuple[str, ...] = ()
    """Those of these ids that we made ourselves; the others were there before, and stay when we go."""
    making: tuple[str, ...] = ()
    """What we had begun to make when we broke off (`tag:red`, `field:score`): what is there by now under that name of
    ours is ours."""

    def __post_init__(self) -> None:
        """JSON, in which they are remembered, knows no tuples."""
        object.__setattr__(self, "made", tuple(self.made))
        object.__setattr__(self, "making", tuple(self.making))


Begin = Callable[[Collection[str]], None]
"""Is told what is about to be made, in the words of `CrmIds.making`."""


class Crm(Protocol):
    """A CRM that shows our standing on a contact. Ids are the CRM's, as text. Raises lib.http's Failure kinds."""

    def find_or_create(
        self, names: CrmNames, *, adopt: bool, known: CrmIds | None = None, begin: Begin = lambda making: None
    ) -> CrmIds:
        """Find our category, tags and fields, or create them. `known` is what an earlier call gave.

        `begin` is told what is lacking, as in `CrmIds.making`, before the first of it is made: who remembers that, and
        hands it in should we break off, is not told afterwards that our own things are somebody else's.
        Raises GiveUp where a thing of that name exists that we did not make, unless `adopt`.
        """

    def read(self, contact_ids: Sequence[str]) -> dict[str, CrmContact]:
        """The contacts as they are now, in as few calls as there are; one that is gone is left out."""

    def write_fields(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, FieldResult]:
        """{contact: {field id: value}} -> {contact: result}. Keeps everybody else's fields; verifies after."""

    def field_called(self, label: str) -> str:
        """The id of the contacts' custom field of that label; "" where there is none, or several."""

    def add_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        """Put a tag on many; gives {contact: "" or the reason it failed}."""

    def remove_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        """Take a tag off many; gives {contact: "" or the reason it failed}."""

    def canary(self, contact_id: str, names: CrmNames) -> str:
        """Find out on one contact how a partial field write treats the other fields: `replaces` or `merges`.

        Leaves the contact as it was; raises GiveUp where that did not work out.
        """


@dataclass(frozen=True, slots=True)
class FieldResult:
    """How one contact's field write went."""

    ok: bool
    reason: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    """Our fields as they stood in the read just before the write."""
    lost_race: tuple[str, ...] = ()
    """Fields of others that differ after our write from the read just before it: somebody wrote meanwhile."""
    again: bool = False
    """Of what did not work: whether it may later, as it is."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail ready to leave: plain strings, one recipient."""

    message_id: str
    """Stable per effect; the idempotency key where the channel knows none."""
    sender: str
    reply_to: str
    to: str
    to_name: str
    subject: str
    text: str
    html: str
    unsubscribe_url: str
    effect_id: str = ""
    """Our name of it, for a channel that gives back what it is told in its events."""
    purpose: str = "service"
    """marketing, service or transactional: some vendors keep them apart."""
    play: str = ""
    contact_id: str = ""
    """The CRM contact that the address stands on, for a CRM that sends."""


@dataclass(frozen=True, slots=True)
class Sought:
    """A letter of which nobody knows whether it left, as the channel is asked for it."""

    message_id: str
    effect_id: str
    to: str
    contact_id: str
    subject: str
    tried_at: int
    """When we last tried, epoch seconds UTC."""


class Mailer(Protocol):
    """A channel for messages: mail, or text messages. Safe to use from as many threads as it has `connections`."""

    deduplicates: bool
    """Whether sending the same message_id (or effect_id) twice delivers once, for as long as we retry."""
    connections: int
    """How many letters it takes at the same time."""

    def send(self, letter: Letter) -> str:
        """Hand one letter over and give the channel's reference.

        Raises Retry (surely not sent), GiveUp (will never be), or Unsure (nobody can know).
        """

    def find(self, sought: Sought) -> str | None:
        """Ask the channel for a letter: its reference, "" where it surely never left, None where it cannot tell.

        Raises lib.http's Failure kinds.
        """

    def close(self) -> None:
        """Let go of the channel until the next letter."""


@runtime_checkable
class ReadyMailer(Protocol):
    """A mailer that can get ready before it is given its letter: what it takes to wait is over when we ask once more."""

    def ready(self) -> AbstractContextManager[Callable[[Letter], str]]:
        """Wait for a connection and for a turn within the channel's rate; the block gets `send` for one letter.

        Raises Retry or Reconnect where there is none to be had.
        """


@dataclass(frozen=True, slots=True)
class Logged:
    """A message that left by another way than the CRM, for the CRM's own history."""

    effect_id: str
    contact_id: str
    sender: str
    to: str
    subject: str
    text: str
    html: str
    sent_at: int


class History(Protocol):
    """A CRM that can be told of mails which it did not send, so that it never lies about who was written to."""

    def log(self, mails: Sequence[Logged]) -> dict[str, str]:
        """Note many; gives {effect id: "" or the reason it failed}. Raises Unsure where nobody can know of any."""


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody who can be given tasks."""

    user_id: str
    """The CRM's id."""
    name: str
    email: str
    active: bool = True


class Desk(Protocol):
    """A place where our people find their tasks. Raises lib.http's Failure kinds."""

    def colleagues(self) -> list[Colleague]:
        """Everybody who can be given a task."""

    def add(self, task: Task, effect_id: str) -> str:
        """Put one task there and give its id; `effect_id` stands in its text, so that it can be found again."""

    def find(self, task: Task, effect_id: str, tried_at: int) -> str:
        """The id of the task that was made for this effect at about `tried_at`; "" where there is none."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What an uninstall took out of one vendor, in words, and what it could not."""

    done: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """Each with what a person has to do."""


class Alerter(Protocol):
    """A place where the team reads."""

    def send(self, alert: Alert) -> str | None:
        """Post one message; gives a remark where it arrived and not all is well. Raises lib.http's Failure kinds."""


@dataclass(frozen=True, slots=True)
class Integration:
    """One outside service, whole."""

    name: str
    """The file's name: `keap`; also the `source` of its facts and the path of its hook."""
    title: str
    """As the vendor writes it: `Keap`."""
    does: str
    """One phrase for the README's table: "contacts, tags and fields, in and out"."""
    settings: type[Settings]
    docs: str = ""
    """The vendor's documentation."""
    connect: Callable[[Any, Clock], Http] | None = None
    """(settings, clock) -> the one pooled, rate-limited connection."""
    verify: Verify | None = None
    parse: Parse | None = None
    pulls: tuple[Pull, ...] = ()
    feeds: tuple[str, ...] = ()
    """Kinds of fact that its webhooks or files bring, beside those of the pulls."""
    crm: Callable[[Http, Any, Clock], Crm] | None = None
    mailer: Callable[[Http, Any, Clock], Mailer] | None = None
    """(the one connection, settings, clock) -> the channel; one that has no `connect` wants no connection."""
    texter: Callable[[Http, Any, Clock], Mailer] | None = None
    """The same for text messages: `to` is a telephone number, the HTML is empty."""
    history: Callable[[Http, Any, Clock], History] | None = None
    desk: Callable[[Http, Any, Clock], Desk] | None = None
    remove: Callable[[Http, Any, str, CrmIds], Removed] | None = None
    """(connection, settings, our public address, our things in the CRM) -> what was taken out of the vendor and what
    could not be: tags, fields, hooks, metadata of ours. A vendor that holds nothing of ours leaves it None."""
    alerter: Callable[[Http, Any], Alerter] | None = None
    check: Callable[[Http, Any], Iterable[str]] | None = None
    """Asks the vendor who we are: gives lines for `keepwell check`; raises Reconnect with what to do."""


__all__ = [
    "Alerter", "Begin", "Colleague", "Crm", "CrmIds", "CrmNames", "Desk", "FieldResult", "History", "Incoming",
    "Integration", "Letter", "Logged", "Mailer", "Page", "Parse", "Pull", "ReadyMailer", "Receipt", "Refused", "Removed",
    "SecretStr", "Settings", "Sought", "Verify",
]  # fmt: skip
