"""The links of our mails: they lead only where we said, tell once, and say nothing to whoever makes one up."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.dispatch.business import Business, business
from worker.app import create_app
from worker.intake import followed
from worker.lib.store import Store

TARGET = "https://engines.example/notes?a=1&b=2"


class Mailed:
    """A mail that has left, with a link in it."""

    def __init__(self, here: Business, *, clicks: bool = True, opens: bool = True) -> None:
        self.here = here
        outreach = here.workspace.config.outreach.model_copy(update={"track_clicks": clicks, "track_opens": opens})
        object.__setattr__(here.workspace.config, "outreach", outreach)
        ada = here.enter()
        here.go_live(ada)
        self.effect_id = here.queue_mail(ada)
        here.turn(pulls=False)
        here.store.run(
            "insert into links (id, effect_id, target, made_at) values ('lnk_1', :id, :target, 0)",
            {"id": self.effect_id, "target": TARGET},
        )
        self.app = create_app(here.workspace)
        self.client: FlaskClient = self.app.test_client()
        tracking = here.workspace.tracking
        self.link = tracking.address("lnk_1") if tracking else ""
        self.picture = tracking.picture(self.effect_id) if tracking else ""

    def facts(self) -> list[tuple[str, str]]:
        """What became of it, once it has been taken in."""
        self.app.extensions["receiver"].close()
        self.here.turn(pulls=False, dispatch=False)
        rows = self.here.store.rows("select kind, label from facts where source = 'keepwell' order by kind")
        return [(row["kind"], row["label"]) for row in rows]


@pytest.fixture
def here(tmp_path: Path, store: Store) -> object:
    with business(tmp_path / "workspace", store) as opened:
        yield opened


def path(address: str) -> str:
    return address.removeprefix("https://keepwell.example")


def test_a_link_leads_on_and_tells_once_however_often_it_is_followed(here: Business) -> None:
    mailed = Mailed(here)
    for _ in range(5):
        told = mailed.client.get(path(mailed.link))
        assert (told.status_code, told.headers["Location"]) == (302, TARGET)
        assert told.headers["Referrer-Policy"] == "no-referrer"
        here.clock.sleep(60)

    assert mailed.facts() == [("mail_clicked", followed.SOURCE)]


def test_the_picture_tells_once_that_the_mail_was_opened(here: Business) -> None:
    mailed = Mailed(here)
    for _ in range(3):
        told = mailed.client.get(path(mailed.picture))
        assert (told.status_code, told.mimetype, told.data[:6]) == (200, "image/gif", b"GIF89a")

    assert mailed.facts() == [("mail_opened", followed.SOURCE)]


def test_who_only_looks_whether_a_link_is_there_follows_none(here: Business) -> None:
    mailed = Mailed(here)

    assert mailed.client.head(path(mailed.link)).status_code == 302
    assert mailed.client.head(path(mailed.picture)).status_code == 200
    assert mailed.client.post(path(mailed.link)).status_code == 405

    assert mailed.facts() == []


@pytest.mark.parametrize(
    "made_up", ["lnk_1", "x", "lnk_1.forged", "..%2Flogin", "%00", "a" * 4000, "https:%2F%2Fevil.example"]
)
def test_a_link_that_we_did_not_make_leads_nowhere(here: Business, made_up: str) -> None:
    mailed = Mailed(here)
    tampered = mailed.link[:-9] + ("A" if mailed.link[-9] != "A" else "B") + mailed.link[-8:]
    of_unsubscribing = here.workspace.sign(mailed.effect_id)
    evil = base64.urlsafe_b64encode(b'"https://evil.example"').decode().rstrip("=")

    for one in (f"/l/{made_up}", f"/o/{made_up}", path(tampered), f"/l/{of_unsubscribing}", f"/l/{evil}.x"):
        told = mailed.client.get(one)
        assert told.status_code in {308, 404}
        assert "evil" not in told.headers.get("Location", "")
    assert mailed.client.get(path(mailed.link).replace("/l/", "/o/")).status_code == 404  # names no mail

    assert mailed.facts() == []


def test_a_link_of_which_the_table_says_no_https_leads_nowhere(here: Business) -> None:
    mailed = Mailed(here)
    here.store.run("update links set target = 'javascript:alert(1)'")

    assert mailed.client.get(path(mailed.link)).status_code == 404


def test_where_tracking_is_off_an_old_link_still_leads_on_and_tells_nothing(here: Business) -> None:
    mailed = Mailed(here)
    outreach = here.workspace.config.outreach.model_copy(update={"track_clicks": False, "track_opens": False})
    object.__setattr__(here.workspace.config, "outreach", outreach)
    client = create_app(here.workspace).test_client()

    assert client.get(path(mailed.link)).headers["Location"] == TARGET
    assert client.get(path(mailed.picture)).status_code == 404
    assert mailed.facts() == []
