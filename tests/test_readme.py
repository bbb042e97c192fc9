"""The README says nothing that is not so: its commands parse, its programs run, its tests exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.terminal import start_server
from veritydb.cli.main import root

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Every `veritydb` command line."""
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("veritydb ")]


def test_every_test_it_cites_exists() -> None:
    cited = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README)
    assert len(cited) >= 15
    for file, name in cited:
        assert f"def {name}(" in (PROJECT / file).read_text(), f"{file}::{name}"


def test_every_file_it_names_exists() -> None:
    named = re.findall(r"`((?:docs|schemas|examples|veritydb)/[\w./]*)`", README)
    assert len(named) >= 5
    for name in named:
        assert (PROJECT / name).exists(), name


@pytest.mark.parametrize("line", commands())
def test_every_command_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = root
    context = command.make_context("veritydb", list(words))
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, line
        command = found
        context = command.make_context(name, list(words), parent=context)


def test_every_target_it_names_is_in_the_makefile() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = re.findall(r"^make ([a-z]+)", "".join(blocks("sh")), flags=re.MULTILINE)
    assert targets
    for target in targets:
        assert f"\n{target}:" in makefile


@pytest.mark.cluster
def test_its_programs_run(tmp_path: Path) -> None:
    server = start_server(tmp_path / "node")
    programs = blocks("python")
    assert len(programs) == 2
    try:
        for program in programs:
            text = re.sub(r"veritydb://[\d.:,]+", server.url, program)
            result = subprocess.run(
                [sys.executable, "-c", text],
                cwd=tmp_path,
                env={"PYTHONPATH": str(PROJECT)},
                capture_output=True,
                text=True,
            )
            assert result.returncode == 0, result.stderr
            assert result.stdout
    finally:
        assert server.stop() == 0
