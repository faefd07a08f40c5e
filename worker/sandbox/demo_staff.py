"""What the people of the demo's business do beside their tasks, so that everything which stands between a play and a customer
is met: they approve mails and refuse one, pause for a day, settle what is in doubt, keep some apart; and two customers call a
mail spam.
"""

from __future__ import annotations

from typing import Final

import requests

from worker import approvals, controls, unknowns
from worker.lib.clock import DAY, from_iso, iso, seconds
from worker.plays import trials
from worker.sandbox.servers.mailbox import Mailbox
from worker.workspace import Workspace

WHO: Final = "Cleo"
HELD_OUT: Final = "training-offer"
PERCENT: Final = 30
REFUSES: Final = 3
"""The how-manieth message that waits for a yes gets a no."""
PAUSED_ON: Final = 30
"""The day, counted from the first, on which nothing may leave."""
CUT_FROM: Final = 14
CUTS: Final = 3
"""From that day on the mail server breaks off in the midst of a second notice about a payment, so many times."""
SETTLES_AFTER: Final = 14
"""Days after which somebody asks the customer, and says what became of it."""
COMPLAIN_ON: Final = 74
COMPLAINTS: Final = 2


class Staff:
    """Cleo, who looks in every morning."""

    def __init__(self, workspace: Workspace, mailbox: Mailbox, hook: str) -> None:
        """`hook` is the address at which the business hears what became of mails."""
        self._workspace, self._mailbox, self._hook = workspace, mailbox, hook
        self._seen = self._cuts = 0

    def begin(self) -> None:
        """Before anything leaves: keep some apart from one play, to see what it does."""
        now = seconds(self._workspace.clock)
        trials.switch_on(self._workspace.store, trials.HoldOut(HELD_OUT, PERCENT, 0.8, 5.0, 2750, now))

    def before_turn(self, day: int, session: requests.Session) -> None:
        """What is done in the morning of a day."""
        workspace, now = self._workspace, seconds(self._workspace.clock)
        controls.set_paused(workspace.store, now, paused=day == PAUSED_ON)
        if day >= CUT_FROM and self._cuts < CUTS and self._notice_is_next(now):
            self._mailbox.drop_next()
            self._cuts += 1
        if day == COMPLAIN_ON:
            self._complain(session)
        for one in unknowns.listed(workspace):
            if now - from_iso(one["tried_at"]) >= SETTLES_AFTER * DAY:
                unknowns.arrived(workspace, one["id"], WHO)

    def _notice_is_next(self, now: int) -> bool:
        row = self._workspace.store.row(
            "select play, step from effects where lane = 'mail' and state = 'waiting' and due_at <= :now"
            " order by due_at, id limit 1",
            {"now": now},
        )
        return row is not None and (row["play"], row["step"]) == ("failed-payment", "again")

    def after_turn(self) -> None:
        """Look at what waits for a yes."""
        for one in approvals.waiting(self._workspace):
            self._seen += 1
            if self._seen == REFUSES:
                approvals.refuse(self._workspace, one.act.id, WHO, "We spoke yesterday")
            else:
                approvals.send(self._workspace, one.act.id, WHO)

    def _complain(self, session: requests.Session) -> None:
        """Two customers press the button of their mailbox; the mail service tells us."""
        for mail in self._mailbox.messages[-COMPLAINTS:]:
            effect_id = mail.message_id.strip("<>").partition("@")[0]
            event = {
                "RecordType": "SpamComplaint", "Type": "SpamComplaint", "MessageID": effect_id, "Email": mail.to,
                "BouncedAt": iso(seconds(self._workspace.clock)), "Metadata": {"keepwell": effect_id},
            }  # fmt: skip
            session.post(self._hook, json=event, timeout=60).raise_for_status()
