"""What plays did, would do, and what stood in the way: for one customer, for every red one, and for all plays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from worker.assess import answers_of, driver_of, rests_on, triggers_of
from worker.controls import effect_in_words
from worker.effects import Mail, Task
from worker.lib.clock import DAY, iso, local_day, seconds
from worker.lib.store import Row, sql
from worker.plays import arbiter, cases, modes, rules
from worker.plays import records as plays
from worker.plays.files import Play
from worker.scoring import explain, records
from worker.workspace import Workspace

LATELY: Final = 30 * DAY
"""How far back plays are counted."""
ACTED: Final = frozenset({"waiting", "sending", "done", "unknown", "asked", "held", "draft"})
"""The states of an effect that is an act, or will be one."""
ANSWERS: Final = ("task", "mail", "sms")
"""What answers a customer's trouble, the strongest first; that the team was told of it is no answer yet."""


@dataclass(frozen=True, slots=True)
class Would:
    """What a play would do for a customer now, if all that is so had just come about."""

    play: str
    title: str
    does: str
    """What would happen, in words; "" where nothing would."""
    rule: str
    """What stands in the way: one of the arbiter's rules, `occasion` where it is not set off at all; "" for nothing."""
    reason: str


@dataclass(frozen=True)
class Explained:
    """All plays, held against one customer."""

    customer_id: str
    name: str
    band: str
    would: list[Would] = field(default_factory=list)
    under_way: list[dict[str, str]] = field(default_factory=list)
    """What has been decided and not ended: what, its state, when it is due, and why it waits."""
    lately: list[dict[str, str]] = field(default_factory=list)
    """What was done or refused in the last 30 days, the newest first."""


def explain_plays(workspace: Workspace, customer_id: str) -> Explained:
    """What would happen to this customer now, and what stands in the way of the rest. Writes nothing."""
    store, now = workspace.store, seconds(workspace.clock)
    row = store.row(sql("playbook", "customer"), {"id": customer_id}) or {"name": "", "time_zone": ""}
    score = records.latest_scores(store, [customer_id]).get(customer_id)
    happening, signals = _happening(workspace, customer_id, row, score, now)
    found = Explained(customer_id, row["name"], happening.band)
    limits = workspace.limits
    for play in sorted(workspace.plays.values(), key=lambda one: (rules.rank(one), one.name)):
        found.would.append(_would(workspace, limits, play, happening, signals, now))
    for effect in store.rows(sql("playbook", "under_way"), {"customer_id": customer_id}):
        found.under_way.append(
            {
                "play": effect["play"], "what": effect_in_words(effect), "state": effect["state"],
                "due_at": iso(effect["due_at"]), "why": effect["reason"] or "",
            }
        )  # fmt: skip
    for one in store.rows(sql("playbook", "lately"), {"customer_id": customer_id, "since": now - LATELY}):
        found.lately.append(
            {
                "at": iso(one["at"]),
                "play": one["play"],
                "what": one["what"],
                "rule": one["rule"],
                "reason": one["reason"],
            }
        )
    return found


def _happening(
    workspace: Workspace, customer_id: str, row: Row, score: records.Score | None, now: int
) -> tuple[rules.Happening, frozenset[str]]:
    """All that is so, as if it had just come about; and the signals that are up."""
    store, zone = workspace.store, row["time_zone"] or workspace.time_zone
    today = local_day(now, zone)
    told = plays.told_of(store, [customer_id], now, today)[customer_id]
    stands = records.standings(store, [customer_id]).get(customer_id)
    present = plays.present(
        told, customer_id, row["name"], stands.band if stands else "", now, time_zone=zone, worth=workspace.worth,
        new_for=workspace.config.outreach.new_for,
    )  # fmt: skip
    card = workspace.card_of(score.version) if score else workspace.card
    news = plays.newly_known(store, customer_id, 0, "", now)
    products = plays.Products()
    if triggers_of(workspace.plays).products:
        products = plays.products(told, today, plays.popular_products(store, today))
    signals = frozenset(score.assessment.signals) if score else frozenset()
    changes = records.changes_of(store, customer_id)
    return plays.with_evidence(
        store,
        replace(
            present, score_id=score.id if score else "", old_band=changes[-1].old_band if changes else "another",
            driver=driver_of(card, score.assessment) if score else "",
            answers=answers_of(card, score.assessment) if score else (),
            new_signals=signals,
            new_facts={kind: one.source_id for kind, one in news.items()},
            new_labels={kind: one.label for kind, one in news.items()},
            done=frozenset(),
            never_used=products.never_used, gone_silent=products.gone_silent,
            rests_on=rests_on(card, workspace.plays), not_coming_in=workspace.not_coming_in,
            why=explain.reason(card, score.assessment) if score else "",
            link=f"{workspace.config.workspace.public_url}/customers/{customer_id}",
        ),
        time_zone=zone, crm=workspace.crm_source, people=workspace.people,
    ), signals  # fmt: skip


