"""`keepwell check`: whether the vendors answer, and what needs a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from worker import cards, controls, deliverability, guard, nightly
from worker.dispatch import journal
from worker.lib.clock import DAY, day_text, iso, local_day, seconds
from worker.lib.dns import Resolver
from worker.lib.http import Failure, Http
from worker.lib.store import Store, sql
from worker.plays import modes
from worker.plays.records import set_switch, switch
from worker.workspace import Workspace

LOOKS_BACK = 30 * DAY
"""How long a record that could not be read is told about."""


@dataclass
class Report:
    """What was found."""

    fine: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    """Each needs a person."""


def check(workspace: Workspace, canary: str | None = None, resolver: Resolver | None = None) -> Report:
    """Ask every vendor who we are, look at what broke off or waits, and try the canary where one is named.

    The records of the sender are asked for where mails leave and a resolver is given.
    """
    report = Report(fine=[f"{workspace.config.workspace.name} is in {workspace.mode}"])
    if workspace.paused:
        report.findings.append("everything outward is paused; let it leave again with: keepwell resume")
    if trouble := switch(workspace.store, nightly.TROUBLE):
        report.findings.append(trouble)
    report.fine += controls.taken(workspace)
    _vendors(workspace, report)
    if workspace.config.workspace.scorecard and (differs := cards.unlike(workspace.store, workspace.config.scorecard)):
        report.findings.append(differs)
    if canary:
        _canary(workspace, canary, report)
    elif (
        workspace.crm is not None
        and modes.lets_out(workspace.mode)
        and not switch(workspace.store, _finding(workspace))
    ):
        report.findings.append(
            f"{workspace.crm_source} is not written to before one contact has been tried: keepwell check --canary CONTACT"
        )
    if resolver is not None and deliverability.leaves(workspace):
        _sender(workspace, resolver, report)
    _sources(workspace, report, seconds(workspace.clock))
    _store(workspace.store, report, seconds(workspace.clock))
    return report


def sender(workspace: Workspace, resolver: Resolver) -> Report:
    """Whether mails are believed, alone: the sender's records, and what came back of the mails."""
    report = Report()
    _sender(workspace, resolver, report)
    return report


def _sender(workspace: Workspace, resolver: Resolver, report: Report) -> None:
    looked = deliverability.look(workspace, resolver)
    report.fine += looked.fine
    report.fine += [f"could be better: {one}" for one in looked.advice]
    report.findings += [str(one) for one in (*looked.missing, *looked.not_asked)]
    fine, findings = deliverability.in_words(workspace)
    report.fine += fine
    report.findings += findings


def _sources(workspace: Workspace, report: Report, now: int) -> None:
    """The sources that are down, those that came back lately, and what the operator may not have been told."""
    zone = workspace.time_zone
    for one in guard.open_outages(workspace):
        if one.noticed_at is not None:
            report.findings.append("; ".join(guard.told(workspace, one).splitlines()))
    for one in guard.ended_since(workspace, now - LOOKS_BACK):
        since, until = (day_text(local_day(moment or now, zone)) for moment in (one.began_at, one.ended_at))
        report.fine.append(f"{one.source} is back: it was down from {since} to {until} ({one.seen})")
    for row in workspace.store.rows(sql("guard", "notices_in_doubt")):
        report.findings.append(f"the team may not know that {row['title']}: {row['reason']}")
    today = local_day(now, zone)
    for row in workspace.store.rows(sql("team", "mornings_in_doubt"), {"day": today - 7, "today": today}):
        who = row["who"] or "the team"
        words = f"the morning message of {day_text(row['day'])} to {who}"
        report.findings.append(
            f"{words} {'may not have arrived' if row['state'] == 'unknown' else 'failed'}: {row['reason']}"
        )


def _vendors(workspace: Workspace, report: Report) -> None:
    for name, one in workspace.connected.items():
        if one.integration.check is None:
            continue
        try:
            http = cast("Http", one.http)  # one without a connection wants none
            report.fine += [f"{name}: {line}" for line in one.integration.check(http, one.settings)]
        except Failure as failure:
            report.findings.append(f"{name}: {failure}")


def _finding(workspace: Workspace) -> str:
    return f"canary:{workspace.crm_source}"


def _canary(workspace: Workspace, contact_id: str, report: Report) -> None:
    crm = workspace.crm
    if crm is None:
        report.findings.append(f"{workspace.crm_source} is not set up, so there is no contact to try")
        return
    try:
        with workspace.by_hand():
            workspace.crm_ids(crm)  # the trial writes our own field, so it must be there
            before = crm.read([contact_id]).values()
            journal.snapshot(workspace.store, workspace.crm_source, before, seconds(workspace.clock))
            found = crm.canary(contact_id, workspace.crm_names)
    except Failure as failure:
        report.findings.append(f"{workspace.crm_source} contact {contact_id}: {failure}")
        return
    set_switch(workspace.store, _finding(workspace), found, seconds(workspace.clock))
    report.fine.append(
        f"{workspace.crm_source} contact {contact_id}: a field write {found} the other fields; it is as before"
    )


def _store(store: Store, report: Report, now: int) -> None:
    for row in store.rows(sql("house", "pulls")):
        if row["failed_at"] is not None:
            since = iso(row["succeeded_at"]) if row["succeeded_at"] else "never"
            report.findings.append(f"{row['source']} {row['stream']}: {row['reason']} (last good pull: {since})")
        elif row["succeeded_at"] is not None:
            report.fine.append(f"{row['source']} {row['stream']}: pulled {iso(row['succeeded_at'])}")
    for row in store.rows(sql("house", "parked")):
        report.findings.append(
            f"{row['n']} deliveries of {row['source']} {row['stream']} cannot be read: {row['error']}"
        )
    for row in store.rows(sql("house", "interrupted")):
        report.findings.append(
            f"a mail to {row['target']} was interrupted; did it arrive? keepwell unknown {row['id']}"
        )
    for row in store.rows(sql("house", "given_up")):
        report.findings.append(f"{row['n']} effects to {row['lane']} were given up: {row['reason']}")
    doubts = int(store.value(sql("house", "doubts")))
    if doubts:
        report.findings.append(f"{doubts} matches are doubtful: the same address under another name")
    for row in store.rows(sql("house", "left_out"), {"since": now - LOOKS_BACK}):
        report.fine.append(
            f"{row['n']} deliveries of {row['source']} {row['stream']} hold what makes no facts, such as {row['example']:.600}"
        )
    report.fine += [f"refused at the door: {name}, {n} times" for name, n in _counted(store, "refused")]
    report.fine += [f"kept, of no known kind: {name}, {n} times" for name, n in _counted(store, "unknown")]


def _counted(store: Store, what: str) -> list[tuple[str, int]]:
    """The counters of one family, most first: (name without the family, how often)."""
    rows = store.rows(sql("house", "counters"), {"from": f"{what}:", "after": f"{what};"})
    return [(row["name"].removeprefix(f"{what}:"), row["n"]) for row in rows]
