"""What holds for every integration that hears webhooks, present and future; `tests/test_promises.py` runs it.

A new integration with a `verify` adds `tests/integrations/cases_<name>.py` which ends with `CASE = HookCase(…)`: how the
vendor signs, written from its documentation and not with our own `worker/lib/signing.py`, and a few bodies. Nothing else
is edited. An integration with `verify` and without a case fails; so does a case that belongs to nobody.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from flask import Flask

from worker.facts import Delivery
from worker.intake.receive import Receiver
from worker.integration import Incoming, Integration, Settings
from worker.lib.clock import VirtualClock
from worker.lib.store import Row, Store
from worker.registry import Connected
from worker.web.hooks import MOST_BYTES, hooks

NOW: Final = 1_767_225_600
"""2026-01-01T00:00:00Z"""

MUTATIONS: Final = 1_000
"""In the quick suite; the proof makes three times as many."""


@dataclass(frozen=True, slots=True)
class HookCase:
    """How one vendor sends its webhooks."""

    settings: Settings
    """With every secret of `secrets` active."""
    secrets: tuple[str, ...]
    """Accepted at one time, as while one is being replaced: at least two, one will do for the path's secret."""
    sign: Callable[[bytes, int, str], Incoming]
    """(body, now, secret) -> the request as the vendor sends it at that moment."""
    known: bytes
    """What makes sightings, or tells of messages: a JSON object, or whatever the vendor writes."""
    unknown: bytes
    """An event of a kind that Keepwell does not know, with an id of its own."""
    same_id: bytes | None = None
    """Another body under the id of `known`; None where the vendor gives its deliveries no id."""
    proof: tuple[str, ...] = ()
    """The headers, in lower case, without any one of which the request is not believed; () for the path's secret."""
    signs_body: bool = True
    """False where the secret vouches for the sender and nothing vouches for the body."""
    stale_after: int | None = 300
    """Seconds by which the signed moment may be off, either way; None where no moment is signed."""
    malformed: Callable[[bytes], Sequence[bytes]] | None = None
    """(known) -> bodies that are not to be read without doubt, where the vendor does not write JSON."""
    reads: Callable[[bytes], object] = bytes
    """What of a body is signed: a body that reads alike is not tampered with."""
    hint_only: bool = False
    """True where a webhook only says that something changed and a pull brings what: then `known` makes no sightings."""


def cases(package: str = "tests.integrations") -> dict[str, HookCase]:
    """Every case there is, by the integration's name."""
    found = (module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))
    return {
        name.removeprefix("cases_"): importlib.import_module(f"{package}.{name}").CASE
        for name in found
        if name.startswith("cases_")
    }


class Door:
    """One integration's hook: the real blueprint, receiver and store."""

    def __init__(
        self, integration: Integration, case: HookCase, store: Store, receives: type[Receiver] = Receiver
    ) -> None:
        self.integration, self.case, self.store = integration, case, store
        self.receiver = receives(store, VirtualClock(NOW))
        connected = {integration.name: Connected(integration, case.settings, None)}
        app = Flask("door")
        app.register_blueprint(hooks(self.receiver, connected, VirtualClock(NOW), lambda: None))
        self._client = app.test_client()

    def send(self, incoming: Incoming) -> tuple[int, dict[str, Any]]:
        """Post it; gives the status and the answer."""
        path = f"/hooks/{self.integration.name}" + (f"/{quote(incoming.secret, safe='')}" if incoming.secret else "")
        answer = self._client.post(path, data=incoming.body, headers=dict(incoming.headers))
        return answer.status_code, answer.get_json(silent=True) or {}

    def sends(self, body: bytes, *, at: int = NOW, secret: str | None = None) -> tuple[int, dict[str, Any]]:
        """Post a body signed as the vendor signs it."""
        return self.send(self.signed(body, at=at, secret=secret))

    def signed(self, body: bytes, *, at: int = NOW, secret: str | None = None) -> Incoming:
        return self.case.sign(body, at, self.case.secrets[0] if secret is None else secret)

    def deliveries(self) -> list[Row]:
        return self.store.rows("select * from deliveries order by id")

    def settle(self) -> None:
        """Close the receiver, so that the counters are written."""
        self.receiver.close()

    def counters(self) -> dict[str, int]:
        return {row["name"]: row["n"] for row in self.store.rows("select name, n from counters")}


@contextmanager
def door(integration: Integration, case: HookCase, store: Store, receives: type[Receiver] = Receiver) -> Iterator[Door]:
    opened = Door(integration, case, store, receives)
    try:
        yield opened
    finally:
        opened.settle()


