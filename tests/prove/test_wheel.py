"""What is installed from the wheel works as what lies in the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


def run(*command: str, cwd: Path, **environ: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=900
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6_000:]}\n{done.stderr[-2_000:]}"
    return done.stdout


@pytest.mark.prove
@pytest.mark.timeout(1_200)
def test_the_suite_passes_from_a_built_wheel(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(TOP), cwd=tmp_path)
    (wheel,) = tmp_path.glob("keepwell-*.whl")
    site = tmp_path / "site"
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
        "--target", str(site), str(wheel), cwd=tmp_path,
    )  # fmt: skip
    beside = tmp_path / "beside"  # the tests, the benchmarks and the pages, and nothing of the product
    for folder in ("tests", "bench", "docs"):
        shutil.copytree(TOP / folder, beside / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "config.example.toml"):
        shutil.copy(TOP / file, beside)
    where = run(
        sys.executable, "-c", "import worker, integrations; print(worker.__file__, integrations.__file__)",
        cwd=beside, PYTHONPATH=str(site),
    )  # fmt: skip
    assert where.split() == [str(site / "worker/__init__.py"), str(site / "integrations/__init__.py")]

    shared = os.environ.get("KEEPWELL_SHARED", str(TOP.parent / "shared"))
    said = run(
        sys.executable, "-m", "pytest", "-n", "2", "-q", cwd=beside, PYTHONPATH=str(site), KEEPWELL_SHARED=shared
    )  # fmt: skip

    assert " passed" in said.splitlines()[-1]
