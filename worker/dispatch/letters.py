"""Letters: templates of Markdown and a little Jinja in an MJML layout, and how one becomes subject, text and HTML.

A template is one file, `templates/email/<name>.md`: TOML front matter between `+++` lines, then Markdown; in another
language it is `<name>.de.md` beside it. Values are data: while Markdown, MJML and CSS are worked on, each stands in as an
opaque token, and only the finished HTML (escaped) or text gets the value itself. So a value can break neither links,
Markdown nor headers; and all that work is done once for each wording of a template, not once for each mail.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from worker.dispatch import mail_language as words
from worker.dispatch import markdown
from worker.dispatch.layout import Blank, Layout, NoLink, Place, Slot, blank, compiled, token
from worker.dispatch.mail_language import Plain, Unsayable, Value
from worker.lib.http import GiveUp
from worker.lib.problems import Problem, Problems
from worker.lib.shape import shaped, spell, written
from worker.lib.toml import Document, parse

ALWAYS: Final = frozenset({"first_name", "sender_name", "business"})
"""Values that every mail has, beside the evidence."""

_WORDINGS: Final = 64
"""How many wordings of one template are kept compiled."""

_SHORTEST: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo"
    " es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka"
    " kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng"
    " nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su"
    " sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
_TWO_LETTERS: Final = frozenset(_SHORTEST.split())
"""ISO 639-1, which BCP 47 takes its shortest tags from."""


def _language(given: object) -> object:
    if isinstance(given, str) and not (given in _TWO_LETTERS or re.fullmatch("[a-z]{3}", given)):
        raise ValueError('write the first part of a BCP 47 tag, as in "en", "de" or "fil"')
    return given


def _slug(given: object) -> object:
    if isinstance(given, str) and not re.fullmatch(r"|[a-z][a-z0-9-]{0,39}", given):
        raise ValueError('write small letters, digits and -, as in "product-news"')
    return given


class FrontMatter(BaseModel):
    """The head of a template."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(min_length=3, max_length=300)
    preheader: str = Field("", max_length=300, description="What mailboxes show beside the subject.")
    purpose: Literal["marketing", "service", "transactional"]
    medium: Literal["mail", "sms"] = Field("mail", description="A mail, or a text message: then only the text counts.")
    sender: Literal["business", "owner"] = Field(
        "business", description="Whose name it is from: the business's sender, or the customer's owner."
    )
    language: Annotated[str, BeforeValidator(_language)] = Field(
        "en", description="The first part of a BCP 47 tag; in `name.de.md` it is de."
    )
    nameless: str = Field("there", min_length=1, max_length=40, description="What first_name says where none is known.")
    topic: Annotated[str, BeforeValidator(_slug)] = Field(
        "", description="What it is about, for people who want some topics and not others."
    )
    variant_of: str = Field("", description="The template that this one is another wording of, for other facts.")
    needs: tuple[str, ...] = Field(
        description="The values it cannot be written without; at least one, its evidence.", min_length=1
    )


@dataclass(frozen=True, slots=True)
class Template:
    """One mail, read and checked."""

    name: str
    """The file's name without its last ending: `usage-drop`, or `usage-drop.de`."""
    front: FrontMatter
    subject: words.Parts
    preheader: words.Parts
    body: words.Parts
    source: str
    """The body as it is written."""
    body_line: int
    """How many lines of the file come before the body."""

    @property
    def purpose(self) -> str:
        """marketing, service or transactional."""
        return self.front.purpose

    @property
    def needs(self) -> frozenset[str]:
        """The values it cannot be written without."""
        return frozenset(self.front.needs)

    @property
    def medium(self) -> str:
        """`mail` or `sms`."""
        return self.front.medium

    @property
    def sender(self) -> str:
        """Whose name it is from: `business` or `owner`."""
        return self.front.sender

    @property
    def language(self) -> str:
        """The first part of a BCP 47 tag."""
        return self.front.language

    @property
    def topic(self) -> str:
        """What it is about, "" for nothing that people could choose."""
        return self.front.topic

    @property
    def variant_of(self) -> str:
        """The template that this one is another wording of, "" for none."""
        return self.front.variant_of

    @property
    def file(self) -> str:
        """What its file is called."""
        return f"{self.name}.md"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes, as the workspace's settings say."""

    business: str
    name: str
    address: str
    reply_to: str
    postal_address: str
    public_url: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail's texts. The HTML of a text message is empty."""

    subject: str
    text: str
    html: str
    preheader: str = ""


