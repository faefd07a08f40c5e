"""The demo: pretend vendors, a small world, and a real Keepwell in `live`, through weeks of virtual time.

Everything goes over loopback HTTP and SMTP as it would outside: keys, signatures, limits, faults. What it tells at the
end is read back from the vendors' own records; only facts and changes come from our store.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click
import requests

from worker import check, controls, playbook, setup
from worker.app import create_app
from worker.assess import shown_score
from worker.intake.pull import store_raw
from worker.lib import assets
from worker.lib.clock import DAY, HOUR, VirtualClock, day_text, iso, local_day
from worker.lib.problems import Problem, Problems
from worker.plays.records import main_contact, set_switch
from worker.river import Turn, turn
from worker.sandbox.demo_staff import Staff
from worker.sandbox.servers.base import Faults, PretendVendor
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.loopback import Loopback
from worker.sandbox.servers.mailbox import Mailbox
from worker.sandbox.servers.postmark import PretendPostmark
from worker.sandbox.servers.slack import PretendSlack
from worker.sandbox.servers.stripe import PretendStripe
from worker.sandbox.servers.zendesk import PretendZendesk
from worker.sandbox.world import PAST_DAYS, Servers, World
from worker.scoring import records
from worker.web import auth
from worker.workspace import CLOCK_STANDS, Workspace, open_workspace

START: Final = 1_767_571_200
"""2026-01-05T00:00:00Z, a Monday: the same demo every time."""
FAULTY: Final = 0.01
"""How many of all calls to a vendor meet a fault."""
SURE_FAULTS: Final = ["429_bare", "429_with_retry_after", "500"]
"""What Keap does in any case, however short the demo; and it refuses one item of a batch."""
DUPLICATED, REORDERED = 0.05, 0.05
MORNING: Final = 10 * HOUR
EVENTS_A_REQUEST: Final = 1000
OWN: Final = 2
"""How many of the customers are the business's own accounts, to which no play writes."""
CARD: Final = "scorecard.toml"
"""What the card of a demo that is kept is called."""

_CONFIG: Final = """\
[workspace]
name = "Sandbox Software"
sender_name = "Ann Keeper"
sender_address = "ann@sandbox.example"
postal_address = "1 Loopback Lane, 12700 Localhost"
public_url = "http://127.0.0.1:{port}"
scorecard = "{card}"
closed_days = ["sunday"]

[server]
port = {port}

[outreach]
check_sender = false
known_at_least = 80
internal = {own}
mailer = "smtp"
alerts = "slack"

[worth]
currency = "usd"
rates = {{ 2025-01-01 = {{ eur = "1.10" }} }}
person_from = 150

[approval]
first = 2
bands = ["red"]

[team]
tasks_a_day = 6
fallback = "{cleo}"

[team.people.{cleo}]
name = "Cleo"

[team.people.{bo}]
name = "Bo"
deputy = "{cleo}"
away = ["2026-02-02 to 2026-02-13"]

[integrations.keap]
base_url = "{keap}"
key_env = "KEAP_KEY"
hook_secret_env = "KEAP_HOOK_SECRET"

[integrations.stripe]
base_url = "{stripe}"
key_env = "STRIPE_KEY"
webhook_secret_env = "STRIPE_WEBHOOK_SECRET"

[integrations.zendesk]
base_url = "{zendesk}"
email = "{zendesk_email}"
token_env = "ZENDESK_TOKEN"
webhook_secret_env = "ZENDESK_WEBHOOK_SECRET"

[integrations.slack]
url_env = "SLACK_URL"

[integrations.postmark]
base_url = "{postmark}"
token_env = "POSTMARK_TOKEN"
hook_secret_env = "POSTMARK_HOOK_SECRET"

[integrations.smtp]
host = "127.0.0.1"
port = {smtp}
tls = "none"
"""

_BESIDE: Final = """
[signals.would-recommend]
when = "last_nps >= 9 and band is green"
do = "would-recommend"

[rules.waits-for-support]
when = "open_tickets >= 2"
at_most = "yellow"
because = "several tickets wait"
"""
"""What the demo's card has beside the starter's: who would recommend us, and who waits for support."""

_KEPT: Final = """\
# A demo that was kept: all that it heard and scored. It is connected to nobody, and its clock stands at {now}.

[workspace]
name = "Sandbox Software"
scorecard = "{card}"
"""


