"""Scorecards that count: numbered versions in the store, from the first run on.

Until somebody activates a card, the configured file speaks as it stands, and every version that a run meets is
numbered. From the first `keepwell activate` on the store says which version counts, and editing a file changes
nothing until that file was previewed and activated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.config import FILE as CONFIG
from worker.lib.clock import DAY
from worker.lib.problems import Problem, Problems
from worker.lib.shape import written
from worker.lib.store import Row, Store, sql
from worker.plays.records import set_switch, switch
from worker.scoring.choice import Deck, deck_of
from worker.scoring.records import save_card

ACTIVE: Final = "active_card"
"""The switch that holds the number of the version that counts."""

FRESH: Final = 7 * DAY
"""How old a preview may be."""

Files = Mapping[str, str]
"""A scorecard as it was written, {file: text}: one file, or those of a folder of cards."""


@dataclass(frozen=True, slots=True)
class Version:
    """A scorecard that counts, or did."""

    number: int
    """From 1."""
    version: str
    """The short hash of what it says."""
    name: str
    files: Files
    since: int
    """When it was first used, epoch seconds."""
    author: str
    replaced: int | None
    """The version that counted before it."""

    @property
    def text(self) -> str:
        """What one file says; of a folder all of it, one file after the other."""
        return "\n".join(self.files.values())


def read_files(path: Path) -> dict[str, str]:
    """Read a card's file, or the files of a folder of cards. Raises Problems for what cannot be read."""
    if not path.is_dir():
        return {path.name: written(path)}
    found = {one.name: written(one) for one in sorted(path.glob("*.toml")) if one.name != CONFIG}
    if not found:
        raise Problems([Problem(str(path), 0, "", "holds no scorecard", "name a file, or a folder with cards.toml")])
    return found


def keep(store: Store, deck: Deck, files: Files, now: int) -> None:
    """Keep the text of every card that scores may name."""
    for file, card in deck.cards.items():
        save_card(store, card, files[file], now)


def fingerprint(files: Files) -> str:
    """The hash of exactly these texts; what a single file is called does not count."""
    exact = next(iter(files.values())) if len(files) == 1 else json.dumps(dict(files), sort_keys=True)
    return hashlib.sha256(exact.encode()).hexdigest()


# -- versions ---------------------------------------------------------------------------------------------------------


def versions(store: Store) -> list[Version]:
    """All of them, by number."""
    return [_version(row) for row in store.rows(sql("changing", "versions"))]


def numbers(store: Store) -> dict[str, int]:
    """{version: number}, for whatever names a score's scorecard: of a folder of cards each one's version as well."""
    found = {}
    for one in versions(store):
        found[one.version] = one.number
        with suppress(Problems):  # the language may have changed since
            found |= {card.version: one.number for card in deck_of(one.files).cards.values()}
    return found


def named(store: Store, version: str) -> str:
    """`version 3 of the scorecard`, for what a score names; "" for one that was never numbered."""
    number = numbers(store).get(version)
    return f"version {number} of the scorecard" if number else ""


def active(store: Store) -> Version | None:
    """The version that was activated; None as long as the configured file speaks."""
    number = switch(store, ACTIVE)
    return next((one for one in versions(store) if str(one.number) == number), None) if number else None


def counting(store: Store, version: str) -> int | None:
    """The number of the version that counts: the activated one, else the one the file says; None before any run."""
    counts = active(store)
    return counts.number if counts else numbers(store).get(version)


def note(store: Store, deck: Deck, files: Files, now: int) -> int:
    """This scorecard counts, by the file: number it, where it is new. Gives its number."""
    known = versions(store)
    found = next((one.number for one in known if one.version == deck.version), None)
    return found or _add(store, deck, files, now, "the file", known[-1].number if known else None)


