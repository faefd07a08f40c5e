from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests import pretend
from worker.intake.receive import Receiver
from worker.integration import Incoming, Integration, Receipt
from worker.lib.clock import VirtualClock
from worker.lib.store import Store
from worker.registry import Connected
from worker.sandbox.servers.loopback import Loopback
from worker.web.hooks import MOST_BYTES, hooks

NOW: Final = 1_767_225_600


class Front:
    """The hooks of a few integrations over a real store."""

    def __init__(self, store: Store, clock: VirtualClock, on_urgent: Callable[[], None] | None = None) -> None:
        self.store = store
        self.woken = 0
        self.receiver = Receiver(store, clock)
        self.app = Flask("front")
        connected = {
            one.name: Connected(one, pretend.SETTINGS, None) for one in (pretend.INTEGRATION, HANDSHAKE, DEAF, FAULTY)
        }
        self.app.register_blueprint(hooks(self.receiver, connected, clock, on_urgent or self._wake))
        self.client: FlaskClient = self.app.test_client()

    def _wake(self) -> None:
        self.woken += 1

    def post(self, incoming: Incoming, path: str = "/hooks/posthorn") -> TestResponse:
        return self.client.post(path, data=incoming.body, headers=dict(incoming.headers))

    def counters(self) -> dict[str, int]:
        self.receiver.close()
        return {row["name"]: row["n"] for row in self.store.rows("select name, n from counters")}

    def stored(self) -> int:
        return int(self.store.value("select count(*) from deliveries"))


def _shakes(incoming: Incoming, settings: Any, now: int) -> Receipt:
    echo = {"X-Hook-Secret": incoming.headers.get("x-hook-secret", "")}
    return Receipt("hook", incoming.body.decode(), answer_headers=echo, keep=bool(incoming.body))


def _stumbles(incoming: Incoming, settings: Any, now: int) -> Receipt:
    raise KeyError(f"{incoming.secret} in {incoming.body!r}")


HANDSHAKE: Final = replace(pretend.INTEGRATION, name="handshake", verify=_shakes)
DEAF: Final = Integration("deaf", "Deaf", "nothing in", pretend.PosthornSettings)
FAULTY: Final = replace(pretend.INTEGRATION, name="faulty", verify=_stumbles)


@pytest.fixture
def front(sqlite_store: Store, clock: VirtualClock) -> Iterator[Front]:
    opened = Front(sqlite_store, clock)
    yield opened
    opened.receiver.close()


def _problem(answer: TestResponse) -> tuple[int, str]:
    """The refusal's status and sentence, once it is certain that it is one."""
    assert answer.content_type == "application/json"
    assert answer.json is not None
    assert answer.json.keys() == {"type", "title", "status", "detail"}
    assert answer.json["status"] == answer.status_code
    return answer.status_code, answer.json["detail"]


def test_a_believed_webhook_is_stored_and_answered_with_202_and_its_id(front: Front) -> None:
    answer = front.post(pretend.sign(pretend.event(1), NOW))

    row = front.store.row("select id, source, stream, external_id, body from deliveries")
    assert row is not None
    assert (answer.status_code, answer.json) == (202, {"id": row["id"], "duplicate": False})
    assert (row["source"], row["stream"], row["external_id"]) == ("posthorn", "webhook", "evt_1")
    assert row["body"] == pretend.event(1).decode()


def test_the_same_webhook_again_is_acknowledged_as_a_duplicate(front: Front) -> None:
    first = front.post(pretend.sign(pretend.event(1), NOW))
    again = front.post(pretend.sign(pretend.event(1), NOW))

    assert first.json is not None
    assert (again.status_code, again.json) == (202, {"id": first.json["id"], "duplicate": True})


def test_the_vendors_headers_are_echoed_with_200_and_a_handshake_is_not_stored(front: Front) -> None:
    handshake = front.client.post("/hooks/handshake/s3cret", headers={"X-Hook-Secret": "abc"})
    news = front.client.post("/hooks/handshake/s3cret", data=b"{}", headers={"X-Hook-Secret": "abc"})

    assert (handshake.status_code, handshake.headers["X-Hook-Secret"]) == (200, "abc")
    assert handshake.json == {"id": None, "duplicate": False}
    assert (news.status_code, news.headers["X-Hook-Secret"]) == (200, "abc")
    assert front.stored() == 1


def test_a_refusal_is_one_sentence_and_a_counter_and_nothing_else(front: Front) -> None:
    unsigned = front.client.post("/hooks/posthorn", data=pretend.event(1))
    forged = front.post(pretend.sign(pretend.event(1), NOW, "wrong"))
    stale = front.post(pretend.sign(pretend.event(1), NOW - 301))
    not_json = front.post(pretend.sign(b"hello", NOW))

    assert _problem(unsigned) == (401, "Posthorn-Signature is missing or names no moment.")
    assert _problem(forged) == (401, "Posthorn-Signature does not match; is the secret this endpoint's?")
    assert _problem(stale) == (401, "The signature is more than five minutes off.")
    assert _problem(not_json) == (400, "The body is not JSON that can be read without doubt.")
    assert front.stored() == 0
    assert front.counters() == {
        f"refused:posthorn:{reason}": 1 for reason in ("unsigned", "forged", "stale", "not_json")
    }


