"""Every promise has a test that fails when the promise is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prove.mutants import MUTANTS, TOP, Mutant, Survived, kill

KEPT = {1, 2, 3, 4, 5, 6, 7, 8}
"""The promises of the design that hold by now."""


@pytest.mark.prove
@pytest.mark.timeout(360)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.promise}-{mutant.name.replace(' ', '-')}")
def test_a_broken_promise_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    kill(mutant, tmp_path / "copy")


@pytest.mark.prove
def test_every_promise_can_be_broken_on_purpose() -> None:
    assert KEPT - {mutant.promise for mutant in MUTANTS} == set()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_fits_the_source(mutant: Mutant) -> None:
    if not (TOP / "worker").is_dir():
        pytest.skip("the source lies in the checkout, not beside the tests of an installed wheel")

    assert (TOP / mutant.file).read_text("utf-8").count(mutant.old) == 1
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.split('[')[0]}(" in (TOP / file).read_text("utf-8")


def test_no_two_mutants_have_the_same_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


# -- the runner itself, on a toy --------------------------------------------------------------------------------------

TOY = "def double(number: int) -> int:\n    return number * 2\n"
WATCHFUL = "from worker.toy import double\n\n\ndef test_doubles() -> None:\n    assert double(3) == 6\n"
BLIND = "from worker.toy import double\n\n\ndef test_blind() -> None:\n    assert double(0) == 0\n"

KILLED = Mutant("triple", 3, "worker/toy.py", "number * 2", "number * 3", ("tests/test_toy.py::test_doubles",))


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    files = {
        "worker/__init__.py": "",
        "worker/toy.py": TOY,
        "tests/__init__.py": "",
        "tests/test_toy.py": WATCHFUL,
        "tests/test_blind.py": BLIND,
        "pyproject.toml": '[tool.pytest.ini_options]\nmarkers = ["prove: slow"]\n',
    }
    for name, text in files.items():
        (tmp_path / "toy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "toy" / name).write_text(text, "utf-8")
    return tmp_path / "toy"


def changed(mutant: Mutant, **changes: object) -> Mutant:
    fields = {name: getattr(mutant, name) for name in Mutant.__slots__}
    return Mutant(**{**fields, **changes})


@pytest.mark.prove
def test_a_mutant_that_its_test_notices_is_killed_in_a_copy(toy: Path, tmp_path: Path) -> None:
    kill(KILLED, tmp_path / "copy", toy)

    assert (toy / "worker/toy.py").read_text("utf-8") == TOY


@pytest.mark.prove
def test_a_mutant_that_one_of_its_tests_does_not_notice_has_survived(toy: Path, tmp_path: Path) -> None:
    blind = changed(KILLED, tests=(*KILLED.tests, "tests/test_blind.py::test_blind"))

    with pytest.raises(
        Survived, match=r"breaks promise 3 and these do not notice: \['tests/test_blind\.py::test_blind"
    ):
        kill(blind, tmp_path / "copy", toy)


@pytest.mark.prove
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"old": "number * 4"}, "holds the text 0 times, not once"),
        ({"old": "number"}, "holds the text 2 times, not once"),
        ({"tests": ("tests/test_toy.py::test_gone",)}, "pytest gave up"),
        ({"old": "def double", "new": "def triple"}, "pytest gave up"),
    ],
)
def test_a_stale_mutant_is_an_error_and_no_success(
    toy: Path, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(LookupError, match=says):
        kill(changed(KILLED, **changes), tmp_path / "copy", toy)
