"""Whether our mails are believed: the sender's records looked at, what came back told, and stops lifted."""

from __future__ import annotations

from typing import Any

from worker.dispatch import senders
from worker.dispatch.senders import Looked
from worker.lib.clock import seconds
from worker.lib.dns import Resolver, SystemResolver
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell
from worker.plays import sending
from worker.workspace import Workspace


def leaves(workspace: Workspace) -> bool:
    """Whether mails leave at all: `console` only shows them."""
    return workspace.config.outreach.mailer != "console"


def resolver_of(workspace: Workspace) -> Resolver:
    """The name system, as the settings say."""
    return SystemResolver(workspace.config.outreach.name_server)


def look(workspace: Workspace, resolver: Resolver) -> Looked:
    """Ask for the sender's records, hold them against the rules, and keep what was found."""
    sender, told = workspace.sender, workspace.config.outreach
    found = senders.look(
        senders.Sender(
            workspace.config.workspace.sender_address, sender.reply_to, sender.postal_address, sender.public_url,
            told.mailer, told.spf_include, told.dkim_selectors, told.dkim_domain, told.return_path,
        ),
        resolver,
    )  # fmt: skip
    texts = [[str(one) for one in kind] for kind in (found.missing, found.advice, found.not_asked)]
    sending.keep(workspace.store, seconds(workspace.clock), *texts)
    return found


def before_live(workspace: Workspace) -> list[str]:
    """What stands in the way of mails as of the last look, in words, for whoever lets them leave. Asks nobody."""
    if not leaves(workspace):
        return []
    found = sending.seen(workspace.store)
    if found is None:
        return ["No mail leaves before the sender's records have been looked at: keepwell check --sender"]
    lines = [f"Mails wait until this is mended: {one}" for one in found.findings]
    return lines + [f"Nobody knows, since it could not be asked: {one}" for one in found.not_asked]


def told(workspace: Workspace) -> list[dict[str, Any]]:
    """What came back of the mails, of all together and of each play, with whether they leave."""
    rows = sending.overview(workspace.store, seconds(workspace.clock))
    return [
        {
            "play": play, "sent": found.sent, "complaints": found.complaints, "newest": found.newest,
            "bounced": found.bounced, "state": weighed.state, "reason": weighed.reason,
        }
        for play, found, weighed in rows
    ]  # fmt: skip


def lift(workspace: Workspace, play: str) -> None:
    """Let mails leave again, and count anew. Raises Problems for a play that there is not."""
    if play and play not in workspace.plays:
        raise Problems([Problem(play, 0, "", "is no play", spell(play, workspace.plays))])
    sending.lift(workspace.store, play, seconds(workspace.clock))


def in_words(workspace: Workspace) -> tuple[list[str], list[str]]:
    """What is fine and what needs a person, of what came back of the mails."""
    fine: list[str] = []
    findings: list[str] = []
    for row in told(workspace):
        whose = f"mails of {row['play']}" if row["play"] else "mails"
        if row["state"] != "fine":
            resume = f"keepwell reputation {row['play']} --resume".replace("  ", " ")
            ends = f"; look into it, then: {resume}"
            findings.append(f"{whose} {'are stopped' if row['state'] == 'stop' else 'wait'}: {row['reason']}{ends}")
        elif not row["play"] and row["sent"]:
            fine.append(f"{row['sent']} mails in 30 days, called spam by {row['complaints']} people")
    return fine, findings
