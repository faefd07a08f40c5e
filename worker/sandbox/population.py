"""Who lives in the sandbox world: made-up companies, drawn from a seed, as untidy as real ones."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from worker.lib.clock import DAY, HOUR

_GIVEN: Final = (
    "Ada Alan Amara Anouk Barbara Bela Carlos Chiara Daan Dorothy Edsger Elif Emeka Femke Frances Grace Hedy Ines Ivan "
    "Jörg Joan Kofi Lena Linus Łucja Marie Mateo Mei Nadia Noor Olga Oskar Priya Radia Rosa Sami Sofía Tariq Uma "
    "Vera Wanjiru Yuki Zoë"
)
GIVEN: Final = tuple(_GIVEN.split())
_FAMILY: Final = (
    "Abebe Almeida Bakker Bauer Chen Cohen Dahl Dubois Eriksen Farouk Ferrari García Haddad Hopper Ibrahim Ivanova "
    "Jansen Jensen Kaya Kovács Lamarr Lovelace Mbeki Meyer Moreau Müller Nakamura Novak Okafor Olsen Perlman Petrova "
    "Quispe Rossi Sato Schmidt Silva Tanaka Turing Vargas Weber Yilmaz Zhang"
)
FAMILY: Final = tuple(_FAMILY.split())
_FIRST_WORDS: Final = (
    "Amber Blue Bright Cedar Clear Copper Coral Crystal Eastern Ember Fair Golden Granite Green Harbor Honest Indigo "
    "Iron Ivory Little Lunar Maple Merry Misty Noble Northern Olive Pebble Quiet Rapid River Silver Solid Southern "
    "Swift Velvet Western Wild Willow Winter"
)
FIRST_WORDS: Final = tuple(_FIRST_WORDS.split())
_SECOND_WORDS: Final = "Bakery Books Clinic Dental Design Fitness Foods Gardens Legal Logistics Media Travel"
SECOND_WORDS: Final = tuple(_SECOND_WORDS.split())
FEATURES: Final = ("reports", "automations", "contacts", "invoices", "inbox", "forms")
PLANS: Final[dict[str, int]] = {"Starter": 2900, "Pro": 7900, "Team": 19900}
"""Nickname → minor units a month, the dearest last; a year costs ten months."""
COURSE: Final = "Course, six months"
COURSE_LASTS: Final = 180 * DAY

OPTED_OUT: Final = "LIST_UNSUBSCRIBE"
_OPTED_IN: Final = ("SINGLE_OPT_IN", "SINGLE_OPT_IN", "DOUBLE_OPT_IN", "CONFIRMED", "UNENGAGED_MARKETABLE")

_ASCII: Final = str.maketrans("áéíóúöüëŁłćů", "aeiououeLlcu")

SHARE_SHARED_ADDRESS: Final = 0.04
SHARE_NEW_ADDRESS: Final = 0.03
SHARE_TWICE_IN_KEAP: Final = 0.04
SHARE_KEAP_ONLY: Final = 0.05
SHARE_STRIPE_ONLY: Final = 0.05
SHARE_OPTED_OUT: Final = 0.08
SHARE_NAMED_IN_STRIPE: Final = 0.80
SHARE_EUROS: Final = 0.35
SHARE_COURSES: Final = 0.05


@dataclass(frozen=True, slots=True)
class Path:
    """How a customer's health goes: from one level to another, from a day of its own on."""

    name: str
    share: float
    """Of all customers."""
    before: float
    after: float
    turns: tuple[int, int]
    """Between which days, counted from the start, it turns."""


PATHS: Final = (
    Path("steady", 0.48, 0.78, 0.78, (0, 0)),
    Path("growing", 0.17, 0.72, 0.94, (-60, 20)),
    Path("declining", 0.18, 0.80, 0.08, (-15, 55)),
    Path("unhappy", 0.08, 0.75, 0.28, (-40, 30)),  # goes on using it a lot
    Path("stalled", 0.09, 0.42, 0.30, (0, 0)),  # never got going
)


