"""The package as it is installed: when it refuses to load, and what its wheel holds."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import veritydb

PROJECT = Path(__file__).parents[1]


def import_with(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Import the package in a fresh Python."""
    return subprocess.run(
        [sys.executable, *options, "-c", "import veritydb; print(veritydb.__version__)"],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_loads_with_assertions() -> None:
    result = import_with()
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == veritydb.__version__


@pytest.mark.parametrize(("options", "optimize"), [(["-O"], ""), (["-OO"], ""), ([], "1")])
def test_refuses_to_load_without_assertions(options: list[str], optimize: str) -> None:
    result = import_with(*options, PYTHONOPTIMIZE=optimize)
    assert result.returncode != 0
    assert "AssertionsDisabledError: VerityDB refuses to run under `python -O`" in result.stderr


def test_loads_nothing_else() -> None:
    script = "import sys, veritydb; print(*(m for m in sys.modules if 'veritydb.' in m))"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


def test_wheel_holds_types_and_schemas(tmp_path: Path) -> None:
    """A wheel has no link to follow, so the schemas themselves have to be in it."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(PROJECT / name, source)
    shutil.copytree(
        PROJECT / "veritydb",
        source / "veritydb",
        symlinks=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    schemas = source / "schemas"
    schemas.mkdir()
    expected = {"planted.capnp", *(path.name for path in PROJECT.glob("schemas/*.capnp"))}
    for name in expected:
        (schemas / name).write_text("# a schema\n")

    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", tmp_path, source],
        capture_output=True,
        check=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"veritydb/_schemas/{name}" for name in expected} <= names
    assert "veritydb/py.typed" in names
    # Only the product is installed: no test, simulator or benchmark.
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"veritydb"}