class Demo:
    """One run of the demo."""

    def __init__(
        self, *, weeks: int = 12, customers: int = 200, seed: int = 7, port: int = 0, keep: Path | None = None
    ) -> None:
        """`port` 0 takes a free one. `keep` is a new or empty folder for what is left of it; None leaves nothing.

        Raises Problems for a folder that holds something.
        """
        if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise Problems([Problem("--keep", 0, "", f"{str(keep)!r} holds something already", "name a new folder")])
        self._keep = keep
        self._weeks, self._customers, self._seed = weeks, customers, seed
        self._clock = VirtualClock(START)
        self._began = time.monotonic()  # how long it took is told in the machine's own time
        self._socket = _listen(port)
        self._port: int = self._socket.getsockname()[1]
        self._servers = Servers(
            PretendKeap(self._clock, Faults(seed + 1, FAULTY), key=f"KeapAK-{secrets.token_hex(16)}"),
            PretendStripe(self._clock, Faults(seed + 2, FAULTY), key=f"rk_test_{secrets.token_hex(16)}"),
            PretendZendesk(self._clock, Faults(seed + 3, FAULTY)),
        )
        self._slack = PretendSlack(self._clock, Faults(seed + 4, FAULTY), secret=secrets.token_hex(12))
        self._mailbox = Mailbox(self._clock)
        self._postmark = PretendPostmark(self._clock, token=secrets.token_hex(16))
        self._postmark_secret = secrets.token_hex(16)
        self._world = World(self._servers, self._clock, customers=customers, seed=seed)

    @property
    def _vendors(self) -> list[PretendVendor]:
        return [self._servers.keap, self._servers.stripe, self._servers.zendesk, self._slack, self._postmark]

    def show(self, *, once: bool, as_json: bool) -> int:
        """Run it and tell what came of it; unless `once`, go on serving the dashboard. Gives the exit code."""
        with self.lived(quiet=as_json) as workspace:
            result = self._result(workspace)
            if as_json:
                click.echo(json.dumps(result))
            else:
                for line in [*in_words(result), *(f"  LOOK  {one}" for one in check.check(workspace).findings)]:
                    click.echo(line)
            try:
                if not once:
                    self._serve_on(workspace)
            finally:
                if self._keep is not None:
                    for line in self._kept(workspace, self._keep):
                        _say(as_json, line)
        return 0

    @contextmanager
    def lived(self, *, quiet: bool = True) -> Iterator[Workspace]:
        """The workspace at the end of the weeks, with everything still running."""
        with self._running(quiet=quiet) as (workspace, session):
            self._live(workspace, session, quiet=quiet)
            yield workspace

    # -- setting up ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _running(self, *, quiet: bool) -> Iterator[tuple[Workspace, requests.Session]]:
        with ExitStack() as stack:
            folder = self._keep or Path(tempfile.mkdtemp(prefix="keepwell-demo-"))
            if self._keep is None:
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for vendor in self._vendors:
                vendor.start()
                stack.callback(vendor.stop)
            self._mailbox.start()
            stack.callback(self._mailbox.stop)
            _say(
                quiet,
                f"Keap, Stripe, Zendesk, Slack and a mailbox listen on loopback; {self._customers} customers move in.",
            )
            self._world.populate()
            environ = self._environ()
            workspace = self._workspace(folder, environ)
            stack.callback(workspace.close)
            app = create_app(workspace)
            stack.callback(app.extensions["receiver"].close)
            stack.callback(Loopback(app, "keepwell-web", listening=self._socket, threads=8).stop)
            session = stack.enter_context(requests.Session())
            session.trust_env = False
            session.headers["X-API-Key"] = auth.create_key(workspace.store, "product", int(self._clock.now()))
            self._hear(environ)
            self._bring_history(workspace, list(self._world.past_events()))
            yield workspace, session

    def _environ(self) -> dict[str, str]:
        servers = self._servers
        return {
            "KEAP_KEY": servers.keap.key,
            "KEAP_HOOK_SECRET": secrets.token_hex(16),
            "STRIPE_KEY": servers.stripe.key,
            "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
            "ZENDESK_TOKEN": servers.zendesk.token,
            "ZENDESK_WEBHOOK_SECRET": secrets.token_hex(16),
            "SLACK_URL": self._slack.webhook_url,
            "POSTMARK_TOKEN": self._postmark.token,
            "POSTMARK_HOOK_SECRET": self._postmark_secret,
        }

    def _workspace(self, folder: Path, environ: dict[str, str]) -> Workspace:
        servers = self._servers
        cleo, bo = self._world.owners
        own = [one.email for one in self._world.customers if one.path.name == "growing" and one.in_keap][:OWN]
        starter = (assets.folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8")
        (folder / CARD).write_text(starter + _BESIDE, "utf-8")
        text = _CONFIG.format(
            port=self._port, postmark=self._postmark.base_url, card=CARD, own=json.dumps(own), cleo=cleo, bo=bo, keap=servers.keap.base_url, stripe=servers.stripe.base_url,
            zendesk=servers.zendesk.base_url, zendesk_email=servers.zendesk.email, smtp=self._mailbox.port,
        )  # fmt: skip
        (folder / "config.toml").write_text(text, "utf-8")
        setup.migrate(folder, environ)
        workspace = open_workspace(folder, environ, self._clock)
        hashed = auth.hash_password(secrets.token_urlsafe(16))  # nobody's: the login link is the way in
        set_switch(workspace.store, "operator_password", hashed, int(self._clock.now()))
        return workspace

    def _hear(self, environ: dict[str, str]) -> None:
        """Have the vendors send their webhooks to us, as an operator would set it up with each of them."""
        door = f"http://127.0.0.1:{self._port}/hooks"
        servers = self._servers
        servers.stripe.hook_to(f"{door}/stripe", environ["STRIPE_WEBHOOK_SECRET"])
        servers.zendesk.hook_to(f"{door}/zendesk", environ["ZENDESK_WEBHOOK_SECRET"])
        for event in ("contact.edit", "contact.delete"):
            subscription = servers.keap.subscribe(event, f"{door}/keap/{environ['KEAP_HOOK_SECRET']}")
            servers.keap.shake_hands(subscription)

    # -- living -------------------------------------------------------------------------------------------------------

    def _live(self, workspace: Workspace, session: requests.Session, *, quiet: bool) -> None:
        days = self._weeks * 7
        self._live_until(session, START + MORNING)
        first = turn(workspace, kind="first pass")
        _say(quiet, f"The first pass scored {first.assessed.customers} customers and told nobody: it is silent.")
        canary = check.check(workspace, self._canary(workspace))
        controls.set_mode(workspace, "live")
        controls.release_backfill(workspace)
        self._servers.keap.faults.planned += SURE_FAULTS
        self._servers.keap.fail_next_items = 1
        _say(quiet, next(line for line in canary.fine if "field write" in line))
        hook = f"http://127.0.0.1:{self._port}/hooks/postmark/{self._postmark_secret}"
        staff = Staff(workspace, self._mailbox, hook)
        staff.begin()
        with click.progressbar(
            range(days), label=f"{self._weeks} weeks", file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            for day in bar:
                self._live_until(session, START + (day + 1) * DAY + MORNING)
                staff.before_turn(day, session)
                turn(workspace, kind="demo")
                if day < days - 2:  # what came in the last days waits for the visitor
                    staff.after_turn()
        self._settle(workspace)

    def _canary(self, workspace: Workspace) -> str:
        row = workspace.store.row(
            "select contact_id from crm_contacts where source = 'keap' order by contact_id limit 1"
        )
        assert row is not None
        return str(row["contact_id"])

    def _live_until(self, session: requests.Session, moment: int) -> None:
        """Let the world go on, and tell of it by webhook and API."""
        self._clock.move_to(moment)
        events = self._world.live_until(moment)
        for vendor in self._vendors:
            vendor.deliver_hooks(duplicate=DUPLICATED, reorder=REORDERED)
        self._post(session, events)

    def _bring_history(self, workspace: Workspace, events: list[dict[str, Any]]) -> None:
        """Take in what the product knew before it was connected: known when it happened, as an import is."""
        now = int(self._clock.now())
        for place in range(0, len(events), EVENTS_A_REQUEST):
            body = json.dumps(events[place : place + EVENTS_A_REQUEST])
            store_raw(workspace.store, "api", "events", f"history_{place}", body, now, history=1)

    def _post(self, session: requests.Session, events: list[dict[str, Any]]) -> None:
        for place in range(0, len(events), EVENTS_A_REQUEST):
            answer = session.post(
                f"http://127.0.0.1:{self._port}/api/v1/events",
                json=events[place : place + EVENTS_A_REQUEST],
                timeout=60,
            )
            answer.raise_for_status()

    def _settle(self, workspace: Workspace) -> None:
        """Turn until what was put off has been tried again: the world stands still meanwhile."""
        for _ in range(6):
            done: Turn = turn(workspace, kind="demo")
            waiting = workspace.store.value(
                "select count(*) as n from effects where state = 'waiting' and lane <> 'mail'"
            )
            if not waiting and not done.assessed.effects:
                return
            self._clock.sleep(HOUR)

    # -- telling ------------------------------------------------------------------------------------------------------

    def _result(self, workspace: Workspace) -> dict[str, Any]:
        """What came of it: the vendors' records, and facts and changes from our store."""
        keap, mailbox, store = self._servers.keap, self._mailbox, workspace.store
        tags = {name: band for band, name in workspace.config.crm.tags.items()}
        score_label = workspace.config.crm.fields["score"]
        bands = Counter(dict.fromkeys(workspace.config.crm.tags, 0))
        tagged = scored = 0
        for contact_id in sorted(keap.contacts):
            shown = [tags[tag] for tag in keap.tags_of(contact_id) if tag in tags]
            bands.update(shown)
            tagged += bool(shown)
            scored += score_label in keap.field_values(contact_id)
        met: Counter[str] = sum((vendor.faults.met for vendor in self._vendors), Counter(mailbox.faults.met))
        return {
            "weeks": self._weeks,
            "customers": int(store.value("select count(*) as n from customers where merged_into is null")),
            "bands": dict(bands),
            "facts": int(store.value("select count(*) as n from facts")),
            "changes": int(store.value("select count(*) as n from changes")),
            "crm": {
                "contacts_tagged": tagged,
                "contacts_with_score": scored,
                "disagreeing_contacts": len(self.disagreeing(workspace)),
                "foreign_values_lost": keap.foreign_losses("Keepwell", set(workspace.config.crm.fields.values())),
                "calls": len(keap.calls),
            },
            "mails": {
                "sent": len(mailbox.messages),
                "duplicates": mailbox.duplicates(),
                "distinct_texts": len({_without_names(mail.text) for mail in mailbox.messages}),
            },
            "alerts": len(self._slack.messages),
            "plays": playbook.plays_told(workspace, START),
            "refusals": playbook.refusals_told(workspace, START),
            **_reds(workspace),
            "webhooks": {
                "sent": sum(vendor.hooks_sent for vendor in self._vendors),
                "accepted": sum(vendor.hooks_accepted for vendor in self._vendors),
            },
            "faults_met": dict(sorted(met.items())),
            "seconds": round(time.monotonic() - self._began, 1),
        }

    def disagreeing(self, workspace: Workspace) -> list[str]:
        """The contacts on which Keap's own record and our store part: by tag, band field or score."""
        keap, store, crm = self._servers.keap, workspace.store, workspace.config.crm
        scores, standings = records.latest_scores(store), records.standings(store)
        expected = {}
        for customer_id, standing in standings.items():
            if store.value("select merged_into from customers where id = :id", {"id": customer_id}):
                continue
            contact = main_contact(store, customer_id, workspace.crm_source)
            if contact is not None:
                score = shown_score(scores[customer_id].assessment)
                expected[contact["contact_id"]] = ({crm.tags[standing.band]}, standing.band, score)
        found = []
        for contact_id in sorted(keap.contacts):
            values = keap.field_values(contact_id)
            shows = (
                keap.tags_of(contact_id) & set(crm.tags.values()),
                str(values.get(crm.fields["band"], "")),
                str(values.get(crm.fields["score"], "")),
            )
            if shows != expected.get(contact_id, (set(), "", "")):
                found.append(f"{contact_id}: shows {shows}, expected {expected.get(contact_id)}")
        return found

    def _kept(self, workspace: Workspace, folder: Path) -> list[str]:
        """Make what is left a workspace of its own, connected to nobody; gives what can be tried on it.

        Its clock stands where the demo's does: what was the last week stays the last week.
        """
        now = int(self._clock.now())
        (folder / "config.toml").write_text(_KEPT.format(now=iso(now), card=CARD), "utf-8")
        controls.set_mode(workspace, "watch")
        set_switch(workspace.store, CLOCK_STANDS, str(now), now)
        today = local_day(now, workspace.time_zone)
        worst = workspace.store.value(
            "select c.name from standings s join customers c on c.id = s.customer_id"
            " where (select count(*) from customers o where o.name = c.name) = 1"
            " order by case when s.band = :worst then 0 else 1 end, s.since desc, c.name limit 1",
            {"worst": workspace.card.order[-1]},
        )
        ours, card = f"keepwell -w {shlex.quote(str(folder))}", shlex.quote(str(folder / CARD))
        return [
            f"\nKept in {folder}. Nobody is connected there, and its clock stands on {day_text(today)}. Try",
            *(
                f"  {ours} {one}"
                for one in (
                    f"lookback --no-pull --days {max(30, self._weeks * 7)} --as-of {day_text(today)}",
                    f"explain {shlex.quote(str(worst))} --since {day_text(today - 30)}",
                    f"plays --explain {shlex.quote(str(worst))}", "plays --worst",
                    f"score --as-of {day_text(today - 30)}", "show", "lint", f"preview {card}", "facts",
                )
            ),
        ]  # fmt: skip

    def _serve_on(self, workspace: Workspace) -> None:
        """Serve the dashboard until Ctrl-C, while the demo's clock goes on with the real one."""
        click.echo(f"\nOpen the dashboard: {auth.create_login_link(workspace)}")
        click.echo("(the link works once; Ctrl-C ends the demo)")
        try:
            while True:
                time.sleep(1)  # the visitor's time, not the demo's
                self._clock.sleep(1)
        except KeyboardInterrupt:
            left = "" if self._keep else "; nothing of it is left on this machine"
            click.echo(f"\nThe demo is over{left}.")


def _reds(workspace: Workspace) -> dict[str, int]:
    """How many are in the worst band, how many of them got an act, and who has neither act nor reason."""
    found = playbook.worst(workspace)
    acted = sum(bool(one.act) for one in found)
    without = sum(not (one.act or one.reason) for one in found)
    return {"reds": len(found), "reds_with_act": acted, "reds_without_act": without}


def in_words(result: dict[str, Any]) -> list[str]:
    """The result for a person."""
    bands, crm, mails, hooks = result["bands"], result["crm"], result["mails"], result["webhooks"]
    faults = ", ".join(f"{n} × {name.replace('_', ' ')}" for name, n in result["faults_met"].items())
    first, last = day_text((START - PAST_DAYS * DAY) // DAY), day_text(START // DAY + result["weeks"] * 7)
    return [
        "",
        f"{result['weeks']} weeks with {result['customers']} customers, read from {first} to {last}, in {result['seconds']} s:",
        f"  {result['facts']:,} facts came in; {hooks['accepted']:,} of {hooks['sent']:,} webhooks were accepted.",
        (
            f"  In Keap now: {bands['green']} green, {bands['yellow']} yellow, {bands['red']} red, {bands['grey']} grey; "
            f"{result['changes']} changes of band on the way."
        ),
        (
            f"  {crm['contacts_tagged']} contacts carry a tag, {crm['contacts_with_score']} a score; "
            f"{crm['disagreeing_contacts']} disagree with our store; {crm['foreign_values_lost']} values of others were lost."
        ),
        (
            f"  {mails['sent']} mails went out in {mails['distinct_texts']} wordings, {mails['duplicates']} of them twice; "
            f"{result['alerts']} alerts reached the team."
        ),
        f"  {_plays_in_words(result)}",
        f"  {crm['calls']:,} calls to Keap. Met on the way, and overcome: {faults}.",
    ]


def _plays_in_words(result: dict[str, Any]) -> str:
    plays, refusals = result["plays"].values(), result["refusals"]
    most = sorted(refusals.items(), key=lambda one: -one[1])[:3]
    why = ", ".join(f"{rule} ({n})" for rule, n in most)
    return (
        f"{sum(one['set_off'] > 0 for one in plays)} of {len(plays)} plays were set off; people got "
        f"{sum(one['tasks'] for one in plays)} tasks. What stood in the way most: {why or 'nothing'}. "
        f"Of {result['reds']} red customers {result['reds_with_act']} got an act, and {result['reds_without_act']} neither "
        "an act nor a reason."
    )


def _without_names(text: str) -> str:
    """A mail's text without its greeting and its own unsubscribe address: what is left differs by what it says."""
    return re.sub(r"https?://\S+", "", re.sub(r"^Hello .*$", "", text, flags=re.MULTILINE))


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        click.echo(f"Port {port} is taken; the dashboard gets a free one.", err=True)
        return socket.create_server(("127.0.0.1", 0))


def _say(quiet: bool, line: str) -> None:
    if not quiet:
        click.echo(line)
