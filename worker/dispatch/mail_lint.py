"""What is wrong with a mail though it can be written: holes, lengths, links, words that no customer must read.

Each template is written for made-up customers, in every wording that it has, and for those that are handed in; what is
found is told once for each rule, with the place to mend.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Final

from worker.dispatch.letters import Rendered, Sender, Template, Templates
from worker.lib.http import GiveUp
from worker.lib.problems import Problem

SUBJECT: Final = 60
"""Characters; telephones cut what is longer."""
PREHEADER: Final = 110
WORDS: Final = (10, 200)
"""Of a mail; what is longer is a brochure."""
TEXT_MESSAGE: Final = 320
"""Characters: two text messages."""
CLIPPED: Final = 102 * 1024
"""Bytes of HTML after which Gmail shows no more, and no link to unsubscribe."""
WORDS_WITH_IMAGES: Final = 20

STOP: Final = "https://keepwell.invalid/unsubscribe/sample"

NEVER: Final = (
    "score", "scores", "health band", "at risk", "risk of leaving", "churn", "churning", "red", "yellow", "amber", "green",
    "grey", "gray",
)  # fmt: skip
"""What no customer must read about themselves, beside the names of the card's bands."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One customer for whom mails are written."""

    name: str
    values: Mapping[str, str]


def made_up(template: Template) -> list[Sample]:
    """Two customers who have all that the template needs: one with short values, one with longer ones."""
    endings = {
        "count": ("1", "12"), "days": ("1", "12"), "now": ("1", "3"), "last_on": ("3 March", "28 September"),
        "last_label": ("reports", "monthly reports"), "last_value": ("7", "49.5"),
    }  # fmt: skip
    always = {
        "first_name": ("Ann", "Maximiliane"),
        "sender_name": ("Ann", "Ann Keeper"),
        "business": ("Acme", "Acme Ltd"),
    }

    def pair(need: str) -> tuple[str, str]:
        ending = next((one for one in endings if need.endswith(f"_{one}")), "")
        return always.get(need) or endings.get(ending) or ("something", "something else")

    return [
        Sample("somebody made up", {need: pair(need)[at] for need in {*always, *template.needs}}) for at in (0, 1)
    ]  # fmt: skip


def lint(
    templates: Templates, name: str, sender: Sender, bands: Collection[str] = (), customers: Sequence[Sample] = ()
) -> list[Problem]:
    """All findings about one template. `customers` who lack what it needs are passed over. Raises GiveUp for no template."""
    template = templates.by_name.get(name)
    if template is None:
        raise GiveUp(f"there is no template {name!r}")
    known = replace(sender, postal_address=sender.postal_address or "1 Sample Street")
    desk = _Desk(template)
    _source(template, templates, bands, desk)
    for sample in made_up(template):
        for rendered in templates.all_wordings(name, sample.values, known, STOP):
            _written(rendered, sample.name, known, desk)
    for sample in customers:
        if all(sample.values.get(need) for need in template.needs):
            try:
                values = {"sender_name": sender.name, "business": sender.business, **sample.values}
                _written(templates.render(name, values, known, STOP), sample.name, known, desk)
            except GiveUp as error:
                desk.say("cannot be written", 0, f"for {sample.name}: {error}", "mend the place that it names")
    return sorted(desk.found.values())


@dataclass
class _Desk:
    """Takes findings, the first of each rule and place."""

    template: Template
    found: dict[tuple[str, int], Problem] = field(default_factory=dict)

    def say(self, rule: str, line: int, message: str, cure: str) -> None:
        self.found.setdefault((rule, line), Problem(self.template.file, line, rule, message, cure))


# -- as it is written down --------------------------------------------------------------------------------------------

_TAGS: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|(?<=\]\()[^)\s]+|<https?:[^>]*>", re.DOTALL)


def _source(template: Template, templates: Templates, bands: Collection[str], desk: _Desk) -> None:
    front = template.front
    unwanted = "|".join(re.escape(word) for word in sorted({*NEVER, *bands}, key=len, reverse=True))
    for line, text in [(0, front.subject), (0, front.preheader), *_lines(template)]:
        for match in re.finditer(rf"\b({unwanted})\b", text, re.IGNORECASE):
            said = f"says {match[0]!r}, and no customer may read how they are rated"
            desk.say("words", line, said, "say what they did or did not do")
    for line, text in _lines(template):
        if markup := re.search(r"</?[a-z][\w-]*[\s/>]", text, re.IGNORECASE):
            desk.say("html", line, f"has {markup[0].strip()!r}, which is shown as it stands", "write Markdown")
        if re.search(r"!\[\s*\]\(", text):
            desk.say("alt", line, "has an image without words", "write ![what it shows](https://…)")
    words = len(" ".join(text for _, text in _lines(template)).split())
    if words < WORDS[0] and template.medium == "mail":
        desk.say("body", 0, f"has {words} words", "say why you write")
    if words < WORDS_WITH_IMAGES and "![" in template.source:
        desk.say("image", 0, f"is images with {words} words around them", "say it in words as well")
    if not front.preheader and template.medium == "mail":
        desk.say("preheader", 0, "has none, so mailboxes show the greeting", 'write preheader = "…"')
    if "." in template.name and front.nameless == "there" and "first_name" in template.source:
        desk.say("nameless", 0, "greets who has no name in English", 'write nameless = "…"')
    if "." in template.name and template.medium == "mail" and not templates.has_layout(template.language):
        what = f"the frame around it is not in {template.language!r}"
        desk.say("layout", 0, what, f"write layout.{template.language}.mjml and layout.{template.language}.txt")


