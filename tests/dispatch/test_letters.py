"""Letters: one file per mail, checked whole; values are data; what is written once is the same as what is written anew."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.dispatch.layout import TAGS
from worker.dispatch.letters import ALWAYS, Rendered, Sender, Templates
from worker.dispatch.mail_language import CURE
from worker.facts import KINDS
from worker.lib import assets
from worker.lib.http import GiveUp
from worker.lib.problems import Problems
from worker.plays.files import PRODUCT, RENEWAL

OURS = assets.folder("templates") / "email"
SENDER = Sender("Engines", "Ann", "ann@engines.example", "", "1 Loopback Lane", "https://keepwell.example")
SHIPPED = Templates([OURS])
STOP = "https://keepwell.example/unsubscribe/token"

HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "**bold** [x](https://evil.example)", "# head\n\n- list",
    "{{ 7 * 7 }}{% raw %}", "a\r\nBcc: evil@example.com\r\n\r\nbody", "\u202egnp.exe\u2066", "x" * 10_000,
    "javascript:alert(1)", "&lt;b&gt; &amp;", "kwv00000000x0z", "`code` ~~~", "<https://evil.example>", "100%s %(x)d %%",
    "](https://evil.example)", "[x]: https://evil.example", "1. one", "--- ===",
]  # fmt: skip

HEAD = 'subject = "Hello {{ first_name }}"\npurpose = "service"\nneeds = ["n", "what"]\n'


class Reading(HTMLParser):
    """What a mail program would see: the tags and links, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def values(text: str) -> dict[str, str]:
    """Every value that any shipped template may want, all the same."""
    wanted = set(ALWAYS).union(*(template.needs for template in SHIPPED.by_name.values()))
    return dict.fromkeys(wanted, text)


def templates(folder: Path, **bodies: str) -> Templates:
    """Those that ship, and one for each body; `_de` in a name is another language."""
    for name, body in bodies.items():
        head, text = body.rsplit("+++", 1) if "+++" in body else (HEAD, body)
        (folder / f"{name.replace('_', '.')}.md").write_text(f"+++\n{head}+++\n{text}", "utf-8")
    return Templates([OURS, folder])


def mail(folder: Path, body: str, **given: str) -> Rendered:
    """What becomes of one body."""
    made = {"first_name": "Ada", "sender_name": "Ann", "business": "Engines", "n": "3", "what": "reports"}
    return templates(folder, mail=body).render("mail", {**made, **given}, SENDER, STOP)


def problems(folder: Path, **bodies: str) -> list[str]:
    with pytest.raises(Problems) as caught:
        templates(folder, **bodies)
    return [str(one) for one in caught.value.problems]


def body_of(page: str) -> str:
    """The mail's own part of the page, without styles."""
    inside = re.search(r"font-size:16px[^>]*>(.*?)</div>", page, re.DOTALL)
    assert inside is not None
    return re.sub(r' style="[^"]*"', "", inside[1]).strip()


def as_read(page: str) -> tuple[list[str], list[str], str]:
    """The same as mail programs read it: tags, links and text."""
    read = Reading(body_of(page))
    return read.tags, read.links, read.text


# -- values are data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SHIPPED.by_name))
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_value_becomes_anything_but_text(name: str, text: str) -> None:
    plain = SHIPPED.render(name, values("plain"), SENDER, STOP)

    rendered = SHIPPED.render(name, values(text), SENDER, STOP)

    assert Reading(rendered.html).tags == Reading(plain.html).tags
    assert Reading(rendered.html).links == Reading(plain.html).links
    assert rendered.subject.isprintable()
    assert len(rendered.subject) < 1500
    assert not re.search(r"kw[0-9a-f]{12}", rendered.html + rendered.text + rendered.subject)


@pytest.mark.parametrize("text", ["", " \n", "\0", "\ud800", "\u202e"])
def test_a_value_that_says_nothing_leaves_no_hole_in_a_mail(text: str) -> None:
    with pytest.raises(GiveUp, match="usage_last_label unknown"):
        SHIPPED.render("usage-drop", {**values("x"), "usage_last_label": text}, SENDER, STOP)


@given(
    st.text(min_size=1, max_size=80).filter(
        lambda text: any(sign.isprintable() and not sign.isspace() for sign in text)
    )
)
def test_a_value_reads_in_the_text_and_in_the_page_as_it_is(text: str) -> None:
    shown = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())

    rendered = SHIPPED.render("usage-drop", {**values("x"), "usage_last_label": text}, SENDER, STOP)

    assert f"for {shown}. " in rendered.text
    assert f"{shown}. " in Reading(rendered.html).text


