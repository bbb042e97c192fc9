"""Help that needs no manual, exit codes that scripts rely on, and never a traceback."""

import subprocess
import sys

import click
import msgspec
import pytest

from veritydb.cli import main
from veritydb.cli.exits import MEANINGS, Exit, Failure
from veritydb.cli.main import COMMANDS, failure_of, root, run
from veritydb.cli.translate import exit_of, name_of
from veritydb.server.failures import ConfigError, InUse, NotInitialised
from veritydb.storage.disk import DiskError
from veritydb.types import errors
from veritydb.types.outcome import Code


def every_command() -> list[list[str]]:
    """The command lines of all commands and subcommands."""
    context = click.Context(root)
    found: list[list[str]] = [[]]
    for name in sorted(COMMANDS):
        command = root.get_command(context, name)
        found.append([name])
        if isinstance(command, click.Group):
            found += [[name, inner] for inner in command.commands]
    return found


def test_all_that_were_promised_are_there() -> None:
    promised = """
        server, init, verify, publish, read, cluster up, cluster status, cluster stop,
        cluster step-down, replica replace, stream create, stream list, stream show, stream seal,
        stream truncate, stream set-retention, policy show, policy set, audit list, audit verify
    """
    there = {" ".join(command) for command in every_command()}
    assert {" ".join(one.split()) for one in promised.split(",")} <= there


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_help_explains_every_option(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == Exit.DONE
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: {' '.join(['veritydb', *command])}")
    context = click.Context(root)
    found: click.Command = root
    for name in command:
        assert isinstance(found, click.Group)
        inner = found.get_command(context, name)
        assert inner is not None
        found = inner
    assert found.help
    for option in found.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert option.opts[0] in text


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    text = capsys.readouterr().out
    for code, meaning in MEANINGS.items():
        assert f"{code.value:<4} {meaning}" in text


def test_both_names_of_the_command_are_installed() -> None:
    for module in ("veritydb.cli", "veritydb.cli.main"):
        result = subprocess.run(
            [sys.executable, "-c", f"import {module}"], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
    assert callable(main.main)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["stream", "create"],
        ["stream", "create", "--tenant", "-1"],
        ["publish", "--tenant", "1", "--stream", "s"],
        ["publish", "--tenant", "1", "--stream", "s", "--payload", "a", "--ndjson", "-"],
        ["publish", "--tenant", "1", "--stream", "s", "--payload", "a", "--origin", "o"],
        ["read", "--tenant", "1", "--stream", "s", "--from", "1", "--from-time", "1"],
        ["read", "--tenant", "1", "--stream", "s", "--raw", "-o", "json"],
        ["read", "--tenant", "1", "--stream", "s", "--cluster", "nowhere"],
        ["stream", "show", "--tenant", "1", "--stream", "s", "--placement", "moon"],
        ["server"],
        ["server", "--config", "no-such-file", "--node", "n"],
        ["server", "--data-dir", "no-such-directory"],
        ["server", "--data-dir", "d", "--region", "Not A Region"],
        ["server", "--config", "f", "--node", "n", "--region", "au-syd"],
        ["init", "--data-dir", "d", "--region", "au-syd", "--incarnation", "1=1"],
        ["verify", "no-such-directory"],
        ["audit", "verify", "--tenant", "1", "--known", "1:2:abc"],
        ["audit", "verify", "--tenant", "1", "--known", f"1:0:{'a' * 64}"],
        ["audit", "verify", "--tenant", "1", "--known", f"-1:1:{'a' * 64}"],
        ["audit", "list", "--tenant", "1", "--from-op", str(1 << 64)],
        ["read", "--tenant", "1", "--stream", "s", "--limit", str(1 << 64)],
    ],
)
def test_wrong_usage_is_told_from_all_else(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    assert "Traceback" not in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_not_there(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cluster", "stop", "--data-dir", str(tmp_path)]) == Exit.NOT_FOUND
    # Port 9 is nobody's on a machine of today.
    url = ["--cluster", "127.0.0.1:9", "--timeout", "0.05"]
    assert run(["stream", "list", "--tenant", "1", *url]) == Exit.UNAVAILABLE
    assert run(["stream", "list", "--tenant", "1", "-o", "json", *url]) == Exit.UNAVAILABLE
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('{"error":{"name":')
    assert run(["cluster", "status", "-o", "json", *url]) == Exit.UNAVAILABLE
    assert '"pid": null' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NoSuchStream("x"), Exit.NOT_FOUND),
        (errors.WrongExpectedOffset("x"), Exit.REFUSED),
        (errors.PlacementRefused("x"), Exit.REFUSED),
        (errors.TooLarge("x"), Exit.USAGE),
        (errors.TruncatedRange("x"), Exit.NOT_FOUND),
        (errors.Overloaded("x"), Exit.UNAVAILABLE),
        (errors.DeadlineExceeded("x", applied=errors.Applied.NO), Exit.UNAVAILABLE),
        (errors.DeadlineExceeded("x", applied=errors.Applied.UNKNOWN), Exit.UNKNOWN),
        (errors.OutcomeUnknown("x"), Exit.UNKNOWN),
        (errors.UnreachablePlacement("x"), Exit.UNAVAILABLE),
        (errors.UnreachablePlacement("x", code=Code.NO_SUCH_REGION), Exit.NOT_FOUND),
        (errors.CorruptData("x"), Exit.DAMAGED),
        (errors.Internal("x"), Exit.BUG),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_the_sdk_have_their_code(error: errors.VerityError, code: Exit) -> None:
    assert exit_of(error) == code
    assert failure_of(error).exit_code == code


def test_every_error_of_the_sdk_has_one() -> None:
    for number, kind in errors.ERRORS.items():
        error = kind("x", code=number)
        assert exit_of(error) in MEANINGS
        assert name_of(error).isupper()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), Exit.USAGE),
        (NotInitialised("x"), Exit.NOT_FOUND),
        (InUse("x"), Exit.REFUSED),
        (FileNotFoundError(2, "No such file", "f"), Exit.USAGE),
        (Failure(Exit.DAMAGED, "x"), Exit.DAMAGED),
        (DiskError("x"), Exit.DAMAGED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_others_have_their_code(error: Exception, code: Exit) -> None:
    assert failure_of(error).exit_code == code


def test_an_error_of_ours_is_a_bug_and_quotes_nothing() -> None:
    group = ExceptionGroup("a patient", [KeyError("what a patient said"), OSError(5, "x")])
    failure = failure_of(group)
    assert failure.exit_code == Exit.BUG
    assert "patient" not in str(failure)
    assert "KeyError" in str(failure) and "OSError" in str(failure)
    with pytest.raises(KeyError) as caught:
        {}["what a patient said"]
    assert "KeyError at test_main.py:" in str(failure_of(caught.value))


def test_wrong_usage_is_json_where_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stream", "list", "--tenant", "-1", "-o", "json"]) == Exit.USAGE
    error = msgspec.json.decode(capsys.readouterr().err)["error"]
    assert (error["name"], error["exit"]) == ("USAGE", 2) and "--tenant" in error["message"]


@pytest.mark.parametrize(("closed", "code"), [("<&-", 5), (">&-", 2), ("2>&-", 5), ("<&- 2>&-", 5)])
def test_closed_standard_files_are_nobodys(closed: str, code: Exit) -> None:
    """What is opened next would get their numbers, and what a library prints."""
    command = f"{sys.executable} -m veritydb.cli publish --tenant 1 --stream s --ndjson -"
    ended = subprocess.run(
        ["sh", "-c", f"{command} --cluster 127.0.0.1:9 --timeout 0.05 {closed}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr and "VerityDB itself" not in ended.stderr
    assert ("closed" in ended.stderr) == (closed == ">&-")
