"""Mails before customers get them: shown as one of them would get it, sent to ourselves, and looked over for mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from worker.dispatch import mail_lint
from worker.dispatch.letters import Rendered, Template
from worker.dispatch.mail_lint import Sample
from worker.integration import Letter
from worker.lib.clock import seconds
from worker.lib.http import GiveUp
from worker.lib.ids import new_id
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell
from worker.lib.store import sql
from worker.plays import records as plays
from worker.report import find_customer
from worker.workspace import Workspace

SAMPLE: Final = 20
"""Customers for whom each template is written when mails are looked over."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A mail as one customer would get it."""

    template: Template
    customer_id: str
    """"" for somebody made up."""
    customer: str
    sender: str
    """As the mail's From: `Ann <ann@acme.example>`."""
    signer: str
    rendered: Rendered


def preview(workspace: Workspace, name: str, word: str = "", language: str = "") -> Preview:
    """Write a mail for a customer (`word` as in `report.find_customer`), or for somebody made up. Nothing is sent.

    `language` asks for the variant in that language, where there is one. Raises Problems where there is no such template
    or customer, or where the customer lacks what it needs.
    """
    templates = workspace.templates
    if name not in templates.by_name:
        cure = spell(name, templates.by_name)
        raise Problems([Problem(f"{name}.md", 0, "", "there is no such mail", cure)])
    template = templates.choose(name, language)
    if not word:
        sample, customer_id = mail_lint.made_up(template)[1], ""
    else:
        customer_id = find_customer(workspace.store, word)
        sample = _sample(workspace, customer_id)
    values = {**sample.values, "sender_name": templates.signed_by(template.name, sample.values, workspace.sender)}
    values["business"] = workspace.sender.business
    lacking = sorted(need for need in template.needs if not values.get(need))
    if lacking:
        cure = "choose another customer, or leave the customer out to see it for somebody made up"
        what = f"cannot be written for {sample.name}, of whom this is unknown: {', '.join(lacking)}"
        raise Problems([Problem(template.file, 0, "needs", what, cure)])
    stop = f"{workspace.sender.public_url}/unsubscribe/sample"
    try:
        rendered = templates.render(template.name, values, workspace.sender, stop)
    except GiveUp as error:
        raise Problems([Problem(template.file, 0, "", str(error), "mend the template")]) from None
    sender = f"{values['sender_name']} <{workspace.sender.address}>"
    return Preview(template, customer_id, sample.name, sender, values["sender_name"], rendered)


def _sample(workspace: Workspace, customer_id: str) -> Sample:
    """A customer and all that a mail may say of them."""
    store, now = workspace.store, seconds(workspace.clock)
    row = store.row(sql("house", "customer"), {"id": customer_id}) or {}
    here = store.row(sql("plays", "here"), {"customer_id": customer_id, "now": now}) or {}
    evidence = plays.evidence(store, customer_id, now, here.get("time_zone") or workspace.time_zone)
    main = plays.recipients(store, customer_id, workspace.crm_source).get("main")
    name = main.name if main and main.name else row.get("name") or ""
    return Sample(
        row.get("name") or customer_id,
        {**evidence, "first_name": "".join(name.split()[:1]), "business": workspace.sender.business},
    )


def send_test(workspace: Workspace, name: str, word: str, to: str, language: str = "", *, dry_run: bool = False) -> str:
    """Send a mail, as the customer would get it, to one of the operator's own addresses; gives the channel's reference.

    It goes to nobody else, is marked in its subject, and is kept nowhere as a mail to the customer. Raises Problems where
    it cannot be written or the address is not among `test_addresses`; lib.http's Failure kinds where it does not leave.
    """
    shown = preview(workspace, name, word, language)
    allowed = {address.casefold() for address in workspace.config.outreach.test_addresses}
    problems = []
    if to.strip().casefold() not in allowed:
        cure = f'write test_addresses = ["{to}"] in [outreach] of config.toml, if it is yours'
        problems.append(Problem("config.toml", 0, "outreach.test_addresses", f"{to!r} is not among them", cure))
    if shown.template.medium != "mail":
        problems.append(Problem(shown.template.file, 0, "medium", "is no mail", "see it with: keepwell mail preview"))
    mailer = workspace.mailer
    if mailer is None:
        problems.append(Problem("config.toml", 0, "outreach.mailer", "sends no mail", "name a channel for mail"))
    if workspace.paused:
        problems.append(
            Problem("keepwell", 0, "", "is paused, and nothing leaves", "let things leave: keepwell resume")
        )
    if problems or mailer is None:
        raise Problems(problems)
    if dry_run:
        return ""
    host = workspace.sender.address.rpartition("@")[2] or "localhost"
    rendered = shown.rendered
    letter = Letter(
        f"<{new_id('test')}@{host}>", shown.sender, workspace.sender.reply_to, to.strip(), "", f"[Test] {rendered.subject}",
        rendered.text, rendered.html, "", purpose=shown.template.purpose,
    )  # fmt: skip
    with workspace.by_hand(), closing(mailer):
        return mailer.send(letter)


def lint(workspace: Workspace, name: str = "") -> list[Problem]:
    """All findings about one mail, or about all. Raises Problems where there is no mail of that name."""
    templates = workspace.templates
    if name and name not in templates.by_name:
        raise Problems([Problem(f"{name}.md", 0, "", "there is no such mail", spell(name, templates.by_name))])
    bands = (*workspace.card.order, "grey")
    customers = samples(workspace)
    found = _about_links(workspace)
    for one in [name] if name else sorted(templates.by_name):
        found += mail_lint.lint(templates, one, workspace.sender, bands, customers)
    return found


def _about_links(workspace: Workspace) -> list[Problem]:
    """Mailboxes take a link to unsubscribe for one click over https alone (RFC 8058 §3.1)."""
    url = workspace.config.workspace.public_url
    if workspace.config.outreach.mailer == "console" or url.startswith("https://"):
        return []
    return [Problem("config.toml", 0, "workspace.public_url", f"{url!r} is no https", "let people reach it by https")]


def samples(workspace: Workspace) -> Sequence[Sample]:
    """The newest customers, with what mails may say of them."""
    rows = workspace.store.rows(sql("house", "newest_customers"), {"most": SAMPLE})
    return [_sample(workspace, row["id"]) for row in rows]
