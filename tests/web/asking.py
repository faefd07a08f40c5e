"""Messages that wait for a person's yes, as the arbiter leaves them."""

from __future__ import annotations

from typing import Any

from tests.web.house import House
from worker.dispatch import outbox
from worker.effects import Mail
from worker.lib.clock import DAY
from worker.lib.store import Row

VALUES = {"nps_answer_last_value": "3", "nps_answer_last_on": "30 December"}
"""What the template `low-nps` needs."""


def ask(house: House, customer_id: str, to: str, *, why: str = "the first mails of this template", **more: Any) -> str:
    """A mail to this address waits for a yes; gives the effect's id."""
    given = {"values": VALUES, "expires_at": house.now + 5 * DAY, **more}
    mail = Mail(customer_id, to, "Ann Keeper", "low-nps", "low-nps", "service", **given)
    effect_id = outbox.put(house.store, mail, f"asked {to} {house.now}", house.now, play="low-nps", state="asked")
    house.store.run(
        "insert into approvals (effect_id, why, asked_at) values (:id, :why, :now)",
        {"id": effect_id, "why": why, "now": house.now},
    )
    return effect_id


def ask_about_ann(house: House) -> str:
    """A customer with a score, and a mail to her that waits; gives the effect's id."""
    house.used("ann@example.com", 2, name="Ann's Garden")
    house.turn()
    return ask(house, house.customer_id("ann@example.com"), "ann@example.com")


def effect(house: House, effect_id: str) -> Row:
    found = house.store.row("select * from effects where id = :id", {"id": effect_id})
    assert found is not None
    return found


def approval(house: House, effect_id: str) -> Row:
    found = house.store.row("select * from approvals where effect_id = :id", {"id": effect_id})
    assert found is not None
    return found


def refusals(house: House) -> list[tuple[str, str]]:
    return [(row["rule"], row["reason"]) for row in house.store.rows("select rule, reason from refusals order by id")]