@dataclass(slots=True, eq=False)
class Customer:
    """A customer as it truly is. Nothing outside the sandbox may look here."""

    number: int
    given: str
    family: str
    company: str
    email: str
    path: Path
    health: float
    """0 to 1; drifts daily."""
    turns_on: int
    """The day number from which its path's second level draws it."""
    joined: int
    """Epoch seconds; may lie after the start."""
    plan: str
    interval: str
    currency: str
    features: tuple[str, ...]
    in_keap: bool = True
    in_stripe: bool = True
    in_zendesk: bool = True
    opt_status: str = "SINGLE_OPT_IN"
    opts_out_on: int = 0
    """A day number; 0 for never."""
    new_email: str = ""
    new_email_on: int = 0
    shares_address: bool = False
    twice_in_keap: bool = False
    named_in_stripe: bool = False
    """Stripe's metadata tell the id of the Keap contact."""
    named_in_zendesk: bool = False
    """Zendesk's external_id does."""
    colleague: str = ""
    """The address of somebody else at the company, who is the one that asks Zendesk."""
    card_ends_on: int = 0
    """The day number from which the card on file is refused; 0 for never."""
    keap_id: str = ""
    stripe_id: str = ""
    subscription_id: str = ""
    zendesk_id: int = 0
    leaving: bool = False
    """A cancellation is planned."""
    left: str = ""
    """How it went: by choice, failed payment or finished; "" while it stays."""
    left_at: int = 0

    @property
    def uses_product(self) -> bool:
        """Whether it is more than a name in the CRM."""
        return self.in_stripe

    @property
    def engagement(self) -> float:
        """How eagerly it uses the product, 0 to 1: mostly health, but the unhappy are busy and the stalled are not."""
        if self.path.name == "unhappy":
            return 0.85
        eager = self.health * (0.45 if self.path.name == "stalled" else 1.0)
        return eager * (0.5 if self.leaving else 1.0)

    def drift(self, day: int, dice: random.Random) -> None:
        """Let one day pass over its health."""
        level = self.path.after if day >= self.turns_on else self.path.before
        self.health = min(1.0, max(0.02, self.health + 0.05 * (level - self.health) + dice.gauss(0, 0.015)))


def draw(count: int, start: int, dice: random.Random) -> list[Customer]:
    """Draw `count` customers of a world that starts at `start` (epoch seconds)."""
    names = _names(count, dice)
    customers = [_draw_one(number, names[number], path, start, dice) for number, path in enumerate(_paths(count, dice))]
    _spread(customers, dice)
    _make_untidy(customers, start, dice)
    return customers


def _paths(count: int, dice: random.Random) -> list[Path]:
    paths = [path for path in PATHS for _ in range(round(path.share * count))][:count]
    paths += [PATHS[0]] * (count - len(paths))
    dice.shuffle(paths)
    return paths


def _names(count: int, dice: random.Random) -> list[str]:
    every = [f"{first} {second}" for second in SECOND_WORDS for first in FIRST_WORDS]
    if count > len(every):
        raise ValueError(f"the world has names for {len(every)} customers at most, not {count}")
    return dice.sample(every, count)


def _draw_one(number: int, company: str, path: Path, start: int, dice: random.Random) -> Customer:
    given, family = dice.choice(GIVEN), dice.choice(FAMILY)
    midnight = start - start % DAY
    ago = dice.randint(8, 60) if path.name == "stalled" else dice.randint(75, 320)
    turns = dice.randint(*path.turns)
    return Customer(
        number=number,
        given=given,
        family=family,
        company=company,
        email=_address(given, family, company),
        path=path,
        health=min(1.0, max(0.05, dice.gauss(path.before, 0.07))),
        turns_on=midnight // DAY + turns,
        joined=midnight - ago * DAY + dice.randint(7 * HOUR, 18 * HOUR),
        plan=dice.choices(list(PLANS), (45, 40, 15))[0],
        interval="year" if dice.random() < 0.12 else "month",
        currency="usd",
        features=tuple(dice.sample(FEATURES, dice.randint(1, 4))),
        opt_status=dice.choice(_OPTED_IN),
    )


