"""A small believable world that lives in the pretend vendors: customers with a hidden health, day after day.

Everything that happens waits in one agenda and happens in the order of time, so vendors hear of it in that order too.
The truth (`World.customers`) stays here: what Keepwell may know is what the vendors and the product events tell.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from worker.lib.clock import DAY, HOUR, Clock, iso, seconds
from worker.sandbox.colleagues import Colleagues
from worker.sandbox.population import COURSE, COURSE_LASTS, OPTED_OUT, PLANS, Customer, draw
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.stripe import PretendStripe
from worker.sandbox.servers.zendesk import PretendZendesk

PAST_DAYS: Final = 90
"""How much of a past every system knows when the world starts. Subscriptions and their bills may be older."""
NPS_EVERY: Final = 91
LETTER_EVERY: Final = 28

_WEEKDAY: Final = (1.0, 1.0, 1.0, 1.0, 0.9, 0.2, 0.12)
"""How busy a day is, Monday first."""

_SUBJECTS: Final = (
    "The export is empty",
    "Cannot invite a colleague",
    "Charged twice?",
    "How do I undo an import?",
    "The report does not load",
    "The form loses its last field",
    "Where did the contacts go?",
)
_FEEDBACK: Final = {
    "declining": ("unused", "switched_service", "too_expensive"),
    "unhappy": ("missing_features", "low_quality", "customer_service"),
    "stalled": ("too_complex", "unused"),
}
_COMMENTS: Final = (
    None,
    None,
    "We no longer need it.",
    "It never quite did what we wanted.",
    "Too dear for how little we use it.",
)
_NOTES: Final = (
    "Called, all well.",
    "Wants a call after the holidays.",
    "New person in charge.",
    "Asked about the annual plan.",
)
_OTHERS_TAGS: Final = ("Newsletter", "Webinar 2025", "Partner", "VIP", "Trade fair")

Event = dict[str, Any]
"""One product event, as `POST /api/v1/events` takes it."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The pretend services that the world lives in."""

    keap: PretendKeap
    stripe: PretendStripe
    zendesk: PretendZendesk


