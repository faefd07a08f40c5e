"""What reading and writing Keap share: its errors, its pages, and how it shows a contact."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from worker.facts import CrmContact
from worker.lib.clock import DAY, MINUTE, from_iso
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Reply, Retry, retry_after

API: Final = "/crm/rest/v2"
HOSTS: Final = ("api.infusionsoft.com", "api.keap.com")
"""Two names of the same API; either may stand in a link to a next page."""

PAGE_SIZE: Final = 1000
"""The most that contacts, tags and e-mails give at once."""

CONTACT_FIELDS: Final = (
    "id", "given_name", "family_name", "email_addresses", "tag_ids", "custom_fields", "company", "owner_id",
    "create_time", "update_time", "score_value",
)  # fmt: skip
"""Asked for by name: custom fields and tags do not come unasked."""

MAILABLE: Final = frozenset({"UNENGAGED_MARKETABLE", "SINGLE_OPT_IN", "DOUBLE_OPT_IN", "CONFIRMED"})
"""The values of `email_opt_status` that allow marketing; a word that is new to us does not."""


UNSOUGHT: Final = frozenset({"UNENGAGED_NON_MARKETABLE", "NON_MARKETABLE"})
"""Those that allow no marketing although nobody has opted out and nothing has bounced."""


class Missing(GiveUp):
    """Keap has no such thing: deleted, or merged into another."""


class TooLarge(GiveUp):
    """Keap does not take that much in one call."""


# -- errors -----------------------------------------------------------------------------------------------------------


def judge(reply: Reply, now: float) -> Failure | None:
    """Classify an answer. Keap has three shapes of an error: its API's v2 and v1, and its gateway's.

    429 is in no specification: https://developer.infusionsoft.com/developer-guidelines-limits-and-quotas/
    """
    status = reply.status
    if status < 400:
        return None
    sentence = f"Keap answered {status}{_said(reply.text)}{_request(reply.headers)}"
    if status in {429, 503}:
        return Retry(sentence, _wait(reply.headers, now))
    if status == 401:
        return Reconnect(f"{sentence}; is the key right? Make a new service account key in Keap and set it as `key`")
    if status == 403:
        return Reconnect(f"{sentence}; use a service account key, or the personal key of an administrator")
    if status == 404:
        return Missing(sentence)
    if status == 413:
        return TooLarge(sentence)
    # 408 is the gateway's own timeout; 409 is a name that is taken, which no waiting cures.
    return Retry(sentence) if status >= 500 or status == 408 else GiveUp(sentence)


def _said(body: str) -> str:
    try:
        data = json.loads(body)
    except ValueError:
        data = body
    words = _words(data)
    return f": {words[:200]}" if words else ""


def _words(data: Any) -> str:
    if not isinstance(data, dict):
        return " ".join(str(data).split())[:60] if data else ""
    fault = data.get("fault")
    if isinstance(fault, dict):
        detail = fault.get("detail")
        parts = [fault.get("faultstring"), detail.get("errorcode") if isinstance(detail, dict) else detail]
    else:
        parts = [data.get("status"), data.get("message"), data.get("details")]
    return " ".join(", ".join(str(part) for part in parts if part).split())


def _request(headers: Mapping[str, str]) -> str:
    number = headers.get("x-request-id", "")
    return f" (request {number[:64]})" if number.replace("-", "").isalnum() else ""


def _wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to leave Keap alone: until 00:00 UTC once a day's quota is gone, else a minute's rest, else its word."""
    spent = {
        unit for family in ("product-quota", "product-throttle", "tenant-throttle") for unit in _spent(headers, family)
    }
    if "day" in spent:
        return DAY - now % DAY
    asked = retry_after(headers, now)
    if "minute" in spent:
        return max(asked or 0.0, MINUTE - now % MINUTE)
    return asked


def _spent(headers: Mapping[str, str], family: str) -> list[str]:
    """The units ("minute", "day") of which nothing is left; the tenant's come as `minute|day` and `120|0`."""
    units = headers.get(f"x-keap-{family}-time-unit", "").split("|")
    available = headers.get(f"x-keap-{family}-available", "").split("|")
    return [unit.strip() for unit, left in zip(units, available, strict=False) if left.strip() == "0"]


# -- pages ------------------------------------------------------------------------------------------------------------


