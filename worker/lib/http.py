"""The one seam between Keepwell and the network: one pooled, rate-limited, retrying connection per vendor.

Failures come in the kinds below, chosen where the knowledge is: an integration may hand in `judge` to read its
vendor's odder answers.

Failure
├── Retry       not done; may be tried again, not before `after` seconds
│   └── Held    not even tried: nothing may leave at the moment
├── GiveUp      will never work as it is; the reason says why
├── Reconnect   the credentials are no longer good, or lack a permission
└── Unsure      perhaps done, perhaps not; nobody may try again blindly
"""

from __future__ import annotations

import json as jsonlib
import math
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import tenacity

from worker.lib.clock import Clock

LONGEST_WAIT: Final = 120.0
"""Seconds. A vendor that asks for more is left alone until a later turn."""

MOST_BYTES: Final = 64 * 1024 * 1024
"""A larger answer is refused; a page of 1,000 contacts is about 2 MB."""


class Failure(Exception):
    """A call did not do what was asked. `str()` is one sentence fit for a log and a page."""


class Retry(Failure):
    """Not done; may be tried again."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        """`after`: seconds the vendor asks to be left alone, None where it says nothing."""
        super().__init__(reason)
        self.after = after


class Held(Retry):
    """Not done: nothing may leave at the moment. The vendor has heard nothing of it."""


class GiveUp(Failure):
    """Will never work as it is."""


class Reconnect(Failure):
    """The credentials are no longer good, or lack a permission."""


class Unsure(Failure):
    """Perhaps done, perhaps not."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a vendor answered."""

    status: int
    headers: Mapping[str, str]
    """Case-insensitive."""
    text: str
    data: Any = None
    """The parsed JSON, None where the body was empty."""


Judge = Callable[[Reply], Failure | None]


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read Retry-After (seconds or an HTTP date, RFC 9110 §10.2.3) as seconds from now; None where it is unusable."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        wait = float(text)
        if not math.isfinite(wait):
            return None
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    return max(0.0, wait)


def judge_by_status(vendor: str, reply: Reply, now: float) -> Failure | None:
    """Classify an answer by its status alone: what holds for every vendor."""
    status = reply.status
    if status < 400:
        return None
    said = " ".join(reply.text.split())[:200]
    sentence = f"{vendor} answered {status}" + (f": {said}" if said else "")
    if status in {429, 502, 503, 504} or status >= 500 or status in {408, 409, 425}:
        return Retry(sentence, retry_after(reply.headers, now))
    if status in {401, 403}:
        return Reconnect(sentence)
    return GiveUp(sentence)


class Bucket:
    """A token bucket: at most `rate` calls a second on average, `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Clock) -> None:
        """Start full."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = burst, clock.now()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for, and take, one token."""
        with self._lock:
            now = self._clock.now()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            wait = -self._tokens / self._rate
        if wait > 0:
            self._clock.sleep(wait)


@dataclass
class Counts:
    """What went over one connection, for the summary and the metrics."""

    calls: int = 0
    writes: int = 0
    retried: dict[str, int] = field(default_factory=dict)
    """What was met on the way ("429", "500", "half a body" …), how often."""


