"""How Stripe is asked: its errors, its lists, and its feed of events; what each stream reads, and in which order.

A stream without a bookmark lists everything once, newest first as Stripe gives it. From then on it reads the feed of
events (`/v1/events`): the only list in which a late change of an old object shows, since lists can be narrowed by when
an object was made and not by when it changed. So an invoice that fails three days later is found without any webhook,
and what a webhook would have told is told in the same words. The feed keeps 30 days; a stream that slept longer lists
everything anew. The feed comes newest first, so a bookmark moves only when the whole window has been read.

Refunds and disputes name a charge and no customer: each that an event names is read again with its charge in it.
Subscriptions are read again customer by customer, since worth and departure need all of a customer's at once; the list
of all of them is held in memory, as text, to be cut between customers (about 5 kB each).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from integrations._stripe_objects import Object, reference
from worker.integration import Page
from worker.lib.clock import DAY, MINUTE
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Reply, judge_by_status

PAGE_SIZE: Final = 100
OVERLAP: Final = 10 * MINUTE
"""How far the feed is read again behind the bookmark; how late an event may show is nowhere written."""
FEED_KEPT: Final = 29 * DAY
"""Stripe keeps 30 days; a day in hand for the time that reading takes."""

COUPONS: Final = "discounts.source.coupon"
"""Where the terms of a discount are, since 2025-09-30."""


class Missing(GiveUp):
    """Stripe has no such object, or no longer."""


class NotAllowed(Reconnect):
    """The key may not read this."""


def judge(reply: Reply, now: float) -> Failure | None:
    """Classify an answer: 403 names the permission that a restricted key lacks, 404 a thing that is gone."""
    if reply.status not in {403, 404}:
        return judge_by_status("Stripe", reply, now)
    try:
        said = " ".join(str(json.loads(reply.text)["error"]["message"]).split())[:300]
    except (ValueError, KeyError, TypeError):
        said = "it does not say why"
    if reply.status == 404:
        return Missing(f"Stripe has no such thing: {said}")
    return NotAllowed(f"Stripe does not let the key do this: {said}; edit the restricted key and give it Read there")


@dataclass(frozen=True, slots=True)
class Stream:
    """One list of Stripe's and the events that tell of its changes."""

    name: str
    """Also the last part of the list's address."""
    events: tuple[str, ...]
    """At most 20, as many as one call may name."""


# -- asking -----------------------------------------------------------------------------------------------------------


def lists(http: Http, path: str, live: bool, **params: Any) -> Iterator[tuple[Reply, list[Object]]]:
    """Each page of a list with its objects, newest first. Raises GiveUp for what is no list, or of the other mode."""
    after = ""
    while True:
        reply = http.get(path, {"limit": PAGE_SIZE, **params, **({"starting_after": after} if after else {})})
        objects = reply.data.get("data") if isinstance(reply.data, Mapping) else None
        if not isinstance(objects, list) or not all(reference(one) for one in objects):
            raise GiveUp(f"Stripe answered {path} with something that is no list; is base_url right?")
        hold_mode(objects, live)
        yield reply, objects
        if not objects or not reply.data.get("has_more"):
            return
        after = reference(objects[-1])


def hold_mode(objects: list[Object], live: bool) -> None:
    """Raise GiveUp where one object is of the mode that the key is not."""
    for one in objects:
        if one.get("livemode") not in {live, None}:
            mine, theirs = ("live", "test") if live else ("test", "live")
            raise GiveUp(f"Stripe answers a {mine} key with {theirs} data ({reference(one)}); nothing of it is read")


def feed(http: Http, live: bool, stream: Stream, since: int) -> Iterator[tuple[Reply, list[Object]]]:
    """The events of a stream from `since` on, newest first."""
    return lists(http, "/v1/events", live, **{"types[]": list(stream.events), "created[gte]": since})


Reader = Callable[[Stream, Http, bool, str | None, int], Iterator[Page]]
"""(stream, connection, whether the key is live, cursor, now) -> pages; the last one carries the new cursor."""


# -- the streams ------------------------------------------------------------------------------------------------------


def read(stream: Stream, http: Http, live: bool, cursor: str | None, now: int) -> Iterator[Page]:
    """Customers, invoices, charges: the events themselves hold all there is to know."""
    since, anew = _since(cursor, now)
    if anew:
        yield from _everything(stream, http, live, now)
    yield from _told(stream, http, live, since)
    yield _bookmark(stream, now)


