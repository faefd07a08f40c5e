"""config.toml and the environment as one frozen Config; every mistake at once, each with its cure.

The file never holds a secret: where an integration wants one as `key`, the file says `key_env = "KEAP_KEY"` and the
environment variable KEAP_KEY holds it. `config.example.toml` is made from the declarations here (worker/example.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from worker.integration import Integration, Settings
from worker.lib import assets
from worker.lib.clock import DAY, HOUR, MINUTE, zone
from worker.lib.dns import place_of
from worker.lib.problems import Problem, Problems
from worker.lib.shape import shaped, spell
from worker.lib.toml import Document, parse
from worker.registry import find

FILE: Final = "config.toml"
"""What the file is called in a workspace's folder."""

# -- how values are written -------------------------------------------------------------------------------------------

_UNITS: Final = {"minute": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY}
_DURATION: Final = re.compile(r"([1-9]\d{0,4}) (minute|hour|day|week)s?")
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_ADDRESS: Final = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+\.[^@\s<>,;\".]+")
_DOMAIN: Final = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


def _seconds(text: object) -> int:
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise ValueError('write a number of minutes, hours, days or weeks, as in "7 days"')
    return int(found[1]) * _UNITS[found[2]]


def _minute_of_day(text: object) -> int:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise ValueError('write hours and minutes in quotes, as in "20:00"')
    return int(found[1]) * 60 + int(found[2])


def _zone(name: object) -> object:
    if not isinstance(name, str):
        return name
    try:
        zone(name)
    except (KeyError, ValueError, OSError):  # what zoneinfo raises for unknown, malformed and half a name
        near = get_close_matches(name, sorted(available_timezones()), 1)
        raise ValueError(f'write a time zone\'s full name, as in "{near[0] if near else "Europe/Berlin"}"') from None
    return name


def _address(text: object) -> object:
    if isinstance(text, str) and text and not _ADDRESS.fullmatch(text):
        raise ValueError('write one e-mail address and nothing else, as in "anna@example.com"')
    return text


def _web_address(text: object) -> object:
    if isinstance(text, str):
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
            raise ValueError('write an address as browsers show it, as in "https://health.example.com"')
        return text.rstrip("/")
    return text


_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _closed_day(text: object) -> object:
    if not isinstance(text, str):
        return text
    name = text.strip().lower()
    if name in _WEEKDAYS:
        return name
    try:
        return date.fromisoformat(name).isoformat()
    except ValueError:
        near = get_close_matches(name, _WEEKDAYS, 1)
        raise ValueError(f'write a weekday or a date, as in "{near[0] if near else "2026-12-25"}"') from None


def _domain(text: object) -> object:
    if isinstance(text, str) and text and not _DOMAIN.fullmatch(text):
        raise ValueError('write a domain and nothing else, as in "example.com"')
    return text.lower() if isinstance(text, str) else text


def _name_server(text: object) -> object:
    if isinstance(text, str) and text:
        place_of(text)
    return text


_ABSENCE: Final = re.compile(r"(\d{4}-\d{2}-\d{2}) to (\d{4}-\d{2}-\d{2})")


def _absence(text: object) -> object:
    if not isinstance(text, str):
        return text
    found = _ABSENCE.fullmatch(text.strip())
    try:
        first, last = (date.fromisoformat(one) for one in (found.groups() if found else ("", "")))
    except ValueError:
        raise ValueError('write the first and the last day, as in "2026-07-01 to 2026-07-14"') from None
    if first > last:
        raise ValueError("the last day comes before the first")
    return text.strip()


