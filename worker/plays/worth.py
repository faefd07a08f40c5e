"""What a customer is worth a month, in the one currency of the workspace, at the rate of the day. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

PREFIX: Final = "mrr_"
"""Attributes of customers who pay in several currencies: `mrr_eur`; of those who pay in one, `mrr` and `currency`."""


@dataclass(frozen=True, slots=True)
class Worth:
    """How worth is counted, and from which on a person is worth it."""

    currency: str = "usd"
    rates: tuple[tuple[int, Mapping[str, Decimal]], ...] = ()
    """(from this moment on, what one unit of a currency is in ours), the oldest first."""
    person_from: Decimal = Decimal(0)
    """Worth a month from which a person writes; 0 for never."""
    person_from_by_segment: Mapping[str, Decimal] = field(default_factory=dict)

    def line(self, segment: str) -> Decimal:
        """From what worth on customers of this segment get a person; 0 for never."""
        return self.person_from_by_segment.get(segment, self.person_from)

    def deserves_person(self, worth: Decimal | None, segment: str) -> bool:
        """Whether a person is worth it; where the worth is not known, none is."""
        line = self.line(segment)
        return line > 0 and worth is not None and worth >= line

    def of(self, attributes: Mapping[str, tuple[str, int]], now: int) -> Decimal | None:
        """A month's worth from a customer's attributes, name -> (newest value, since when).

        None where it is not told, or a rate is missing. Who pays in one currency now may have paid in several before, and
        the other way round: what was told last holds.
        """
        told = {name: at for name, (_, at) in attributes.items() if name == "mrr" or name.startswith(PREFIX)}
        if not told:
            return None
        amounts = {name: attributes[name][0] for name, at in told.items() if at == max(told.values())}
        own = attributes.get("currency", (self.currency, 0))[0]
        total = Decimal(0)
        for name, text in amounts.items():
            rate = self._rate(own.lower() if name == "mrr" else name.removeprefix(PREFIX), now)
            try:
                amount = Decimal(text)
            except InvalidOperation:
                return None
            if rate is None or not amount.is_finite():
                return None
            total += amount * rate
        return total

    def _rate(self, currency: str, now: int) -> Decimal | None:
        if currency == self.currency.lower():
            return Decimal(1)
        told = [rates[currency] for since, rates in self.rates if since <= now and currency in rates]
        return told[-1] if told else None