@dataclass(frozen=True, slots=True)
class _Wording:
    """A template of which every choice has been made, ready to be filled in."""

    body: Plain
    places: list[Place]
    text: Blank
    html: Blank | None


@lru_cache(maxsize=256)
def _read(file: str, text: str) -> Template:
    """One template; read once for all workspaces of a process, as long as its text is the same. Raises Problems."""
    if len(text) > 2 * words.LONGEST:
        message = f"is {len(text)} characters long"
        raise Problems([Problem(file, 1, "", message, f"write at most {words.LONGEST}, which is ten mails")])
    parts = re.split(r"^\+\+\+[ \t]*$\n?", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) != 3 or parts[0].strip():
        raise Problems([Problem(file, 1, "", "has no head", "begin with +++, subject = …, and +++")])
    inside = parts[2].lstrip("\n")
    body, line = inside.rstrip() + "\n", text[: len(text) - len(inside)].count("\n")
    try:
        document = parse("\n" + parts[1], file)
        front = shaped(FrontMatter, document, file)
    except Problems as found:  # a faulty head does not hide a faulty body; what it declares is not known
        raise Problems([*found.problems, *_misspelt(file, line, body)]) from None
    known = ALWAYS | set(front.needs)
    problems: list[Problem] = []
    read: dict[str, words.Parts] = {}
    for key, source, before in (
        ("subject", front.subject, document.line("subject") - 1),
        ("preheader", front.preheader, document.line("preheader") - 1),
        ("body", body, line),
    ):
        try:
            read[key] = words.read(source, file, max(before, 0), key, known)
        except Problems as found:
            problems += found.problems
    problems += _name_problems(file, front, document)
    if not problems:
        problems += _faults(file, line, body, read["body"])
    if problems:
        raise Problems(problems)
    name = file.removesuffix(".md")
    return Template(name, front, read["subject"], read["preheader"], read["body"], body, line)


def _misspelt(file: str, line: int, body: str) -> list[Problem]:
    """What is wrong with a body of which nobody knows what it may name."""
    named = re.findall(r"[^\W\d]\w*", body)
    try:
        words.read(body, file, line, "body", named)
    except Problems as found:
        return list(found.problems)
    return []


def _name_problems(file: str, front: FrontMatter, document: Document) -> list[Problem]:
    """The file's name and the language inside it must agree."""
    match = re.fullmatch(r"[\w-]+(?:\.([a-z]{2,3}))?\.md", file)
    if match is None:
        cure = "call it as in welcome.md, or welcome.de.md for its German variant"
        return [Problem(file, 0, "", "is no name for a mail", cure)]
    if match[1] and match[1] != front.language:
        message = f"{front.language!r} is not the language of the file's name"
        return [Problem(file, document.line("language"), "language", message, f'write language = "{match[1]}"')]
    return []


def _faults(file: str, line: int, source: str, parts: words.Parts) -> list[Problem]:
    """What is wrong with the Markdown, in any branch."""
    found = []
    for plain in words.covering(parts):
        try:
            markdown.read(_marked(plain)[0], len(plain))
        except markdown.Faulty as fault:
            before = source[: max(source.find(fault.quoted.split("…")[0]), 0)].count("\n")
            cure = "write a whole address, https://…" if "link" in str(fault) else "write it without the `…`"
            found.append(Problem(file, line + before + 1, "body", str(fault), cure))
    return found


def _marked(plain: Plain) -> tuple[str, list[str]]:
    """The text with a token for every value, and the values' names by the tokens' numbers."""
    named: list[str] = []
    pieces: list[str] = []
    for part in plain:
        if isinstance(part, Value):
            pieces.append(token(len(named)))
            named.append(part.name)
        else:
            pieces.append(part)
    return "".join(pieces), named