def _dated(rates: dict[str, dict[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
    for day, told in rates.items():
        try:
            date.fromisoformat(day)
        except ValueError:
            raise ValueError(f'{day!r} is no day; write {{ 2026-01-01 = {{ eur = "1.08" }} }}') from None
        for currency, rate in told.items():
            if not re.fullmatch("[A-Za-z]{3}", currency) or rate <= 0:
                raise ValueError(f"{currency} = {rate} is no rate; write three letters and a number above 0")
    return rates


Absence = Annotated[str, BeforeValidator(_absence)]
"""First and last day, `2026-07-01 to 2026-07-14`."""
Duration = Annotated[int, BeforeValidator(_seconds)]
"""Seconds, written "7 days"."""
ClosedDay = Annotated[str, BeforeValidator(_closed_day)]
"""`sunday`, or a date as `2026-12-25`."""
TimeOfDay = Annotated[int, BeforeValidator(_minute_of_day)]
"""Minutes since midnight, written "20:00"."""
Zone = Annotated[str, BeforeValidator(_zone)]
Address = Annotated[str, BeforeValidator(_address)]
Domain = Annotated[str, BeforeValidator(_domain)]
Selector = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")]
"""Of a DKIM key (RFC 6376 §3.1)."""
WebAddress = Annotated[str, BeforeValidator(_web_address)]

# -- the sections -----------------------------------------------------------------------------------------------------


class Section(BaseModel):
    """A `[section]` of the file. Every field has a description; the example file is made from them."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Workspace(Section):
    """The business, and where its files are."""

    name: str = Field(min_length=1, description="What the business is called.", examples=["Acme Software"])
    time_zone: Zone = Field("UTC", description="Where its days begin and end, where a customer has no zone of its own.")
    quiet_from: TimeOfDay = Field("20:00", validate_default=True, description="No mail leaves from this time of day …")
    quiet_until: TimeOfDay = Field("08:00", validate_default=True, description="… until this one.")
    closed_days: tuple[ClosedDay, ...] = Field(
        (),
        description='Days on which you are closed, ["sunday", "2026-12-25"]: their quiet is no outage of a source.',
    )
    sender_name: str = Field("", description="Whom mails are from.")
    sender_address: Address = Field("", description="The address they are from; needed before a mail can leave.")
    reply_to: Address = Field("", description="Where answers go; nothing means the sender's address.")
    postal_address: str = Field("", description="Stands at the foot of every mail, as the law asks.")
    public_url: WebAddress = Field("http://127.0.0.1:8700", description="Where people and vendors reach this server.")
    scorecard: str = Field(
        "",
        description="Your scorecard, or a folder of them with cards.toml, beside this file; nothing means the starter card.",
    )
    plays: str = Field("", description="Your folder of plays, in this folder; nothing means those that ship.")
    database: str = Field(
        "sqlite:///keepwell.db",
        description="A SQLite file in this folder, or postgresql://host/name; DATABASE_URL in the environment wins.",
    )
    database_schema: str = Field(
        "keepwell",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="The schema in PostgreSQL; another one for each business that shares a database.",
    )


class Schedule(Section):
    """When things happen by themselves."""

    pull_every: Duration = Field("15 minutes", validate_default=True, description="How often vendors are asked.")
    assess_daily_at: TimeOfDay = Field(
        "06:00", validate_default=True, description="When everybody's score is looked at, business time."
    )


class Server(Section):
    """The web server."""

    host: str = Field("127.0.0.1", description="The address it listens on; 0.0.0.0 lets other machines in.")
    port: int = Field(8700, ge=1, le=65_535, description="The port it listens on.")
    threads: int = Field(16, ge=1, le=256, description="How many requests are served at the same time.")
    forwarded_hops: int = Field(
        0, ge=0, le=9, description="How many proxies in front of it are yours; only they are believed about callers."
    )


_TAGS: Final = {
    "green": "Health: green", "yellow": "Health: yellow", "red": "Health: red", "grey": "Health: grey",
}  # fmt: skip
_FIELDS: Final = {
    "score": "Health score", "band": "Health band", "reason": "Health reason", "as_of": "Health as of",
}  # fmt: skip


def _labels(given: object) -> object:
    """Labels for some of our fields; the others keep their default."""
    if isinstance(given, dict) and (unknown := [str(key) for key in given if key not in _FIELDS]):
        raise ValueError(f"there is no field {unknown[0]!r}; {spell(unknown[0], _FIELDS)}")
    return {**_FIELDS, **given} if isinstance(given, dict) else given


def _recipient(text: object) -> object:
    if isinstance(text, str) and not _ADDRESS.fullmatch(f"any{text}" if text.startswith("@") else text):
        raise ValueError('write an e-mail address, or an @ and a domain, as in "@acme.example"')
    return text


Recipient = Annotated[str, BeforeValidator(_recipient)]
"""An address, or `@` and a domain for everybody there."""


class CrmSection(Section):
    """What is shown in the CRM, and how."""

    source: str = Field("keap", description="The integration that is the CRM.")
    tags: Annotated[
        dict[str, str], BeforeValidator(lambda given: {**_TAGS, **given} if isinstance(given, dict) else given)
    ] = Field(_TAGS, description="The tag for each band.")
    fields: Annotated[dict[str, str], BeforeValidator(_labels)] = Field(_FIELDS, description="The label of each field.")
    adopt: bool = Field(
        default=False, description="Use tags and fields of these names that are there already and not made by Keepwell."
    )
    write_when_moved: int = Field(
        1, ge=0, le=100, description="Points a score must have moved to be written again while its band stays."
    )
    only_contacts: tuple[str, ...] = Field(
        (), description='For a trial: only these contacts, by their ids, are written to; nothing means all. ["1234"]'
    )
    when_edited: Literal["keep", "overwrite"] = Field(
        "keep",
        description="What somebody puts into a field of ours, or another of our tags: kept while the band stays, or overwritten.",
    )
    keep_snapshots: int = Field(
        30, ge=1, le=3650, description="For so many days the nightly snapshots of our tags and fields are kept."
    )
    log_mails: bool = Field(
        default=True, description="Tell the CRM's own history of mails that left by another way than its own."
    )
    pulse_field: str = Field(
        "", description="The label of a custom field in which your people note their pulse, 1 to 5; nothing means none."
    )


class Outreach(Section):
    """What reaches customers and the team, and when it must not."""

    mailer: str = Field(
        "console",
        description="The integration that sends mail: smtp, postmark, ses, keap, or console, which only shows it.",
    )
    texter: str = Field(
        "", description="The integration that sends text messages: twilio; nothing means none are sent."
    )
    alerts: str = Field(
        "console",
        description="The integration that tells the team: slack, apprise (Teams, Discord, mail and many more), or console.",
    )
    desk: str = Field(
        "", description="The integration in which your people get tasks; nothing means the CRM, where it can hold them."
    )
    test_addresses: tuple[Address, ...] = Field(
        (), description="Addresses of your own to which `keepwell mail test` may send; no customer's."
    )
    one_mail_every: Duration = Field(
        "7 days", validate_default=True, description="At most one mail per customer in this time, the CRM's counted."
    )
    only_to: tuple[Recipient, ...] = Field(
        (),
        description='For a trial: only these get mail; nothing means everybody. ["ann@acme.example", "@acme.example"]',
    )
    most_in_30_days: int = Field(
        6, ge=1, le=100, description="At most so many mails per customer in 30 days, the CRM's counted."
    )
    service_needs_opt_in: bool = Field(
        default=True,
        description="Service mails need an opt-in as marketing does; false: that nobody opted out is enough (ask counsel).",
    )
    internal: tuple[Recipient, ...] = Field(
        (), description='Your own addresses, ["ann@acme.example", "@acme.example"]: they are no customers.'
    )
    stop_tags: tuple[str, ...] = Field(
        (), description="The CRM's ids of tags whose contacts are not written to: do not contact, in negotiation …"
    )
    after_person: Duration = Field(
        "3 days", validate_default=True, description="So long a person who was in touch with a customer has the word."
    )
    after_refund: Duration = Field(
        "14 days", validate_default=True, description="So long after a refund only transactional mail is sent."
    )
    known_at_least: int = Field(
        40, ge=0, le=100, description="Percent of a score that must be known before what it says moves a mail."
    )
    hold_when_turned: int = Field(
        25, ge=1, le=100, description="More than so many of 100 customers turning within a day hold all mails."
    )
    new_for: Duration = Field(
        "60 days", validate_default=True, description="So long after joining a customer is new (lifecycle)."
    )
    track_clicks: bool = Field(
        default=False, description="Whether links of mails go by this server, so that it is known who followed them."
    )
    track_opens: bool = Field(
        default=False, description="Whether mails hold a picture of this server, so that it is known who opened them."
    )
    urgent_labels: tuple[str, ...] = Field(
        ("urgent",), description="Priorities of open tickets during which a customer gets no mail."
    )
    pulse_valid_for: Duration = Field(
        "90 days", validate_default=True, description="For so long a pulse that parts from the band is asked about."
    )
    check_sender: bool = Field(
        default=True,
        description="Mails but transactional ones wait until the sender's records are in order (keepwell check --sender).",
    )
    dkim_selectors: tuple[Selector, ...] = Field(
        (), description="The keys that sign your mails: what stands behind s= in the DKIM-Signature of one of them."
    )
    dkim_domain: Domain = Field("", description="What stands behind d= there; nothing means the sender's domain.")
    spf_include: tuple[Domain, ...] = Field(
        (), description="What your mail service wants included in the SPF record of the sender's domain."
    )
    return_path: Domain = Field(
        "",
        description="The domain to which undeliverable mails go back, where that is one of yours and not the sender's.",
    )
    name_server: Annotated[str, BeforeValidator(_name_server)] = Field(
        "", description='Who is asked about these records, as in "9.9.9.9"; nothing means this machine\'s own.'
    )


class Approval(Section):
    """Which messages a person sees before they leave. They wait at /approvals."""

    first: int = Field(0, ge=0, le=100, description="So many sends of each template; 0 for none.")
    bands: tuple[str, ...] = Field((), description='To customers in these bands, ["red"].')
    worth_from: int = Field(0, ge=0, description="To customers worth so much a month or more; 0 for none.")
    all: bool = Field(default=False, description="Every message.")


Rates = dict[str, dict[str, Decimal]]


class WorthSection(Section):
    """What a customer is worth a month, and from which worth on a person writes instead of a mail."""

    currency: str = Field("usd", pattern=r"^[A-Za-z]{3}$", description="The one in which worth is counted.")
    rates: Annotated[Rates, AfterValidator(_dated)] = Field(
        {}, description='What one unit is in yours, from a day on: { 2026-01-01 = { eur = "1.08" } }.'
    )
    person_from: Decimal = Field(Decimal(0), ge=0, description="From this worth a month a person writes; 0 for never.")
    person_from_by_segment: dict[str, Decimal] = Field({}, description="Another line for some: { Team = 100 }.")


class Member(Section):
    """One of your people, under the CRM's id."""

    name: str = Field("", description="What this person is called.")
    email: Address = Field(
        "", description="Where the morning message goes, where your mailer can reach it; else to the team's channel."
    )
    deputy: str = Field("", description="The CRM's id of who stands in during absences.")
    away: tuple[Absence, ...] = Field((), description='Absences, ["2026-07-01 to 2026-07-14"].')
    tasks_a_day: int = Field(0, ge=0, le=100, description="Another limit for this person; 0 for everybody's.")


Weekday = Annotated[
    Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    BeforeValidator(lambda given: given.strip().lower() if isinstance(given, str) else given),
]


class Team(Section):
    """Your people, how much of a day they are given, and when they are told what to do first."""

    morning_at: TimeOfDay = Field(
        "08:00",
        validate_default=True,
        description="When each of them is told what changed and what to do first, business time; closed_days are left out.",
    )
    morning_days: tuple[Weekday, ...] = Field(
        ("monday", "tuesday", "wednesday", "thursday", "friday"),
        description="The days on which they are told; [] for no morning messages.",
    )
    tasks_a_day: int = Field(5, ge=1, le=100, description="At most so many tasks a person and day.")
    fallback: str = Field("", description="The CRM's id of who gets the tasks of customers without an owner.")
    people: dict[str, Member] = Field({}, description='Each under the CRM\'s id: { "17" = { name = "Cleo" } }.')


SECTIONS: Final[dict[str, type[Section]]] = {
    "workspace": Workspace,
    "schedule": Schedule,
    "server": Server,
    "crm": CrmSection,
    "outreach": Outreach,
    "approval": Approval,
    "worth": WorthSection,
    "team": Team,
}
"""Every section but `[integrations.<name>]`, which each integration declares itself."""


@dataclass(frozen=True)
class Config:
    """All that a workspace is told from outside, checked."""

    folder: Path
    workspace: Workspace
    schedule: Schedule
    server: Server
    crm: CrmSection
    outreach: Outreach
    approval: Approval
    worth: WorthSection
    team: Team
    integrations: Mapping[str, Settings]
    """By name; secrets are inside, hidden from `repr`."""
    scorecard: Path
    plays: Path
    database: str = field(repr=False)
    """As `lib.store.open_store` takes it; may hold a password."""


# -- reading ----------------------------------------------------------------------------------------------------------


def load(folder: Path, environ: Mapping[str, str]) -> Config:
    """Read a workspace's config.toml. Raises Problems with every mistake in it and in the environment it names."""
    path = folder / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise Problems([Problem(str(path), 0, "", "is not there", "make a workspace with: keepwell init")]) from None
    except UnicodeDecodeError:
        raise Problems([Problem(str(path), 0, "", "is not UTF-8 text", "save it as UTF-8")]) from None
    except OSError as error:
        raise Problems([Problem(str(path), 0, "", f"cannot be read: {error.strerror}")]) from None
    return read(text, str(path), folder, environ)


def read(
    text: str, file: str, folder: Path, environ: Mapping[str, str], known: Mapping[str, Integration] | None = None
) -> Config:
    """The same for a text; `file` is its name for people, `known` the integrations there are (those found, if None)."""
    return _Reading(parse(text, file), file, folder, environ, find() if known is None else known).config()


_Model = TypeVar("_Model", bound=BaseModel)


class _Reading:
    """One reading of one file: collects problems until the end."""

    def __init__(
        self,
        document: Document,
        file: str,
        folder: Path,
        environ: Mapping[str, str],
        known: Mapping[str, Integration],
    ) -> None:
        self._document, self._file, self._folder = document, file, folder
        self._environ, self._known = environ, known
        self._problems: list[Problem] = []

    def config(self) -> Config:
        """The whole. Raises Problems."""
        for name in self._document.data.keys() - SECTIONS.keys() - {"integrations"}:
            self._problem((name,), "is no section here", spell(name, [*SECTIONS, "integrations"]))
        workspace = self._section(Workspace, "workspace")
        schedule = self._section(Schedule, "schedule")
        server = self._section(Server, "server")
        crm = self._section(CrmSection, "crm")
        outreach = self._section(Outreach, "outreach")
        approval = self._section(Approval, "approval")
        worth = self._section(WorthSection, "worth")
        team = self._section(Team, "team")
        settings = self._integrations()
        if crm:
            self._role("crm", "source", crm.source, settings, lambda one: one.crm)
        if outreach:
            self._role("outreach", "mailer", outreach.mailer, settings, lambda one: one.mailer)
            if outreach.texter:
                self._role("outreach", "texter", outreach.texter, settings, lambda one: one.texter)
            self._role("outreach", "alerts", outreach.alerts, settings, lambda one: one.alerter)
            if outreach.desk:
                self._role("outreach", "desk", outreach.desk, settings, lambda one: one.desk)
        if workspace and outreach and outreach.mailer != "console":
            self._sender(workspace)
        scorecard = self._beside("scorecard", workspace, "recipes/scorecards/starter.toml", Path.exists)
        plays = self._beside("plays", workspace, "recipes/plays", Path.is_dir)
        database = self._database(workspace.database) if workspace else ""
        if self._problems or not (
            workspace and schedule and server and crm and outreach and approval and worth and team
        ):
            raise Problems(self._problems)
        return Config(
            self._folder, workspace, schedule, server, crm, outreach, approval, worth, team, settings, scorecard, plays,
            database,
        )  # fmt: skip

    def _problem(self, path: tuple[str, ...], message: str, cure: str) -> None:
        self._problems.append(Problem(self._file, self._document.line(*path), ".".join(path), message, cure))

    @contextmanager
    def _gathering(self) -> Iterator[None]:
        try:
            yield
        except Problems as found:
            self._problems += found.problems

    def _section(self, model: type[_Model], name: str) -> _Model | None:
        with self._gathering():
            return shaped(model, self._document, self._file, under=(name,))
        return None

    # -- integrations

    def _integrations(self) -> dict[str, Settings]:
        tables = self._document.data.get("integrations", {})
        if not isinstance(tables, dict):
            self._problem(("integrations",), "is no section", "write [integrations.keap]")
            return {}
        found: dict[str, Settings] = {}
        for name, table in tables.items():
            if name not in self._known:
                self._problem(("integrations", name), "is no integration", spell(name, self._known))
            elif not isinstance(table, dict):
                self._problem(("integrations", name), "is no section", f"write [integrations.{name}]")
            else:
                model = self._known[name].settings
                values = self._values(name, model, table)
                with self._gathering():
                    found[name] = shaped(
                        model, self._with_secrets(name, values), self._file, under=("integrations", name)
                    )
        return found

    def _values(self, name: str, model: type[Settings], table: dict[str, Any]) -> dict[str, Any]:
        """The table with its secrets put in, hidden from sight, and without what it should not have."""
        secrets = secret_fields(model)
        plain = model.model_fields.keys() - secrets.keys()
        values = {}
        for key, value in table.items():
            path = ("integrations", name, key)
            if key in plain:
                values[key] = value
            elif key in secrets:
                self._problem(
                    path, "a secret must not stand in this file",
                    f'put it into an environment variable and write {key}_env = "{variable(name, key)}"',
                )  # fmt: skip
            elif key.removesuffix("_env") not in secrets or not key.endswith("_env"):
                self._problem(path, "is no setting here", spell(key, [*plain, *(f"{one}_env" for one in secrets)]))
        for key, info in secrets.items():
            if f"{key}_env" in table:
                values[key] = self._secret(("integrations", name, f"{key}_env"), table[f"{key}_env"])
            elif info.is_required():
                values[key] = _HIDDEN
                if key not in table:
                    self._problem(
                        ("integrations", name, f"{key}_env"), "is missing",
                        f'write {key}_env = "{variable(name, key)}" and set that environment variable',
                    )  # fmt: skip
        return values

    def _with_secrets(self, name: str, values: dict[str, Any]) -> Document:
        """The document as if the secrets stood in it, where the names of their variables stand."""
        lines = dict(self._document.lines)
        for key in values:
            lines.setdefault(("integrations", name, key), self._document.line("integrations", name, f"{key}_env"))
        return Document({"integrations": {name: values}}, lines)

    def _secret(self, path: tuple[str, ...], names: object) -> SecretStr | list[SecretStr]:
        if isinstance(names, list):
            return [self._one_secret(path, name) for name in names]
        return self._one_secret(path, names)

    def _one_secret(self, path: tuple[str, ...], name: object) -> SecretStr:
        # What is no name may well be the secret itself, so it is not repeated.
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            self._problem(
                path, "is no name of an environment variable",
                f'write a name in capital letters, as in "{variable(path[1], path[2].removesuffix("_env"))}"',
            )  # fmt: skip
            return _HIDDEN
        value = self._environ.get(name, "").strip()
        if not value:
            self._problem(path, f"the environment variable {name} is not set", f"export {name}=… before the start")
            return _HIDDEN
        return SecretStr(value)

    def _role(
        self, section: str, key: str, name: str, settings: dict[str, Settings], part: Callable[[Integration], object]
    ) -> None:
        """Hold a name of an integration against what there is, and take it in where it needs no settings."""
        written = key in self._document.data.get(section, {})
        able = [one.name for one in self._known.values() if part(one) is not None]
        if name not in able:
            if written:
                self._problem((section, key), f"{name!r} cannot do this", spell(name, able))
            return
        if name in settings or name in self._document.data.get("integrations", {}):
            return
        try:
            settings[name] = self._known[name].settings()
        except ValidationError:  # it needs to be told something
            if written:
                self._problem((section, key), f"{name!r} is not set up", f"add a section [integrations.{name}]")

    # -- what fits together

    def _sender(self, workspace: Workspace) -> None:
        for key in ("sender_address", "postal_address"):
            if not getattr(workspace, key):
                self._problem(("workspace", key), "is missing, and no mail may leave without it", f'write {key} = "…"')

    def _beside(self, key: str, workspace: Workspace | None, ours: str, there: Callable[[Path], bool]) -> Path:
        """The file or folder that the workspace names, beside config.toml; else the one that ships."""
        written = str(getattr(workspace, key, ""))
        if not written:
            top, _, rest = ours.partition("/")
            return assets.folder(top) / rest
        path = self._folder / written
        if not there(path):
            self._problem(("workspace", key), f"{written!r} is not there", "write its place seen from this file")
        return path

    def _database(self, written: str) -> str:
        """The address of the database. Passwords come from the environment; a disk must outlive a restart."""
        path = ("workspace", "database")
        from_outside = self._environ.get("DATABASE_URL", "").strip()
        address = from_outside or written
        if not address.startswith(("sqlite:///", "postgresql://", "postgres://")):
            where = "DATABASE_URL in the environment" if from_outside else repr(written)
            self._problem(path, f"{where} names no database", "write sqlite:///keepwell.db or postgresql://host/name")
        elif not from_outside and _has_password(written):
            self._problem(path, "a password must not stand in this file", "set DATABASE_URL in the environment instead")
        host = next((name for sign, name in FORGETFUL_HOSTS.items() if self._environ.get(sign)), None)
        if host and address.startswith("sqlite:"):
            self._problem(
                path, f"{host} forgets its disk at every restart, and SQLite is a file on it",
                "add a PostgreSQL database there and set DATABASE_URL to its address",
            )  # fmt: skip
        if address.startswith("sqlite:///"):
            return f"sqlite:///{self._folder.resolve() / address.removeprefix('sqlite:///')}"
        return address


FORGETFUL_HOSTS: Final = {
    "DYNO": "Heroku",  # devcenter.heroku.com/articles/dynos#ephemeral-filesystem
    "K_SERVICE": "Google Cloud Run",  # cloud.google.com/run/docs/container-contract
    "VERCEL": "Vercel",  # vercel.com/docs/environment-variables/system-environment-variables
}
"""The environment variable by which a host shows itself whose disk does not outlive a restart."""

_HIDDEN: Final = SecretStr("not known")
"""Stands in for a secret that a problem has been told about, so that it is told once."""


def _has_password(address: str) -> bool:
    try:
        return urlsplit(address).password is not None or "password=" in address
    except ValueError:
        return False


def secret_fields(model: type[Settings]) -> dict[str, FieldInfo]:
    """The fields of an integration's settings that hold secrets, alone or in a list."""
    return {name: info for name, info in model.model_fields.items() if _is_secret(info.annotation)}


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_is_secret(inner) for inner in get_args(annotation))


def variable(integration: str, key: str) -> str:
    """The name we propose for the environment variable that holds a secret: KEAP_KEY."""
    return f"{integration}_{key}".upper()
