"""Links that tell of being followed: every one that can be replaced, none that must not, and nothing else of the mail."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dispatch.business import Business
from worker.dispatch.letters import Sender
from worker.dispatch.links import replaced, targets, with_picture

OWN = "https://keepwell.example"
SENDER = Sender("Engines", "Ann", "ann@engines.example", "", "1 Lane", OWN)


class Reading(HTMLParser):
    """What a mail program would see: tags with all they say but where links lead, the words, and where links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[object] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        hrefs = [value for name, value in attrs if name == "href"]
        self.seen.append((tag, [pair for pair in attrs if tag != "a" or pair[0] != "href"]))
        self.links += [hrefs[0] or ""] if tag == "a" and hrefs else []

    def handle_endtag(self, tag: str) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_comment(self, data: str) -> None:
        self.seen.append(("comment", data))


def rewritten(page: str, text: str = "") -> tuple[str, str]:
    addresses = {target: f"{OWN}/l/{n}" for n, target in enumerate(targets(page, OWN))}
    return replaced(page, text, addresses)


NASTY = [
    ('<a href="https://a.example/x?y=1&amp;z=2">x</a>', ["https://a.example/x?y=1&z=2"]),
    ("<a href='https://a.example/'>x</a>", ["https://a.example/"]),
    ('<A\n  CLASS="b"\n  HREF = "https://a.example/" >x</A>', ["https://a.example/"]),
    ('<a title="href=&quot;https://no.example&quot;" href="https://a.example/">x</a>', ["https://a.example/"]),
    ('<a title=\' href="https://no.example"\' href="https://a.example/">x</a>', ["https://a.example/"]),
    ('<a title="a > b" href="https://a.example/">x</a>', ["https://a.example/"]),
    ('<a href="https://a.example/" href="https://b.example/">x</a>', ["https://a.example/"]),
    ('<a href="https://a.example/">x</a><a href="https://a.example/">y</a>', ["https://a.example/"]),
    ('<a href="https://a.example/#part">x</a>', ["https://a.example/#part"]),
    ('<a href="https://a.example/\u00fc">x</a>', ["https://a.example/\u00fc"]),
    ('<link href="https://a.example/style.css"><area href="https://a.example/">', []),
    ('<!-- <a href="https://a.example/">x</a> -->', []),
    ('<!--[if mso]><a href="https://a.example/">x</a><![endif]-->', []),
    ("<style>a { content: '<a href=\"https://a.example/\">' }</style>", []),
    ("href=\"https://a.example/\" <p>href='https://a.example/'</p>", []),
    ('<a href="http://a.example/">x</a>', []),
    ('<a href="mailto:a@a.example">x</a><a href="tel:+49">y</a>', []),
    ('<a href="javascript:alert(1)">x</a><a href="data:text/html,x">y</a>', []),
    ('<a href="//a.example/">x</a><a href="/a">y</a><a href="">z</a><a href>w</a>', []),
    ('<a href="HTTPS://a.example/">x</a><a href=" https://a.example/">y</a>', []),
    ('<a href="https://user:word@a.example/">x</a>', []),
    ('<a href="https:///x">x</a><a href="https://[/">y</a>', []),
    ('<a href="https://a.example/a b">x</a><a href="https://a.example/&#10;b">y</a>', []),
    (f'<a href="https://a.example/{"x" * 2000}">x</a>', []),
    ('<a href="https://keepwell.example/unsubscribe/abc.def">x</a>', []),
    ('<a href="https://keepwell.example">x</a><a href="https://keepwell.example?x">y</a>', []),
    ('<a href="https://keepwell.example.evil.example/">x</a>', ["https://keepwell.example.evil.example/"]),
    ("<a href=https://a.example/>unquoted stays as it is</a>", ["https://a.example/"]),
]


@pytest.mark.parametrize(("page", "wanted"), NASTY, ids=range(len(NASTY)))
def test_of_nasty_pages_the_links_are_found_and_nothing_else_changes(page: str, wanted: list[str]) -> None:
    before = Reading(page)
    if "unquoted" not in page:
        assert targets(page, OWN) == wanted

    after = Reading(rewritten(page)[0])

    assert after.seen == before.seen
    ours = {target: f"{OWN}/l/{n}" for n, target in enumerate(targets(page, OWN))}
    assert after.links == [ours.get(link, link) for link in before.links]


