"""Keap's custom fields as values: how ours are written, when two are the same, and how far one write is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from integrations._keap_calls import contents, text
from worker.integration import FieldResult
from worker.lib.clock import from_iso, iso
from worker.lib.rounding import half_up, plain

FRACTIONS: Final = frozenset({"DECIMAL_NUMBER", "CURRENCY", "PERCENT"})


def content(types: Mapping[str, str], field_id: str, words: str) -> Any:
    """Text of ours as the field's type has it: a JSON number, a day, a moment, or text; None to clear it.

    Keap types the content as anything; numbers and dates as others were seen to send them. Raises ValueError for what
    does not fit, and for a field that is not there.
    """
    if field_id not in types:
        raise ValueError(f"Keap has no custom field {field_id} any more; let Keepwell make its fields again")
    if words == "":
        return None
    kind = types[field_id]
    try:
        if kind == "WHOLE_NUMBER":
            return int(half_up(Decimal(words)))
        if kind in FRACTIONS:
            return float(Decimal(words))
        if kind == "DATE_TIME":
            return iso(from_iso(words))
        if kind == "DATE":
            return words[:10] if len(words) == 10 else iso(from_iso(words))[:10]
    except (InvalidOperation, ValueError):
        raise ValueError(f"{words!r} does not fit Keap's custom field {field_id} ({kind})") from None
    return words


def same(one: Any, other: Any) -> bool:
    """Whether two contents say the same, however they are written: 71 and "71", two spellings of a moment."""
    return bool(one == other) or _normal(text(one)) == _normal(text(other))


def _normal(words: str) -> str:
    words = words.strip()
    try:
        number = Decimal(words)
        return plain(number) if number.is_finite() and abs(number.adjusted()) < 20 else words
    except InvalidOperation:
        pass
    try:
        return iso(from_iso(words))
    except ValueError:
        return words


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """The fields whose content differs. Two texts differ as soon as one letter does: "007" is not "7"."""
    return {
        field_id
        for field_id in before.keys() | after.keys()
        if not _unchanged(before.get(field_id), after.get(field_id))
    }


def _unchanged(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return same(one, other)


@dataclass
class FieldWork:
    """The state of one `write_fields`: what is wanted of each contact, and how far it is."""

    wanted: Mapping[str, Mapping[str, str]]
    types: Mapping[str, str]
    results: dict[str, FieldResult] = field(default_factory=dict)
    before: dict[str, dict[str, str]] = field(default_factory=dict)
    """Our fields as they stood in the first read."""
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Everybody else's, as they were sent back with the latest PATCH."""
    written: bool = False
    """Whether anything may have been written."""

    def fail(self, contact_id: str, reason: str, *, again: bool = False) -> None:
        """Give a contact up."""
        self.results[contact_id] = FieldResult(
            ok=False, reason=reason, before=self.before.get(contact_id, {}), again=again
        )

    def body(self, contact_id: str, record: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
        """The whole list to send for a contact just read; None where nothing is to be sent, the result then stands."""
        if self.shows(contact_id, record):
            return None
        assert record is not None
        ours, there = self._ours(contact_id), contents(record)
        self.others[contact_id] = {field_id: value for field_id, value in there.items() if field_id not in ours}
        # null clears; what is empty already stays unnamed
        put = {field_id: value for field_id, value in ours.items() if value is not None or field_id in there}
        return [{"id": field_id, "content": value} for field_id, value in {**self.others[contact_id], **put}.items()]

    def shows(self, contact_id: str, record: Mapping[str, Any] | None) -> bool:
        """Whether a contact just read needs no more: gone, impossible, or as wanted. Its result then stands."""
        if record is None:
            self.fail(contact_id, "Keap has no such contact any more")
            return True
        there = contents(record)
        try:
            ours = self._ours(contact_id)
        except ValueError as error:
            self.fail(contact_id, str(error))
            return True
        before = self.before.setdefault(contact_id, {field_id: text(there.get(field_id)) for field_id in ours})
        if not all(same(value, there.get(field_id)) for field_id, value in ours.items()):
            return False
        sent = self.others.get(contact_id)
        others = {field_id: value for field_id, value in there.items() if field_id not in ours}
        lost = () if sent is None else tuple(sorted(differing(sent, others)))
        self.results[contact_id] = FieldResult(ok=True, before=before, lost_race=lost)
        return True

    def _ours(self, contact_id: str) -> dict[str, Any]:
        """What is wanted of a contact, as Keap's types have it. Raises ValueError for a value that does not fit."""
        return {field_id: content(self.types, field_id, words) for field_id, words in self.wanted[contact_id].items()}
