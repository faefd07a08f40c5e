"""The pretend Keap's REST hooks (v1): subscriptions, the handshake, and unsigned batches of ids.

https://developer.infusionsoft.com/docs/rest/#tag/REST-Hooks
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import requests

from worker.lib.clock import Clock, iso
from worker.sandbox.servers.base import Faults, Hook
from worker.sandbox.servers.keap_office import KeapOffice

EVENT_KEYS: Final = (
    "contact.add", "contact.delete", "contact.edit", "contactGroup.add", "contactGroup.applied", "contactGroup.delete",
    "contactGroup.edit", "contactGroup.removed",
)  # fmt: skip
"""The events that this double has; Keap has some forty."""

LARGEST_BATCH: Final = 1000

_API_PATHS: Final = {"contact": "contacts", "contactGroup": "tags"}


@dataclass
class Subscription:
    """One event sent to one URL."""

    key: str
    event_key: str
    url: str
    secret: str
    status: str = "Unverified"
    waiting: list[tuple[str, int]] = field(default_factory=list)
    """(object id, when it changed)."""

    def view(self) -> dict[str, Any]:
        """As `RestHook`."""
        return {"key": self.key, "eventKey": self.event_key, "hookUrl": self.url, "status": self.status}


@dataclass(frozen=True, slots=True)
class KeapHook(Hook):
    """A delivery, which knows whose it is."""

    subscription: Subscription


class KeapHooks(KeapOffice):
    """Keap with its hooks: every change that a verified subscription asks for waits for `deliver_hooks`."""

    def __init__(self, clock: Clock, faults: Faults | None = None, *, key: str = "KeapAK-sandbox") -> None:
        """Start without subscriptions."""
        super().__init__(clock, faults, key=key)
        self.subscriptions: dict[str, Subscription] = {}

    def subscribe(self, event_key: str, url: str) -> Subscription:
        """Add a subscription; it hears nothing until it is verified."""
        found = Subscription(self.new_id(), event_key, url, secrets.token_hex(16))
        self.subscriptions[found.key] = found
        return found

    def shake_hands(self, subscription: Subscription) -> None:
        """Send the secret to the URL; it must come back in the same header of a 200.

        The lock must not be held: the receiver may call the API before it answers.
        """
        answer = self._post(subscription.url, b"", {"X-Hook-Secret": subscription.secret})
        if answer is not None and answer.status_code == 200:
            self.confirm(subscription, answer.headers.get("X-Hook-Secret", ""))

    def confirm(self, subscription: Subscription, secret: str) -> bool:
        """Verify a subscription whose receiver knows the secret."""
        if not secrets.compare_digest(secret.encode(), subscription.secret.encode()):
            return False
        subscription.status = "Verified"
        return True

    def changed(self, event_key: str, object_id: str) -> None:
        """Note the change for every verified subscription to it."""
        for subscription in self.subscriptions.values():
            if subscription.event_key == event_key and subscription.status == "Verified":
                subscription.waiting.append((object_id, self.now))

    def deliver_hooks(self, *, duplicate: float = 0.0, reorder: float = 0.0, attempts: int = 4) -> None:
        """Send what waits, in batches of at most 1,000 objects of one event."""
        with self.lock:
            for subscription in self.subscriptions.values():
                waiting, subscription.waiting = subscription.waiting, []
                for start in range(0, len(waiting), LARGEST_BATCH):
                    self.queue_hook(self._batch(subscription, waiting[start : start + LARGEST_BATCH]))
        super().deliver_hooks(duplicate=duplicate, reorder=reorder, attempts=attempts)

    def _batch(self, subscription: Subscription, objects: Sequence[tuple[str, int]]) -> KeapHook:
        object_type = subscription.event_key.split(".")[0]
        where = f"{self.base_url}/crm/rest/v1/{_API_PATHS[object_type]}"
        body = {
            "event_key": subscription.event_key,
            "object_type": object_type,
            "object_keys": [
                {"id": int(object_id), "apiUrl": f"{where}/{object_id}", "timestamp": iso(at)}
                for object_id, at in objects
            ],
        }
        sent = json.dumps(body).encode(), {"Content-Type": "application/json"}
        return KeapHook(subscription.url, lambda _now: sent, subscription)

    def hook_accepted(self, answer: requests.Response) -> bool:
        """Keap takes any status from 200 to 399 for a success."""
        return 200 <= answer.status_code < 400

    def hook_unwanted(self, answer: requests.Response) -> bool:
        """410 ends the subscription at once."""
        return answer.status_code == 410

    def hook_given_up(self, hook: Hook) -> None:
        """A subscription whose delivery nobody took stays silent until it is verified again."""
        if isinstance(hook, KeapHook):
            with self.lock:
                hook.subscription.status = "Inactive"
