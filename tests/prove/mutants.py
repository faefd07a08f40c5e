"""Named mutants: one wrong line each, and the tests that must notice.

A promise is only as good as its test. So for every promise there is at least one way to break it on purpose, in a copy
of the source, and the named tests must fail there. Run one by hand with `pytest -m prove tests/prove -k <name>`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]

COPIED = ("worker", "integrations", "templates", "recipes", "tests", "bench", "docs", "pyproject.toml")
"""What a test may need of the checkout."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong line."""

    name: str
    promise: int
    """The number of the promise in the design that it breaks."""
    file: str
    old: str
    """The text that is replaced; stands in the file exactly once."""
    new: str
    tests: tuple[str, ...]
    """pytest's ids of the tests that must fail, every one; without brackets: at least one of its cases."""


MUTANTS = (
    Mutant(
        "acknowledge before it is stored",
        1,
        "worker/intake/receive.py",
        'outcome = batch.outcomes.get(str(row["id"]))',
        'outcome = Received(str(row["id"]), duplicate=False)',
        ("tests/intake/test_receive.py::test_when_the_database_is_gone_everyone_hears_and_nothing_is_acknowledged",),
    ),
    Mutant(
        "dedupe by event id alone",
        2,
        "worker/intake/receive.py",
        '"body_hash": hashlib.sha256(body).hexdigest(),',
        '"body_hash": "",',
        ("tests/intake/test_receive.py::test_a_delivery_that_differs_in_anything_is_another",),
    ),
    Mutant(
        "read what happened after the moment",
        3,
        "worker/scoring/measures.py",
        " and f.at <= w.at",
        "",
        ("tests/scoring/test_measures.py::test_what_happens_after_the_moment_has_no_influence",),
    ),
    Mutant(
        "believe an empty secret",
        8,
        "worker/lib/signing.py",
        "        if not secret:\n            continue\n",
        "",
        ("tests/lib/test_signing.py::test_an_empty_secret_matches_nothing",),
    ),
    Mutant(
        "believe a signature from the future",
        8,
        "worker/lib/signing.py",
        "return abs(now - timestamp) <= tolerance",
        "return now - timestamp <= tolerance",
        ("tests/lib/test_signing.py::test_a_signed_moment_is_believed_for_five_minutes_either_way",),
    ),
    Mutant(
        "repeat what may be a secret",
        8,
        "worker/config.py",
        'path, "is no name of an environment variable",',
        'path, f"{name!r} is no name of an environment variable",',
        ("tests/test_config.py::test_a_secret_in_the_wrong_place_is_told_and_never_shown",),
    ),
)


class Survived(AssertionError):
    """A promise can be broken without a test that notices."""


def kill(mutant: Mutant, folder: Path, top: Path = TOP) -> None:
    """Copy the source below `top` into `folder`, make the one change, and run the named tests there.

    Raises Survived where one of them does not fail; LookupError where the text is not there exactly once, or a test does
    not exist: then the mutant is stale.
    """
    _copy(top, folder)
    path = folder / mutant.file
    text = path.read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise LookupError(f"{mutant.name}: {mutant.file} holds the text {text.count(mutant.old)} times, not once")
    path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    code, said = _pytest(mutant.tests, folder)
    if code not in {0, 1}:  # nothing was run: no such test, or the mutant cannot even be imported
        raise LookupError(f"{mutant.name}: pytest gave up\n{said}")
    failed = re.findall(r"^FAILED (\S+?)(?:\[.*)?(?: - .*)?$", said, re.MULTILINE)
    unmoved = [test for test in mutant.tests if test.split("[")[0] not in failed]
    if unmoved:
        raise Survived(f"{mutant.name} breaks promise {mutant.promise} and these do not notice: {unmoved}\n{said}")


def _copy(top: Path, folder: Path) -> None:
    for name in COPIED:
        if (top / name).is_dir():
            shutil.copytree(top / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (top / name).is_file():
            shutil.copy(top / name, folder / name)


def _pytest(tests: tuple[str, ...], folder: Path) -> tuple[int, str]:
    environ = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "KEEPWELL_SHARED": os.environ.get("KEEPWELL_SHARED", str(TOP.parent / "shared")),
    }
    environ.pop("PROVE_SECONDS", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=line", "-m", "prove or not prove", "-p", "no:cacheprovider",
         "--timeout", "60", *tests],
        cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout[-4_000:] + done.stderr[-1_000:]
