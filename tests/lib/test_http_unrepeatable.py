"""What may have been carried out is never sent again blindly, and no error gives a secret path away."""

from __future__ import annotations

import pytest
import responses

from worker.lib.clock import VirtualClock
from worker.lib.http import GiveUp, Http, Retry, Unsure

HOST = "https://api.vendor.test"


@pytest.fixture
def http(clock: VirtualClock) -> Http:
    return Http("Vendor", HOST, clock)


@responses.activate
def test_a_post_that_is_answered_by_a_web_page_is_not_sent_again(http: Http) -> None:
    answer = responses.post(f"{HOST}/things", body="<html>Sign in</html>", content_type="text/html")

    with pytest.raises(Unsure, match="no JSON"):
        http.post("/things", json={})
    assert answer.call_count == 1


@responses.activate
def test_a_post_that_may_be_repeated_is_sent_again_after_an_unreadable_answer(http: Http) -> None:
    responses.post(f"{HOST}/things", body='{"id": "1')
    responses.post(f"{HOST}/things", body='{"id": "1"}')

    assert http.post("/things", json={}, repeatable=True).data == {"id": "1"}


@responses.activate
def test_a_call_whose_body_grows_stale_is_tried_only_as_often_as_asked(http: Http, clock: VirtualClock) -> None:
    answer = responses.patch(f"{HOST}/things/1", status=429, headers={"Retry-After": "5"})
    before = clock.now()

    with pytest.raises(Retry) as caught:
        http.patch("/things/1", json={}, attempts=1)
    assert (answer.call_count, caught.value.after, clock.now()) == (1, 5.0, before)


@responses.activate
def test_a_redirect_is_refused_without_naming_the_path(http: Http) -> None:
    responses.post(f"{HOST}/services/T0/secret", status=302, headers={"Location": "https://elsewhere.test"})

    with pytest.raises(GiveUp) as caught:
        http.post("/services/T0/secret", json={})
    assert "secret" not in str(caught.value)