def _would(
    workspace: Workspace,
    limits: arbiter.Rules,
    play: Play,
    happening: rules.Happening,
    signals: frozenset[str],
    now: int,
) -> Would:
    if way := rules.obstacle(play, happening, signals):
        return Would(play.name, play.title, "", "occasion", way)
    store, templates = workspace.store, workspace.templates.by_name
    over = plays.over(store, happening.customer_id, play, now, since=now, band=happening.band)
    planned = rules.plan(
        {play.name: play}, templates, replace(happening, over={play.name: over} if over else {}), workspace.worth
    )
    does, objections = [], [(one.rule, one.reason) for one in planned.refusals]
    for intent in planned.intents:
        effect = intent.effect
        if isinstance(effect, Mail):
            case = cases.case(
                store, effect, limits, now, time_zone=workspace.time_zone, play=play, planned=True,
                not_coming_in=workspace.not_coming_in,
            )  # fmt: skip
            verdict = arbiter.ask(case, limits)
            if not isinstance(verdict, arbiter.Go) and not intent.after_days:
                objections.append((verdict.rule, verdict.reason))
                if isinstance(verdict, arbiter.Refuse):
                    continue
        does.append(_intent_in_words(intent))
    rule, reason = objections[0] if objections else ("", "")
    if play.collect is not None and not does:
        does.append("collect for the product team")
    return Would(play.name, play.title, "; ".join(does), rule, reason)


def _intent_in_words(intent: rules.Intent) -> str:
    effect, later = intent.effect, f" after {intent.after_days} days" if intent.after_days else ""
    if isinstance(effect, Mail):
        return f"mail {effect.template} to {effect.to}{later}"
    if isinstance(effect, Task):
        return f"task “{effect.title}”{later}"
    return f"tell the team{later}"


# -- every red one ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Worst:
    """A customer in the worst band, and what came of it."""

    customer_id: str
    name: str
    since: int
    act: str
    """What was or will be done since then, in words; "" for nothing."""
    rule: str
    reason: str
    """Why nothing was done, where nothing was."""


def worst(workspace: Workspace) -> list[Worst]:
    """Every customer in the worst band, with an act or a reason; who has been there longest first."""
    store, band = workspace.store, workspace.card.order[-1]
    gone = plays.departed(store, seconds(workspace.clock))
    found = []
    for row in store.rows(sql("playbook", "in_band"), {"band": band}):
        if row["id"] in gone:
            continue
        effects = store.rows(sql("playbook", "acts_since"), {"customer_id": row["id"], "since": row["since"]})
        acts = [one for one in effects if one["state"] in ACTED]
        if acts:
            best = min(acts, key=lambda one: ANSWERS.index(one["kind"]))
            found.append(
                Worst(row["id"], row["name"], row["since"], f"{effect_in_words(best)}: {best['state']}", "", "")
            )
            continue
        rule, reason = _why_nothing(workspace, row["id"], row["since"])
        found.append(Worst(row["id"], row["name"], row["since"], "", rule, reason))
    return found


def _why_nothing(workspace: Workspace, customer_id: str, since: int) -> tuple[str, str]:
    """What was recorded when it turned; else what stands in the way now."""
    refused = workspace.store.row(sql("playbook", "last_refusal"), {"customer_id": customer_id, "since": since})
    if refused is not None:
        return refused["rule"], f"{refused['play']}: {refused['reason']}"
    if not modes.decides(workspace.mode):
        return "switch", f"the workspace is in {workspace.mode}"
    explained = explain_plays(workspace, customer_id)
    stopped = next((one for one in explained.would if one.rule not in ("", "occasion")), None)
    if stopped is not None:
        return stopped.rule, f"{stopped.play}: {stopped.reason}"
    able = next((one for one in explained.would if one.does and _answers(workspace.plays[one.play])), None)
    if able is not None:
        return "occasion", f"{able.play} was not set off when the band turned, and would be now"
    return "occasion", "no play answers what costs this customer most points"


def _answers(play: Play) -> bool:
    return any(step.task or step.mail or step.sms for _, _, step in play.steps)


# -- all plays --------------------------------------------------------------------------------------------------------


def plays_told(workspace: Workspace, since: int) -> dict[str, dict[str, int]]:
    """play -> how often it was set off since then, and what became of it: mails, tasks, alerts, refusals, waits."""
    store, found = workspace.store, dict[str, dict[str, int]]()
    for name in workspace.plays:
        found[name] = {"set_off": 0, "mails": 0, "tasks": 0, "alerts": 0, "refused": 0, "waited": 0}
    for row in store.rows(sql("playbook", "set_off"), {"since": since}):
        if row["play"] in found:
            found[row["play"]]["set_off"] = row["n"]
    for row in store.rows(sql("playbook", "acted"), {"since": since}):
        key = {"mail": "mails", "sms": "mails", "task": "tasks", "alert": "alerts"}[row["kind"]]
        if row["play"] in found:
            found[row["play"]][key] += row["n"]
    for row in store.rows(sql("playbook", "refused"), {"since": since}):
        if row["play"] in found:
            found[row["play"]]["waited" if row["outcome"] == "waits" else "refused"] += row["n"]
    return found


def refusals_told(workspace: Workspace, since: int) -> dict[str, int]:
    """rule -> how often it stood in the way since then, waits included."""
    return {row["rule"]: row["n"] for row in workspace.store.rows(sql("playbook", "by_rule"), {"since": since})}
