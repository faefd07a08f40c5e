"""Letters: templates of Markdown and Jinja in an MJML layout, and how one becomes subject, text and HTML.

A template is one file, `templates/email/<name>.md`: TOML front matter between `+++` lines (subject, preheader, purpose,
needs), then Markdown. Values are data: while Jinja and Markdown run, each stands in as an opaque token, and only the
finished HTML (escaped) or text gets the value itself. So a value can break neither links, Markdown nor headers.
"""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markdown_it import MarkdownIt
from markupsafe import Markup
from mjml import mjml2html
from pydantic import BaseModel, ConfigDict, Field

from worker.lib.http import GiveUp
from worker.lib.problems import Problem, Problems
from worker.lib.shape import shaped, written
from worker.lib.toml import parse

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False})
_TOKEN: Final = re.compile(r"kwv[0-9a-f]{8}x\d+z")
ALWAYS: Final = frozenset({"first_name", "sender_name", "business"})
"""Values that every mail has, beside the evidence."""


class FrontMatter(BaseModel):
    """The head of a template."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(min_length=3, max_length=120)
    preheader: str = Field("", max_length=140)
    purpose: Literal["marketing", "service", "transactional"]
    needs: tuple[str, ...] = Field(
        description="The values it cannot be written without; at least one, its evidence.", min_length=1
    )


@dataclass(frozen=True, slots=True)
class Template:
    """One mail, ready to be rendered."""

    name: str
    front: FrontMatter
    subject: jinja2.Template
    preheader: jinja2.Template
    body: jinja2.Template

    @property
    def purpose(self) -> str:
        """marketing, service or transactional."""
        return self.front.purpose

    @property
    def needs(self) -> frozenset[str]:
        """The values it cannot be written without."""
        return frozenset(self.front.needs)


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
    """A mail's texts."""

    subject: str
    text: str
    html: str


@cache
def _jinja() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=_stand_in
    )


@lru_cache(maxsize=64)
def _read(file: str, text: str) -> Template:
    """One template; compiled once for all workspaces of a process, as long as its text is the same. Raises Problems."""
    parts = re.split(r"^\+\+\+[ \t]*$\n?", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) != 3 or parts[0].strip():
        raise Problems([Problem(file, 1, "", "has no head", "begin with +++, subject = …, and +++")])
    body, body_line = parts[2].strip() + "\n", text[: len(text) - len(parts[2])].count("\n")
    try:
        front = shaped(FrontMatter, parse("\n" + parts[1], file), file)
    except Problems as found:  # a faulty head does not hide a faulty body
        raise Problems([*found.problems, *_misspelt(file, body_line, "body", body)]) from None
    problems: list[Problem] = []
    known = ALWAYS | set(front.needs)
    compiled = {}
    for key, source, line in (
        ("subject", front.subject, 1), ("preheader", front.preheader, 1), ("body", body, body_line)
    ):  # fmt: skip
        if misspelt := _misspelt(file, line, key, source):
            problems += misspelt
            continue
        tree = _jinja().parse(source)
        compiled[key] = _jinja().from_string(source)
        problems += _tried(file, line, key, compiled[key], known)
        problems += [
            Problem(file, line, key, f"names {name!r}, which it does not declare", "add it to needs")
            for name in sorted(jinja2.meta.find_undeclared_variables(tree) - known)
        ]
    if problems:
        raise Problems(problems)
    return Template(file.removesuffix(".md"), front, compiled["subject"], compiled["preheader"], compiled["body"])


def _misspelt(file: str, line: int, key: str, source: str) -> list[Problem]:
    """The first fault of Jinja's syntax; it tells no more than one."""
    try:
        _jinja().parse(source)
    except jinja2.TemplateSyntaxError as error:
        return [Problem(file, line + error.lineno, key, str(error.message), "mend the {{ … }}")]
    return []


def _tried(file: str, line: int, key: str, template: jinja2.Template, known: Iterable[str]) -> list[Problem]:
    tokens = _Tokens()
    try:
        template.render({name: tokens.mark("1") for name in known})
    except jinja2.UndefinedError:
        return []  # names what it does not declare: told apart from this
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        return [Problem(file, line, key, f"cannot be written: {error}", "mend the {{ … }}")]
    return []


