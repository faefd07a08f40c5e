"""A small business with pretend Keap, Slack and mailbox on loopback, and a real workspace over a real store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from worker import check, controls, setup
from worker.dispatch import mail, outbox
from worker.effects import Mail, Standing
from worker.facts import MILLION, Fact, Identity
from worker.intake import records
from worker.lib.clock import DAY, VirtualClock, seconds
from worker.lib.store import Row, Store
from worker.plays import sending
from worker.river import Turn, turn
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.mailbox import Mailbox
from worker.sandbox.servers.slack import PretendSlack
from worker.workspace import Workspace, open_workspace

NOON = 1_767_225_600 + 12 * 3600
"""2026-01-01T12:00:00Z: nobody's night."""

CONFIG = """\
[workspace]
name = "Engines Ltd"
sender_name = "Ann Keeper"
sender_address = "ann@engines.example"
postal_address = "1 Loopback Lane, 12700 Localhost"
public_url = "https://keepwell.example"

[outreach]
check_sender = false
mailer = "smtp"
alerts = "slack"

[integrations.keap]
base_url = "{keap}"
key_env = "KEAP_KEY"
hook_secret_env = "KEAP_HOOK_SECRET"

[integrations.slack]
url_env = "SLACK_URL"

[integrations.smtp]
host = "127.0.0.1"
port = {smtp}
tls = "none"
"""

VALUES = {"usage_days": "3", "usage_last_on": "20 December", "usage_last_label": "reports"}
"""What the template `usage-drop` needs."""


