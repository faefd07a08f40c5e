"""What every pretend vendor shares: a loopback server, its own record of calls, planned faults, and webhooks out.

The records here are the vendor's, not ours: the demo's figures and the tests' oracles are read from them.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import requests
from flask import Flask, Response, g, request

from worker.lib.clock import Clock, seconds
from worker.sandbox.servers.loopback import Loopback

FAULTS: Final = ("429_with_retry_after", "429_bare", "500", "html", "half_body")
"""What a vendor may do to a call; which of them a server knows how to do is its own affair."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the vendor."""

    at: int
    method: str
    path: str
    status: int
    fault: str = ""
    """The fault that it met instead of being carried out, "" for none."""

    @property
    def writes(self) -> bool:
        """Whether it could have changed something."""
        return self.method not in {"GET", "HEAD", "OPTIONS"}


@dataclass
class Faults:
    """A plan of faults, drawn from a seed: the same seed and calls give the same faults."""

    seed: int = 0
    share: float = 0.0
    """How many of all calls meet a fault."""
    planned: list[str] = field(default_factory=list)
    """Faults that the next calls meet, first come first served; before any by share."""
    met: Counter[str] = field(default_factory=Counter)
    """How often each fault happened; servers count their own here too (`duplicate_webhook`, `failed_item` …)."""

    def __post_init__(self) -> None:
        """Seed the dice."""
        self._dice = random.Random(self.seed)  # noqa: S311  a plan, not a secret
        self._lock = threading.Lock()

    def next(self) -> str:
        """The fault for this call, "" for none."""
        with self._lock:
            fault = ""
            if self.planned:
                fault = self.planned.pop(0)
            elif self._dice.random() < self.share:
                fault = self._dice.choice(FAULTS)
            if fault:
                self.met[fault] += 1
            return fault

    def count(self, what: str) -> None:
        """Note something untoward that the server did of its own accord."""
        with self._lock:
            self.met[what] += 1

    def chance(self, share: float) -> bool:
        """Throw the dice."""
        with self._lock:
            return self._dice.random() < share


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook on its way: built again at each sending, since the signature holds the time of the attempt."""

    url: str
    build: Callable[[int], tuple[bytes, dict[str, str]]]
    """(now) -> body and headers."""


class PretendVendor:
    """A vendor on loopback. Subclasses register routes on `self.app` and keep their records as attributes."""

    name = "vendor"

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        """`clock` also dates what the vendor does; with a virtual one the vendor lives in virtual time."""
        self.clock = clock
        self.faults = faults or Faults()
        self.calls: list[Call] = []
        self.hooks_sent = 0
        self.hooks_accepted = 0
        self.hooks_given_up = 0
        self.lock = threading.RLock()
        """Held by every route and every back-office method that touches the records."""
        self.app = Flask(f"sandbox_{self.name}", static_folder=None)
        self.app.before_request(self.gate)
        self.app.before_request(self._fault)
        self.app.after_request(self._record)
        self._waiting: list[Hook] = []
        self._session = requests.Session()
        self._session.trust_env = False
        self._server: Loopback | None = None
        self.base_url = ""

    # -- serving ----------------------------------------------------------------------------------------------------

    def start(self) -> str:
        """Listen on a free loopback port; gives the base URL."""
        self._server = Loopback(self.app, f"sandbox-{self.name}")
        self.base_url = self._server.url
        return self.base_url

    def stop(self) -> None:
        """Stop listening and let go of every connection."""
        if self._server is not None:
            self._server.stop()
        self._server = None
        self._session.close()

    @property
    def now(self) -> int:
        """The vendor's time, epoch seconds."""
        return seconds(self.clock)

    def writes(self) -> int:
        """How many calls that could change something were carried out."""
        return sum(call.writes and call.status < 400 and not call.fault for call in self.calls)

    def gate(self) -> Response | None:
        """What the vendor checks before any route, such as authentication and limits; a Response refuses the call."""
        return None

    # -- faults -----------------------------------------------------------------------------------------------------

    def throttled(self, fault: str) -> Response:
        """The vendor's own way of saying 429; override to give its body."""
        headers = {"Retry-After": "2"} if fault == "429_with_retry_after" else {}
        return Response('{"error":"too many requests"}', 429, headers, content_type="application/json")

    def _fault(self) -> Response | None:
        fault = g.fault = self.faults.next()
        if fault.startswith("429"):
            return self.throttled(fault)
        if fault == "500":
            return Response('{"message":"Internal Server Error"}', 500, content_type="application/json")
        if fault == "html":
            return Response("<!doctype html><title>Sign in</title>", 200, content_type="text/html")
        if fault == "half_body":
            return Response('{"data":[{"id":"x', 200, content_type="application/json")
        return None

    def _record(self, response: Response) -> Response:
        with self.lock:
            fault = g.get("fault", "")
            self.calls.append(Call(self.now, request.method, request.path, response.status_code, fault))
        return response

    # -- webhooks ---------------------------------------------------------------------------------------------------

    def queue_hook(self, hook: Hook) -> None:
        """Have a webhook leave with the next `deliver_hooks`."""
        with self.lock:
            self._waiting.append(hook)

    def deliver_hooks(self, *, duplicate: float = 0.0, reorder: float = 0.0, attempts: int = 4) -> None:
        """Send what waits, some of it twice and some in the wrong order; a refusal is tried again, then given up."""
        with self.lock:
            waiting, self._waiting = self._waiting, []
        for place in range(len(waiting) - 1):
            if self.faults.chance(reorder):
                waiting[place], waiting[place + 1] = waiting[place + 1], waiting[place]
                self.faults.count("reordered_webhook")
        for hook in waiting:
            times = 1
            if self.faults.chance(duplicate):
                times = 2
                self.faults.count("duplicate_webhook")
            for _ in range(times):
                self._deliver(hook, attempts)

    def _deliver(self, hook: Hook, attempts: int) -> None:
        for attempt in range(attempts):
            body, headers = hook.build(self.now)
            self.hooks_sent += 1
            answer = self._post(hook.url, body, headers)
            if answer is not None and self.hook_accepted(answer):
                self.hooks_accepted += 1
                self.hook_answered(hook, answer)
                return
            last = attempt == attempts - 1
            if last or (answer is not None and self.hook_unwanted(answer)):
                break
            self.clock.sleep(2**attempt)
        self.hooks_given_up += 1
        self.hook_given_up(hook)

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> requests.Response | None:
        try:
            return self._session.post(url, data=body, headers=headers, timeout=30, allow_redirects=False)
        except requests.RequestException:
            return None

    def hook_accepted(self, answer: requests.Response) -> bool:
        """Whether this answer means that the webhook arrived."""
        return answer.status_code < 300

    def hook_unwanted(self, answer: requests.Response) -> bool:
        """Whether this answer forbids another attempt; no answer does, for most."""
        return False

    def hook_given_up(self, hook: Hook) -> None:
        """What the vendor does about a webhook that nobody took; nothing, for most."""

    def hook_answered(self, hook: Hook, answer: requests.Response) -> None:
        """What the vendor does with the receiver's answer; nothing, for most."""


def json_response(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(json.dumps(data), status, headers or {}, content_type="application/json")