LINKS = """\
[see {{ what }}](https://engines.example/{{ what }}?n={{ n }} "about {{ what }}") and ![a {{ what }}](https://engines.example/x.png)
"""


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_value_cannot_get_out_of_a_link(tmp_path: Path, text: str) -> None:
    rendered = mail(tmp_path, LINKS, what=text)

    link, image = Reading(body_of(rendered.html)).links
    assert re.fullmatch(r"https://engines\.example/[A-Za-z0-9%._~-]*\?n=3", link)
    assert image == "https://engines.example/x.png"
    assert link in rendered.text


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)", "data:text/html,x", "//evil.example", "https://bank.example@evil.example/", "https://",
        'https://a.example/"><b>', "https://a.example/ b", "https://a.example\\@b.example/", "mailto:a@b.example", "ftp://a.example",
    ],
)  # fmt: skip
def test_a_link_that_is_a_value_leads_to_a_web_address_or_nowhere(tmp_path: Path, text: str) -> None:
    with pytest.raises(GiveUp, match="would lead to"):
        mail(tmp_path, "[this]({{ what }})", what=text)


def test_a_link_that_is_a_value_is_written_as_links_are(tmp_path: Path) -> None:
    rendered = mail(tmp_path, "[this]({{ what }})", what="https://engines.example/ü?a=1&b=(2)&amp;c")

    assert Reading(body_of(rendered.html)).links == ["https://engines.example/%C3%BC?a=1&b=(2)&amp;c"]
    assert "this: https://engines.example/%C3%BC?a=1&b=(2)&amp;c" in rendered.text


# -- the text is the Markdown as it reads -------------------------------------------------------------------------------


def test_the_text_part_is_the_markdown_as_it_reads(tmp_path: Path) -> None:
    rendered = mail(
        tmp_path,
        "# Hello {{ first_name }}\n\nyou were\nin **{{ what }}**, _here_.  \nSee [the\nnotes](https://a.example/?x=1&y=2)"
        " or <https://b.example/>.\n\n- one\n- two\n  and a half\n\n3. three\n\n   more\n4. four\n\n> quoted\n\n---\n\n"
        "![a picture](https://a.example/p.png) 5 \\* 5 &copy; `code`\n",
    )

    assert rendered.text == (
        "# Hello Ada\n\nyou were in **reports**, _here_.\nSee the notes: https://a.example/?x=1&y=2 or https://b.example/.\n\n"
        "- one\n- two and a half\n\n3. three\n\n   more\n\n4. four\n\n> quoted\n\n---\n\na picture 5 * 5 © `code`\n\n"
        f"-- \nEngines, 1 Loopback Lane\nNo more of these mails: {STOP}\n"
    )
    assert "<li>two" in body_of(rendered.html)
    assert 'lang="en"' in rendered.html


def test_styles_are_written_into_every_tag_and_what_is_for_telephones_stays(tmp_path: Path) -> None:
    page = mail(tmp_path, "One\n\n[two](https://a.example/)").html

    assert page.count("margin: 0 0 16px") == 2
    assert 'href="https://a.example/" style="color' in page
    assert "@media only screen" in page
    assert "<link" not in page
    assert "@import" not in page


# -- conditions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "given", "holds"),
    [
        ("n == 1", {"n": "1"}, True), ('n == "1"', {"n": "1"}, True), ("n == 1", {"n": "one"}, False),
        ("n != 1", {"n": "one"}, True), ("n < 10", {"n": "9"}, True), ("n < 10", {"n": "10"}, False),
        ("n >= 2.5", {"n": "2.50"}, True), ("n > -1", {"n": "-1.5"}, False), ("3 <= n", {"n": "12"}, True),
        ('what in ["a", "b"]', {"what": "b"}, True), ('what not in ("a", "b")', {"what": "b"}, False),
        ('"port" in what', {"what": "reports"}, True), ("n in [1, 2]", {"n": "2"}, True),
        ("n == what", {"n": "x", "what": "x"}, True), ("what", {"what": "x"}, True),
        ("n == 1 and what == 'x' or not n == 2", {"n": "3", "what": "y"}, True),
        ("not (n == 1 or n == 3)", {"n": "3"}, False), ("what == '2'", {"what": "2.0"}, False),
    ],
)  # fmt: skip
def test_a_mail_says_one_thing_or_another_by_its_values(
    tmp_path: Path, condition: str, given: dict[str, str], holds: bool
) -> None:
    rendered = mail(tmp_path, f"{{% if {condition} %}}yes{{% elif n == 99 %}}odd{{% else %}}no{{% endif %}}", **given)

    assert body_of(rendered.html) == f"<p>{'yes' if holds else 'no'}</p>"
    assert rendered.text.startswith(f"{'yes' if holds else 'no'}\n")