def query(**params: str | int) -> str:
    """A query string the way Keap reads it: a space as %20, never as a plus. Empty ones are left out."""
    return urlencode({name: value for name, value in params.items() if value != ""}, quote_via=quote, safe="")


def pages(http: Http, path: str, plural: str, **params: str | int) -> Iterator[tuple[Reply, list[dict[str, Any]]]]:
    """Each page of a list with its records. Raises Retry for an answer that is no such list."""
    asked = {"page_size": PAGE_SIZE, **params}
    link, seen = f"{API}{path}?{query(**asked)}", set()
    while link:
        seen.add(link)
        reply = http.get(link)
        yield reply, _records(reply, plural)
        token = str(reply.data.get("next_page_token") or "")
        link = _next(http, path, token, asked)
        if link in seen:
            raise GiveUp(f"Keap names the same next page of {plural} again and again")


def listed(http: Http, path: str, plural: str, **params: str | int) -> list[dict[str, Any]]:
    """Every record of a list."""
    return [record for _, records in pages(http, path, plural, **params) for record in records]


def _records(reply: Reply, plural: str) -> list[dict[str, Any]]:
    found = reply.data.get(plural) if isinstance(reply.data, dict) else None
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise Retry(f"Keap's answer is no list of {plural}")
    return found


def _next(http: Http, path: str, token: str, params: Mapping[str, str | int]) -> str:
    """Where the next page is. The token is sometimes a whole address, which then holds all parameters.

    Of an address on a host of Keap's only the path is taken: the key goes to the host it was set up for, and nowhere else.
    """
    if not token:
        return ""
    if not token.startswith(("http://", "https://")):
        return f"{API}{path}?{query(**params, page_token=token)}"
    address = urlsplit(token)
    if address.netloc in {*HOSTS, urlsplit(http.base_url).netloc}:
        return f"{address.path}?{address.query}"
    return token


def model(http: Http) -> list[dict[str, Any]]:
    """The custom fields that a contact can have: id, label, field_type."""
    return _records(http.get(f"{API}/contacts/model"), "custom_fields")


# -- contacts ---------------------------------------------------------------------------------------------------------


def crm_contact(record: Mapping[str, Any]) -> CrmContact:
    """A contact as the mirror keeps it. Raises ValueError for a record without id or with an unreadable time."""
    address = main_address(record)
    opt_in = str(address.get("email_opt_status") or "")
    return CrmContact(
        contact_id=identifier(record),
        email=str(address.get("email") or "").strip(),
        opt_in=opt_in,
        may_mail=address.get("is_opt_in") is True and opt_in in MAILABLE,
        tags=tuple(str(tag) for tag in record.get("tag_ids") or ()),
        fields=tuple((field_id, words) for field_id, content in contents(record).items() if (words := text(content))),
        updated_at=updated_at(record),
        may_serve=opt_in in MAILABLE | UNSOUGHT,
    )


def identifier(record: Mapping[str, Any]) -> str:
    """A record's id. Raises ValueError where it has none."""
    found = str(record.get("id") or "")
    if not found:
        raise ValueError("a record without id")
    return found


def is_number(words: str) -> bool:
    """Whether this can be an id of Keap's. Ids come from other services' links too, and stand in filters."""
    return words.isascii() and words.isdigit()


def updated_at(record: Mapping[str, Any]) -> int:
    """When a contact last changed, epoch seconds. Raises ValueError for no moment."""
    return from_iso(str(record.get("update_time") or record.get("create_time") or ""))


def main_address(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of the first e-mail slot, EMAIL1; empty where it is free."""
    entries = record.get("email_addresses") or ()
    return next((entry for entry in entries if entry.get("field") == "EMAIL1"), {})


def contents(record: Mapping[str, Any]) -> dict[str, Any]:
    """Field id -> content, as Keap wrote it, of every custom field that has one."""
    return {
        str(entry["id"]): entry["content"]
        for entry in record.get("custom_fields") or ()
        if entry.get("content") not in (None, "")
    }


def text(content: Any) -> str:
    """A content as text: "" for none, a list as JSON."""
    if content is None:
        return ""
    if isinstance(content, bool | list | dict):
        return json.dumps(content, ensure_ascii=False)
    return str(content)