@pytest.mark.parametrize("path", ["/hooks/nobody", "/hooks/nobody/s3cret", "/hooks/deaf", "/hooks/%00"])
def test_an_integration_that_is_not_connected_or_hears_nothing_is_not_found(front: Front, path: str) -> None:
    status, sentence = _problem(front.client.post(path, data=b"{}"))

    assert status == 404
    assert "nobody" not in sentence
    assert front.counters() == {"refused:unknown:no_such_integration": 1}


def test_an_id_that_cannot_be_kept_is_refused(front: Front) -> None:
    status, sentence = _problem(front.post(pretend.sign(pretend.event("x" * 600), NOW)))

    assert (status, sentence) == (
        400, "The delivery cannot be kept: the delivery's id has 604 characters; 500 is the most."
    )  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/hooks/posthorn", "/hooks/posthorn/s3cret"])
def test_only_post_delivers(front: Front, method: str, path: str) -> None:
    sent = pretend.sign(pretend.event(1), NOW)
    answer = front.client.open(path, method=method, data=sent.body, headers=dict(sent.headers))

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert front.stored() == 0


def test_an_urgent_delivery_wakes_the_wheel_and_an_ordinary_one_does_not(front: Front) -> None:
    front.post(pretend.sign(pretend.event(1), NOW))
    assert front.woken == 0

    front.post(pretend.sign(pretend.event(2, "payment_failed"), NOW))
    assert front.woken == 1


def test_an_urgent_delivery_is_on_disk_before_anyone_is_woken(sqlite_store: Store, clock: VirtualClock) -> None:
    found: list[int] = []
    opened = Front(sqlite_store, clock, lambda: found.append(opened.stored()))
    opened.post(pretend.sign(pretend.event(1, "payment_failed"), NOW))
    opened.receiver.close()

    assert found == [1]


def test_an_urgent_delivery_is_acknowledged_even_if_nobody_can_be_woken(
    sqlite_store: Store, clock: VirtualClock
) -> None:
    def fails() -> None:
        raise RuntimeError("asleep")

    opened = Front(sqlite_store, clock, fails)
    answer = opened.post(pretend.sign(pretend.event(1, "payment_failed"), NOW))
    opened.receiver.close()

    assert answer.status_code == 202


def test_what_cannot_be_stored_is_not_acknowledged(front: Front) -> None:
    front.store.run("alter table deliveries rename to elsewhere")
    answer = front.post(pretend.sign(pretend.event(1), NOW))

    assert _problem(answer)[0] == 503
    assert answer.headers["Retry-After"] == "10"


def test_a_fault_of_ours_is_one_sentence_and_neither_log_nor_answer_quotes_the_request(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    answer = front.client.post("/hooks/faulty/s3cret-of-the-path", data=b'{"name":"canary"}')

    assert _problem(answer)[0] == 500
    assert "faulty" in caplog.text
    assert "KeyError" in caplog.text
    for word in ("s3cret-of-the-path", "canary"):
        assert word not in caplog.text + answer.text
    assert front.counters() == {"failed:faulty": 1}


# -- over a real socket: what a test client cannot send ---------------------------------------------------------------


@contextmanager
def _served(front: Front) -> Iterator[tuple[str, int]]:
    server = Loopback(front.app, "front")
    try:
        yield "127.0.0.1", int(server.url.rpartition(":")[2])
    finally:
        server.stop()


def _raw(address: tuple[str, int], headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
    """Post bytes as they are; gives the status and the JSON of the answer."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "x", "Connection": "close", **headers}.items())
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(f"POST /hooks/posthorn HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest)


def _in_chunks(body: bytes, size: int = 50_000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_body_over_a_megabyte_is_refused_whether_it_says_its_length_or_comes_in_chunks(front: Front) -> None:
    at_the_edge = pretend.event(1, note="x" * (MOST_BYTES - len(pretend.event(1, note=""))))
    with _served(front) as address:
        for size, status in ((MOST_BYTES, 202), (MOST_BYTES + 1, 413)):
            body = at_the_edge + b" " * (size - MOST_BYTES)
            signed = pretend.sign(body, NOW).headers
            assert len(body) == size
            assert _raw(address, {**signed, "Content-Length": str(size)}, body)[0] == status
            assert _raw(address, {**signed, "Transfer-Encoding": "chunked"}, _in_chunks(body))[0] == status

    assert front.stored() == 1
    assert front.counters() == {"refused:posthorn:too_large": 2}


def test_a_signature_of_letters_outside_ascii_is_a_wrong_one(front: Front) -> None:
    body = pretend.event(1)
    with _served(front) as address:
        for odd in ("t=1,s=é", f"t={NOW},s=\xff\xfe", "t=²,s=1", "\x80"):
            sent = {"Posthorn-Signature": odd, "Content-Length": str(len(body))}
            assert _raw(address, sent, body)[0] == 401


def test_a_compressed_body_is_not_unpacked(front: Front) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    signed = pretend.sign(bomb, NOW).headers
    with _served(front) as address:
        status, _ = _raw(address, {**signed, "Content-Encoding": "gzip", "Content-Length": str(len(bomb))}, bomb)

    assert status == 400