def test_comparing_as_numbers_what_is_none_stops_that_mail(tmp_path: Path) -> None:
    with pytest.raises(GiveUp, match="'many' is compared as a number"):
        mail(tmp_path, "{% if n < 3 %}few{% endif %}", n="many")


def test_a_tag_on_a_line_of_its_own_leaves_no_line(tmp_path: Path) -> None:
    text = "Hello,\n{% if n == 3 %}\nyou are three,\n{% else %}\nyou are not,\n{% endif %}\n{# a word to ourselves #}\nbye.\n"

    assert body_of(mail(tmp_path, text).html) == "<p>Hello,\nyou are three,\nbye.</p>"


def test_every_wording_is_made_where_all_are_wanted(tmp_path: Path) -> None:
    body = "{% if n == 1 %}a{% if what == 'x' %}b{% endif %}{% elif n == 2 %}c{% else %}d{% endif %}"
    made = templates(tmp_path, mail=body)
    found = {
        one.text.split("\n")[0]
        for one in made.all_wordings("mail", {**values("x"), "n": "3", "what": "y"}, SENDER, STOP)
    }

    assert found == {"ab", "a", "c", "d"}


# -- edited by a person -------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(sorted(SHIPPED.by_name)),
    st.sampled_from(HOSTILE) | st.text("1.) -#*_[]()<>&\\`!:ab\u00a0", min_size=1, max_size=20).filter(str.strip),
)
def test_what_is_given_to_edit_makes_the_same_mail_when_nobody_edits_it(name: str, text: str) -> None:
    given = {**values(text), "sender_name": "Ann"}

    subject, body = SHIPPED.editable(name, given)
    again, rendered = SHIPPED.write(name, subject, body, SENDER, STOP), SHIPPED.render(name, given, SENDER, STOP)

    assert (again.subject, again.text) == (rendered.subject, rendered.text)
    assert as_read(again.html) == as_read(rendered.html)


def test_what_is_given_to_edit_makes_the_same_links(tmp_path: Path) -> None:
    made = templates(tmp_path, mail=LINKS + "\n[or]({{ where }})\n".replace("where", "n"))
    given = {**values("x"), "what": "a*b (c) & [d]", "n": "https://engines.example/a_b_(c)?x=1&amp;y=*2*"}

    again = made.write("mail", *made.editable("mail", given), SENDER, STOP)

    assert as_read(again.html) == as_read(made.render("mail", given, SENDER, STOP).html)


def test_an_edited_mail_is_plain_markdown_in_the_same_layout() -> None:
    made = SHIPPED.write("usage-drop", "Hello\nAda", "**Hi** <b>100%</b>\n\n[x](https://a.example/)", SENDER, STOP)

    assert made.subject == "Hello Ada"
    assert body_of(made.html).startswith("<p><strong>Hi</strong> &lt;b&gt;100%&lt;/b&gt;</p>")
    assert STOP in made.html
    assert made.text.startswith("**Hi** <b>100%</b>\n\nx: https://a.example/\n")
    assert made.preheader == ""


@pytest.mark.parametrize(
    ("subject", "body", "wrong"),
    [
        ("Hello", "[x](javascript:alert(1))", "no web address"), ("Hello", "![x](data:image/png;base64,aa)", "no web address"),
        ("Hello", "[x](/there)", "no web address"), ("Hello", "Dear {{ first_name }}", "nothing fills in"),
        ("Hello", " \n ", "no subject or no text"), ("", "Hello", "no subject"),
        ("Hello", "x" * 200_000, "longer than"),
    ],
)  # fmt: skip
def test_an_edited_mail_that_will_not_do_is_refused_with_the_reason(subject: str, body: str, wrong: str) -> None:
    with pytest.raises(GiveUp, match=wrong):
        SHIPPED.write("usage-drop", subject, body, SENDER, STOP)


# -- languages, layouts, media ------------------------------------------------------------------------------------------

GERMAN = (
    HEAD.replace("Hello", "Hallo") + 'language = "de"\nnameless = "zusammen"\n+++\nHallo {{ first_name }}, {{ n }}!'
)


