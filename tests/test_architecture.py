"""The house holds: who imports whom, where time and the database are reached, and how an integration is laid out."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import integrations
import worker
from worker.registry import find

PACKAGES = [Path(str(package.__file__)).parent for package in (worker, integrations)]

# -- who may import whom ----------------------------------------------------------------------------------------------

PURE = (
    "worker.facts worker.effects worker.lib.problems worker.lib.toml worker.lib.shape worker.lib.rounding"
    " worker.lib.assets"
)
"""Values in, values out: no clock, no network, no database."""


JOINERS = (
    "worker.cli worker.cli.* worker.__main__ worker.app worker.schedule worker.river worker.lanes worker.unknowns worker.preview worker.workspace worker.evaluate"
    " worker.acts worker.approvals worker.deeds worker.preferences worker.check worker.controls worker.guard worker.lookback worker.mails worker.opinions worker.report worker.setup worker.web worker.web.* worker.sandbox.demo"
    " worker.sandbox.demo_staff worker.playbook worker.cards worker.grounds worker.colours worker.replay worker.changing worker.deliverability worker.holdouts"
    " worker.morning worker.feedback worker.uninstall worker.snapshots worker.reconcile worker.nightly"
)
"""The only places where parts are joined: what a command, a page or a turn of the wheel does."""


class Arrow(NamedTuple):
    """These modules may import those, of ours. A `*` stands for anything, dots included."""

    importers: str
    imports: str


ARROWS = [
    # the first row that names a module counts
    Arrow(JOINERS, "*"),
    Arrow(
        "worker.assess", "worker.scoring worker.scoring.* worker.plays worker.plays.* worker.dispatch.outbox"
        " worker.review.disagreement worker.review.opinions worker.facts worker.effects worker.lib.*",
    ),
    Arrow("worker.review worker.review.*", "worker.review.* worker.scoring.* worker.facts worker.effects worker.lib.*"),
    # Everything is asked again at the moment of sending: the case is read anew, and a refusal is recorded.
    Arrow(
        "worker.dispatch worker.dispatch.*", "worker.dispatch worker.dispatch.* worker.plays worker.plays.arbiter"
        " worker.plays.cases worker.plays.files worker.plays.records worker.plays.rules worker.facts worker.effects worker.integration worker.lib.*",
    ),
    # The doors of the two pure stations to the database …
    Arrow("worker.plays.records worker.plays.cases worker.plays.sending worker.plays.trials", "worker.plays worker.plays.* worker.facts worker.effects worker.lib.*"),
    Arrow(
        "worker.scoring.records worker.scoring.measures worker.scoring.population worker.scoring.dealing",
        "worker.scoring worker.scoring.* worker.facts worker.effects worker.lib.*",
    ),
    # … and the pure stations themselves; that they leave their own doors alone is tested below.
    Arrow("worker.plays worker.plays.*", f"worker.plays worker.plays.* {PURE}"),
    Arrow("worker.scoring worker.scoring.*", f"worker.scoring worker.scoring.* {PURE}"),
    Arrow(
        "worker.intake worker.intake.*",
        "worker.intake worker.intake.* worker.facts worker.integration worker.lib.* worker.lib",
    ),
    Arrow("worker.registry", "worker.integration worker.lib.clock worker.lib.http integrations integrations.*"),
    Arrow("worker.config", "worker.registry worker.integration worker.lib worker.lib.*"),
    Arrow(
        "worker.example", "worker.config worker.registry worker.integration worker.lib worker.lib.assets worker.plays"
        " worker.plays.words worker.plays.files",
    ),
    Arrow("integrations integrations.*", "worker.facts worker.effects worker.integration worker.lib.* integrations._*"),
    Arrow("worker.sandbox.servers worker.sandbox.servers.*", "worker.sandbox.servers worker.sandbox.servers.* worker.lib.*"),
    Arrow("worker.sandbox worker.sandbox.*", "worker.sandbox worker.sandbox.* worker.lib.*"),
    Arrow("worker.integration", "worker.facts worker.effects worker.lib.clock worker.lib.http"),
    Arrow("worker worker.facts worker.effects", ""),
    Arrow("worker.lib worker.lib.*", "worker.lib worker.lib.*"),
]  # fmt: skip

DOORS = (
    "worker.lib worker.lib.store worker.lib.lease worker.lib.suppressions worker.*.records worker.plays.cases worker.plays.sending worker.plays.trials"
    " worker.review.opinions worker.scoring.measures"
    " worker.scoring.asking worker.scoring.population worker.scoring.dealing worker.intake.*"
    f" worker.dispatch.* worker.assess {JOINERS}"
)
"""Who may hold SQL or the names of queries: not the pure stations, not the integrations, not the pretend vendors."""

TIME = {
    "worker.lib.clock": "is the clock that all others are handed",
    "worker.lib.ids": "makes ids that sort by when they were made, whatever the clock of a test says",
    "worker.schedule": "APScheduler runs by the machine's clock",
    "worker.sandbox.demo": "waits for its visitor, who does not live in virtual time",
}
"""Who may ask the machine what time it is, and why."""

PRINTS = "worker.cli worker.cli.* integrations.console worker.sandbox.demo"
"""Who may write to the terminal."""

# -- reading the source -----------------------------------------------------------------------------------------------


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of ours by its dotted name, as a tree."""
    found = {}
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text("utf-8"))
    return found