class Templates:
    """All mail templates, compiled; later folders override earlier ones by name."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Raises Problems with every mistake of every file (of Jinja, the first of each file)."""
        self._by_name: dict[str, Template] = {}
        problems: list[Problem] = []
        layout = ""
        for folder in folders:
            if (folder / "layout.mjml").exists():
                layout = written(folder / "layout.mjml")
            for path in sorted(folder.glob("*.md")):
                try:
                    self._by_name[path.stem] = _read(path.name, written(path))
                except Problems as found:
                    problems += found.problems
        if problems:
            raise Problems(problems)
        self._layout = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True).from_string(
            str(mjml2html(layout))
        )

    @property
    def by_name(self) -> Mapping[str, Template]:
        """Every template by its name."""
        return self._by_name

    def render(self, name: str, values: Mapping[str, str], sender: Sender, unsubscribe_url: str) -> Rendered:
        """Write one mail. Raises GiveUp where a value is missing, or a link is no http address."""
        template = self._by_name.get(name)
        if template is None:
            raise GiveUp(f"there is no template {name!r} any more")
        tokens = _Tokens()
        marked = {key: tokens.mark(value) for key, value in values.items()}
        try:
            subject = tokens.plain(template.subject.render(marked))
            preheader = tokens.plain(template.preheader.render(marked))
            body = template.body.render(marked)
        except jinja2.TemplateError as error:
            raise GiveUp(f"the template {name!r} cannot be written: {error}") from None
        footer = f"{sender.business}, {sender.postal_address}"
        page = self._layout.render(
            subject=subject, preheader=preheader, body=Markup(tokens.html(_MARKDOWN.render(body))),  # noqa: S704  Markdown without HTML, values escaped
            footer=footer, unsubscribe_url=unsubscribe_url,
        )  # fmt: skip
        text = f"{tokens.plain(_reflowed(body), lines=True).rstrip()}\n\n-- \n{footer}\nNo more of these mails: {unsubscribe_url}\n"
        return Rendered(" ".join(subject.split()), text, page)


def _reflowed(markdown: str) -> str:
    """Paragraphs on one line each: where the source breaks its lines is no matter of the reader's."""
    return re.sub(r"(?<=[^\n])\n(?=[^\n\s>#*\-\d])", " ", markdown)


class _Marked(str):
    """A value that, when it is put out, leaves its token; in conditions it is itself."""

    __slots__ = ("token",)
    token: str


def _stand_in(value: Any) -> Any:
    """What `{{ … }}` puts out. A value that a filter has changed has lost its token, and might be read as markup."""
    if isinstance(value, _Marked):
        return value.token
    if isinstance(value, str) and value:
        raise jinja2.TemplateRuntimeError("a value can only be put out as it is, without filters")
    return value


class _Tokens:
    """The values of one mail and what stands in for each."""

    def __init__(self) -> None:
        self._prefix = f"kwv{secrets.token_hex(4)}x"
        self._values: list[str] = []

    def mark(self, value: str) -> str:
        marked = _Marked(_clean(value))
        marked.token = f"{self._prefix}{len(self._values)}z"
        self._values.append(str(marked))
        return marked

    def plain(self, text: str, *, lines: bool = False) -> str:
        found = _TOKEN.sub(self._value, text)
        return found if lines else " ".join(found.split())

    def html(self, page: str) -> str:
        for link in re.findall(rf'href="({self._prefix}\d+z)', page):
            if not self._value_of(link).startswith(("https://", "http://")):
                raise GiveUp(f"a link of the mail would lead to {self._value_of(link)[:40]!r}")
        return _TOKEN.sub(lambda match: html.escape(self._value(match), quote=True), page)

    def _value(self, match: re.Match[str]) -> str:
        return self._value_of(match[0])

    def _value_of(self, token: str) -> str:
        return self._values[int(token.removeprefix(self._prefix)[:-1])] if token.startswith(self._prefix) else token


def _clean(value: str) -> str:
    """One line, no control characters, no more than 500 characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in value).split())[:500]