def test_a_person_gets_the_variant_in_their_language_where_there_is_one(tmp_path: Path) -> None:
    made = templates(tmp_path, mail="Hello {{ first_name }}", mail_de=GERMAN)

    chosen = [made.choose("mail", tag).name for tag in ("de", "de-AT", "DE_ch", "fr", "en", "")]

    assert chosen == ["mail.de"] * 3 + ["mail"] * 3
    assert made.choose("mail", "de", known={"n"}).name == "mail"
    assert made.choose("mail", "de", known={"n", "what"}).name == "mail.de"
    assert made.render(
        "mail.de", {**values("x"), "n": "3", "what": "x", "first_name": ""}, SENDER, STOP
    ).text.startswith("Hallo zusammen, 3!")


def test_a_layout_may_be_in_another_language_too(tmp_path: Path) -> None:
    for ending in ("mjml", "txt"):
        text = (OURS / f"layout.{ending}").read_text("utf-8").replace("No more of these mails", "Keine Mails mehr")
        (tmp_path / f"layout.de.{ending}").write_text(text, "utf-8")
    made = templates(tmp_path, mail="Hello {{ first_name }}", mail_de=GERMAN)
    given = {**values("x"), "n": "3", "what": "x"}

    german, english = (made.render(name, given, SENDER, STOP) for name in ("mail.de", "mail"))

    for part in ("text", "html"):
        assert "Keine Mails mehr" in getattr(german, part)
        assert "No more of these mails" in getattr(english, part)
    assert 'lang="de"' in german.html


def test_a_text_message_is_its_text_and_nothing_else(tmp_path: Path) -> None:
    made = templates(tmp_path, mail=HEAD + 'medium = "sms"\n+++\nHi {{ first_name }}, see [it](https://a.example/).')

    rendered = made.render("mail", {**values("x"), "n": "1", "what": "x", "first_name": "Ada"}, SENDER, STOP)

    assert made.by_name["mail"].medium == "sms"
    assert (rendered.text, rendered.html) == ("Hi Ada, see it: https://a.example/.", "")


# -- mistakes -----------------------------------------------------------------------------------------------------------