def read_with_charge(stream: Stream, http: Http, live: bool, cursor: str | None, now: int) -> Iterator[Page]:
    """Refunds and disputes, each with its charge. Where the key may not read them they are left out, and that is said."""
    since, anew = _since(cursor, now)
    try:
        if anew:
            yield from _everything(stream, http, live, now, expand="data.charge")
        else:
            yield from _read_again(stream, http, live, since)
    except NotAllowed as refusal:
        yield Page(
            f"{stream.name}:not_allowed", json.dumps({"object": "list", "data": [], "not_allowed": str(refusal)})
        )
    yield _bookmark(stream, now)


def read_by_customer(stream: Stream, http: Http, live: bool, cursor: str | None, now: int) -> Iterator[Page]:
    """Subscriptions: always all of a customer's on one page, beside the events that tell former values."""
    since, anew = _since(cursor, now)
    if anew:
        yield from _all_by_customer(stream, http, live, now)
    touched: dict[str, str] = {}
    for reply, events in feed(http, live, stream, since):
        yield _events_page(stream, reply, events)
        for event in events:
            touched.setdefault(reference(_subject(event).get("customer")), reference(event))
    for customer, newest in touched.items():
        if customer and not anew:
            theirs = list(_subscriptions(stream, http, live, customer=customer))
            yield Page(f"{stream.name}:{customer}:{newest}", _composed(theirs, now))
    yield _bookmark(stream, now)


def _since(cursor: str | None, now: int) -> tuple[int, bool]:
    """From when on the feed is read, and whether everything is to be listed before that."""
    oldest = now - FEED_KEPT
    since = int(cursor) - OVERLAP if cursor else oldest
    return max(since, oldest), not cursor or since < oldest


def _everything(stream: Stream, http: Http, live: bool, now: int, expand: str = "") -> Iterator[Page]:
    params = {"expand[]": expand} if expand else {}
    for reply, objects in lists(http, f"/v1/{stream.name}", live, **params):
        # The day is part of the name: a list of another day is news even where it looks like an earlier one.
        yield Page(f"{stream.name}:{now // DAY}:{reference(objects[0]) if objects else 'none'}", reply.text)


def _told(stream: Stream, http: Http, live: bool, since: int) -> Iterator[Page]:
    for reply, events in feed(http, live, stream, since):
        yield _events_page(stream, reply, events)


def _events_page(stream: Stream, reply: Reply, events: list[Object]) -> Page:
    return Page(f"{stream.name}:events:{reference(events[0]) if events else 'none'}", reply.text)


def _read_again(stream: Stream, http: Http, live: bool, since: int) -> Iterator[Page]:
    named: dict[str, str] = {}
    for _, events in feed(http, live, stream, since):
        for event in events:
            named.setdefault(reference(_subject(event)), reference(event))
    for id_, newest in named.items():
        try:
            reply = http.get(f"/v1/{stream.name}/{id_}", {"expand[]": "charge"})
        except Missing:
            continue
        hold_mode([reply.data], live)
        yield Page(f"{stream.name}:{newest}", reply.text)


def _all_by_customer(stream: Stream, http: Http, live: bool, now: int) -> Iterator[Page]:
    whose: dict[str, list[str]] = {}
    for one in _subscriptions(stream, http, live):
        whose.setdefault(reference(one.get("customer")), []).append(json.dumps(one))
    page: list[Object] = []
    for number, texts in enumerate(whose.values()):
        page += [json.loads(text) for text in texts]
        if len(page) >= PAGE_SIZE or number == len(whose) - 1:
            yield Page(f"{stream.name}:{now}:{number}", _composed(page, now))
            page = []


def _subscriptions(stream: Stream, http: Http, live: bool, **params: str) -> Iterator[Object]:
    """Subscriptions of every status, with the terms of their discounts where key and version let us read those."""
    for _, objects in lists(http, f"/v1/{stream.name}", live, status="all", **params):
        for one in objects:
            if any(isinstance(discount, str) for discount in one.get("discounts") or ()):
                try:
                    yield http.get(f"/v1/{stream.name}/{reference(one)}", {"expand[]": COUPONS}).data
                    continue
                except (NotAllowed, GiveUp):
                    pass  # worth is left out rather than guessed
            yield one


def _composed(objects: list[Object], as_of: int) -> str:
    """A page put together from several answers; it is as old as the first of them."""
    return json.dumps({"object": "list", "as_of": as_of, "data": objects})


def _subject(event: Object) -> Object:
    found = (event.get("data") or {}).get("object")
    return found if isinstance(found, Mapping) else {}


def _bookmark(stream: Stream, now: int) -> Page:
    """The end of a window: nothing but the bookmark, also where nothing had happened."""
    return Page(f"{stream.name}:read", json.dumps({"object": "list", "data": []}), str(now))
