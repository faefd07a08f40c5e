from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lib.signing import fresh, secret_matches, signature, signature_matches

NOW = 1_767_225_600


def test_hex_sha256_agrees_with_the_second_test_case_of_rfc_4231() -> None:
    published = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert signature_matches(["Jefe"], b"what do ya want for nothing?", [published])


def test_hex_sha1_agrees_with_the_second_test_case_of_rfc_2202() -> None:
    published = "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"

    assert signature_matches(["Jefe"], b"what do ya want for nothing?", [published], algorithm="sha1", prefix="sha1=")


def test_base64_agrees_with_what_zendesks_scheme_gives_for_its_published_secret() -> None:
    secret = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA="
    message = b'2021-07-25T10:00:00Z{"say": "hello"}'

    assert signature_matches([secret], message, ["Rry/4TtIdFyawtXXp8QdI6tlAUUQ/5kL1OTp5qo/ZIk="], encoding="base64")


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4), st.binary(max_size=40), st.data())
def test_any_active_secret_is_believed_and_any_candidate_may_hold_its_signature(
    secrets: list[str], message: bytes, data: st.DataObject
) -> None:
    used = data.draw(st.sampled_from(secrets))
    noise = data.draw(st.lists(st.text(max_size=8), max_size=3))

    assert signature_matches(secrets, message, [*noise, signature(used, message).decode(), *noise])


@given(st.binary(max_size=40), st.text(max_size=80))
def test_no_made_up_text_is_a_signature(message: bytes, candidate: str) -> None:
    assert not signature_matches(["whsec_1"], message, [candidate])


def test_a_signature_in_another_spelling_is_none() -> None:
    good = signature("whsec_1", b"{}").decode()

    assert not signature_matches(["whsec_1"], b"{}", [good.upper()])
    assert not signature_matches(["whsec_1"], b"{}", [good + " "])


def test_an_empty_secret_matches_nothing() -> None:
    anyone = signature("", b"{}").decode()

    assert not signature_matches(["", b""], b"{}", [anyone])
    assert not secret_matches([""], "")


def test_no_secret_and_no_candidate_match_nothing() -> None:
    assert not signature_matches([], b"{}", [signature("", b"{}").decode()])
    assert not signature_matches(["whsec_1"], b"{}", [])


def test_letters_that_are_not_ascii_are_a_wrong_signature_and_no_error() -> None:
    assert not signature_matches(["whsec_1"], b"{}", ["é", "\ud800", "²"])
    assert not secret_matches(["whsec_1"], "whsec_\u00e9")


def test_a_bare_text_is_refused_rather_than_read_as_many_one_letter_secrets() -> None:
    with pytest.raises(TypeError, match="wrap a single one"):
        signature_matches("whsec_1", b"{}", ["x"])
    with pytest.raises(TypeError, match="wrap a single one"):
        signature_matches(["whsec_1"], b"{}", "x")
    with pytest.raises(TypeError, match="wrap a single one"):
        secret_matches("whsec_1", "w")


def test_a_shared_secret_matches_itself_and_nothing_else() -> None:
    assert secret_matches(["old", "new"], "old")
    assert secret_matches(["old", b"new"], "new")
    assert not secret_matches(["old", "new"], "ol")


@pytest.mark.parametrize(("age", "believed"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_a_signed_moment_is_believed_for_five_minutes_either_way(age: int, believed: bool) -> None:
    assert fresh(NOW - age, NOW) is believed