class World:
    """The customers, and what becomes of them. The same seed, clock and number give the same world."""

    def __init__(self, servers: Servers, clock: Clock, *, customers: int = 200, seed: int = 7) -> None:
        """The world starts at the clock's present."""
        self.servers = servers
        self.clock = clock
        self.start = seconds(clock)
        self._dice = random.Random(seed)  # noqa: S311  a made-up world, no secret
        self.customers = draw(customers, self.start, self._dice)
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = itertools.count()
        self._tomorrow = self.start - self.start % DAY
        """The first day that is not begun."""
        self._told: list[Event] = []
        self._past: list[Event] = []
        self._owners: list[str] = []
        self._colleagues = Colleagues(servers.keap, seed)
        self._seed = seed

    # -- what the demo calls ------------------------------------------------------------------------------------------

    def populate(self) -> None:
        """Build the past. Webhooks that are registered before hear nothing of it, as it was before them."""
        keap = self.servers.keap
        for label, type_ in (("Account notes", "TEXT_AREA"), ("Seats", "WHOLE_NUMBER"), ("Renewal date", "DATE")):
            keap.ensure_field(label, type_)
        for name in _OTHERS_TAGS:
            keap.ensure_tag(name, "Marketing")
        self._owners = [keap.add_user("Cleo", "Success", "cleo@business.example")]
        self._owners.append(keap.add_user("Bo", "Success", "bo@business.example"))
        for customer in self.customers:
            self._at(customer.joined, partial(self._arrive, customer))
            if customer.opts_out_on:
                self._at(self._some_time(customer.opts_out_on * DAY), partial(self._opt_out, customer))
            if customer.new_email_on:
                self._at(self._some_time(customer.new_email_on * DAY), partial(self._change_email, customer))
        today = self.start - self.start % DAY
        begin = today - PAST_DAYS * DAY
        self._happen(begin)
        for day_start in range(begin, today, DAY):
            self._begin(day_start)
            self._happen(day_start + DAY)
        self._past, self._told = self._told, []
        # What the last hours before the start have left over happens now.
        self._happen(self.start)

    @property
    def owners(self) -> tuple[str, ...]:
        """The ids of the people who look after customers, in Keap."""
        return tuple(self._owners)

    def past_events(self) -> Iterator[Event]:
        """The product events of the past, oldest day first."""
        yield from self._past

    def live_until(self, moment: int) -> list[Event]:
        """Let everything happen that happens before `moment` (epoch seconds); gives its product events, oldest first.

        Nothing is dated after the clock's present, nor before what was lived already: whoever pulls at `moment` has
        heard all until then.
        """
        while self._tomorrow < moment:
            self._happen(self._tomorrow)
            self._begin(self._tomorrow)
        self._happen(moment)
        told, self._told = self._told, []
        return told

    # -- time ---------------------------------------------------------------------------------------------------------

    def _begin(self, day_start: int) -> None:
        self._tomorrow = day_start + DAY
        for customer in self.customers:
            self._plan(customer, day_start)
        self._colleagues.take_up(day_start, self._at)
        if (day_start - self.start) // DAY % LETTER_EVERY == 0:
            self._at(day_start + 9 * HOUR, self._send_letter)

    def _at(self, at: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), act))

    def _happen(self, until: int) -> None:
        while self._agenda and self._agenda[0][0] < until:
            at, _, act = heapq.heappop(self._agenda)
            act(min(at, seconds(self.clock)))

    def _some_time(self, day_start: int) -> int:
        """A moment of the working day."""
        return day_start + self._dice.randint(7 * HOUR, 18 * HOUR)

    def _within(self, low: float, high: float) -> int:
        """A number of seconds between so many hours."""
        return int(self._dice.uniform(low, high) * HOUR)

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    # -- arriving -----------------------------------------------------------------------------------------------------

    def _arrive(self, who: Customer, at: int) -> None:
        if who.in_keap:
            self._enter_in_keap(who, at)
        if who.in_stripe:
            metadata = {"keap_id": who.keap_id} if who.named_in_stripe else {}
            name = who.company if self._chance(0.8) else f"{who.given} {who.family}"
            who.stripe_id = self.servers.stripe.add_customer(name, who.email, metadata, at)
            self._subscribe(who, at)
        if who.in_zendesk:
            external_id = who.keap_id if who.named_in_zendesk else None
            company = self.servers.zendesk.add_organization(who.company, at=at)
            name = "Support desk" if who.colleague else f"{who.given} {who.family}"
            who.zendesk_id = self.servers.zendesk.add_user(name, who.colleague or who.email, external_id, company, at)

    def _enter_in_keap(self, who: Customer, at: int) -> None:
        keap = self.servers.keap
        fields: dict[str, Any] = {"Seats": self._dice.randint(1, 40)}
        if self._chance(0.5):
            fields["Account notes"] = self._dice.choice(_NOTES)
        who.keap_id = keap.add_contact(
            who.given,
            who.family,
            who.email,
            who.company,
            who.opt_status,
            fields,
            [name for name in _OTHERS_TAGS if self._chance(0.25)],
            self._dice.choice(self._owners) if self._chance(0.7) else None,
        )
        keap.contacts[who.keap_id].created_at = at
        if who.twice_in_keap:
            keap.add_contact(who.given[:1] + ".", who.family, who.email, "", who.opt_status, {"Seats": 1})

    def _subscribe(self, who: Customer, at: int) -> None:
        if who.plan == COURSE:
            ends = at + COURSE_LASTS
            who.subscription_id = self.servers.stripe.subscribe(
                who.stripe_id, COURSE, 4900, who.currency, at=at, ends_at=ends
            )
            self._at(ends, lambda then: self._finish(who, then))
        else:
            amount = PLANS[who.plan] * (10 if who.interval == "year" else 1)
            who.subscription_id = self.servers.stripe.subscribe(
                who.stripe_id, who.plan, amount, who.currency, who.interval, at=at
            )
        self._await_renewal(who)

    # -- a day of one customer ----------------------------------------------------------------------------------------

    def _plan(self, who: Customer, day_start: int) -> None:
        """Throw the dice for a day; what they decide goes into the agenda."""
        if who.joined >= day_start or who.left:
            return
        day = day_start // DAY
        who.drift(day, self._dice)
        if who.in_keap and day_start >= self.start and self._chance(0.02):
            self._at(self._some_time(day_start), lambda at: self._edit_by_hand(who))
        if not who.uses_product:
            return
        self._use(who, day_start)
        self._answer_nps(who, day_start)
        self._tell_aside(who, day_start)
        low = (1 - who.health) ** 2
        if who.in_zendesk and self._chance((0.004 + 0.05 * low) * (0.4 + 0.6 * who.engagement)):
            self._at(self._some_time(day_start), lambda at: self._ask_for_help(who, at))
        if who.plan != COURSE and not who.leaving:
            self._reconsider(who, day_start)

    def _reconsider(self, who: Customer, day_start: int) -> None:
        """Perhaps leave, perhaps change the plan."""
        when = self._some_time(day_start)
        leaves = 0.0002 + 0.024 * max(0.0, 0.4 - who.health) / 0.4
        ladder = list(PLANS)
        place = ladder.index(who.plan)
        if self._chance(leaves):
            self._at(when, lambda at: self._cancel(who, at))
        elif who.health > 0.8 and who.path.name == "growing" and place + 1 < len(ladder) and self._chance(0.008):
            self._at(when, lambda at: self._change_plan(who, ladder[place + 1], at))
        elif who.health < 0.5 and place > 0 and self._chance(0.004):
            self._at(when, lambda at: self._change_plan(who, ladder[place - 1], at))
        elif who.interval == "month" and who.health > 0.7 and self._chance(0.0007):
            self._at(when, lambda at: self._switch_to_yearly(who, at))

    # -- in the product -----------------------------------------------------------------------------------------------

    def _tell(self, who: Customer, day_start: int, kind: str, label: str = "", value: int = 1) -> None:
        event: Event = {"event_id": f"{kind}-{who.number}-{day_start // DAY}-{label}", "kind": kind}

        def tell(at: int) -> None:
            whose = {"customer": f"keap:{who.keap_id}"} if who.shares_address else {"email": who.email}
            self._told.append({**event, "at": iso(at), **whose, "value": value, "label": label})

        self._at(self._some_time(day_start), tell)

    def _use(self, who: Customer, day_start: int) -> None:
        busy = _WEEKDAY[(day_start // DAY + 3) % 7]  # 1970-01-01 was a Thursday
        eager = who.engagement
        growth = 1.0
        if who.path.name == "growing":
            growth = min(3.0, 1.0 + 0.02 * max(0, day_start // DAY - who.turns_on))
        used = False
        for feature in who.features:
            if self._chance(busy * eager * 0.9):
                used = True
                self._tell(who, day_start, "usage", feature, 1 + int(self._dice.expovariate(1 / (4 * eager * growth))))
        if not used:
            return
        low = (1 - who.health) ** 2
        for kind, share in (("empty_search", 0.03 + 0.3 * low), ("error_met", 0.02 + 0.25 * low)):
            if self._chance(share):
                self._tell(who, day_start, kind, self._dice.choice(who.features))
        if self._chance(0.003 + 0.06 * low):
            self._tell(who, day_start, "help_asked_again", self._dice.choice(who.features))

    def _tell_aside(self, who: Customer, day_start: int) -> None:
        """What the product tells now and then beside use. Each day has dice of its own, so nothing else falls otherwise."""
        dice = random.Random(f"{self._seed}:{who.number}:{day_start // DAY}")  # noqa: S311  a made-up world, no secret
        kinds = (("custom.champion_left", "", 0.0005), ("custom.beta_interest", "board view", 0.004 * who.engagement))
        for kind, label, share in kinds:
            at = day_start + dice.randint(7 * HOUR, 18 * HOUR)
            if dice.random() < share:
                self._at(at, partial(self._hear_of, who, f"{kind}-{who.number}-{day_start // DAY}", kind, label))

    def _hear_of(self, who: Customer, event_id: str, kind: str, label: str, at: int) -> None:
        whose = {"customer": f"keap:{who.keap_id}"} if who.shares_address else {"email": who.email}
        self._told.append({"event_id": event_id, "kind": kind, "at": iso(at), **whose, "value": 1, "label": label})

    def _answer_nps(self, who: Customer, day_start: int) -> None:
        asked = (day_start // DAY + who.number * 37) % NPS_EVERY == 0
        if asked and day_start > who.joined + 30 * DAY and self._chance(0.4 + 0.35 * who.engagement):
            answer = round(self._dice.gauss(1.5 + 9 * who.health, 1.0))
            self._tell(who, day_start, "nps_answer", value=max(0, min(10, answer)))

    # -- in Zendesk ---------------------------------------------------------------------------------------------------

    def _ask_for_help(self, who: Customer, at: int) -> None:
        bad = 1 - who.health
        weights = (0.04 + 0.15 * bad, 0.15 + 0.2 * bad, 0.5, 0.15, 0.15)
        (priority,) = self._dice.choices(("urgent", "high", "normal", "low", None), weights)
        zendesk = self.servers.zendesk
        ticket = zendesk.open_ticket(who.zendesk_id, self._dice.choice(_SUBJECTS), priority, at)
        if self._chance(0.01):
            self._at(at + self._within(1, 5), lambda then: zendesk.delete_ticket(ticket, then))
            return
        wait = self._within(0.5, 4) if priority == "urgent" else self._within(2, 12 + 36 * bad)
        self._at(at + wait, lambda then: self._reply(who, ticket, then))

    def _reply(self, who: Customer, ticket: int, at: int) -> None:
        self.servers.zendesk.reply(ticket, at)
        self._at(at + self._within(4, 72), lambda then: self._solve(who, ticket, then))

    def _solve(self, who: Customer, ticket: int, at: int) -> None:
        self.servers.zendesk.solve(ticket, at)
        again = 0.03 + 0.3 * (1 - who.health)
        if self._chance(again) and not who.left:
            self._at(at + self._within(5, 40), lambda then: self._come_back(who, ticket, then))
        elif self._chance(0.5):
            self._at(at + self._within(1, 20), lambda then: self._rate(who, ticket, then))

    def _come_back(self, who: Customer, ticket: int, at: int) -> None:
        zendesk = self.servers.zendesk
        zendesk.reopen(ticket, at)
        if self._chance(0.3) and zendesk.tickets[ticket].priority != "urgent":
            zendesk.set_priority(ticket, "high", at)
        self._at(at + self._within(3, 20), lambda then: self._reply(who, ticket, then))

    def _rate(self, who: Customer, ticket: int, at: int) -> None:
        good = self._chance(0.15 + 0.8 * who.health)
        self.servers.zendesk.rate(ticket, "good" if good else "bad", None if good else "Took too long.", at)

    # -- in Stripe ----------------------------------------------------------------------------------------------------

    def _subscription(self, who: Customer) -> dict[str, Any]:
        return self.servers.stripe.records["subscriptions"][who.subscription_id]

    def _await_renewal(self, who: Customer) -> None:
        bought = who.subscription_id
        self._at(
            self._subscription(who)["items"]["data"][0]["current_period_end"], lambda at: self._renew(who, bought, at)
        )

    def _renew(self, who: Customer, bought: str, at: int) -> None:
        """A period is over: the next one is billed, or the subscription ends."""
        subscription = self._subscription(who)
        if who.left or bought != who.subscription_id or subscription["status"] == "canceled":
            return
        if subscription["cancel_at_period_end"]:
            self.servers.stripe.finish(bought, at)
            self._leave(who, "by choice", at)
            return
        if subscription["cancel_at"] is not None and subscription["cancel_at"] <= at:
            return  # the course is over at this very moment
        long_ago = at < self.start - PAST_DAYS * DAY
        refused = "" if long_ago else self._refusal(who, at)
        invoice = self.servers.stripe.bill(bought, decline=refused, at=at)
        self._await_renewal(who)
        if refused:
            self._await_retry(who, invoice)
        elif self._chance(0.08 * (1 - who.health) ** 2) and not long_ago:
            charge = self.servers.stripe.charge_of[invoice]
            self._at(at + self._within(48, 240), lambda then: self._dispute(charge, then))

    def _refusal(self, who: Customer, at: int) -> str:
        if who.card_ends_on and at // DAY >= who.card_ends_on:
            return "expired_card"
        return "insufficient_funds" if self._chance(0.01 + 0.12 * (1 - who.health) ** 2) else ""

    def _await_retry(self, who: Customer, invoice: str) -> None:
        following = self.servers.stripe.records["invoices"][invoice]["next_payment_attempt"]
        if following is not None:
            self._at(following, lambda at: self._retry(who, invoice, at))

    def _retry(self, who: Customer, invoice: str, at: int) -> None:
        stripe = self.servers.stripe
        if who.left:
            return
        expired = 0 < who.card_ends_on <= at // DAY
        if self._chance(0.1 + (0.2 if expired else 0.5) * who.health):
            who.card_ends_on = 0
            stripe.retry_payment(invoice, at=at)
            return
        stripe.retry_payment(invoice, decline="expired_card" if expired else "insufficient_funds", at=at)
        if stripe.records["invoices"][invoice]["next_payment_attempt"] is None:
            self._at(at + DAY, lambda then: self._give_up(who, then))
        else:
            self._await_retry(who, invoice)

    def _give_up(self, who: Customer, at: int) -> None:
        if not who.left:
            self.servers.stripe.cancel(who.subscription_id, "payment_failed", at=at)
            self._leave(who, "failed payment", at)

    def _cancel(self, who: Customer, at: int) -> None:
        if who.left or who.leaving:
            return
        feedback = self._dice.choice(_FEEDBACK.get(who.path.name, ("other",)))
        comment = self._dice.choice(_COMMENTS)
        at_period_end = self._chance(0.7)
        self.servers.stripe.cancel(
            who.subscription_id, at_period_end=at_period_end, feedback=feedback, comment=comment, at=at
        )
        if at_period_end:
            who.leaving = True
            if self._chance(0.12):
                self._at(at + self._within(48, 200), lambda then: self._stay(who, then))
            return
        self._leave(who, "by choice", at)
        latest = self._subscription(who)["latest_invoice"]
        if self._chance(0.3) and self.servers.stripe.records["invoices"][latest]["status"] == "paid":
            charge = self.servers.stripe.charge_of[latest]
            self._at(at + self._within(2, 30), lambda then: self._refund(charge, then))

    def _stay(self, who: Customer, at: int) -> None:
        if not who.left:
            who.leaving = False
            self.servers.stripe.keep(who.subscription_id, at)

    def _finish(self, who: Customer, at: int) -> None:
        """A course is over. Some go on with an ordinary plan."""
        if who.left:
            return
        course = who.subscription_id
        if self._chance(0.4):
            who.plan = "Pro"
            self._subscribe(who, at)
        self.servers.stripe.finish(course, at)
        if who.subscription_id == course:
            self._leave(who, "finished", at)

    def _change_plan(self, who: Customer, plan: str, at: int) -> None:
        if not who.left:
            who.plan = plan
            amount = PLANS[plan] * (10 if who.interval == "year" else 1)
            self.servers.stripe.change_plan(who.subscription_id, plan, amount, at)

    def _switch_to_yearly(self, who: Customer, at: int) -> None:
        """A new subscription takes the place of the old one: no departure."""
        if not who.left and self._subscription(who)["status"] == "active":
            former = who.subscription_id
            who.interval = "year"
            self._subscribe(who, at)
            self.servers.stripe.cancel(former, at=at)

    def _refund(self, charge: str, at: int) -> None:
        if not self.servers.stripe.records["charges"][charge]["refunded"]:
            self.servers.stripe.refund(charge, at=at)

    def _dispute(self, charge: str, at: int) -> None:
        dispute = self.servers.stripe.dispute_open(charge, "product_unacceptable", at)
        won = self._chance(0.5)
        self._at(at + 20 * DAY, lambda then: self.servers.stripe.dispute_close(dispute, won=won, at=then))

    def _leave(self, who: Customer, how: str, at: int) -> None:
        who.left, who.left_at = how, at

    # -- in Keap ------------------------------------------------------------------------------------------------------

    def _edit_by_hand(self, who: Customer) -> None:
        """Somebody at the business works on a contact, in fields and tags that are none of ours."""
        keap = self.servers.keap
        deed = self._dice.randrange(4)
        if deed == 0:
            keap.edit_field(who.keap_id, "Account notes", self._dice.choice(_NOTES))
        elif deed == 1:
            keap.edit_field(who.keap_id, "Seats", self._dice.randint(1, 60))
        elif deed == 2:
            keap.human_tag(who.keap_id, self._dice.choice(_OTHERS_TAGS))
        else:
            keap.human_untag(who.keap_id, self._dice.choice(_OTHERS_TAGS))

    def _opt_out(self, who: Customer, _: int) -> None:
        who.opt_status = OPTED_OUT
        self.servers.keap.set_opt_status(who.keap_id, OPTED_OUT)

    def _change_email(self, who: Customer, at: int) -> None:
        """A new address: the CRM and the product have it at once, the others perhaps."""
        who.email = who.new_email
        self.servers.keap.change_email(who.keap_id, who.email, who.opt_status)
        if self._chance(0.5):
            self.servers.stripe.change_email(who.stripe_id, who.email, at)
        if who.in_zendesk and not who.colleague and self._chance(0.5):
            self.servers.zendesk.change_email(who.zendesk_id, who.email, at)

    def _send_letter(self, at: int) -> None:
        """The business writes to all who want it; the healthier open it more."""
        for who in self.customers:
            if not who.in_keap or who.opt_status == OPTED_OUT or who.joined >= at:
                continue
            opened = clicked = None
            if self._chance(0.1 + 0.6 * who.health):
                opened = at + self._within(0.1, 30)
                if self._chance(0.4 * who.health):
                    clicked = opened + self._within(0.01, 0.2)
            self.servers.keap.log_email(who.keap_id, "News from the workshop", at, opened, clicked)