def _refused(door: Door, incoming: Incoming, *statuses: int) -> None:
    """It gets one of these statuses and one sentence, and nothing of it is stored."""
    before = len(door.deliveries())
    status, answer = door.send(incoming)
    assert status in statuses, f"{status} {answer} instead of {statuses}"
    if status != 404:  # a path that leads nowhere is the application's to answer
        assert answer["status"] == status
        assert answer["detail"]
    assert len(door.deliveries()) == before


# -- the promises -----------------------------------------------------------------------------------------------------


def a_signed_delivery_is_acknowledged_and_stored(door: Door) -> None:
    status, answer = door.sends(door.case.known)

    assert status in {200, 202}, answer
    assert [(row["id"], row["source"]) for row in door.deliveries()] == [(answer["id"], door.integration.name)]
    assert answer["duplicate"] is False


def what_is_not_signed_is_refused(door: Door) -> None:
    whole = door.signed(door.case.known)
    for name in door.case.proof:
        _refused(door, replace(whole, headers={key: whole.headers[key] for key in whole.headers if key != name}), 401)
        _refused(door, replace(whole, headers={**whole.headers, name: ""}), 401)
    if not door.case.proof:
        _refused(door, replace(whole, secret=""), 401)
    door.settle()
    assert any(name.startswith(f"refused:{door.integration.name}:") for name in door.counters())


def what_is_signed_with_another_secret_is_refused(door: Door) -> None:
    for wrong in ("somebody-elses-secret", door.case.secrets[0][:-1], door.case.secrets[0] + "x", "x"):
        _refused(door, door.signed(door.case.known, secret=wrong), 401)


def what_was_signed_too_long_ago_or_ahead_of_time_is_refused(door: Door) -> None:
    tolerance = door.case.stale_after
    if tolerance is None:
        return
    _refused(door, door.signed(door.case.known, at=NOW - tolerance - 1), 401)
    _refused(door, door.signed(door.case.known, at=NOW + tolerance + 1), 401)
    assert door.sends(door.case.known, at=NOW - tolerance)[0] in {200, 202}
    assert door.sends(door.case.known, at=NOW + tolerance)[0] in {200, 202}


def every_active_secret_is_accepted_while_one_is_replaced(door: Door) -> None:
    assert len(set(door.case.secrets)) >= (2 if door.case.proof else 1)
    for secret in door.case.secrets:
        status, answer = door.sends(door.case.known, secret=secret)
        assert status in {200, 202}, answer


def the_same_delivery_twice_is_one(door: Door) -> None:
    _, first = door.sends(door.case.known)
    status, second = door.sends(door.case.known, at=NOW + 60)

    assert status in {200, 202}
    assert second == {**first, "duplicate": True}
    assert len(door.deliveries()) == 1


def the_same_id_with_another_body_is_another_delivery(door: Door) -> None:
    if door.case.same_id is None:
        return
    _, first = door.sends(door.case.known)
    _, second = door.sends(door.case.same_id)

    assert second["duplicate"] is False
    assert second["id"] != first["id"]
    assert len({row["external_id"] for row in door.deliveries()}) == 1
    assert len(door.deliveries()) == 2


def a_known_event_says_something_and_an_unknown_one_is_kept_and_named(door: Door) -> None:
    assert door.integration.parse is not None
    door.sends(door.case.known)
    door.sends(door.case.unknown)
    known, unknown = (
        door.integration.parse(
            Delivery(*(row[name] for name in ("id", "source", "stream", "external_id", "body", "received_at"))),
            door.case.settings,
        )
        for row in door.deliveries()
    )

    assert bool(known.sightings or known.mail_events) is not door.case.hint_only
    assert not known.unknown
    assert unknown.unknown
    assert not unknown.sightings
    assert not unknown.mail_events


def letters_that_are_not_ascii_are_a_wrong_signature_and_no_fault(door: Door) -> None:
    whole = door.signed(door.case.known)
    for odd in ("é", "²", "\xa0", "\xff" * 64):
        for name in door.case.proof:
            _refused(door, replace(whole, headers={**whole.headers, name: odd}), 401)
            _refused(door, replace(whole, headers={**whole.headers, name: whole.headers[name] + odd}), 401)
        if not door.case.proof:
            _refused(door, replace(whole, secret=whole.secret + odd), 401)