def _address(given: str, family: str, company: str) -> str:
    domain = company.lower().replace(" ", "-")
    return f"{given}.{family}@{domain}.example".translate(_ASCII).lower()


def _spread(customers: list[Customer], dice: random.Random) -> None:
    """Say in which systems each customer is, and which links their owners have made."""
    count = len(customers)
    order = dice.sample(customers, count)
    keap_only, stripe_only = round(SHARE_KEAP_ONLY * count), round(SHARE_STRIPE_ONLY * count)
    for customer in order[:keap_only]:
        customer.in_stripe = customer.in_zendesk = False
    for customer in order[keap_only : keap_only + stripe_only]:
        customer.in_keap = customer.in_zendesk = False
    known = order[keap_only + stripe_only :]
    for place, customer in enumerate(known):
        customer.named_in_stripe = place < round(SHARE_NAMED_IN_STRIPE * len(known))
        customer.in_zendesk = dice.random() < 0.9
        customer.named_in_zendesk = customer.in_zendesk and dice.random() < (0.4 if customer.named_in_stripe else 0.8)
        if customer.named_in_zendesk and dice.random() < 0.25:
            customer.colleague = _address(dice.choice(GIVEN), "support", customer.company)
    for customer in dice.sample(customers, round(SHARE_EUROS * count)):
        customer.currency = "eur"


def _make_untidy(customers: list[Customer], start: int, dice: random.Random) -> None:
    count = len(customers)
    today = start // DAY
    pool = dice.sample([one for one in customers if one.in_keap and one.in_stripe], k=_in_both(customers))

    def take(share: float) -> list[Customer]:
        taken = [pool.pop() for _ in range(min(round(share * count), len(pool)))]
        return sorted(taken, key=lambda one: one.number)

    sharing = take(SHARE_SHARED_ADDRESS)
    for one, other in zip(sharing[::2], sharing[1::2], strict=False):
        one.shares_address = other.shares_address = True
        one.colleague = other.colleague = ""
        # One person looks after both companies.
        other.given, other.family, other.email, other.opt_status = one.given, one.family, one.email, one.opt_status
    for customer in take(SHARE_NEW_ADDRESS):
        customer.new_email = f"{customer.given}@new-{customer.email.split('@')[1]}".translate(_ASCII).lower()
        customer.new_email_on = today + dice.randint(5, 75)
    for customer in take(SHARE_TWICE_IN_KEAP):
        customer.twice_in_keap = True
    opted_out = take(SHARE_OPTED_OUT)
    for place, customer in enumerate(opted_out):
        if place % 2:
            customer.opts_out_on = today + dice.randint(3, 78)
        else:
            customer.opt_status = OPTED_OUT
    for customer in take(0.04):
        customer.card_ends_on = today + dice.randint(-10, 60)
    _renew_soon([one for one in customers if one.in_keap and one.path.name == "declining"], start)
    _give_courses([one for one in customers if one.in_stripe and one.path.name == "steady"], count, start, dice)
    # A few come later, as the world lives on.
    for customer in [one for one in pool if one.path.name in {"steady", "growing"} and one.plan != COURSE][:4]:
        customer.joined = start - start % DAY + dice.randint(4, 50) * DAY + 10 * HOUR


RENEW_SOON: Final = 8


def _renew_soon(declining: list[Customer], start: int) -> None:
    """A few of those who are on their way down pay by the year, and their year ends in the weeks to come."""
    for place, customer in enumerate(one for one in declining[: 2 * RENEW_SOON : 2] if one.in_stripe):
        customer.interval = "year"
        customer.joined = start - start % DAY - (365 - 100 - 5 * place) * DAY + 10 * HOUR


def _in_both(customers: list[Customer]) -> int:
    return sum(one.in_keap and one.in_stripe for one in customers)


def _give_courses(steady: list[Customer], count: int, start: int, dice: random.Random) -> None:
    for customer in dice.sample(steady, min(round(SHARE_COURSES * count), len(steady))):
        customer.plan, customer.interval = COURSE, "month"
        ends = start - start % DAY + dice.randint(5, 120) * DAY + 12 * HOUR
        customer.joined = ends - COURSE_LASTS
