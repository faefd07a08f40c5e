"""Whether mailbox providers would believe a sender, against a name system of the tests' own."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.names import Names
from worker.dispatch.senders import Looked, Sender, aligned, look, organisational, read_spf, rsa_bits, spf_records

BITS_768 = (
    "MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhALaFOQoZdjE2uPKhIdPtdgmWCzsXTFHseYpCkDg+3viZTk6lZOoaDqxMFw4mnKrET8n6wKNP"
    "482RCe+ntm/pmWji5Z9tjY/p4NOOQfHrS2L22GSXbeOwwkQxTN7sXEOkRQIDAQAB"
)
BITS_1024 = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDTccgE68O1vpRwZFwpDp6VKM1NE337w/LZKvq0p7BwSVqIpGJMyXK+JuTKrZtVbgNB"
    "22h1fEQioom4/gLVYmgLU8rfly55COu7NzEh1xJt8RwYVKzJvQf56szkAwYZjScMd/M7MkSO2t4FJSFPUVYzBY6PltvzjY2zhXwskB2r"
    "DQIDAQAB"
)
BITS_2048 = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyhR9nXq1VhvWC2bOGq3u+V8YfP44nbGn01gq1dHU84smCAGWDgQRcC8cAP68"
    "rG9VwZxH80RDfvNike13MHeChYYNr7jCqimy+mg2pbGE0vS5+oz6cFIGEwCbuFWwuuL+bAqftdrrWcad+2nd+W3ZzwKcrG81PCEmo/Tb"
    "eJwe8Ukpd/4yZZkpe+xpZrZj/LfhguRalRqj/XIPoefrbOFrKYTP8YT53d9dl7GuTtERAl2d6TEf5WDNRazxseGCLuZOz1rxM4JTxgrY"
    "zLnmTD95fgmzk5hUOOGa/0+eXXB6oS+56We5dJ3FTUQBVaUla7TT26VAp6HRx5I0NKEhNCCGiQIDAQAB"
)

SENDER = Sender(
    "ann@acme.example", "ann@acme.example", "1 Loopback Lane", "https://health.acme.example", "smtp",
    spf_include=["mail.example"], dkim_selectors=["k1"],
)  # fmt: skip
KEY, POLICY = "k1._domainkey.acme.example", "_dmarc.acme.example"
GOOD = {
    "acme.example": ["google-site-verification=x", "v=spf1 include:mail.example ~all"],
    "mail.example": ["v=spf1 ip4:192.0.2.0/24 -all"],
    "k1._domainkey.acme.example": [f"v=DKIM1; k=rsa; p={BITS_2048}"],
    "_dmarc.acme.example": ["v=DMARC1; p=none; rua=mailto:dmarc@acme.example"],
}
MAIL = {"acme.example": ["mx.acme.example"]}


def seen(changed: dict[str, list[str]] | None = None, sender: Sender = SENDER, silent: Sequence[str] = ()) -> Looked:
    """What is found where some of the good records are other ones."""
    return look(sender, Names(GOOD | (changed or {}), mx=MAIL, silent=silent))


def words(looked: Looked) -> list[str]:
    return [str(one) for one in looked.missing]


def test_a_sender_with_all_records_in_order_lacks_nothing() -> None:
    found = seen()

    assert found.findings == []
    assert found.fine == [
        "one-click unsubscribe leads to https://health.acme.example",
        "SPF of acme.example: one record, 1 of 10 lookups",
        "DKIM: k1._domainkey.acme.example holds an RSA key of 2048 bits",
        "DMARC of acme.example: p=none",
        "alignment: signatures of acme.example speak for acme.example",
        "answers to ann@acme.example can arrive",
    ]


def test_a_sender_without_any_record_is_told_each_record_to_add() -> None:
    found = look(SENDER, Names({}, mx=MAIL))

    assert [(one.about, one.add) for one in found.missing] == [
        ("SPF", 'acme.example TXT "v=spf1 include:mail.example ~all"'),
        ("DKIM", f'{KEY} TXT "v=DKIM1; k=rsa; p=<the key that your mail service shows>"'),
        ("DMARC", f'{POLICY} TXT "v=DMARC1; p=none; rua=mailto:dmarc@acme.example"'),
        ("alignment", "let your mail service sign with d=acme.example, and name its selector in dkim_selectors"),
    ]
    assert words(found)[0] == (
        "SPF: acme.example has no SPF record (Gmail, Yahoo and Microsoft want it)"
        ' → acme.example TXT "v=spf1 include:mail.example ~all"'
    )


def test_what_could_not_be_asked_is_neither_a_pass_nor_a_fault() -> None:
    found = seen(silent=["*"])

    assert found.missing == []
    assert found.fine == ["one-click unsubscribe leads to https://health.acme.example"]
    assert [one.about for one in found.not_asked] == ["SPF", "DKIM", "DMARC", "Reply-To"]
    found = seen(silent=["mail.example", "k1._domainkey.acme.example"])
    assert [one.about for one in found.not_asked] == ["SPF", "DKIM", "alignment"], "an include counts too"


def test_each_name_is_asked_about_once() -> None:
    names = Names(GOOD, mx=MAIL)
    look(SENDER, names)

    assert len(names.questions) == len(set(names.questions)) <= 8


# -- what the mail itself needs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "told"),
    [
        (replace(SENDER, public_url="http://127.0.0.1:8700"), "one-click unsubscribe goes to https alone (RFC 8058"),
        (replace(SENDER, postal_address=" "), "postal address: is not set (CAN-SPAM"),
        (replace(SENDER, reply_to="ann@nowhere.example"), "ann@nowhere.example takes no mail"),
        (replace(SENDER, address=""), "From: no sender_address is set"),
        (replace(SENDER, address="acme@gmail.com"), "gmail.com belongs to a mailbox provider"),
    ],
)
def test_what_a_mail_needs_beside_records_is_told(sender: Sender, told: str) -> None:
    [one] = words(seen(sender=sender))

    assert told in one


def test_a_domain_that_takes_no_mail_by_its_own_word_cannot_be_answered() -> None:
    names = Names(GOOD, mx={"acme.example": [""]}, addresses={"acme.example": ["192.0.2.1"]})
    assert "takes no mail" in words(look(SENDER, names))[0]
    names = Names(GOOD, addresses={"acme.example": ["192.0.2.1"]})
    assert look(SENDER, names).missing == [], "without an MX, its address takes the mail (RFC 5321 §5.1)"


# -- SPF --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("v=spf1 include:mail.example +all", "lets anybody send in your name"),
        ("v=spf1 include:mail.example all", "lets anybody send in your name"),
        ("v=spf1 include:mail.example ip4:0.0.0.0/0 -all", "lets anybody send in your name"),
        ("v=spf1 a mx -all", "does not include mail.example, by which your mails leave"),
        ("v=spf1 include:mail.example include:gone.example -all", "includes gone.example, which has no SPF records"),
        (
            "v=spf1 include:mail.example ipv4:192.0.2.1 -all",
            "'ipv4:192.0.2.1' in the record of acme.example is no term",
        ),
        ("v=spf1 include:mail.example ip4:192.0.2.0/33 -all", "names no network"),
        ("v=spf1 include:mail.example ip6:192.0.2.1 -all", "names no network"),
        ("v=spf1 include:mail.example include -all", "is no term of SPF"),
        (
            "v=spf1 include:mail.example a:a.b a:b.b a:c.b mx mx:d.b a:e.b a:f.b exists:g.b ptr a -all",
            "more than 10 lookups",
        ),
        ("v=spf1 include:mail.example include:acme.example -all", "more than 10 lookups"),
        ("v=spf1 -all include:mail.example", "does not include mail.example"),
    ],
)
def test_a_faulty_spf_record_is_told(record: str, told: str) -> None:
    found = seen({"acme.example": [record]})

    assert told in words(found)[0]
    assert "SPF" not in found.vouching


def test_two_spf_records_count_as_none() -> None:
    found = seen({"acme.example": ["v=spf1 include:mail.example ~all", "v=spf1 a ~all"]})

    assert "acme.example has 2 SPF records, which counts as none" in words(found)[0]


def test_the_record_to_add_keeps_what_is_there() -> None:
    found = seen({"acme.example": ["v=spf1 a mx -all"]})
    assert words(found)[0].endswith('acme.example TXT "v=spf1 a mx include:mail.example -all"')
    found = seen({"acme.example": ["v=spf1 include:mail.example +all"]})
    assert words(found)[0].endswith('TXT "v=spf1 include:mail.example ~all"')


def test_an_open_record_that_is_included_opens_ours_and_one_that_is_refused_does_not() -> None:
    assert "the record of mail.example lets anybody send" in words(seen({"mail.example": ["v=spf1 +all"]}))[0]
    refused = seen(
        {"acme.example": ["v=spf1 -include:mail.example ~all"], "mail.example": ["v=spf1 +all"]},
        replace(SENDER, spf_include=[]),
    )
    assert refused.missing == []


def test_a_redirect_is_followed_and_ends_the_record() -> None:
    found = seen(
        {"acme.example": ["v=spf1 redirect=spf.acme.example"], "spf.acme.example": ["v=spf1 include:mail.example -all"]}
    )

    assert found.findings == []
    assert "SPF of acme.example: one record, 2 of 10 lookups" in found.fine


def test_a_record_that_is_silent_on_all_others_is_advised_against_but_holds() -> None:
    found = seen({"acme.example": ["v=spf1 include:mail.example"]})

    assert found.missing == []
    assert [str(one) for one in found.advice] == [
        'SPF: the record of acme.example says nothing of all other servers → TXT "v=spf1 include:mail.example ~all"'
    ]


def test_a_known_service_is_advised_to_be_included_where_nobody_said_what_sends() -> None:
    found = seen(sender=replace(SENDER, mailer="postmark", spf_include=[]))

    assert found.missing == []
    assert "does not include spf.mtasv.net" in str(found.advice[0])


@given(
    st.lists(
        st.sampled_from(["a", "mx", "include:mail.example", "exists:x.y", "ip4:192.0.2.1", "ptr", "exp=x.y"]),
        max_size=14,
    )
)
def test_lookups_are_counted_as_rfc_7208_counts_them(terms: list[str]) -> None:
    record = " ".join(["v=spf1", *terms, "-all"])
    wanted = sum(one.split(":")[0] in {"a", "mx", "include", "exists", "ptr"} for one in terms)

    assert read_spf("acme.example", record, Names(GOOD)).lookups == min(wanted, 11)


@given(st.text(alphabet="v=spf1 aincludemx:.%{i}/0~-+?all redirect=ip4", max_size=60))
def test_no_record_whatever_makes_the_reading_break_off(rest: str) -> None:
    names = Names({"acme.example": [f"v=spf1 {rest}"]})
    [record] = spf_records("acme.example", names)

    read_spf("acme.example", record, names)


# -- DKIM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("v=DKIM1; k=rsa; p=", "has been revoked"),
        (f"v=DKIM1; p={BITS_768}", "has 768 bits, too few to be believed"),
        ("v=DKIM1; p=bm8ga2V5", "cannot be read: is no RSA key"),
        ("v=DKIM1; p=!!", "cannot be read"),
        (f"v=DKIM1; p={BITS_2048[:200]}", "cannot be read: is cut off"),
        (f"v=DKIM2; p={BITS_2048}", "is no key record"),
        ("v=DKIM1; k=rsa", "is no key record"),
        (f"v=DKIM1; k=dsa; p={BITS_2048}", "of the unknown kind 'dsa'"),
    ],
)
def test_a_faulty_key_is_told_and_spf_still_speaks_for_the_sender(record: str, told: str) -> None:
    found = seen({KEY: [record]})

    [one] = words(found)
    assert told in one
    assert "alignment: SPF of acme.example speaks for acme.example" in found.fine


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (f"v=DKIM1; p={BITS_1024}", "has 1024 bits"),
        (f"k=rsa; t=s:y; p={BITS_2048[:100]} {BITS_2048[100:]}", "only being tried"),
        ("k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "which not everybody can check"),
    ],
)
def test_a_key_that_could_be_better_is_advised_against_but_holds(record: str, told: str) -> None:
    found = seen({KEY: [record]})

    assert found.missing == []
    assert [told in str(one) for one in found.advice] == [True]
    assert "DKIM" in found.vouching


def test_a_key_that_nobody_named_cannot_be_looked_for() -> None:
    [one] = words(seen(sender=replace(SENDER, dkim_selectors=[])))

    assert "nobody has said which key signs the mails" in one


def test_both_spellings_of_an_rsa_key_are_measured() -> None:
    whole = base64.b64decode(BITS_1024)

    assert rsa_bits(whole) == 1024
    assert rsa_bits(whole[22:]) == 1024, "PKCS #1, as RFC 6376 names it"


@given(st.binary(max_size=40))
def test_what_is_no_key_is_refused_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert rsa_bits(data) >= 0


# -- DMARC ------------------------------------------------------------------------------------------------------------


def dmarc(**records: str) -> Names:
    return Names({f"_dmarc.{name.replace('_', '.')}": [record] for name, record in records.items()})


@pytest.mark.parametrize(
    ("names", "domain", "organisation"),
    [
        (dmarc(), "mail.acme.co.uk", "mail.acme.co.uk"),
        (dmarc(acme_co_uk="v=DMARC1; p=none"), "a.mail.acme.co.uk", "acme.co.uk"),
        (dmarc(acme_co_uk="v=DMARC1; p=none", mail_acme_co_uk="v=DMARC1; p=none"), "mail.acme.co.uk", "acme.co.uk"),
        (dmarc(acme_co_uk="v=DMARC1; p=none", mail_acme_co_uk="v=DMARC1; psd=n"), "mail.acme.co.uk", "mail.acme.co.uk"),
        (dmarc(co_uk="v=DMARC1; p=reject; psd=y", mail_acme_co_uk="v=DMARC1; p=none"), "mail.acme.co.uk", "acme.co.uk"),
        (dmarc(co_uk="v=DMARC1; p=reject; psd=y"), "co.uk", "co.uk"),
        (dmarc(g_h_i_j_k_l_m="v=DMARC1; p=none"), "a.b.c.d.e.f.g.h.i.j.k.l.m", "g.h.i.j.k.l.m"),
        (dmarc(f_g_h_i_j_k_l_m="v=DMARC1; p=none"), "a.b.c.d.e.f.g.h.i.j.k.l.m", "a.b.c.d.e.f.g.h.i.j.k.l.m"),
        (dmarc(acme_co_uk="something else"), "mail.acme.co.uk", "mail.acme.co.uk"),
    ],
)
def test_the_organisation_is_found_by_walking_up_the_tree(names: Names, domain: str, organisation: str) -> None:
    assert organisational(domain, names) == organisation
    assert len(names.questions) <= 8, "RFC 9989 §4.10"


def test_alignment_is_of_the_organisation_where_relaxed_and_of_the_name_where_strict() -> None:
    names = dmarc(acme_co_uk="v=DMARC1; p=none")

    assert aligned("bounces.acme.co.uk", "news.acme.co.uk", "r", names)
    assert not aligned("bounces.acme.co.uk", "news.acme.co.uk", "s", names)
    assert aligned("acme.co.uk", "acme.co.uk", "s", names)
    assert not aligned("other.co.uk", "acme.co.uk", "r", names)


def test_a_record_higher_up_speaks_for_the_sender_s_domain() -> None:
    sender = replace(SENDER, address="ann@news.acme.example", dkim_domain="acme.example", return_path="acme.example")
    found = look(sender, Names(GOOD, mx=MAIL))

    assert found.missing == []
    assert "DMARC of acme.example: p=none" in found.fine
    assert "alignment: signatures of acme.example speak for news.acme.example" in found.fine
    strict = {"_dmarc.acme.example": ["v=DMARC1; p=none; adkim=s; aspf=s; rua=mailto:d@acme.example"]}
    [one] = words(look(sender, Names(GOOD | strict, mx=MAIL)))
    assert "signatures of acme.example and SPF of acme.example speak for another domain" in one


def test_a_service_that_signs_for_itself_alone_does_not_speak_for_the_sender() -> None:
    sender = replace(SENDER, mailer="postmark", dkim_domain="pm.example", spf_include=[])
    names = Names(GOOD | {"k1._domainkey.pm.example": [f"p={BITS_2048}"]}, mx=MAIL)

    [one] = words(look(sender, names))
    assert "neither SPF nor DKIM speaks for acme.example" in one
    assert "signatures of pm.example speak for another domain" in one


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (["v=DMARC1; rua=mailto:d@acme.example"], "has no policy that is known"),
        (["v=DMARC1; p=maybe; rua=mailto:d@acme.example"], "has no policy that is known (p=maybe)"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], "acme.example has 2 DMARC records, which counts as none"),
        (["p=none; v=DMARC1"], "has a DMARC record"),
    ],
)
def test_a_faulty_dmarc_record_is_told(records: list[str], told: str) -> None:
    [one] = words(seen({POLICY: records}))

    assert told in one


def test_a_record_that_asks_for_no_reports_is_advised_against() -> None:
    found = seen({POLICY: ["v=DMARC1; p=reject"]})

    assert found.missing == []
    assert "asks for no reports" in str(found.advice[0])