def nothing_that_was_tampered_with_is_accepted_and_nothing_makes_it_stumble(
    door: Door, mutations: int = MUTATIONS
) -> None:
    dice = random.Random(11)
    whole = door.signed(door.case.known)
    for _ in range(mutations):
        changed = _mutated(whole, door.case, dice)
        status, answer = door.send(changed)
        assert 400 <= status < 500, f"{status} {answer} for {changed}"
    assert door.deliveries() == []


def _mutated(whole: Incoming, case: HookCase, dice: random.Random) -> Incoming:
    """The request with one bit flipped, in the body or in what proves it."""
    places = [*case.proof, *([] if case.proof else ["secret"]), *(["body"] if case.signs_body else [])]
    place = dice.choice(places)
    if place == "body":
        body = whole.body
        while case.reads(body) == case.reads(whole.body):
            body = _flipped(whole.body, dice)
        return replace(whole, body=body)
    text = whole.secret if place == "secret" else whole.headers[place]
    flipped = text
    while flipped.strip(" \t") == text or any(sign in flipped for sign in "\r\n\0"):  # HTTP carries none of these
        flipped = _flipped(text.encode("latin-1"), dice).decode("latin-1")
    if place == "secret":
        return replace(whole, secret=flipped)
    return replace(whole, headers={**whole.headers, place: flipped})


def _flipped(data: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << dice.randrange(8))]) + data[place + 1 :]


def what_is_signed_but_no_plain_json_is_refused_with_400(door: Door) -> None:
    for bad in (door.case.malformed or _no_plain_json)(door.case.known.strip()):
        _refused(door, door.signed(bad), 400)


def _no_plain_json(known: bytes) -> Sequence[bytes]:
    return (
        b"",
        b"not json",
        known[:-1],
        b"\xff\xfe" + known,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        known[:-1] + b',"x":' + b"[" * 80 + b"]" * 80 + b"}",
        known[:-1] + b',"x":NaN}',
        known[:-1] + b',"x":-Infinity}',
        known[:-1] + b',"x":1e999}',
        known[:-1] + b',"x":' + b"9" * 5_000 + b"}",
        known[:-1] + b',"x":1,"x":2}',
        known[:-1] + b',"x":"\0"}',
    )


def json_of_an_unexpected_shape_makes_nothing_stumble(door: Door) -> None:
    for odd in (b"null", b"0", b'""', b"[]", b"[null]", b"{}", b'{"id":null}', b'{"id":{}}', b'{"id":[1]}', b'{"id":1}',
                b'{"id":"\\ud800"}', b'{"id":"\\u0000"}', b'{"id":"' + b"x" * 5_000 + b'"}'):  # fmt: skip
        status, answer = door.sends(odd)
        assert 200 <= status < 500, f"{status} {answer} for {odd[:40]!r}"


def what_is_over_a_megabyte_is_refused(door: Door) -> None:
    _refused(door, door.signed(b'{"id":"' + b"x" * MOST_BYTES + b'"}'), 413)


def no_secret_shows_anywhere(door: Door) -> None:
    said: list[str] = [repr(door.case.settings), str(door.case.settings), door.case.settings.model_dump_json()]
    listener = _Listener(said)
    logging.getLogger().addHandler(listener)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        whole = door.signed(door.case.known)
        bodies = (whole.body, b"{", b"[" * 99_999)
        said += [str(door.send(replace(whole, body=body))) for body in bodies]
        said.append(str(door.send(replace(whole, headers={}))))
        door.settle()
    finally:
        logging.getLogger().removeHandler(listener)
        logging.getLogger().setLevel(level)
    said += [str(door.deliveries()), str(door.counters())]
    for text in said:
        assert not any(secret in text for secret in door.case.secrets), text


class _Listener(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(self.format(record))


PROMISES: Final[tuple[Callable[[Door], None], ...]] = (
    a_signed_delivery_is_acknowledged_and_stored,
    what_is_not_signed_is_refused,
    what_is_signed_with_another_secret_is_refused,
    what_was_signed_too_long_ago_or_ahead_of_time_is_refused,
    every_active_secret_is_accepted_while_one_is_replaced,
    the_same_delivery_twice_is_one,
    the_same_id_with_another_body_is_another_delivery,
    a_known_event_says_something_and_an_unknown_one_is_kept_and_named,
    letters_that_are_not_ascii_are_a_wrong_signature_and_no_fault,
    nothing_that_was_tampered_with_is_accepted_and_nothing_makes_it_stumble,
    what_is_signed_but_no_plain_json_is_refused_with_400,
    json_of_an_unexpected_shape_makes_nothing_stumble,
    what_is_over_a_megabyte_is_refused,
    no_secret_shows_anywhere,
)
