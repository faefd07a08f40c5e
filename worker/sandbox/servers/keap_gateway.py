"""The gate in front of the pretend Keap: who calls, and how often they may.

Real counting in windows of the vendor's clock. Keap adds up four things: calls a second (spike), a minute (throttle)
and a day (quota) of one key, and calls a minute and a day of the whole tenant.
Limits: https://developer.infusionsoft.com/developer-guidelines-limits-and-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

DAY: Final = 86_400

NO_TOKEN: Final = ("Invalid Access Token", "oauth.v2.InvalidAccessToken")
REJECTED: Final = ("Invalid access token", "keymanagement.service.invalid_access_token")
SPIKE: Final = ("Spike arrest violation", "policies.ratelimit.SpikeArrestViolation")
QUOTA: Final = ("Rate limit quota violation. Quota limit exceeded.", "policies.ratelimit.QuotaViolation")

THROTTLED: Final = {"code": "429", "message": "Quota Exceeded", "status": "Request Throttled", "details": None}
"""The other shape of a 429; its code is a text."""


def fault_body(fault: tuple[str, str]) -> dict[str, Any]:
    """The gateway's own shape of an error, from its sentence and its code."""
    sentence, code = fault
    return {"fault": {"faultstring": sentence, "detail": {"errorcode": code}}}


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls a key and the tenant may make; the published numbers of a service account key."""

    per_second: int | None = None
    """The spike limit is 10; None leaves it out, as it was seen to be left out."""
    per_minute: int = 240
    per_day: int = 30_000
    tenant_per_minute: int = 10_000
    tenant_per_day: int = 250_000


@dataclass
class Window:
    """How much of a limit is used up in the present window of so many seconds."""

    limit: int
    length: int
    _number: int = -1
    _used: int = 0

    def used(self, now: int) -> int:
        """Calls counted in the window in which `now` falls."""
        return self._used if self._number == now // self.length else 0

    def left(self, now: int) -> int:
        """Calls still to be had in it."""
        return max(0, self.limit - self.used(now))

    def count(self, now: int) -> None:
        """Count one call."""
        self._number, self._used = now // self.length, self.used(now) + 1


@dataclass
class Account:
    """One key: whose it is and what it has used."""

    key: str
    user_id: str
    minute: Window
    day: Window
    second: Window | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a call does not get through."""

    status: int
    body: dict[str, Any]
    reason: str
    """Counted among the faults: `429_minute`, `429_day` …"""


@dataclass
class Gateway:
    """Every key's account, and the tenant's."""

    keys: Iterable[str]
    limits: Limits = field(default_factory=Limits)
    tenant_id: str = "sandbox1"

    def __post_init__(self) -> None:
        """Open the accounts."""
        limits = self.limits
        self.accounts = {
            key: Account(
                key,
                str(9001 + place),
                Window(limits.per_minute, 60),
                Window(limits.per_day, DAY),
                Window(limits.per_second, 1) if limits.per_second else None,
            )
            for place, key in enumerate(self.keys)
        }
        self._minute = Window(limits.tenant_per_minute, 60)
        self._day = Window(limits.tenant_per_day, DAY)

    def known(self, api_key: str, authorization: str) -> Account | Refused:
        """Whose call it is, by `X-Keap-API-Key` or else `Authorization: Bearer`."""
        token = api_key or authorization.removeprefix("Bearer ")
        if not token.startswith("KeapAK-"):
            return Refused(401, fault_body(NO_TOKEN), "401")
        return self.accounts.get(token) or Refused(401, fault_body(REJECTED), "401")

    def admit(self, account: Account, now: int) -> Refused | None:
        """Count a call that is within every limit; a refused one costs nothing."""
        windows = (
            (account.second, fault_body(SPIKE), "429_second"),
            (account.minute, THROTTLED, "429_minute"),
            (account.day, fault_body(QUOTA), "429_day"),
            (self._minute, THROTTLED, "429_tenant_minute"),
            (self._day, fault_body(QUOTA), "429_tenant_day"),
        )
        for window, body, reason in windows:
            if window is not None and not window.left(now):
                return Refused(429, body, reason)
        for window, _, _ in windows:
            if window is not None:
                window.count(now)
        return None

    def headers(self, account: Account, now: int) -> dict[str, str]:
        """The three families: the key's day (quota), the key's minute (throttle), the tenant's minute and day."""
        quota, throttle = "x-keap-product-quota-", "x-keap-product-throttle-"
        tenant = "x-keap-tenant-throttle-"
        both = (self._minute, self._day)
        return {
            f"{quota}limit": str(account.day.limit),
            f"{quota}time-unit": "day",
            f"{quota}interval": "1",
            f"{quota}available": str(account.day.left(now)),
            f"{quota}used": str(account.day.used(now)),
            f"{quota}expiry-time": str((now // DAY + 1) * DAY * 1000),
            f"{throttle}limit": str(account.minute.limit),
            f"{throttle}time-unit": "minute",
            f"{throttle}interval": "1",
            f"{throttle}available": str(account.minute.left(now)),
            f"{throttle}used": str(account.minute.used(now)),
            "x-keap-tenant-id": self.tenant_id,
            f"{tenant}limit": "|".join(str(window.limit) for window in both),
            f"{tenant}time-unit": "minute|day",
            f"{tenant}interval": "1|1",
            f"{tenant}available": "|".join(str(window.left(now)) for window in both),
            f"{tenant}used": "|".join(str(window.used(now)) for window in both),
        }
