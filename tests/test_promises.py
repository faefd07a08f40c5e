"""Every integration that the registry finds keeps the promises; and the promises find those that would not."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import Field, SecretStr

from tests import pretend, promises
from tests.promises import PROMISES, Door, HookCase
from worker.facts import Parsed
from worker.intake.receive import Received, Receiver
from worker.integration import Incoming, Integration, Receipt, Refused, Settings
from worker.lib.signing import fresh, signature_matches
from worker.lib.store import Store
from worker.registry import find

FOUND = find()
CASES = promises.cases()
HEARING = {name: one for name, one in FOUND.items() if one.verify is not None}
WITH_A_CASE = {name: (HEARING[name], CASES[name]) for name in HEARING if name in CASES} | {
    "posthorn": (pretend.INTEGRATION, pretend.CASE)
}


def _sentence(promise: Callable[[Door], None]) -> str:
    return promise.__name__


@pytest.mark.parametrize("promise", PROMISES, ids=_sentence)
@pytest.mark.parametrize("name", sorted(WITH_A_CASE))
def test_every_integration_keeps(name: str, promise: Callable[[Door], None], sqlite_store: Store) -> None:
    with promises.door(*WITH_A_CASE[name], sqlite_store) as door:
        promise(door)


@pytest.mark.prove
@pytest.mark.parametrize("name", sorted(WITH_A_CASE))
def test_of_thousands_that_were_tampered_with_none_is_accepted(name: str, sqlite_store: Store) -> None:
    with promises.door(*WITH_A_CASE[name], sqlite_store) as door:
        promises.nothing_that_was_tampered_with_is_accepted_and_nothing_makes_it_stumble(
            door, mutations=3 * promises.MUTATIONS
        )


def test_every_integration_that_hears_webhooks_says_how_they_are_signed() -> None:
    missing = sorted(f"tests/integrations/cases_{name}.py" for name in HEARING.keys() - CASES.keys())

    assert missing == []


def test_every_case_belongs_to_an_integration() -> None:
    assert CASES.keys() <= HEARING.keys()


@pytest.mark.parametrize("name", sorted(FOUND))
def test_every_setting_is_described_and_every_secret_is_kept_secret(name: str) -> None:
    for field, about in FOUND[name].settings.model_fields.items():
        assert about.description, f"{name}.{field} has no description"
        if any(word in field for word in ("secret", "key", "token", "password")):
            assert "SecretStr" in str(about.annotation), f"{name}.{field} is a secret and shows itself"


# -- a suite that cannot fail is worse than none: vendors' code with a fault each, and the promise it breaks ----------


def _parts(incoming: Incoming) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in incoming.headers.get("posthorn-signature", "").split(","))


def _careless(
    incoming: Incoming,
    settings: Any,
    now: int,
    *,
    compares: bool = True,
    is_fresh: Callable[[int, int], bool] = fresh,
    signs_the_moment: bool = True,
    secrets: int = 2,
    clean: Callable[[str], str] = str,
    own_id: Callable[[str], str] = str,
) -> Receipt:
    """Posthorn's verify once more, with a place for each fault."""
    parts = _parts(incoming)
    if not parts.get("t", "").isdigit():
        raise Refused(401, "unsigned", "unsigned")
    message = (f"{parts['t']}.".encode() if signs_the_moment else b"") + incoming.body
    if compares and not signature_matches(settings.active[:secrets], message, [clean(parts.get("s", ""))]):
        raise Refused(401, "forged", "forged")
    if not is_fresh(int(parts["t"]), now):
        raise Refused(401, "stale", "stale")
    receipt = pretend.verify(_signed_again(incoming, now), settings, now)
    return replace(receipt, external_id=own_id(receipt.external_id))


def _signed_again(incoming: Incoming, now: int) -> Incoming:
    return pretend.sign(incoming.body, now)


def _sign_the_body_only(body: bytes, now: int, secret: str) -> Incoming:
    digest = hmac.new(secret.encode(), body, "sha256").hexdigest()
    return Incoming({"posthorn-signature": f"t={now},s={digest}"}, body)


def _compares_texts(incoming: Incoming, settings: Any, now: int) -> Receipt:
    for candidate in (_parts(incoming).get("s", ""),):
        hmac.compare_digest("0" * 64, candidate)  # raises TypeError for letters outside ASCII
    return pretend.verify(incoming, settings, now)


def _trusts_isdigit(incoming: Incoming, settings: Any, now: int) -> Receipt:
    stamp = _parts(incoming).get("t", "")
    if stamp.isdigit() and not stamp.isascii():
        raise OverflowError("int() did not like it")
    return pretend.verify(incoming, settings, now)


def _with(**fault: Any) -> Integration:
    return replace(
        pretend.INTEGRATION, verify=lambda incoming, settings, now: _careless(incoming, settings, now, **fault)
    )


