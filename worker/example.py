"""What is written from the declarations, so that it cannot drift: config.example.toml, and tables of README and pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from worker.config import SECTIONS, secret_fields, variable
from worker.integration import Integration
from worker.lib import assets
from worker.plays import words
from worker.plays.files import load
from worker.registry import find

_HEAD: Final = """\
# Keepwell's settings. Copy this file to config.toml in your workspace's folder, or let `keepwell init` do it.
# Every setting is shown with its default; take the # away from a line to change it.
# No secret stands here: a setting that ends in _env names the environment variable that holds it.
"""

BEGIN: Final = "<!-- integrations: written by make docs -->"
END: Final = "<!-- /integrations -->"


def example() -> str:
    """The text of config.example.toml: every section and setting there is, with its sentence and its default."""
    parts = [_HEAD]
    for name, model in SECTIONS.items():
        parts.append("\n".join([f"# {_sentence(model)}", f"[{name}]", *_settings(model)]))
    for name, integration in find().items():
        parts.append("\n".join(_integration(name, integration)))
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


def _sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _settings(model: type[BaseModel]) -> Iterator[str]:
    for key, info in model.model_fields.items():
        yield from _described(info)
        yield f"{key} = {_toml(_shown(info))}" if info.is_required() else f"#{key} = {_toml(_shown(info))}"


def _integration(name: str, integration: Integration) -> Iterator[str]:
    """A section that is commented out whole: an integration is used when its section is there."""
    yield f"# {integration.title}: {integration.does}. {integration.docs}".rstrip()
    yield f"#[integrations.{name}]"
    secrets = secret_fields(integration.settings)
    for key, info in integration.settings.model_fields.items():
        yield from _described(info)
        if key in secrets:
            yield f"#{key}_env = {_toml(variable(name, key))}"
        else:
            yield f"#{key} = {_toml(_shown(info))}"


def _described(info: FieldInfo) -> Iterator[str]:
    need = " Required." if info.is_required() else ""
    yield f"# {info.description or ''}{need}".rstrip()


def _shown(info: FieldInfo) -> Any:
    """The default as it is written in the file, or an example of what is required."""
    if info.is_required():
        return info.examples[0] if info.examples else "…"
    return info.get_default(call_default_factory=True, validated_data={})


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps("" if value is None else str(value), ensure_ascii=False)


def integration_table() -> str:
    """The README's table of integrations, in Markdown."""
    rows = ["| service | what it does | hooks in | pulls | acts |", "| --- | --- | --- | --- | --- |"]
    for name, one in find().items():
        title = f"[{one.title}]({one.docs})" if one.docs else one.title
        pulls = ", ".join(pull.stream for pull in one.pulls)
        roles = {
            "CRM": one.crm, "mail": one.mailer, "texts": one.texter, "mail history": one.history, "tasks": one.desk,
            "alerts": one.alerter,
        }  # fmt: skip
        acts = ", ".join(role for role, part in roles.items() if part)
        hook = f"`/hooks/{name}`" if one.verify else ""
        rows.append(f"| {title} | {one.does} | {hook} | {pulls} | {acts} |")
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """The README with a fresh table between its markers. Raises ValueError where a marker is missing."""
    return _filled(readme, "README.md", BEGIN, END, integration_table())


def _filled(page: str, name: str, begin: str, end: str, table: str) -> str:
    before, found, rest = page.partition(begin)
    _, over, after = rest.partition(end)
    if not (found and over):
        raise ValueError(f"{name} lacks the lines {begin} and {end}, between which a table goes")
    return f"{before}{begin}\n{table}\n{end}{after}"


# -- docs/plays.md ----------------------------------------------------------------------------------------------------

CHECK_SETTINGS: Final[Mapping[str, str]] = {
    "switch": "`keepwell mode`, `pause` and `release`; `only_to`, `hold_when_turned`",
    "identity": "`internal`",
    "consent": "`service_needs_opt_in`",
    "suppression": "`urgent_labels`, `stop_tags`, `after_person`, `after_refund`",
    "dunning": "the play's `[unless]` and `[until]`",
    "stability": "`known_at_least`",
    "frequency": "`one_mail_every`, `most_in_30_days`",
    "priority": "the play's `priority`",
    "hours": "`quiet_from`, `quiet_until`, `closed_days`, `time_zone` in `[workspace]`",
    "approval": "`first`, `bands`, `worth_from`, `all` in `[approval]`",
    "goal": "the play's `[unless]`, `[until]`, `worth_sending_for`",
    "reentry": "the play's `at_most_every`",
    "deliverability": "`check_sender`; `keepwell reputation`",
    "repeat": "",
    "holdout": "`keepwell hold-out`",
}
"""What each of the arbiter's checks reads; of the settings without a section, that is `[outreach]`."""


def play_table() -> str:
    """The plays that ship, in Markdown. Raises ValueError for one that does not say when it worked."""
    rows = ["| play | set off by | for whom | what it does | it worked if |", "| --- | --- | --- | --- | --- |"]
    for name, play in load((assets.folder("recipes") / "plays").glob("*.toml")).items():
        worked = words.worked_if(play)
        if not worked:
            raise ValueError(f"{name}.toml: about does not end with: It worked if …")
        link = f"[`{name}`](../recipes/plays/{name}.toml)"
        rows.append(f"| {link} | {words.set_off(play)} | {words.for_whom(play)} | {words.does(play)} | {worked} |")
    return "\n".join(rows)


def check_table() -> str:
    """The arbiter's checks in their order, in Markdown."""
    rows = ["| | check | what it says | what it reads |", "| --- | --- | --- | --- |"]
    for place, (name, says) in enumerate(words.checks(), start=1):
        rows.append(f"| {place} | `{name}` | {says} | {CHECK_SETTINGS[name]} |")
    return "\n".join(rows)


def with_play_tables(page: str) -> str:
    """docs/plays.md with fresh tables between its markers. Raises ValueError where a marker is missing."""
    for name, table in (("plays", play_table()), ("checks", check_table())):
        page = _filled(page, "docs/plays.md", f"<!-- {name}: written by make docs -->", f"<!-- /{name} -->", table)
    return page