def activate(store: Store, deck: Deck, files: Files, now: int, author: str, replaced: int) -> Version:
    """Make this scorecard the one that counts, in the place of the version of that number.

    Raises Problems where exactly these texts were not previewed of late.
    """
    tried = store.row(sql("changing", "preview"), {"hash": fingerprint(files)})
    place = ", ".join(files)
    if tried is None:
        raise Problems([Problem(place, 0, "", "exactly this was never previewed", "see first: keepwell preview FILE")])
    if now - tried["at"] > FRESH:
        age = (now - tried["at"]) // DAY
        raise Problems([Problem(place, 0, "", f"its preview is {age} days old", "look again: keepwell preview FILE")])
    with store.atomic():
        if any(one.version == deck.version for one in versions(store)):
            text = json.dumps(dict(files), ensure_ascii=False)
            store.run(sql("changing", "rewrite_version"), {"version": deck.version, "files": text})
        else:
            _add(store, deck, files, now, author, replaced)
        found = next(one for one in versions(store) if one.version == deck.version)
        set_switch(store, ACTIVE, str(found.number), now)
    return found


def go_back(store: Store, current: str, now: int, number: int | None = None) -> Version:
    """Make an earlier version count again: the one before the `current` (its hash), or the one of that number.

    It needs no preview: it has counted before. Raises Problems where there is none.
    """
    known = {one.number: one for one in versions(store)}
    if number is None:
        here = next((one for one in known.values() if one.version == current), None)
        number = here.replaced if here else max(known, default=None)
        if number is None:
            raise Problems([Problem("activate", 0, "", "no version counted before this one", "see: keepwell activate")])
    if number not in known:
        cure = f"use one of: {', '.join(map(str, known))}" if known else "none has counted yet; see: keepwell run"
        raise Problems([Problem("activate", 0, "", f"there is no version {number}", cure)])
    set_switch(store, ACTIVE, str(number), now)
    return known[number]


def _add(store: Store, deck: Deck, files: Files, now: int, author: str, replaced: int | None) -> int:
    number = len(versions(store)) + 1
    binds = {
        "number": number, "version": deck.version, "name": deck.main.name,
        "files": json.dumps(dict(files), ensure_ascii=False), "since": now, "author": author, "replaced": replaced,
    }  # fmt: skip
    store.run(sql("changing", "add_version"), binds)
    return number


def _version(row: Row) -> Version:
    return Version(
        row["number"], row["version"], row["name"], json.loads(row["files"]), row["since"], row["author"],
        row["replaced"],
    )  # fmt: skip


# -- the file beside the store ----------------------------------------------------------------------------------------


def unlike(store: Store, path: Path) -> str:
    """What to tell where the configured file is not the version that counts; "" where all is well."""
    counts = active(store)
    if counts is None:
        return ""
    try:
        files = read_files(path)
    except Problems as found:
        return f"{found}; version {counts.number} counts all the same"
    if fingerprint(files) == fingerprint(counts.files):
        return ""
    return (
        f"{path.name} differs from version {counts.number} of the scorecard, which counts: "
        f"keepwell preview {path.name}, then keepwell activate {path.name}"
    )


def write_back(store: Store, path: Path, counts: Version) -> bool:
    """Let the configured file say what counts; False, and nothing done, where it holds what is kept nowhere else."""
    try:
        there = read_files(path)
    except Problems:
        return False
    if fingerprint(there) == fingerprint(counts.files):
        return True
    kept = {fingerprint(one.files) for one in versions(store)}
    if path.is_dir() or len(counts.files) != 1 or fingerprint(there) not in kept:
        return False
    path.write_text(counts.text, "utf-8")
    return True


# -- previews ---------------------------------------------------------------------------------------------------------


def keep_preview(store: Store, files: Files, now: int, days: int, summary: str) -> None:
    """Remember that exactly these texts were previewed."""
    binds = {"hash": fingerprint(files), "now": now, "days": days, "summary": summary}
    store.run(sql("changing", "keep_preview"), binds)