@given(
    st.lists(
        st.sampled_from(
            ["<a ", 'href="https://a.example/"', "href='", '"', ">", "<!--", "-->", "x", "</a>", "\n", "&", "="]
        )
    )
)
def test_whatever_the_page_is_only_where_its_links_lead_changes(pieces: list[str]) -> None:
    page = "".join(pieces)

    after, _ = rewritten(page)

    assert Reading(after).seen == Reading(page).seen


def test_in_the_text_an_address_is_replaced_where_it_stands_whole() -> None:
    page = '<a href="https://a.example/x">x</a><a href="https://a.example/x/y">y</a>'
    text = (
        "Look: https://a.example/x. Or (https://a.example/x), or <https://a.example/x/y>!\n"
        "[x](https://a.example/x)\nhttps://a.example/x?z=1 https://a.example/xy and https://b.example/x\n"
        "https://a.example/x"
    )

    _, said = rewritten(page, text)

    x, y = f"{OWN}/l/0", f"{OWN}/l/1"
    assert said == (
        f"Look: {x}. Or ({x}), or <{y}>!\n[x]({x})\nhttps://a.example/x?z=1 https://a.example/xy and https://b.example/x\n{x}"
    )


def test_the_picture_stands_before_the_end_of_the_page() -> None:
    assert with_picture("<BODY>x</BODY></html>", "https://k/o/1").endswith('border:0"></BODY></html>')
    assert 'src="https://k/o/1"' in with_picture("no body", "https://k/o/1")


# -- in a mail ------------------------------------------------------------------------------------------------------------


def letters(here: Business, **settings: bool) -> Business:
    """A customer whose mail waits, and whose template has a link."""
    outreach = here.workspace.config.outreach.model_copy(update=settings)
    object.__setattr__(here.workspace.config, "outreach", outreach)
    return here


@pytest.mark.parametrize(("settings", "n"), [({}, 0), ({"track_clicks": True}, 1), ({"track_opens": True}, 0)])
def test_a_mail_is_left_as_it_is_unless_somebody_wants_to_know(
    here: Business, settings: dict[str, bool], n: int
) -> None:
    ada = letters(here, **settings).enter()
    here.go_live(ada)
    body = "# Hello\n\nRead [our notes](https://engines.example/notes?a=1&b=2), Ada.\n"
    effect_id = here.queue_mail(ada)
    here.store.run(
        "insert into approvals (effect_id, why, asked_at, decided_at, decision, by, subject, body)"
        " values (:id, '', 0, 0, 'send', 'Ann', 'Three notes', :body)", {"id": effect_id, "body": body},
    )  # fmt: skip

    here.turn(pulls=False)

    (mail,) = here.mailbox.messages
    links = here.store.rows("select * from links")
    assert [(row["effect_id"], row["target"]) for row in links] == [
        (effect_id, "https://engines.example/notes?a=1&b=2")
    ] * n
    assert ("https://keepwell.example/l/" in mail.html, "https://keepwell.example/l/" in mail.text) == (n > 0, n > 0)
    assert ("https://keepwell.example/o/" in mail.html) == bool(settings.get("track_opens"))
    assert "https://keepwell.example/unsubscribe/" in mail.text
    assert mail.subject == "Three notes"
    kept = here.store.value("select body from messages")
    assert "https://engines.example/notes?a=1&b=2" in kept  # as it was written


def test_a_mail_that_is_tried_again_has_the_same_links(here: Business) -> None:
    ada = letters(here, track_clicks=True).enter()
    here.go_live(ada)
    here.mailbox.refuse_next("ada@customer.example")
    effect_id = here.queue_mail(ada)
    here.store.run(
        "insert into approvals (effect_id, why, asked_at, decision, by, subject, body)"
        " values (:id, '', 0, 'send', 'Ann', 'Notes', 'See [x](https://engines.example/).')", {"id": effect_id},
    )  # fmt: skip
    for _ in range(2):
        here.turn(pulls=False)
        here.clock.sleep(600)

    assert len(here.mailbox.messages) == 1
    assert here.store.value("select count(*) as n from links") == 1