class Templates:
    """All mail templates, compiled; later folders override earlier ones by name."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Raises Problems with every mistake of every file."""
        self._by_name: dict[str, Template] = {}
        self._wordings: dict[tuple[str, tuple[int, ...]], _Wording] = {}
        problems: list[Problem] = []
        layouts: dict[str, Path] = {}
        for folder in folders:
            layouts |= {path.name: path for path in sorted(folder.glob("layout*.*"))}
            for path in sorted(folder.glob("*.md")):
                try:
                    self._by_name[path.stem] = _read(path.name, written(path))
                except Problems as found:
                    problems += found.problems
        self._layouts = _layouts(layouts, problems)
        problems += _relations(self._by_name)
        if problems:
            raise Problems(problems)

    @property
    def by_name(self) -> Mapping[str, Template]:
        """Every template by its name; that of another language by `name.de`."""
        return self._by_name

    def choose(self, name: str, language: str, known: Collection[str] | None = None) -> Template:
        """The template in a person's language (a BCP 47 tag) where there is one, else as it stands.

        Where `known` is given, another language is only taken where all that it needs is known. Raises GiveUp where
        there is no template of that name.
        """
        template = self._named(name)
        tag = re.split(r"[-_]", language.strip().lower())[0]
        found = self._by_name.get(f"{name}.{tag}")
        if found is None or template.language == tag or (known is not None and found.needs - set(known)):
            return template
        return found

    def signed_by(self, name: str, values: Mapping[str, str], sender: Sender) -> str:
        """Whose name a mail is from: the owner's, where the template wants it and the values have it in `sender_name`.

        Raises GiveUp.
        """
        owner = values.get("sender_name", "") if self._named(name).sender == "owner" else ""
        return _clean(owner) or sender.name

    def render(self, name: str, values: Mapping[str, str], sender: Sender, unsubscribe_url: str) -> Rendered:
        """Write one mail. Raises GiveUp where a value is missing, or a link is no http address."""
        template = self._named(name)
        cleaned = _cleaned(template, values)
        try:
            wording = self._wording(template, words.decided(template.body, cleaned))
            subject, preheader = (_said(parts, cleaned) for parts in (template.subject, template.preheader))
            return _filled(template, wording, subject, preheader, cleaned, sender, unsubscribe_url)
        except (Unsayable, NoLink, markdown.Faulty) as error:
            raise GiveUp(f"the template {name!r} cannot be written: {error}") from None

    def write(
        self, name: str, subject: str, body: str, sender: Sender, unsubscribe_url: str, *, signer: str = ""
    ) -> Rendered:
        """Write a mail whose subject and body (Markdown, its values filled in) a person has edited.

        It is read as plain Markdown, without Jinja and without HTML; `editable` gives what to begin with. Raises GiveUp
        with what is wrong with it, so that it can be told to who edited it.
        """
        template = self._named(name)
        one_line = _one_line(_clean(subject))
        try:
            if len(one_line) < 3 or not body.strip():
                raise markdown.Faulty("has no subject or no text", "")
            if len(body) + len(subject) > words.LONGEST:
                raise markdown.Faulty(f"is longer than {words.LONGEST} characters", "")
            if "{{" in body:  # in a value it is escaped
                raise markdown.Faulty("has {{ … }} in it, which nothing fills in any more", "")
            text = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in body.replace("\r\n", "\n"))
            wording = self._compiled(template, (text,))
            values = {"business": sender.business, "sender_name": _clean(signer) or sender.name}
            return _filled(template, wording, one_line, "", values, sender, unsubscribe_url)
        except markdown.Faulty as error:
            raise GiveUp(f"the edited mail {error}") from None

    def editable(self, name: str, values: Mapping[str, str]) -> tuple[str, str]:
        """Subject and body (Markdown) of a mail for a person to edit; `write` makes the same mail of them.

        Raises GiveUp as `render` does.
        """
        template = self._named(name)
        cleaned = _cleaned(template, values)
        try:
            wording = self._wording(template, words.decided(template.body, cleaned))
            body = markdown.editable(wording.body, wording.places, cleaned)
            return _said(template.subject, cleaned), body
        except (Unsayable, NoLink, markdown.Faulty) as error:
            raise GiveUp(f"the template {name!r} cannot be written: {error}") from None

    def all_wordings(
        self, name: str, values: Mapping[str, str], sender: Sender, unsubscribe_url: str
    ) -> Iterator[Rendered]:
        """A few renderings in which every branch of the template is there, whatever the values say."""
        template = self._named(name)
        cleaned = _cleaned(template, values)
        heads = [
            [words.say(one, cleaned) for one in words.covering(parts)]
            for parts in (template.subject, template.preheader)
        ]
        bodies = words.covering(template.body)
        for turn in range(max(len(bodies), *map(len, heads))):
            subject, preheader = (_one_line(head[min(turn, len(head) - 1)]) for head in heads)
            wording = self._compiled(template, bodies[min(turn, len(bodies) - 1)])
            yield _filled(template, wording, subject, preheader, cleaned, sender, unsubscribe_url)

    def layout(self, template: Template) -> Layout:
        """The layout for a template's language, else the common one."""
        return self._layouts.get(template.language) or self._layouts[""]

    def has_layout(self, language: str) -> bool:
        """Whether there is a layout of that language's own."""
        return language in self._layouts

    def _named(self, name: str) -> Template:
        template = self._by_name.get(name)
        if template is None:
            raise GiveUp(f"there is no template {name!r} any more")
        return template

    def _wording(self, template: Template, taken: tuple[int, ...]) -> _Wording:
        found = self._wordings.get((template.name, taken))
        if found is None:
            found = self._compiled(template, words.flat(template.body, iter(taken)))
            if len(self._wordings) >= _WORDINGS * len(self._by_name):
                self._wordings.clear()  # a template of many conditions; those in use come back at once
            self._wordings[template.name, taken] = found
        return found

    def _compiled(self, template: Template, plain: Plain) -> _Wording:
        """Raises Faulty."""
        source, named = _marked(plain)
        blocks, places = markdown.read(source, len(named))
        slots = [Slot(name, place) for name, place in zip(named, places, strict=True)]
        layout, text = self.layout(template), markdown.as_text(blocks)
        if template.medium == "sms":
            return _Wording(plain, places, blank(text, slots, is_html=False), None)
        return _Wording(plain, places, layout.around_text(text, slots), layout.around(markdown.as_html(blocks), slots))


