"""Keap, against a pretend Keap over real HTTP: what it says, and that nobody else's values are lost by our hand."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st
from responses import matchers

from integrations._keap_calls import judge
from integrations._keap_writes import KeapCrm
from integrations.keap import INTEGRATION, KeapSettings, connect
from tests.conftest import START
from worker.facts import Delivery, Identity, Parsed, Sighting
from worker.integration import CrmIds, CrmNames, Incoming, Page, Pull, Receipt, Refused
from worker.lib.clock import DAY, VirtualClock, iso
from worker.lib.http import GiveUp, Http, Reconnect, Reply, Retry, Unsure
from worker.sandbox.servers.keap import PretendKeap

SECRET = "0123456789abcdef"
KEY = "KeapAK-sandbox"
API = "https://api.infusionsoft.com/crm/rest/v2"

NAMES = CrmNames(
    category="Keepwell",
    tags={"green": "Health: green", "yellow": "Health: yellow", "red": "Health: red"},
    fields={"score": "Health score", "band": "Health band", "reason": "Health reason", "as_of": "Health as of"},
)
LABELS = set(NAMES.fields.values())


@pytest.fixture
def keap(clock: VirtualClock) -> Iterator[PretendKeap]:
    server = PretendKeap(clock, key=KEY)
    server.start()
    yield server
    server.stop()


def options(base_url: str = "https://api.infusionsoft.com", **more: Any) -> KeapSettings:
    return KeapSettings.model_validate({"key": KEY, "hook_secret": SECRET, "base_url": base_url, **more})


@pytest.fixture
def http(keap: PretendKeap, clock: VirtualClock) -> Iterator[Http]:
    http = connect(options(keap.base_url), clock)
    yield http
    http.close()


@pytest.fixture
def crm(http: Http, clock: VirtualClock) -> KeapCrm:
    return KeapCrm(http, None, clock)


def standing(
    ids: CrmIds, score: str = "71", band: str = "green", reason: str = "active", at: int = START
) -> dict[str, str]:
    """What a contact shall show, by field id."""
    values = {"score": score, "band": band, "reason": reason, "as_of": iso(at)}
    return {ids.fields[key]: value for key, value in values.items()}


def pull(name: str) -> Pull:
    return next(one for one in INTEGRATION.pulls if one.stream == name)


def fetched(stream: str, http: Http, cursor: str | None, now: int) -> tuple[list[Sighting], str | None]:
    """What a pull brings, parsed, and the bookmark after it."""
    pages = list(pull(stream).fetch(http, None, cursor, now))
    found = [sighting for page in pages for sighting in parsed(stream, page).sightings]
    return found, pages[-1].cursor if pages else None


def parsed(stream: str, page: Page) -> Parsed:
    return said(stream, page.body)


def said(stream: str, body: str) -> Parsed:
    assert INTEGRATION.parse is not None
    return INTEGRATION.parse(Delivery("dlv_1", "keap", stream, "x", body, START), options())


# -- reading ----------------------------------------------------------------------------------------------------------


def test_a_contact_comes_with_person_company_owner_tags_fields_and_opt_in(
    keap: PretendKeap, http: Http, clock: VirtualClock
) -> None:
    contact_id = keap.add_contact(
        "Ada",
        "Lovelace",
        "ada@engines.example",
        "Engines Ltd",
        custom_fields={"Plan": "Pro"},
        tags=["VIP"],
        owner_id="1",
    )
    clock.sleep(120)

    (ada,), _ = fetched("contacts", http, None, int(clock.now()))

    assert ada.crm is not None
    assert (ada.at, ada.identities, ada.name, ada.owner) == (START, (Identity("keap", contact_id),), "Engines Ltd", "1")
    assert [(one.email, one.name, one.role) for one in ada.people] == [("ada@engines.example", "Ada Lovelace", "main")]
    assert [(one.name, one.value) for one in ada.attributes] == [("company", "Engines Ltd")]
    assert (ada.crm.opt_in, ada.crm.may_mail) == ("SINGLE_OPT_IN", True)
    assert ada.crm.tags == (keap.ensure_tag("VIP"),)
    assert ada.crm.fields == ((keap.ensure_field("Plan"), "Pro"),)


@pytest.mark.parametrize(
    ("status", "may"),
    [
        ("UNENGAGED_MARKETABLE", True), ("SINGLE_OPT_IN", True), ("DOUBLE_OPT_IN", True), ("CONFIRMED", True),
        ("NON_MARKETABLE", False), ("UNENGAGED_NON_MARKETABLE", False), ("LOCKDOWN", False), ("HARD_BOUNCE", False),
        ("MANUAL", False), ("LIST_UNSUBSCRIBE", False), ("SPAM", False), ("DEACTIVATED", False),
    ],
)  # fmt: skip
def test_only_a_marketable_status_lets_marketing_mail_be_sent(
    keap: PretendKeap, crm: KeapCrm, status: str, may: bool
) -> None:
    contact_id = keap.add_contact("Ada", "Lovelace", "ada@engines.example", opt_status=status)

    contact = crm.read([contact_id])[contact_id]

    assert (contact.opt_in, contact.may_mail) == (status, may)


def test_an_opt_status_that_keap_invents_tomorrow_allows_nothing() -> None:
    body = {"contacts": [{"id": "1", "update_time": iso(START), "email_addresses": [
        {"field": "EMAIL1", "email": "a@b.example", "is_opt_in": True, "email_opt_status": "TRIPLE_OPT_IN"}]}]}  # fmt: skip

    contact = said("contacts", json.dumps(body)).sightings[0].crm

    assert contact is not None
    assert (contact.opt_in, contact.may_mail) == ("TRIPLE_OPT_IN", False)


def test_the_next_pull_brings_what_changed_since_and_only_that(
    keap: PretendKeap, http: Http, clock: VirtualClock
) -> None:
    for number in range(3):
        keap.add_contact("C", str(number), f"c{number}@x.example")
    clock.sleep(3600)
    _, cursor = fetched("contacts", http, None, int(clock.now()))
    clock.sleep(3600)
    edited = keap.add_contact("New", "One", "new@x.example")
    clock.sleep(3600)

    found, _ = fetched("contacts", http, cursor, int(clock.now()))

    assert [one.identities[0].external_id for one in found] == [edited]


def test_a_contact_that_showed_late_in_the_lists_is_not_missed(clock: VirtualClock) -> None:
    keap = PretendKeap(clock, key=KEY, lag=300)
    keap.start()
    http = connect(options(keap.base_url), clock)
    clock.sleep(3600)
    late = keap.add_contact("Late", "Comer", "late@x.example")
    clock.sleep(120)
    first, cursor = fetched("contacts", http, None, int(clock.now()))
    clock.sleep(600)

    second, _ = fetched("contacts", http, cursor, int(clock.now()))
    http.close()
    keap.stop()

    assert first == []
    assert [one.identities[0].external_id for one in second] == [late]


def test_the_bookmark_moves_with_the_last_page_only_and_never_back(
    keap: PretendKeap, http: Http, clock: VirtualClock
) -> None:
    for number in range(1001):
        keap.add_contact("C", str(number), f"c{number}@x.example")
    clock.sleep(3600)
    now = int(clock.now())

    pages = list(pull("contacts").fetch(http, None, None, now))

    assert [page.cursor for page in pages] == [None, str(now - 60)]
    assert len({page.external_id for page in pages}) == 2
    assert sum(len(parsed("contacts", page).sightings) for page in pages) == 1001
    assert list(pull("contacts").fetch(http, None, str(now + DAY), now)) == []


@responses.activate
def test_a_next_page_that_comes_as_a_whole_address_is_followed_on_our_own_host(clock: VirtualClock) -> None:
    link = "https://api.keap.com/crm/rest/v2/contacts?page_token=two&page_size=1000"
    two = {"contacts": [{"id": "2", "update_time": iso(START)}]}
    responses.get(
        f"{API}/contacts", json=two, match=[matchers.query_param_matcher({"page_token": "two", "page_size": "1000"})]
    )
    one = {"contacts": [{"id": "1", "update_time": iso(START)}], "next_page_token": link}
    responses.get(f"{API}/contacts", json=one)

    found, _ = fetched("contacts", connect(options(), clock), None, START)

    assert [one.identities[0].external_id for one in found] == ["1", "2"]


@responses.activate
def test_a_next_page_on_another_host_does_not_get_the_key(clock: VirtualClock) -> None:
    responses.get(f"{API}/contacts", json={"contacts": [], "next_page_token": "https://evil.example/contacts"})

    with pytest.raises(GiveUp, match="another host"):
        fetched("contacts", connect(options(), clock), None, START)
    assert {call.request.url.split("/")[2] for call in responses.calls if call.request.url} == {"api.infusionsoft.com"}


@responses.activate
def test_a_list_that_never_ends_is_given_up(clock: VirtualClock) -> None:
    responses.get(f"{API}/contacts", json={"contacts": [], "next_page_token": "again"})

    with pytest.raises(GiveUp, match="again and again"):
        fetched("contacts", connect(options(), clock), None, START)


@responses.activate
def test_an_answer_that_is_no_list_of_contacts_leaves_the_bookmark(clock: VirtualClock) -> None:
    responses.get(f"{API}/contacts", json={"message": "we are upgrading"})

    with pytest.raises(Retry, match="no list of contacts"):
        fetched("contacts", connect(options(), clock), None, START)


def test_mails_that_keap_sent_become_facts_with_ids_that_repeat_nothing(
    keap: PretendKeap, http: Http, clock: VirtualClock
) -> None:
    contact_id = keap.add_contact("Ada", "Lovelace", "ada@engines.example")
    mail = keap.log_email(contact_id, "Hello", START, START + 60, START + 90)
    keap.log_email(contact_id, "Silence", START)
    clock.sleep(3600)

    (read, unread), _ = fetched("emails", http, None, int(clock.now()))

    assert read.identities == (Identity("keap", contact_id),)
    assert [(one.kind, one.at, one.label, one.source_id) for one in read.facts] == [
        ("mail_sent", START, "crm", f"email:{mail}:sent"),
        ("mail_opened", START + 60, "crm", f"email:{mail}:opened"),
        ("mail_clicked", START + 90, "crm", f"email:{mail}:clicked"),
    ]
    assert [one.kind for one in unread.facts] == ["mail_sent"]


def test_a_mail_opened_days_after_it_was_sent_is_heard_of_the_next_day(
    keap: PretendKeap, http: Http, clock: VirtualClock
) -> None:
    contact_id = keap.add_contact("Ada", "Lovelace", "ada@engines.example")
    keap.log_email(contact_id, "Hello", START, opened_at=START + 3 * DAY)
    clock.move_to(START + 3 * DAY - 3600)
    _, cursor = fetched("emails", http, None, int(clock.now()))
    clock.move_to(START + 4 * DAY + 3600)

    (mail,), cursor = fetched("emails", http, cursor, int(clock.now()))
    clock.sleep(1800)
    again, _ = fetched("emails", http, cursor, int(clock.now()))

    assert [one.kind for one in mail.facts] == ["mail_sent", "mail_opened"]
    assert again == []


def test_a_record_that_cannot_be_read_is_refused_and_the_others_are_taken() -> None:
    good, bad = {"id": "1", "update_time": iso(START)}, {"id": "2", "update_time": "yesterday"}

    found = said("contacts", json.dumps({"contacts": [good, bad, "what?"]}))

    assert [one.identities[0].external_id for one in found.sightings] == ["1"]
    assert [number for number, _ in found.refused] == ["2", "?"]


@pytest.mark.parametrize("body", ["[]", "{}", '{"contacts": {}}', "nonsense"])
def test_a_body_of_no_known_shape_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        said("contacts", body)


def test_check_says_whose_account_it_is(keap: PretendKeap, http: Http) -> None:
    assert INTEGRATION.check is not None
    lines = list(INTEGRATION.check(http, options()))

    assert lines[0] == "Connected to the Keap account sandbox1 as service@business.example"


def test_a_wrong_key_is_told_with_its_cure(keap: PretendKeap, clock: VirtualClock) -> None:
    assert INTEGRATION.check is not None
    http = connect(options(keap.base_url, key="KeapAK-other"), clock)

    with pytest.raises(Reconnect, match="service account key") as caught:
        list(INTEGRATION.check(http, options()))
    assert "KeapAK-other" not in str(caught.value)


# -- errors -----------------------------------------------------------------------------------------------------------

DAY_GONE = {"x-keap-product-quota-time-unit": "day", "x-keap-product-quota-available": "0"}
MINUTE_GONE = {"x-keap-product-throttle-time-unit": "minute", "x-keap-product-throttle-available": "0"}
TENANT_DAY_GONE = {"x-keap-tenant-throttle-time-unit": "minute|day", "x-keap-tenant-throttle-available": "900|0"}
BLANK = {"x-keap-tenant-throttle-time-unit": "", "x-keap-tenant-throttle-available": "|"}


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, None),
        (BLANK, None),
        ({"Retry-After": "7"}, 7.0),
        (MINUTE_GONE, 50),
        ({**MINUTE_GONE, "Retry-After": "55"}, 55.0),
        (DAY_GONE, DAY - 3610),
        ({**DAY_GONE, "Retry-After": "7"}, DAY - 3610),
        (TENANT_DAY_GONE, DAY - 3610),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_keap_is_left_alone_for_as_long_as_the_limit_that_is_used_up_lasts(
    headers: dict[str, str], after: float | None, status: int
) -> None:
    verdict = judge(Reply(status, headers, '{"code":"429","message":"Quota Exceeded"}'), START + 3610)

    assert isinstance(verdict, Retry)
    assert verdict.after == after


def test_a_day_s_quota_that_is_gone_is_not_knocked_at_for_hours(clock: VirtualClock) -> None:
    keap = PretendKeap(clock, key=KEY)
    keap.gateway.accounts[KEY].day.limit = 1
    keap.start()
    crm = KeapCrm(connect(options(keap.base_url), clock), None, clock)
    crm.read(["1"])
    started = clock.now()

    with pytest.raises(Retry, match="QuotaViolation"):
        crm.read(["1"])
    keap.stop()

    assert (len(keap.calls), clock.now()) == (2, started)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, '{"code":400,"message":"Invalid filter","status":"BAD_REQUEST","details":[]}', GiveUp, "BAD_REQUEST, Invalid filter"),
        (400, '{"message":"Unrecognized property: foo"}', GiveUp, "Unrecognized property: foo"),
        (401, '{"fault":{"faultstring":"Invalid","detail":{"errorcode":"oauth.v2.InvalidAccessToken"}}}', Reconnect,
         "oauth.v2.InvalidAccessToken"),
        (403, "{}", Reconnect, "administrator"),
        (404, '{"message":"no"}', GiveUp, "no"),
        (409, '{"message":"taken"}', GiveUp, "taken"),
        (500, "<html>\n<b>oops</b>", Retry, "<html> <b>oops</b>"),
        (500, "", Retry, "Keap answered 500"),
    ],
)  # fmt: skip
def test_every_shape_of_error_is_told_in_keap_s_own_words(
    status: int, body: str, kind: type[Exception], words: str
) -> None:
    verdict = judge(Reply(status, {}, body), START)

    assert isinstance(verdict, kind)
    assert words in str(verdict)
    assert "\n" not in str(verdict)


# -- hooks ------------------------------------------------------------------------------------------------------------


def heard(body: Any, secret: str = SECRET, headers: dict[str, str] | None = None) -> Receipt:
    assert INTEGRATION.verify is not None
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return INTEGRATION.verify(Incoming(headers or {}, data, secret), options(), START)


def hook(event: str, *ids: int) -> dict[str, Any]:
    objects = [{"id": one, "apiUrl": "", "timestamp": iso(START - 60)} for one in ids]
    return {"event_key": event, "object_type": event.split(".")[0], "object_keys": objects}


def test_the_handshake_is_answered_with_the_same_secret_and_is_no_news() -> None:
    receipt = heard(b"", headers={"x-hook-secret": "abc123"})

    assert (receipt.answer_headers, receipt.keep) == ({"X-Hook-Secret": "abc123"}, False)


def test_a_handshake_cannot_smuggle_a_header_in() -> None:
    with pytest.raises(Refused) as caught:
        heard(b"", headers={"x-hook-secret": "abc\r\nSet-Cookie: a=b"})
    assert caught.value.status == 400


@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "x", "ünïcödé", "\ud800"])
def test_a_hook_at_another_address_is_refused(secret: str) -> None:
    with pytest.raises(Refused) as caught:
        heard(hook("contact.edit", 1), secret)
    assert (caught.value.status, caught.value.reason) == (401, "forged")


def test_without_a_secret_no_hook_is_believed() -> None:
    assert INTEGRATION.verify is not None
    with pytest.raises(Refused) as caught:
        INTEGRATION.verify(Incoming({}, b"{}", ""), KeapSettings.model_validate({"key": KEY}), START)
    assert caught.value.status == 401


@pytest.mark.parametrize("body", [b"", b"what", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_hook_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        heard(body)
    assert (caught.value.status, caught.value.reason) == (400, "not_json")


def test_a_hook_is_a_hint_that_makes_no_facts() -> None:
    receipt = heard(hook("contact.edit", 1, 2))

    assert receipt.keep
    assert said("webhook", receipt.body) == Parsed()


def test_the_same_hook_twice_has_one_id_and_a_later_one_another() -> None:
    assert heard(hook("contact.edit", 1)).external_id == heard(hook("contact.edit", 1)).external_id
    assert heard(hook("contact.edit", 1)).external_id != heard(hook("contact.edit", 2)).external_id


def test_a_deleted_contact_is_gone() -> None:
    found = said("webhook", heard(hook("contact.delete", 7)).body)

    assert [(one.identities, one.gone, one.at) for one in found.sightings] == [
        ((Identity("keap", "7"),), True, START - 60)
    ]


def test_an_event_that_is_new_to_us_is_counted() -> None:
    assert said("webhook", json.dumps(hook("invoice.add", 7))).unknown == ("invoice.add",)


def test_the_older_body_of_a_tag_hook_is_taken_as_the_hint_it_is() -> None:
    body = {"event_key": "contactGroup.applied", "object_keys": [{"tagId": 3, "applied": [1, 2]}]}

    assert said("webhook", heard(body).body) == Parsed()


# -- our own things -------------------------------------------------------------------------------------------------


def test_our_category_tags_and_fields_are_made_once(keap: PretendKeap, crm: KeapCrm) -> None:
    made = crm.find_or_create(NAMES, adopt=False)
    writes = keap.writes()

    again = crm.find_or_create(NAMES, adopt=False, known=made)

    assert again == made
    assert keap.writes() == writes == 1 + 3 + 4
    assert {keap.tags[tag].name for tag in made.tags.values()} == set(NAMES.tags.values())
    assert {keap.fields[made.fields[key]].type for key in made.fields} == {"WHOLE_NUMBER", "TEXT", "DATE_TIME"}


def test_our_tags_are_recognised_by_our_category_even_when_we_forgot_them(keap: PretendKeap, crm: KeapCrm) -> None:
    made = crm.find_or_create(NAMES, adopt=False)

    again = crm.find_or_create(NAMES, adopt=False, known=CrmIds({}, made.fields))

    assert (again.tags, again.fields) == (made.tags, made.fields)


def test_things_that_were_renamed_in_keap_stay_ours(keap: PretendKeap, crm: KeapCrm) -> None:
    made = crm.find_or_create(NAMES, adopt=False)
    keap.tags[made.tags["red"]].name = "Bad"
    keap.fields[made.fields["score"]].label = "Points"

    assert crm.find_or_create(NAMES, adopt=False, known=made) == made


def test_what_somebody_deleted_in_keap_is_made_again(keap: PretendKeap, crm: KeapCrm) -> None:
    made = crm.find_or_create(NAMES, adopt=False)
    del keap.tags[made.tags["red"]]
    del keap.fields[made.fields["score"]]

    again = crm.find_or_create(NAMES, adopt=False, known=made)

    assert again.tags["red"] != made.tags["red"]
    assert again.fields["score"] != made.fields["score"]
    assert again.fields["band"] == made.fields["band"]


@pytest.mark.parametrize("made_before", range(1 + 3 + 4 + 1))
def test_what_we_had_begun_to_make_when_we_broke_off_is_ours(
    keap: PretendKeap, crm: KeapCrm, monkeypatch: pytest.MonkeyPatch, made_before: int
) -> None:
    post, begun, left = Http.post, list[list[str]](), iter(range(made_before))

    def dies(http: Http, path: str, **more: Any) -> Reply:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return post(http, path, **more)

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Http, "post", dies)
        crm.find_or_create(NAMES, adopt=False, begin=lambda making: begun.append([*making]))
    assert len(begun) == 1

    again = crm.find_or_create(NAMES, adopt=False, known=CrmIds({}, {}, making=tuple(begun[0])))

    assert keap.writes() == 1 + 3 + 4
    assert (again.making, set(again.made)) == ((), {*again.tags.values(), *again.fields.values()})


def test_what_was_there_before_we_began_is_not_taken_for_ours_after_a_crash(keap: PretendKeap, crm: KeapCrm) -> None:
    tag, custom = keap.ensure_tag("Health: red", "Sales"), keap.ensure_field("Health score", "DECIMAL_NUMBER")
    begun = list[list[str]]()
    crm.find_or_create(NAMES, adopt=True, begin=lambda making: begun.append([*making]))

    again = crm.find_or_create(NAMES, adopt=True, known=CrmIds({}, {}, making=tuple(begun[0])))

    assert (again.tags["red"], again.fields["score"]) == (tag, custom)
    assert not {tag, custom} & set(again.made)
    assert len(again.made) == 2 + 3
    with pytest.raises(GiveUp, match="a custom field 'Health score', which Keepwell did not make"):
        crm.find_or_create(NAMES, adopt=False, known=CrmIds({}, {}, making=tuple(begun[0])))


def test_names_that_others_use_are_all_told_before_anything_is_made(keap: PretendKeap, crm: KeapCrm) -> None:
    keap.ensure_tag("Health: red", "Sales")
    keap.ensure_tag("Other", "Keepwell")
    keap.ensure_field("health score", "TEXT")

    with pytest.raises(GiveUp) as caught:
        crm.find_or_create(NAMES, adopt=False)

    for name in ("tag category 'Keepwell'", "tag 'Health: red'", "custom field 'Health score'", "adopt"):
        assert name in str(caught.value)
    assert keap.writes() == 0


def test_a_tag_of_others_that_lies_in_no_category_is_not_ours(keap: PretendKeap, crm: KeapCrm) -> None:
    keap.ensure_tag("Health: red")

    with pytest.raises(GiveUp, match="a tag 'Health: red', which Keepwell did not make"):
        crm.find_or_create(NAMES, adopt=False)


def test_names_that_others_use_are_adopted_when_told(keap: PretendKeap, crm: KeapCrm) -> None:
    tag, custom = keap.ensure_tag("Health: red", "Sales"), keap.ensure_field("Health score", "DECIMAL_NUMBER")

    made = crm.find_or_create(NAMES, adopt=True)

    assert (made.tags["red"], made.fields["score"]) == (tag, custom)


def test_a_field_of_a_type_that_cannot_hold_it_is_not_adopted(keap: PretendKeap, crm: KeapCrm) -> None:
    keap.ensure_field("Health score", "YES_NO")
    keap.make_field("Health band", "TEXT", ())
    keap.make_field("Health band", "TEXT", ())

    with pytest.raises(GiveUp, match=r"2 custom fields 'Health band'") as caught:
        crm.find_or_create(NAMES, adopt=True)
    assert "'Health score' of type YES_NO" in str(caught.value)


@pytest.mark.parametrize("fault", ["500", "html", "half_body", "429_bare"])
def test_a_thing_whose_making_got_no_readable_answer_is_not_made_twice(
    keap: PretendKeap, crm: KeapCrm, clock: VirtualClock, fault: str
) -> None:
    # categories, one tag name each, the model: five reads before the first write
    keap.faults.planned = [""] * 5 + [fault]

    crm.find_or_create(NAMES, adopt=False)

    assert len(keap.categories) == 1
    assert sorted(tag.name for tag in keap.tags.values()) == sorted(NAMES.tags.values())


@responses.activate
def test_a_thing_that_was_made_though_the_answer_got_lost_is_found(clock: VirtualClock) -> None:
    responses.get(f"{API}/tags/categories", json={"tag_categories": []})
    responses.get(f"{API}/tags/categories", json={"tag_categories": [{"id": "9", "name": "Keepwell"}]})
    responses.get(f"{API}/contacts/model", json={"custom_fields": []})
    responses.get(f"{API}/tags", json={"tags": []})
    made = responses.post(f"{API}/tags/categories", status=500)
    responses.post(f"{API}/tags", json={"id": "10", "name": "Red"}, status=201)

    ids = KeapCrm(connect(options(), clock), None, clock).find_or_create(CrmNames(tags={"red": "Red"}), adopt=False)

    assert (ids.tags, made.call_count) == ({"red": "10"}, 1)


# -- tags -------------------------------------------------------------------------------------------------------------


def test_a_tag_is_put_on_and_taken_off_many_in_few_calls(keap: PretendKeap, crm: KeapCrm) -> None:
    contacts = [keap.add_contact("C", str(number), f"c{number}@x.example") for number in range(401)]
    tag = keap.ensure_tag("Red")

    put = crm.add_tag(tag, [*contacts, contacts[0]])
    taken = crm.remove_tag(tag, contacts[:200])

    assert set(put) == set(contacts)
    assert {*put.values(), *taken.values()} == {""}
    assert keap.writes() == 3 + 1
    assert sum("Red" in keap.tags_of(contact) for contact in contacts) == 201


def test_a_contact_that_cannot_be_tagged_does_not_keep_the_others_from_it(keap: PretendKeap, crm: KeapCrm) -> None:
    here = keap.add_contact("C", "1", "c1@x.example")
    tag = keap.ensure_tag("Red")

    put = crm.add_tag(tag, [here, "999999", "1;email==*"])

    assert put[here] == ""
    assert "CONTACT_NOT_FOUND" in put["999999"]
    assert put["1;email==*"]
    assert keap.tags_of(here) == {"Red"}


def test_a_tag_that_a_contact_has_already_is_as_good_as_put_on(keap: PretendKeap, crm: KeapCrm) -> None:
    here = keap.add_contact("C", "1", "c1@x.example", tags=["Red"])

    assert crm.add_tag(keap.ensure_tag("Red"), [here]) == {here: ""}


@pytest.mark.parametrize("fault", ["500", "html", "half_body", "429_bare", "429_with_retry_after"])
def test_a_bulk_call_that_fails_is_tried_again_by_halves(keap: PretendKeap, crm: KeapCrm, fault: str) -> None:
    contacts = [keap.add_contact("C", str(number), f"c{number}@x.example") for number in range(120)]
    tag = keap.ensure_tag("Red")
    keap.faults.planned = [fault]

    assert set(crm.add_tag(tag, contacts).values()) == {""}
    keap.faults.planned = [fault]
    assert set(crm.remove_tag(tag, contacts).values()) == {""}


@responses.activate
def test_a_call_that_is_too_large_is_halved_until_it_fits(clock: VirtualClock) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        ids = json.loads(request.body)["contact_ids"]
        return (413, {}, "") if len(ids) > 60 else (200, {}, json.dumps({"results": dict.fromkeys(ids, "SUCCESS")}))

    responses.add_callback("POST", f"{API}/tags/5/contacts:applyTags", answer)
    contacts = [str(number) for number in range(1, 201)]

    put = KeapCrm(connect(options(), clock), None, clock).add_tag("5", contacts)

    assert put == dict.fromkeys(contacts, "")
    assert len(responses.calls) == 1 + 2 + 4


def test_a_keap_that_is_down_is_not_asked_for_every_contact(clock: VirtualClock) -> None:
    with responses.RequestsMock() as mock:
        answer = mock.post(f"{API}/tags/5/contacts:applyTags", status=500)
        crm = KeapCrm(connect(options(), clock), None, clock)

        with pytest.raises(Retry):
            crm.add_tag("5", [str(number) for number in range(1, 401)])
        assert answer.call_count < 15


# -- fields -----------------------------------------------------------------------------------------------------------


def test_our_fields_are_written_and_everybody_else_s_stay(keap: PretendKeap, crm: KeapCrm) -> None:
    keap.ensure_field("Seats", "WHOLE_NUMBER")
    keap.ensure_field("Paid", "YES_NO")
    theirs = {"Plan": "Pro", "Seats": 12, "Paid": False}
    contact = keap.add_contact("Ada", "Lovelace", "ada@x.example", custom_fields=theirs)
    ids = crm.find_or_create(NAMES, adopt=False)

    (result,) = crm.write_fields({contact: standing(ids)}).values()

    assert (result.ok, result.lost_race, set(result.before.values())) == (True, (), {""})
    ours = {"Health score": 71, "Health band": "green", "Health reason": "active", "Health as of": iso(START)}
    assert keap.field_values(contact) == theirs | ours
    assert keap.foreign_losses("Keepwell", LABELS) == 0


def test_what_stands_already_is_not_written_again(keap: PretendKeap, crm: KeapCrm) -> None:
    contact = keap.add_contact("Ada", "Lovelace", "ada@x.example")
    ids = crm.find_or_create(NAMES, adopt=False)
    crm.write_fields({contact: standing(ids)})
    writes = keap.writes()

    (result,) = crm.write_fields({contact: standing(ids)}).values()

    assert result.ok
    assert result.before[ids.fields["band"]] == "green"
    assert keap.writes() == writes


def test_the_image_before_can_be_written_back(keap: PretendKeap, crm: KeapCrm) -> None:
    contact = keap.add_contact("Ada", "Lovelace", "ada@x.example", custom_fields={"Plan": "Pro"})
    ids = crm.find_or_create(NAMES, adopt=False)
    first = crm.write_fields({contact: standing(ids)})[contact]
    second = crm.write_fields({contact: standing(ids, "33", "red", "quiet", START + DAY)})[contact]

    crm.write_fields({contact: second.before})
    middle = keap.field_values(contact)
    result = crm.write_fields({contact: first.before})[contact]

    assert middle["Health score"] == 71
    assert middle["Health as of"] == iso(START)
    assert result.ok
    assert keap.field_values(contact) == {"Plan": "Pro"}


def test_many_contacts_cost_little_more_than_one_call_each(keap: PretendKeap, crm: KeapCrm) -> None:
    contacts = [keap.add_contact("C", str(number), f"c{number}@x.example") for number in range(100)]
    ids = crm.find_or_create(NAMES, adopt=False)
    before = len(keap.calls)

    results = crm.write_fields({contact: standing(ids) for contact in contacts})

    assert all(result.ok for result in results.values())
    assert len(keap.calls) - before <= 100 * 1.25


def test_a_contact_that_is_gone_and_a_value_that_does_not_fit_are_told_each(keap: PretendKeap, crm: KeapCrm) -> None:
    one, two = (keap.add_contact("C", str(number), f"c{number}@x.example") for number in range(2))
    ids = crm.find_or_create(NAMES, adopt=False)

    results = crm.write_fields({
        "999999": standing(ids),
        one: standing(ids, score="lots"),
        "x": standing(ids),
        two: standing(ids),
    })  # fmt: skip

    assert "no such contact" in results["999999"].reason
    assert "'lots' does not fit" in results[one].reason
    assert {contact: result.ok for contact, result in results.items()} == {
        "999999": False,
        one: False,
        "x": False,
        two: True,
    }
    assert not any(result.again for result in results.values())


@pytest.mark.parametrize("fault", ["500", "html", "half_body", "429_bare", "429_with_retry_after"])
@pytest.mark.parametrize("place", range(5))
def test_a_fault_anywhere_in_a_write_loses_nothing_and_writes_all(
    keap: PretendKeap, crm: KeapCrm, fault: str, place: int
) -> None:
    contacts = [
        keap.add_contact("C", str(number), f"c{number}@x.example", custom_fields={"Plan": "P"}) for number in (1, 2, 3)
    ]
    ids = crm.find_or_create(NAMES, adopt=False)
    keap.faults.planned = [""] * place + [fault]

    results = crm.write_fields({contact: standing(ids) for contact in contacts})

    assert [result.ok for result in results.values()] == [True, True, True]
    assert all(keap.field_values(contact)["Plan"] == "P" for contact in contacts)
    assert keap.foreign_losses("Keepwell", LABELS) == 0


def test_a_list_that_grew_old_while_keap_was_busy_is_read_again(
    keap: PretendKeap, crm: KeapCrm, clock: VirtualClock
) -> None:
    first, second = (keap.add_contact("C", str(number), f"c{number}@x.example") for number in (1, 2))
    ids = crm.find_or_create(NAMES, adopt=False)

    def slowly() -> None:
        clock.sleep(60)
        keap.edit_field(second, "Plan", "Pro")

    keap.before_next_patch = slowly
    crm.write_fields({first: standing(ids), second: standing(ids)})

    assert keap.field_values(second)["Plan"] == "Pro"
    assert keap.foreign_losses("Keepwell", LABELS) == 0


def test_a_429_makes_us_read_the_contact_again_before_we_write(keap: PretendKeap, crm: KeapCrm) -> None:
    contact = keap.add_contact("C", "1", "c1@x.example", custom_fields={"Plan": "Basic"})
    ids = crm.find_or_create(NAMES, adopt=False)
    keap.faults.planned = ["", "", "429_with_retry_after"]  # the model, the read, the PATCH
    crm.write_fields({contact: standing(ids)})

    paths = [(call.method, call.status) for call in keap.calls[-5:]]
    assert paths == [("GET", 200), ("PATCH", 429), ("GET", 200), ("PATCH", 200), ("GET", 200)]


def test_a_keap_that_fails_midway_still_gives_each_contact_its_result(keap: PretendKeap, crm: KeapCrm) -> None:
    contacts = [keap.add_contact("C", str(number), f"c{number}@x.example") for number in range(12)]
    ids = crm.find_or_create(NAMES, adopt=False)
    keap.gateway.accounts[KEY].day.limit = keap.gateway.accounts[KEY].day.used(keap.now) + 2 + 4

    results = crm.write_fields({contact: standing(ids) for contact in contacts})

    assert set(results) == set(contacts)
    written = [contact for contact in contacts if "Health score" in keap.field_values(contact)]
    assert len(written) == 4
    assert all(results[contact].again and not results[contact].ok for contact in contacts)
    assert all(results[contact].before for contact in written)


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_before_anything_was_written_a_failure_is_raised(keap: PretendKeap, crm: KeapCrm, calls: int) -> None:
    contact = keap.add_contact("C", "1", "c1@x.example")
    ids = crm.find_or_create(NAMES, adopt=False)
    keap.gateway.accounts[KEY].day.limit = keap.gateway.accounts[KEY].day.used(keap.now) + calls

    with pytest.raises(Retry):
        crm.write_fields({contact: standing(ids)})


def test_a_write_that_does_not_show_is_not_called_done(clock: VirtualClock) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/contacts/model", json={"custom_fields": [{"id": "7", "label": "Band", "field_type": "TEXT"}]})
        mock.get(f"{API}/contacts", json={"contacts": [{"id": "1", "update_time": iso(START), "custom_fields": []}]})
        written = mock.patch(f"{API}/contacts/1", json={"id": "1"})

        (result,) = KeapCrm(connect(options(), clock), None, clock).write_fields({"1": {"7": "red"}}).values()

    assert (result.ok, result.again, written.call_count) == (False, True, 1)
    assert "does not show" in result.reason


def test_a_write_of_somebody_else_that_shows_after_ours_is_reported(clock: VirtualClock) -> None:
    def contact(**values: str) -> dict[str, Any]:
        fields = [{"id": number[1:], "content": value} for number, value in values.items()]
        return {"contacts": [{"id": "1", "update_time": iso(START), "custom_fields": fields}]}

    with responses.RequestsMock() as mock:
        mock.get(f"{API}/contacts/model", json={"custom_fields": [{"id": "7", "label": "Band", "field_type": "TEXT"}]})
        mock.get(f"{API}/contacts", json=contact(f8="Basic", f9="007"))
        mock.patch(f"{API}/contacts/1", json={"id": "1"})
        mock.get(f"{API}/contacts", json=contact(f7="red", f8="Pro", f9="007", f10="new"))

        (result,) = KeapCrm(connect(options(), clock), None, clock).write_fields({"1": {"7": "red"}}).values()

    assert (result.ok, result.lost_race) == (True, ("10", "8"))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Note": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30),
    "Plan": st.sampled_from(["", "007", "7", "7.0", "2026-01-01T00:00:00Z", " spaced "]),
    "Seats": st.none() | st.integers(-(10**9), 10**9),
    "Share": st.none() | st.floats(-1e9, 1e9),
    "Paid": st.none() | st.booleans(),
    "Since": st.none() | st.dates().map(str),
    "Boxes": st.none() | st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True),
}
TYPES = {"Note": "TEXT_AREA", "Plan": "TEXT", "Seats": "WHOLE_NUMBER", "Share": "DECIMAL_NUMBER", "Paid": "YES_NO",
         "Since": "DATE", "Boxes": "LIST_BOX"}  # fmt: skip


@pytest.fixture(scope="module")
def busy_keap() -> Iterator[tuple[PretendKeap, KeapCrm, CrmIds]]:
    """One Keap for all examples of the property below; each example has a contact of its own."""
    clock = VirtualClock(START)
    keap = PretendKeap(clock, key=KEY)
    keap.start()
    for label, kind in TYPES.items():
        keap.ensure_field(label, kind)
    http = connect(options(keap.base_url), clock)
    crm = KeapCrm(http, None, clock)
    yield keap, crm, crm.find_or_create(NAMES, adopt=False)
    http.close()
    keap.stop()


@settings(max_examples=30, deadline=None)
@given(
    theirs=st.fixed_dictionaries({}, optional=VALUES),
    earlier=st.fixed_dictionaries({}, optional=VALUES),
    meanwhile=st.fixed_dictionaries({}, optional=VALUES),
    score=st.sampled_from(["", "0", "71"]),
    mode=st.sampled_from(["replaces", "merges"]),
    fault=st.sampled_from(["", "500", "html", "429_bare"]),
    place=st.integers(0, 3),
)
def test_no_value_of_others_is_lost_but_what_was_written_between_our_read_and_our_write(
    busy_keap: tuple[PretendKeap, KeapCrm, CrmIds],
    theirs: dict[str, Any],
    earlier: dict[str, Any],
    meanwhile: dict[str, Any],
    score: str,
    mode: Any,
    fault: str,
    place: int,
) -> None:
    """Somebody edits before we read (`earlier`), and on another contact while we write (`meanwhile`)."""
    keap, crm, ids = busy_keap
    keap.patch_custom_fields = mode
    contact, other = (keap.add_contact("A", name, f"{name}@x.example", custom_fields=theirs) for name in ("b", "c"))
    for label, value in earlier.items():
        keap.edit_field(contact, label, value)
    before = keap.field_values(contact)

    def edit() -> None:
        for label, value in meanwhile.items():
            keap.edit_field(other, label, value)

    keap.before_next_patch = edit
    keap.faults.planned = [""] * place + [fault]
    results = crm.write_fields({contact: standing(ids, score)})
    keap.faults.planned = []
    keap.before_next_patch = None

    assert results[contact].ok
    assert {label: value for label, value in keap.field_values(contact).items() if label not in LABELS} == before
    assert keap.foreign_losses("Keepwell", LABELS) == 0


def test_what_is_edited_between_our_read_and_our_write_takes_nothing_else_with_it(
    keap: PretendKeap, crm: KeapCrm
) -> None:
    """Keap knows no condition on a PATCH: the edit itself cannot be saved, nor be seen to be lost."""
    contact = keap.add_contact("A", "b", "a@x.example", custom_fields={"Plan": "Basic", "Town": "Bath"})
    ids = crm.find_or_create(NAMES, adopt=False)

    keap.before_next_patch = lambda: keap.edit_field(contact, "Plan", "Pro")
    result = crm.write_fields({contact: standing(ids)})[contact]

    assert result.ok
    assert keap.field_values(contact)["Town"] == "Bath"
    assert keap.foreign_losses("Keepwell", LABELS) == 1


# -- canary -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["replaces", "merges"])
@pytest.mark.parametrize("had", [{}, {"Health band": "green"}])
def test_the_canary_finds_out_what_a_partial_write_does_and_leaves_the_contact_as_it_was(
    keap: PretendKeap, crm: KeapCrm, mode: Any, had: dict[str, str]
) -> None:
    keap.patch_custom_fields = mode
    crm.find_or_create(NAMES, adopt=False)
    contact = keap.add_contact("Ada", "Lovelace", "ada@x.example", custom_fields={"Plan": "Pro", **had})
    before = keap.field_values(contact)

    assert crm.canary(contact, NAMES) == mode
    assert keap.field_values(contact) == before


@pytest.mark.parametrize("fault", ["500", "html", "429_bare"])
@pytest.mark.parametrize("place", range(6))
def test_a_fault_during_the_canary_leaves_the_contact_as_it_was(
    keap: PretendKeap, crm: KeapCrm, fault: str, place: int
) -> None:
    crm.find_or_create(NAMES, adopt=False)
    contact = keap.add_contact("Ada", "Lovelace", "ada@x.example", custom_fields={"Plan": "Pro"})
    keap.faults.planned = [""] * place + [fault]

    with contextlib.suppress(Retry, Unsure, GiveUp):
        crm.canary(contact, NAMES)

    assert keap.field_values(contact) == {"Plan": "Pro"}


@responses.activate
def test_the_canary_restores_a_contact_of_a_keap_that_takes_no_null(clock: VirtualClock) -> None:
    fields: dict[str, Any] = {"8": "Pro"}

    def show(request: Any) -> tuple[int, dict[str, str], str]:
        listed = [{"id": number, "content": value} for number, value in fields.items()]
        body = {"contacts": [{"id": "1", "update_time": iso(START), "custom_fields": listed}]}
        return 200, {}, json.dumps(body)

    def merge(request: Any) -> tuple[int, dict[str, str], str]:
        sent = {one["id"]: one["content"] for one in json.loads(request.body)["custom_fields"]}
        if None in sent.values():
            return 400, {}, '{"message":"content must not be null"}'
        fields.update(sent)
        for number in [number for number, value in fields.items() if value == ""]:
            del fields[number]
        return 200, {}, '{"id":"1"}'

    responses.get(f"{API}/contacts/model", json={"custom_fields": [{"id": "7", "label": "Health band"}]})
    responses.add_callback("GET", f"{API}/contacts", show)
    responses.add_callback("PATCH", f"{API}/contacts/1", merge)

    assert KeapCrm(connect(options(), clock), None, clock).canary("1", NAMES) == "merges"
    assert fields == {"8": "Pro"}


def test_the_canary_needs_a_contact_on_which_something_could_be_lost(keap: PretendKeap, crm: KeapCrm) -> None:
    contact = keap.add_contact("Ada", "Lovelace", "ada@x.example")

    with pytest.raises(GiveUp, match="must be made first"):
        crm.canary(contact, NAMES)
    crm.find_or_create(NAMES, adopt=False)
    with pytest.raises(GiveUp, match="no custom field of others"):
        crm.canary(contact, NAMES)
    with pytest.raises(GiveUp, match="no contact '12;id==1'"):
        crm.canary("12;id==1", NAMES)


def test_no_secret_shows_in_what_is_printed(keap: PretendKeap, http: Http) -> None:
    assert KEY not in repr(options()) + repr(http)
    assert SECRET not in repr(options())