class _Chatty(pretend.PosthornSettings):
    """Shows its secret."""

    secret: str = Field(description="Signs the webhooks.")  # type: ignore[assignment]  # the fault that is to be found

    @property
    def active(self) -> list[str]:
        return [self.secret, self.old_secret.get_secret_value()]


CHATTY: Settings = _Chatty(secret=pretend.SECRET, old_secret=SecretStr(pretend.OLD_SECRET))

FAULTY: dict[str, tuple[Integration, HookCase, Callable[[Door], None]]] = {
    "believes anyone": (
        _with(compares=False), pretend.CASE, promises.what_is_signed_with_another_secret_is_refused,
    ),
    "believes tampered bodies": (
        _with(compares=False),
        pretend.CASE,
        promises.nothing_that_was_tampered_with_is_accepted_and_nothing_makes_it_stumble,
    ),
    "does not look at the moment": (
        _with(is_fresh=lambda stamp, now: True),
        pretend.CASE,
        promises.what_was_signed_too_long_ago_or_ahead_of_time_is_refused,
    ),
    "looks only at the past": (
        _with(is_fresh=lambda stamp, now: stamp >= now - 300),
        pretend.CASE,
        promises.what_was_signed_too_long_ago_or_ahead_of_time_is_refused,
    ),
    "does not sign the moment": (
        _with(signs_the_moment=False),
        replace(pretend.CASE, sign=_sign_the_body_only),
        promises.nothing_that_was_tampered_with_is_accepted_and_nothing_makes_it_stumble,
    ),
    "knows one secret only": (
        _with(secrets=1), pretend.CASE, promises.every_active_secret_is_accepted_while_one_is_replaced,
    ),
    "takes a signature in any spelling": (
        _with(clean=str.lower),
        pretend.CASE,
        promises.nothing_that_was_tampered_with_is_accepted_and_nothing_makes_it_stumble,
    ),
    "makes up an id each time": (
        _with(own_id=lambda external_id: uuid.uuid4().hex), pretend.CASE, promises.the_same_delivery_twice_is_one,
    ),
    "compares texts": (
        replace(pretend.INTEGRATION, verify=_compares_texts),
        pretend.CASE,
        promises.letters_that_are_not_ascii_are_a_wrong_signature_and_no_fault,
    ),
    "stumbles over odd digits": (
        replace(pretend.INTEGRATION, verify=_trusts_isdigit),
        pretend.CASE,
        promises.nothing_that_was_tampered_with_is_accepted_and_nothing_makes_it_stumble,
    ),
    "drops what it does not know": (
        replace(pretend.INTEGRATION, parse=lambda delivery, settings: Parsed()),
        pretend.CASE,
        promises.a_known_event_says_something_and_an_unknown_one_is_kept_and_named,
    ),
    "shows its secret": (
        pretend.INTEGRATION, replace(pretend.CASE, settings=CHATTY), promises.no_secret_shows_anywhere,
    ),
    "believes what is not signed": (
        replace(
            pretend.INTEGRATION,
            verify=lambda incoming, settings, now: pretend.verify(_signed_again(incoming, now), settings, now),
        ),
        pretend.CASE,
        promises.what_is_not_signed_is_refused,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(FAULTY))
def test_the_promises_find_an_integration_that(fault: str, sqlite_store: Store) -> None:
    integration, case, promise = FAULTY[fault]
    with promises.door(integration, case, sqlite_store) as door, pytest.raises(AssertionError):
        promise(door)


class _DedupesByIdAlone(Receiver):
    """Takes another body under a known id for the same delivery, as many tools do."""

    def receive(self, source: str, stream: str, receipt: Receipt) -> Received:
        known = self._store.value(
            "select id from deliveries where source = :source and external_id = :external_id",
            {"source": source, "external_id": receipt.external_id},
        )
        return Received(known, duplicate=True) if known else super().receive(source, stream, receipt)


class _NeverDedupes(Receiver):
    """Keeps what comes again as something new."""

    def receive(self, source: str, stream: str, receipt: Receipt) -> Received:
        return super().receive(source, uuid.uuid4().hex, receipt)


@pytest.mark.parametrize(
    ("receives", "promise"),
    [
        (_DedupesByIdAlone, promises.the_same_id_with_another_body_is_another_delivery),
        (_NeverDedupes, promises.the_same_delivery_twice_is_one),
    ],
)
def test_the_promises_find_a_receiver_that_takes_the_wrong_deliveries_for_the_same(
    receives: type[Receiver], promise: Callable[[Door], None], sqlite_store: Store
) -> None:
    posthorn = (pretend.INTEGRATION, pretend.CASE)
    with promises.door(*posthorn, sqlite_store, receives) as door, pytest.raises(AssertionError):
        promise(door)