def _layouts(paths: Mapping[str, Path], problems: list[Problem]) -> dict[str, Layout]:
    """language ("" for all others) → its layout; adds to the problems."""
    found = {}
    for name, path in paths.items():
        match = re.fullmatch(r"layout(?:\.([a-z]{2,3}))?\.mjml", name)
        if match is None:
            continue
        frame = paths.get(f"{name.removesuffix('.mjml')}.txt")
        if frame is None:
            problems.append(Problem(name, 0, "", "has no text beside it", f"write {name.removesuffix('.mjml')}.txt"))
            continue
        try:
            found[match[1] or ""] = compiled(name, written(path), frame.name, written(frame))
        except Problems as faults:
            problems += faults.problems
    if "layout.mjml" not in paths:
        problems.append(Problem("layout.mjml", 0, "", "is not there", "install the package again"))
    return found


def _relations(by_name: Mapping[str, Template]) -> list[Problem]:
    """Variants whose original is missing, or another kind of mail."""
    found = []
    for name, template in by_name.items():
        base, _, language = name.partition(".")
        origins = [("", base)] if language else []
        origins += [("variant_of", template.variant_of)] if template.variant_of else []
        for key, origin in origins:
            if origin not in by_name or origin == name:
                what = f"there is no {origin}.md for it to be a variant of"
                cure = spell(origin, by_name.keys() - {name}) if key else f"write {origin}.md as well"
                found.append(Problem(template.file, 0, key, what, cure))
                continue
            for what in ("purpose", "medium", *(() if key else ("sender", "topic"))):
                mine, theirs = getattr(template, what), getattr(by_name[origin], what)
                if mine != theirs:
                    message = f"{mine!r} is not that of {origin}.md"
                    found.append(Problem(template.file, 0, what, message, f'write {what} = "{theirs}"'))
    return found


def _filled(
    template: Template, wording: _Wording, subject: str, preheader: str, values: Mapping[str, str], sender: Sender,
    unsubscribe_url: str,
) -> Rendered:  # fmt: skip
    """Raises NoLink."""
    every = {
        **values, "subject": subject, "preheader": preheader, "footer": f"{sender.business}, {sender.postal_address}",
        "postal_address": sender.postal_address, "unsubscribe_url": unsubscribe_url, "language": template.language,
    }  # fmt: skip
    return Rendered(subject, wording.text.fill(every), wording.html.fill(every) if wording.html else "", preheader)


def _cleaned(template: Template, values: Mapping[str, str]) -> dict[str, str]:
    """The values that the template may name. Raises GiveUp where one is missing, or says nothing."""
    found = {name: _clean(values.get(name, "")) for name in (*ALWAYS, *template.front.needs)}
    found["first_name"] = found["first_name"] or template.front.nameless
    missing = sorted(name for name, value in found.items() if not value)
    if missing:
        raise GiveUp(f"the template {template.name!r} cannot be written: {', '.join(missing)} unknown")
    return found


def _said(parts: words.Parts, values: Mapping[str, str]) -> str:
    return _one_line(words.say(words.flat(parts, iter(words.decided(parts, values))), values))


def _one_line(text: str) -> str:
    """A head on one line, cut where no reader shows it any more."""
    return " ".join(text.split())[:300].rstrip()


def _clean(value: str) -> str:
    """One line, no control characters, no more than 500 characters."""
    value = value[:2_000]
    if not value.isprintable():
        value = "".join(sign if sign.isprintable() else " " for sign in value)
    return " ".join(value.split())[:500].rstrip()
