"""How a customer came and went, and as of when it was known. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A coming or a going. Times are epoch seconds, UTC."""

    kind: str
    """joined, subscription (one began) or left."""
    label: str
    at: int
    known_at: int
    """Never before `at`."""
    until: int | None = None
    """When the word was mended that said so; None where it stands."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A customer was here, and then was not."""

    how: str
    """by choice, failed payment, finished …: as the fact's label says."""
    at: int
    back_at: int | None
    """When they came again; None while they have not."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A customer and the moment as of which they are looked at."""

    customer_id: str
    at: int
    today: int
    """The number of the customer's local day that the moment falls in."""
    since: int
    """Since when they were a customer, as was known then."""


@dataclass(frozen=True, slots=True)
class Past:
    """One customer's comings and goings, in order of time."""

    customer_id: str
    name: str
    time_zone: str
    steps: tuple[Step, ...]
    first_known: int
    """Since when anything at all was known of them."""
    former: tuple[Step, ...] = ()
    """What was thought for a while, in order of time."""

    def since(self, at: int) -> int | None:
        """Since when they had been a customer, by all that was known at that moment; None where they were none.

        The earliest joining that was known then; without one, the first that was known of them.
        """
        if at < self.first_known or self._gone(at):
            return None
        joined = [one.at for one in self._known(at) if one.kind == "joined"]
        return min(joined, default=self.first_known)

    def departures(self) -> list[Departure]:
        """Each time they went while they were here, in order of time.

        A second farewell in a row is none, nor is one with a coming in the same second: a plan was switched.
        """
        found: list[Departure] = []
        here = True
        for step in self.steps:
            if step.kind != "left":
                if found and not here:
                    found[-1] = Departure(found[-1].how, found[-1].at, step.at)
                here = True
            elif here:
                found.append(Departure(step.label, step.at, None))
                here = False
        return [one for one in found if one.back_at != one.at]

    def _known(self, at: int) -> Iterator[Step]:
        known = (one for one in self.steps if one.known_at <= at)
        thought = [one for one in self.former if one.known_at <= at and (one.until is None or at < one.until)]
        return iter(sorted([*known, *thought], key=_in_order)) if thought else known

    def _gone(self, at: int) -> bool:
        gone = False
        for one in self._known(at):
            gone = one.kind == "left"
        return gone


def _in_order(step: Step) -> tuple[int, bool, str]:
    """By time; of one second the coming last."""
    return step.at, step.kind != "left", step.label