def test_every_mistake_of_every_template_is_told_at_once(tmp_path: Path) -> None:
    head = '+++\nsubject = "Hello"\npurpose = "service"\nneeds = ["usage_days"]\n+++\n'
    for name, text in {
        "a": "no head at all", "b": head + "Hello {{ usage_days\n", "c": head + "line\n\n{{ secret }}\n",
        "d": head.replace("service", "spam") + "x", "e": head + "{{ usage_days|upper }}\n",
        "f": head.replace('["usage_days"]', "[]") + "x", "fine": head + "{{ usage_days }}\n",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.md").write_text(text)

    with pytest.raises(Problems) as caught:
        Templates([OURS, tmp_path])

    told = [(problem.file, problem.line > 0) for problem in caught.value.problems]
    assert told == [(f"{name}.md", True) for name in "abcdef"]


def test_a_faulty_head_does_not_hide_a_faulty_body(tmp_path: Path) -> None:
    text = '+++\nsubject = "Hello"\npurpose = "spam"\nneeds = ["usage_days"]\n+++\nHello\n{% if usage_days %}\n'
    (tmp_path / "a.md").write_text(text)

    with pytest.raises(Problems) as caught:
        Templates([OURS, tmp_path])

    assert [(problem.line, problem.key) for problem in caught.value.problems] == [(3, "purpose"), (7, "body")]


def test_each_mistake_is_told_with_its_line_and_its_cure(tmp_path: Path) -> None:
    head = HEAD.replace("{{ first_name }}", "{{ nobody }}") + '\nlanguage = "xx"\nsendr = "owner"\n'
    told = problems(
        tmp_path,
        a=head + "+++x",
        b="one\n\n{% if n == 1 %}\n\n{{ secrt }} {{ n|upper }}\n{% endif %}\n\n{{ n }}\n{{ m }}",
    )

    assert told == [
        'a.md:6: language: \'xx\' will not do → write the first part of a BCP 47 tag, as in "en", "de" or "fil"',
        "a.md:7: sendr: is no setting here → did you mean 'sender'?",
        "b.md:10: body: names 'secrt', which it does not declare → add it to needs",
        f"b.md:10: body: uses the filter 'upper', which mails do not know → {CURE}",
        "b.md:14: body: names 'm', which it does not declare → add it to needs",
    ]


@pytest.mark.parametrize(
    ("body", "line", "wrong"),
    [
        ("a\n\n[x](javascript:alert(1))", 8, "no web address"), ("[x](there.html)", 6, "no web address"),
        ("[x](https://{{ what }}.example/)", 6, "in the host"), ("[x]({{ what }}{{ n }})", 6, "in the host"),
        ("[x](mailto:{{ what }}@a.example)", 6, "in the host"), ("![x](mailto:a@a.example)", 6, "no web address"),
        ("{% if n == 1 %}[x](ftp://a.example){% endif %}", 6, "no web address"), ("`{{ what }}`", 6, "in code"),
        ("[x](https://a@b.example/)", 6, "no web address"),
    ],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_a_mistake_of_the_template(
    tmp_path: Path, body: str, line: int, wrong: str
) -> None:
    (told,) = problems(tmp_path, a=body)

    assert told.startswith(f"a.md:{line}: body: ")
    assert wrong in told


def test_variants_agree_with_what_they_are_variants_of(tmp_path: Path) -> None:
    told = problems(
        tmp_path, mail="{{ n }}", mail_de="{{ n }}", mail_fr=HEAD.replace("service", "marketing") + 'language = "fr"\n+++x',
        lone_de=HEAD + 'language = "de"\n+++x', other=HEAD + 'variant_of = "mial"\n+++x',
    )  # fmt: skip

    assert told == [
        "lone.de.md: there is no lone.md for it to be a variant of → write lone.md as well",
        "mail.de.md: language: 'en' is not the language of the file's name → write language = \"de\"",
        "mail.fr.md: purpose: 'marketing' is not that of mail.md → write purpose = \"service\"",
        "other.md: variant_of: there is no mial.md for it to be a variant of → did you mean 'mail'?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("mj-section", "mj-sektion", "layout.mjml:15: mj-sektion: <mj-sektion> is no tag of MJML 4 → did you mean 'mj-section'?"),
        ("<mj-column>", "<div>", "layout.mjml:16: div: <div> is no tag of MJML 4 → put HTML inside <mj-text> or <mj-raw>"),
        ("{{ body }}", "", "layout.mjml: has no place for the mail, or several → write {{ body }} once"),
        ("{{ body }}", "{{ bdy }}", "layout.mjml:17: names 'bdy', which it does not declare → did you mean 'body'?"),
        ("{{ body }}", "{% if body %}{{ body }}{% endif %}", "layout.mjml: has an {% if %}"),
        ("</mj-text>", "", "layout.mjml: cannot be compiled: "),
    ],
)  # fmt: skip
def test_a_layout_that_would_fall_apart_is_refused(tmp_path: Path, old: str, new: str, wrong: str) -> None:
    text = (OURS / "layout.mjml").read_text("utf-8").replace(old, new)
    (tmp_path / "layout.mjml").write_text(text, "utf-8")

    assert wrong in problems(tmp_path)[0]


def test_a_layout_of_ones_own_may_use_all_that_mjml_has(tmp_path: Path) -> None:
    inside = "<mj-raw><!-- x --><div class='a'><b>x</b></div></mj-raw><mj-text>a<br>b {{ body }}</mj-text>"
    page = f"<mjml><mj-body><mj-section><mj-column>{inside}<mj-spacer/></mj-column></mj-section></mj-body></mjml>"
    (tmp_path / "layout.mjml").write_text(page, "utf-8")

    assert templates(tmp_path).by_name
    assert "mj-wrapper" in TAGS


# -- what ships ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SHIPPED.by_name))
def test_no_shipped_mail_can_tell_anybody_a_score_or_a_colour(name: str) -> None:
    template = SHIPPED.by_name[name]
    known = {
        f"{kind}_{ending}" for kind in KINDS
        for ending in ("count", "days", "last_on", "last_label", "last_value", "now")
    }  # fmt: skip

    known |= {"as_of", *RENEWAL, *PRODUCT}
    own = {need for need in template.needs if need.startswith("custom_")}
    assert template.needs - own <= known  # evidence: never the score, the band or the reason
    for one in SHIPPED.all_wordings(name, values("x"), SENDER, STOP):
        said = set(f"{one.subject} {one.preheader} {one.text}".lower().replace("-", " ").split())
        assert not said & {"score", "band", "health", "red", "yellow", "green", "grey", "churn", "risk"}
        assert unescape(one.html).count(STOP) == 1