def _lines(template: Template) -> Iterator[tuple[int, str]]:
    """The lines of the body with their numbers in the file, without tags and where links lead."""
    bare = _TAGS.sub(lambda match: "\n" * match[0].count("\n"), template.source)
    return enumerate(bare.split("\n"), start=template.body_line + 1)


# -- as it is written for somebody ------------------------------------------------------------------------------------

_HOLE: Final = re.compile(
    r"\{\{|\}\}|\{%|\b(?:None|null|NaN|nan|undefined)\b|\(\s*\)|\[\s*\]|(?:\s|^)[,.;!?](?=\s|$)|[“„]\s*[”“]",
    re.MULTILINE,
)


def _written(rendered: Rendered, whom: str, sender: Sender, desk: _Desk) -> None:
    template = desk.template
    for part, text in (("subject", rendered.subject), ("preheader", rendered.preheader), ("body", rendered.text)):
        if match := _HOLE.search(text):
            around = text[max(match.start() - 20, 0) : match.end() + 20].replace("\n", " ").strip()
            desk.say(f"hole in {part}", 0, f"reads {around!r} for {whom}", "take another wording where this is unknown")
    _length("subject", len(rendered.subject), SUBJECT, "characters", whom, desk)
    if template.medium == "sms":
        _text_message(rendered.text, whom, desk)
        return
    _length("preheader", len(rendered.preheader), PREHEADER, "characters", whom, desk)
    _length("html", len(rendered.html.encode()), CLIPPED, "bytes, and Gmail clips it,", whom, desk)
    if rendered.preheader == rendered.subject:
        desk.say("preheader", 0, "says the subject once more", "say what comes after it")
    page = _Page(rendered.html)
    _length("body", len(page.text.split()) - _FRAME, WORDS[1], "words", whom, desk)
    _frame(rendered, sender, page, desk)
    _things(page, desk)


_FRAME: Final = 30
"""Words that a frame has around a mail, about."""


def _length(rule: str, length: int, most: int, unit: str, whom: str, desk: _Desk) -> None:
    if length > most:
        desk.say(rule, 0, f"is {length} {unit} long for {whom}", f"write at most {most}")


def _text_message(text: str, whom: str, desk: _Desk) -> None:
    _length("text", len(text), TEXT_MESSAGE, "characters", whom, desk)
    if desk.template.purpose != "transactional" and not re.search(r"\bSTOP\b", text):
        desk.say("unsubscribe", 0, "does not say how to get no more of them", "end with: Reply STOP to get no more")


def _frame(rendered: Rendered, sender: Sender, page: _Page, desk: _Desk) -> None:
    if STOP not in page.links or STOP not in rendered.text:
        where = "layout.mjml" if STOP not in page.links else "layout.txt"
        desk.say("unsubscribe", 0, f"has no link to get no more of them in {where}", "put {{ unsubscribe_url }} there")
    if html.escape(sender.postal_address) not in rendered.html or sender.postal_address not in rendered.text:
        desk.say("postal address", 0, "has none, as the law asks", "put {{ footer }} into layout.mjml and layout.txt")
    if page.loads:
        desk.say("loads", 0, f"loads from elsewhere by <{page.loads[0]}>", "write styles into the layout's <mj-style>")


def _things(page: _Page, desk: _Desk) -> None:
    for link in page.links:
        if not link.startswith(("https://", "mailto:", "tel:")):
            desk.say(
                "link", _line_of(desk.template, link), f"leads to {link[:60]!r}, which is no https", "write https://…"
            )
    for source, alt in page.images:
        line = _line_of(desk.template, source)
        if not alt.strip():
            desk.say("alt", line, "has an image without words", "write ![what it shows](https://…)")
        if not source.startswith("https://"):
            desk.say("link", line, f"shows {source[:60]!r}, which is no https", "write https://…")


def _line_of(template: Template, link: str) -> int:
    """The line of the body that holds it, 0 where it stands in the layout."""
    place = template.source.find(link)
    return template.body_line + template.source[:place].count("\n") + 1 if place >= 0 else 0


class _Page(HTMLParser):
    """What a mail program finds: links, images with their words, what it would load, and the text that shows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[tuple[str, str]] = []
        self.loads: list[str] = []
        self.text = ""
        self._hidden = ""
        if "@import" in page:
            self.loads.append("style")
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what it leads to, shows or loads."""
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "img":
            self.images.append((given.get("src", ""), given.get("alt", "")))
        elif tag in ("link", "script", "iframe", "object", "embed"):
            self.loads.append(tag)
        if tag in ("style", "script", "title"):
            self._hidden = tag

    def handle_endtag(self, tag: str) -> None:
        """What follows shows again."""
        if tag == self._hidden:
            self._hidden = ""

    def handle_data(self, data: str) -> None:
        """Note what shows."""
        if not self._hidden:
            self.text += f"{data} "
