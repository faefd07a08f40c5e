"""Integrations are found by looking, and connected when the workspace uses them."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import integrations
from worker.integration import Settings
from worker.lib.clock import VirtualClock
from worker.registry import connect, find

GOOD = """
from worker.integration import Integration, Settings

INTEGRATION = Integration("{name}", "{title}", "things, in", Settings)
"""

_numbers = itertools.count()

Folder = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """Makes a package of integrations out of texts, and gives its name."""

    def make(**files: str) -> str:
        package = f"somebodys_integrations_{next(_numbers)}"
        (tmp_path / package).mkdir()
        for name, text in {"__init__": "", **files}.items():
            (tmp_path / package / f"{name}.py").write_text(text, "utf-8")
        return package

    sys.path.insert(0, str(tmp_path))
    yield make
    sys.path.remove(str(tmp_path))


def test_a_new_file_is_all_that_a_new_integration_needs(folder: Folder) -> None:
    package = folder(
        zebra=GOOD.format(name="zebra", title="Zebra"),
        acorn=GOOD.format(name="acorn", title="Acorn"),
        _shared="VALUE = 1\n",
    )

    assert [(name, one.title) for name, one in find(package).items()] == [("acorn", "Acorn"), ("zebra", "Zebra")]


def test_a_file_without_an_integration_is_named(folder: Folder) -> None:
    package = folder(acorn="VALUE = 1\n")

    with pytest.raises(TypeError, match=rf"{package}/acorn\.py has no integration; end it with INTEGRATION"):
        find(package)


def test_an_integration_that_is_called_otherwise_than_its_file_is_named(folder: Folder) -> None:
    package = folder(acorn=GOOD.format(name="oak", title="Oak"))

    with pytest.raises(TypeError, match=rf"{package}/acorn\.py calls itself 'oak'"):
        find(package)


def test_the_integrations_that_ship_are_all_found() -> None:
    files = {path.stem for path in Path(str(integrations.__file__)).parent.glob("[a-z]*.py")}

    assert set(find()) == files
    assert "keap" in files


@dataclass(frozen=True)
class Workspace:
    integrations: dict[str, Settings] = field(default_factory=dict)


def test_a_workspace_is_connected_to_what_it_uses_and_to_nothing_else(clock: VirtualClock) -> None:
    settings = find()["keap"].settings.model_validate({"key": "KeapAK-1"})

    connected = connect(Workspace({"keap": settings}), clock)

    assert list(connected) == ["keap"]
    assert connected["keap"].settings is settings
    assert connected["keap"].http is not None
    assert "KeapAK-1" not in repr(connected)


def test_a_workspace_that_uses_nothing_is_connected_to_nothing(clock: VirtualClock) -> None:
    assert connect(Workspace(), clock) == {}