def imports(name: str) -> set[str]:
    """The modules of ours that a module imports, wherever in its text."""
    found = set()
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by dots in line {node.lineno}; write the whole name"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in modules() else str(node.module) for one in below}
    return {one for one in found if one.split(".")[0] in {"worker", "integrations"}}


def matches(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def station(name: str) -> str:
    return ".".join(name.split(".")[:2])


def calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every call as (line, what is called), `datetime.now` for `datetime.datetime.now(…)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ".".join(ast.unparse(node.func).split(".")[-2:])


# -- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_what_its_arrow_allows(name: str) -> None:
    arrow = next((arrow for arrow in ARROWS if matches(name, arrow.importers)), None)

    assert arrow is not None, f"{name} has no arrow; say in ARROWS what it may import"
    assert sorted(one for one in imports(name) if not matches(one, arrow.imports)) == []


def _values(tree: ast.Module) -> Iterator[str]:
    """What a module defines besides functions: its classes, constants and names of types."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_the_deciding_modules_of_a_pure_station_take_values_from_its_doors_and_nothing_that_reads() -> None:
    station_doors = {
        "worker.scoring.records", "worker.scoring.measures", "worker.scoring.population", "worker.scoring.dealing",
    }  # fmt: skip
    doors = {
        "worker.plays.records",
        "worker.plays.cases",
        "worker.plays.sending",
        "worker.plays.trials",
        *station_doors,
    } & modules().keys()
    values = {door: set(_values(modules()[door])) for door in doors}
    for name in modules().keys() - doors:
        if station(name) in {"worker.plays", "worker.scoring"}:
            for node in ast.walk(modules()[name]):
                if isinstance(node, ast.ImportFrom) and node.module in doors:
                    taken = {alias.name for alias in node.names}
                    assert taken <= values[node.module], f"{name} imports {taken} from {node.module}"
                elif isinstance(node, ast.ImportFrom) and node.module in {"worker.plays", "worker.scoring"}:
                    assert not {f"{node.module}.{alias.name}" for alias in node.names} & doors, f"{name} imports a door"


def test_integrations_never_import_each_other() -> None:
    for name in find():
        for one in imports(f"integrations.{name}"):
            assert not one.startswith("integrations.") or one.startswith(f"integrations._{name}_"), (
                f"integrations.{name} imports {one}, which is not a helper of its own"
            )


def test_nothing_imports_in_a_circle() -> None:
    graph = {name: {one for one in imports(name) if one in modules()} - {name} for name in modules()}

    assert set(TopologicalSorter(graph).static_order()) >= set(modules())


def test_only_the_sandbox_knows_how_its_customers_really_are() -> None:
    truth = {"worker.sandbox.world", "worker.sandbox.population"}
    nosy = [name for name in modules() if imports(name) & truth]

    assert [name for name in nosy if not name.startswith("worker.sandbox.")] == []


def test_the_database_is_reached_through_its_doors() -> None:
    statement = re.compile(
        r"\s*(select\s.+\sfrom|insert\s+into|update\s+\w+\s+set|delete\s+from)\s", re.DOTALL | re.IGNORECASE
    )
    for name, tree in modules().items():
        if matches(name, DOORS):
            continue
        assert "worker.lib.store" not in imports(name), f"{name} imports the store"
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not statement.match(node.value), f"{name}:{node.lineno} holds SQL"


def test_nobody_asks_the_machine_for_the_time() -> None:
    asking = {
        "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns", "time.sleep",
        "time.gmtime", "time.localtime",
    }  # fmt: skip
    found = {(name, line) for name, tree in modules().items() for line, called in calls(tree) if called in asking}

    assert {(name, line) for name, line in found if name not in TIME} == set()


def test_nobody_prints_but_what_talks_to_a_terminal() -> None:
    printing = {"print", "pprint", "pprint.pprint", "stdout.write", "stderr.write"}
    found = {(name, line) for name, tree in modules().items() for line, called in calls(tree) if called in printing}

    assert {(name, line) for name, line in found if not matches(name, PRINTS)} == set()


def test_the_map_names_every_room_and_no_other() -> None:
    mapped = re.findall(r"^(\w+) {2,}\S", worker.__doc__ or "", re.MULTILINE)
    beside_the_code = {"templates", "recipes", "__pycache__"}  # the first two lie there in a wheel only
    rooms = {room.name for room in PACKAGES[0].iterdir() if room.is_dir() and any(room.glob("[!_]*"))}

    assert set(mapped) - {"review"} == rooms - beside_the_code - {"review"}
    assert len(mapped) == len(set(mapped))
    order = ["intake", "scoring", "plays", "dispatch", "review"]
    assert [name for name in mapped if name in order] == [name for name in order if name in mapped]


# -- the order inside an integration's file ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", find())
def test_an_integration_is_laid_out_like_all_others(name: str) -> None:
    tree = modules()[f"integrations.{name}"]
    places = {node.name: node.lineno for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}

    assert len(ast.get_docstring(tree) or "") > 80, "begins with what the vendor documents, and its oddities"
    assert list(_defined(tree.body[-1])) == ["INTEGRATION"], "ends with INTEGRATION = Integration(…)"
    parts = _parts(tree.body[-1])
    shelves = [
        ("settings", ["settings"]),
        ("verify", ["verify"]),
        ("parse", ["parse"]),
        ("pulls", ["pulls"]),
        ("writes", ["crm", "mailer", "texter", "history", "desk", "remove", "alerter"]),
    ]
    order = [
        (min(places[word] for word in words), shelf) for shelf, keys in shelves
        if (words := [word for key in keys for word in parts.get(key, []) if word in places])
    ]  # fmt: skip
    assert [shelf for _, shelf in sorted(order)] == [shelf for _, shelf in order]


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _parts(node: ast.stmt) -> dict[str, list[str]]:
    """keyword of `Integration(…)` → the names it is given."""
    assert isinstance(node, ast.Assign | ast.AnnAssign)
    assert isinstance(node.value, ast.Call)
    positional = dict(zip(["name", "title", "does", "settings"], node.value.args, strict=False))
    given = {**positional, **{str(word.arg): word.value for word in node.value.keywords}}
    return {
        key: [one.id for one in ast.walk(value) if isinstance(one, ast.Name)] for key, value in given.items()
    }  # fmt: skip


# -- what must stand nowhere ------------------------------------------------------------------------------------------


def test_no_file_names_a_machine_or_where_packages_come_from() -> None:
    top = PACKAGES[0].parent
    if not (top / ".git").exists():
        pytest.skip("only a checkout holds every file")
    listed = subprocess.run(["git", "ls-files"], cwd=top, capture_output=True, text=True, check=True).stdout.split("\n")
    unwanted = re.compile(
        "|".join(["index" + "-url", "pypi" + r"\.org", "python" + "hosted", r"(?<![\w.~/-])/(?:work|root|home)/\w"])
    )
    found = []
    for name in filter(None, listed):
        try:
            text = (top / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # a picture; or a file that is just being moved
            continue
        found += [f"{name}: {match[0]}" for match in unwanted.finditer(text)]

    assert found == []