class Http:
    """One vendor's connection. Thread-safe."""

    def __init__(
        self,
        vendor: str,
        base_url: str,
        clock: Clock,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        per_second: float = 5.0,
        burst: float = 10.0,
        timeout: float = 60.0,
        attempts: int = 6,
        judge: Judge | None = None,
        hold: Callable[[], str] = lambda: "",
    ) -> None:
        """`base_url` without a closing slash; `judge` answers first, the status rules where it gives None.

        `hold` is asked before every call that could change something, and before each of its retries: while it gives a
        reason, none begins.
        """
        self.vendor = vendor
        self.base_url = base_url.rstrip("/")
        self.clock = clock
        self.counts = Counts()
        self.hold = hold
        self._timeout = (10.0, timeout)
        self._attempts = attempts
        self._judge = judge
        self._bucket = Bucket(per_second, burst, clock)
        self._lock = threading.Lock()
        self._random = random.Random()  # noqa: S311  jitter, not secrecy
        self._session = requests.Session()
        self._session.trust_env = False  # a ~/.netrc would replace the Authorization header
        self._session.headers.update({"Accept": "application/json", "User-Agent": "Keepwell/0.1"})
        self._session.headers.update(headers or {})
        self._session.auth = auth
        adapter = requests.adapters.HTTPAdapter(pool_connections=2, pool_maxsize=16, max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __repr__(self) -> str:
        """Name the vendor and nothing secret."""
        return f"Http({self.vendor!r}, {self.base_url!r})"

    def close(self) -> None:
        """Let the pooled connections go."""
        self._session.close()

    def get(self, path: str, params: Mapping[str, Any] | str | None = None) -> Reply:
        """Read. Retried within bounds."""
        return self.call("GET", path, params=params)

    def post(self, path: str, *, repeatable: bool = False, **body: Any) -> Reply:
        """Write. Only a `repeatable` one is retried after the vendor may have acted on it."""
        return self.call("POST", path, repeatable=repeatable, **body)

    def patch(self, path: str, **body: Any) -> Reply:
        """Change. Retried within bounds."""
        return self.call("PATCH", path, **body)

    def delete(self, path: str, **body: Any) -> Reply:
        """Remove. Retried within bounds."""
        return self.call("DELETE", path, **body)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | str | None = None,
        json: Any = None,
        data: Mapping[str, Any] | str | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        expect_json: bool = True,
        attempts: int | None = None,
        reads: bool | None = None,
    ) -> Reply:
        """Make one call, with its retries.

        `path` may be a whole URL on the same host (a vendor's "next page"). `attempts` lowers the bounds for this call:
        1 for a body that is stale after a wait. `reads` says of a POST that it changes nothing, as a search or the
        renewal of a token: nothing holds it. Raises Held where nothing may leave, Retry when the bounds are used up, GiveUp, Reconnect; and
        Unsure for an unrepeatable call that may have been carried out.
        """
        url = self._url(path)
        changes = method not in {"GET", "HEAD"} if reads is None else not reads
        safe = method in {"GET", "HEAD", "PUT", "PATCH", "DELETE"} if repeatable is None else repeatable

        def attempt() -> Reply:
            self._bucket.take()
            if changes and (reason := self.hold()):
                raise Held(f"{self.vendor} was not called: {reason}")
            with self._lock:
                self.counts.calls += 1
                self.counts.writes += changes
            try:
                reply = self._send(method, url, params, json, data, headers, expect_json=expect_json)
            except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError):
                # Its text would name the path, which may be a secret.
                raise GiveUp(f"{self.vendor} has no address {self.base_url!r}; is base_url right?") from None
            except requests.exceptions.ConnectTimeout as error:
                raise self._met("no connection", Retry(f"{self.vendor} cannot be reached: {_short(error)}")) from None
            except requests.RequestException as error:
                refused = "refused" in str(error).lower()
                if refused:
                    reason = f"{self.vendor} cannot be reached at {self.base_url}: connection refused"
                    raise self._met("no connection", Retry(reason)) from None
                failure: Failure = Retry(f"{self.vendor} broke off: {_short(error)}")
                if not safe:
                    failure = Unsure(f"{self.vendor} broke off after the request had left: {_short(error)}")
                raise self._met("broken off", failure) from None
            except Retry as unreadable:
                raise (
                    unreadable if safe else Unsure(f"{unreadable}; it may have been carried out all the same")
                ) from None
            verdict = (self._judge(reply) if self._judge else None) or judge_by_status(
                self.vendor, reply, self.clock.now()
            )
            if verdict is None:
                return reply
            if isinstance(verdict, Retry) and not safe and reply.status != 429:
                verdict = Unsure(f"{verdict}; it may have been carried out all the same")
            raise self._met(str(reply.status), verdict)

        return tenacity.Retrying(
            sleep=self.clock.sleep,
            stop=lambda state: self._stop(state, attempts or self._attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Retry) and not isinstance(error, Held)),
            reraise=True,
        )(attempt)

    def _url(self, path: str) -> str:
        if not path.startswith(("http://", "https://")):
            return self.base_url + path
        if urlsplit(path).netloc != urlsplit(self.base_url).netloc:
            raise GiveUp(f"{self.vendor} names a next page on another host, {urlsplit(path).netloc!r}; not followed")
        return path

    def _send(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | str | None,
        json: Any,
        data: Mapping[str, Any] | str | None,
        headers: Mapping[str, str] | None,
        *,
        expect_json: bool,
    ) -> Reply:
        response = self._session.request(
            method, url, params=params, json=json, data=data, headers=headers,
            timeout=self._timeout, allow_redirects=False,
        )  # fmt: skip
        if len(response.content) > MOST_BYTES:
            raise GiveUp(f"{self.vendor} sent {len(response.content):,} bytes at once; {MOST_BYTES:,} is the most")
        text = response.content.decode("utf-8", "replace")
        parsed = None
        if text.strip() and response.status_code < 300 and expect_json:
            try:
                parsed = jsonlib.loads(text)
            except ValueError:
                begins = " ".join(text.split())[:60]
                raise self._met("not JSON", Retry(f"{self.vendor} answered no JSON; it begins {begins!r}")) from None
        elif 300 <= response.status_code < 400:
            # The path is not named: a Slack webhook's is its secret.
            raise GiveUp(f"{self.vendor} redirects {method} calls; is base_url right?")
        return Reply(response.status_code, response.headers, text, parsed)

    def _met(self, what: str, failure: Failure) -> Failure:
        with self._lock:
            self.counts.retried[what] = self.counts.retried.get(what, 0) + 1
        return failure

    def _stop(self, state: tenacity.RetryCallState, attempts: int) -> bool:
        failure = state.outcome.exception() if state.outcome else None
        too_long = isinstance(failure, Retry) and (failure.after or 0) > LONGEST_WAIT
        return too_long or state.attempt_number >= attempts

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Never earlier than the vendor says, and spread out behind it, so that many do not come back at once."""
        failure = state.outcome.exception() if state.outcome else None
        backoff: float = min(30.0, 0.5 * 2 ** (state.attempt_number - 1))
        asked = failure.after if isinstance(failure, Retry) else None
        if asked is None:
            return backoff * self._random.uniform(0.5, 1.5)
        return asked + max(0.1 * asked, 0.1) * self._random.uniform(0.1, 1.0)


def _short(error: Exception) -> str:
    """The last part of a nested connection error, without addresses of objects."""
    text = str(error).split("(Caused by ")[-1].rstrip(")")
    return text.split(">: ")[-1].strip("'\"()")[:160] or type(error).__name__