@dataclass
class Business:
    """Everything a test may look at."""

    clock: VirtualClock
    keap: PretendKeap
    slack: PretendSlack
    mailbox: Mailbox
    workspace: Workspace

    @property
    def store(self) -> Store:
        return self.workspace.store

    @property
    def now(self) -> int:
        return seconds(self.clock)

    # -- who there is -------------------------------------------------------------------------------------------------

    def enter(self, name: str = "Ada", **more: Any) -> str:
        """A contact in Keap; gives its id. Every contact has a field and a tag of somebody else's."""
        return self.keap.add_contact(
            name, "Lovelace", f"{name.lower()}@customer.example",
            custom_fields={"Plan": "Pro", "Birthday": "10 December"}, tags=["VIP"], **more,
        )  # fmt: skip

    def customer(self, contact_id: str) -> str:
        """Whose contact that is."""
        return str(
            self.store.value(
                "select customer_id from identities where source = 'keap' and external_id = :id", {"id": contact_id}
            )
        )

    def happens(self, contact_id: str, kind: str, *, at: int | None = None, value: int = 1, label: str = "") -> None:
        """A fact of this customer, known at once."""
        self._happen(contact_id, kind, [self.now if at is None else at], value, label)

    def uses(self, contact_id: str, days: int, *, until: int | None = None) -> None:
        """Used on each of so many days, the last one `until`."""
        last = self.now if until is None else until
        self._happen(contact_id, "usage", [last - day * DAY for day in range(days)], 1, "reports")

    def _happen(self, contact_id: str, kind: str, moments: list[int], value: int, label: str) -> None:
        found = records.identity(self.store, Identity("keap", contact_id))
        assert found is not None
        number = self.store.value("select count(*) as n from facts")
        facts = [
            Fact(kind, at, "test", f"{kind}:{number + place}", value * MILLION, label)
            for place, at in enumerate(moments)
        ]
        records.add_facts(self.store, found.customer_id, found.id, facts, known_at=self.now)

    # -- what is done -------------------------------------------------------------------------------------------------

    def turn(self, **more: Any) -> Turn:
        return turn(self.workspace, **more)

    def go_live(self, contact_id: str) -> None:
        """The silent first pass, the canary, `live`, and no tag held back."""
        self.clock.sleep(300)  # a pull leaves out the last minute
        self.turn()
        self.try_canary(contact_id)
        sending.keep(self.store, self.now, [])  # the sender's records are in order
        controls.set_mode(self.workspace, "live")
        self.store.run("delete from backfill")  # as if released, and looked at already

    def try_canary(self, contact_id: str) -> None:
        report = check.check(self.workspace, contact_id)
        assert any("field write" in line for line in report.fine), report

    def queue_mail(self, contact_id: str, *, key: str = "", template: str = "usage-drop", **more: Any) -> str:
        """A mail to the contact, as a play would have it; gives the effect's id."""
        email = self.keap.contact(contact_id)["email_addresses"][0]["email"]
        letter = Mail(
            self.customer(contact_id), email, "Ada Lovelace", template, "by-hand", "service",
            **{"values": VALUES, "expires_at": self.now + 5 * DAY, "contact_id": contact_id, **more},
        )  # fmt: skip
        return outbox.put(self.store, letter, key or f"mail:{contact_id}", self.now, play=letter.play)

    def show(
        self, contact_id: str, band: str, score: str = "71", reason: str = "active on 3 days", key: str = ""
    ) -> str:
        """Queue what the contact shall show; gives the effect's id."""
        standing = Standing(self.customer(contact_id), contact_id, band, score, reason, self.now)
        number = self.store.value("select count(*) as n from effects")
        return outbox.put(self.store, standing, key or f"standing:{contact_id}:{number}", self.now)

    def write(self) -> Turn:
        """One turn without pulls: what waits is written."""
        return self.turn(pulls=False)

    def write_calls(self, since: int = 0) -> list[str]:
        """The calls that changed something in Keap, since so many calls: method and the end of the path."""
        return [f"{call.method} {call.path.rsplit('/', 1)[-1]}" for call in self.keap.calls[since:] if call.writes]

    def send_mails(self) -> dict[str, int]:
        """The mail lane alone, without the CRM being asked."""
        workspace = self.workspace
        assert workspace.mailer is not None
        with closing(workspace.mailer) as mailer:
            return mail.send_waiting(
                self.store, mailer, workspace.templates, workspace.sender, workspace.limits, self.clock,
                time_zone=workspace.time_zone, sign=workspace.sign, reread=lambda addresses: True,
            )  # fmt: skip

    # -- what came of it ----------------------------------------------------------------------------------------------

    def effect(self, effect_id: str) -> Row:
        found = self.store.row("select * from effects where id = :id", {"id": effect_id})
        assert found is not None
        return found

    def refusals(self) -> list[tuple[str, str]]:
        rows = self.store.rows("select rule, reason from refusals order by id")
        return [(row["rule"], row["reason"]) for row in rows]

    def shown(self, contact_id: str) -> tuple[set[str], str, str]:
        """What the contact shows of ours: (our tags, band, score)."""
        values = self.keap.field_values(contact_id)
        ours = self.keap.tags_of(contact_id) & set(self.workspace.config.crm.tags.values())
        return ours, str(values.get("Health band", "")), str(values.get("Health score", ""))

    def lost(self) -> int:
        """Values of others that were lost by our hand."""
        return self.keap.foreign_losses("Keepwell", set(self.workspace.config.crm.fields.values()))


@contextmanager
def business(
    folder: Path, store: Store | None = None, *, patch: Literal["replaces", "merges"] = "replaces"
) -> Iterator[Business]:
    """`store` None means a SQLite file in the folder."""
    clock = VirtualClock(NOON)
    keap, slack = PretendKeap(clock, patch_custom_fields=patch), PretendSlack(clock)
    mailbox = Mailbox(clock)
    for vendor in (keap, slack, mailbox):
        vendor.start()
    environ = {"KEAP_KEY": keap.key, "KEAP_HOOK_SECRET": "0123456789abcdef", "SLACK_URL": slack.webhook_url}
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(CONFIG.format(keap=keap.base_url, smtp=mailbox.port), "utf-8")
    setup.migrate(folder, environ)
    opened = open_workspace(folder, environ, clock)
    workspace = opened if store is None else replace(opened, store=store)
    try:
        yield Business(clock, keap, slack, mailbox, workspace)
    finally:
        opened.close()
        for vendor in (keap, slack, mailbox):
            vendor.stop()
