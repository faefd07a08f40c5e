"""Where the files that are not code lie: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path:
    """The folder `templates` or `recipes`. Raises FileNotFoundError where the installation lacks it."""
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(f"Keepwell's own folder {name!r} is missing; install the package again")
