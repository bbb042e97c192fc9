"""The `veritydb` command: finds the subcommand, and turns every error into a message and a code."""

import errno
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from veritydb import __version__
from veritydb.cli.exits import Exit, Failure, explain
from veritydb.cli.translate import translate

# Loaded when asked for: `--help` should not wait for the RPC library.
COMMANDS = {
    "audit": "What became of every command, and the proof of it.",
    "cluster": "Start, watch and stop the nodes of a cluster on this machine.",
    "init": "Stamp a data directory as one node's, without starting it.",
    "policy": "The rules that narrow where data may go.",
    "publish": "Append events to a stream: a file of lines, or one payload.",
    "read": "Read the events of a stream.",
    "replica": "Replace a replica whose disk is lost.",
    "server": "Run one node in the foreground.",
    "stream": "Create, list, seal and truncate streams.",
    "verify": "Check every byte of a stopped node's data.",
}
# `init` stands beside `server`, whose options it shares.
FILES = {"init": "server"}


class Commands(click.Group):
    """The subcommands by name, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, for `--help`."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"veritydb.cli.{FILES.get(cmd_name, cmd_name)}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of subcommands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExit codes:\n" + explain() + "\n\n\b\nEvery command has --help. To begin:\n"
    "  veritydb cluster up --config cluster-configs/three-node --data-dir ./veritydb-data\n"
    "  veritydb stream create --tenant 1 --stream notes --data-class phi"
    " --placement region:au-syd\n"
    "  veritydb publish --tenant 1 --stream notes --payload hello\n"
    "  veritydb read --tenant 1 --stream notes",
)
@click.version_option(__version__, prog_name="veritydb", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show where in the program an error arose.")
def root(debug: bool) -> None:
    """VerityDB: a replicated system-of-record database for healthcare."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and end the process with one of the documented exit codes."""
    given = sys.argv[1:] if arguments is None else arguments
    hold_standard_files()
    if sys.stdout is None:
        print("error: standard output is closed; /dev/null would do", file=sys.stderr)
        sys.exit(Exit.USAGE)
    debug = "--debug" in given
    # Wherever it stands: whoever has just seen an error adds it at the end.
    given = [argument for argument in given if argument != "--debug"]
    code = run(given, debug=debug)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()
    sys.exit(code)


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run one command line; return the exit code. No exception leaves, and no traceback is seen."""
    try:
        # Not `root.main`, which would make a reader that left into an error of ours.
        with root.make_context("veritydb", list(arguments)) as context:
            result = root.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except click.ClickException as error:
        if wants_json(arguments):
            return complain(Failure(error.exit_code, error.format_message()), arguments)
        error.show()
        return error.exit_code
    except BrokenPipeError:
        leave_quietly()
    except Exception as error:
        if debug:
            traceback.print_exc()
        return complain(failure_of(error), arguments)
    return result if isinstance(result, int) else Exit.DONE


def failure_of(error: Exception) -> Failure:
    """What an exception means for whoever typed the command."""
    if isinstance(error, Failure):
        return error
    if found := translate(error):
        return found
    if isinstance(error, OSError) and error.filename is not None:
        what = os.strerror(error.errno) if error.errno else str(error)
        return Failure(Exit.USAGE, f"{error.filename}: {what}", name="FILE")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Failure(Exit.USAGE, "no space is left on the device", name="FILE")
    # Its text might quote what was stored or sent; only its kind and place are harmless.
    return Failure(
        Exit.BUG,
        f"an error in VerityDB itself ({', '.join(kinds_of(error))})",
        hint="run it again with --debug and report what it prints",
    )


def kinds_of(error: BaseException) -> list[str]:
    """The class of an exception and where it came from; of a group, those of its members."""
    if isinstance(error, BaseExceptionGroup):
        return [kind for inner in error.exceptions for kind in kinds_of(inner)]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return [f"{type(error).__name__}{place}"]


def complain(failure: Failure, arguments: list[str]) -> int:
    """Print a failure to stderr: as a sentence, or as JSON where JSON was asked for."""
    if wants_json(arguments):
        error = {"name": failure.name, "exit": failure.exit_code, "message": str(failure)}
        print(msgspec.json.encode({"error": error}).decode(), file=sys.stderr)
    else:
        print(f"error: {failure}", file=sys.stderr)
        if failure.hint:
            print(f"       {failure.hint}", file=sys.stderr)
    return failure.exit_code


def wants_json(arguments: list[str]) -> bool:
    """Whether `-o json` stands there, in any spelling."""
    joined = " ".join(arguments)
    return any(f"{option}json" in joined for option in ("-o ", "-o", "--output ", "--output="))


def hold_standard_files() -> None:
    """Let no other file take the numbers of stdin, stdout and stderr if those are closed.

    Libraries write to them without asking, and what opens next might be a replica's log.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            taken = os.open(os.devnull, os.O_RDWR)
            assert taken == number, "the lowest number that is free"
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def leave_quietly() -> NoReturn:
    """End as other programs do when nobody reads on, as in `veritydb read | head`."""
    # Nothing more can be written; Python would complain about that at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(Exit.NOBODY_READS)
