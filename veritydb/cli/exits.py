"""How the command ends: its exit codes, and the error that carries one."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes. Scripts rely on them: a number never changes its meaning."""

    DONE = 0
    BUG = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNAVAILABLE = 5
    DAMAGED = 6
    UNKNOWN = 7
    INTERRUPTED = 130
    NOBODY_READS = 141


MEANINGS = {
    Exit.DONE: "done",
    Exit.BUG: "an error in VerityDB itself; --debug shows where",
    Exit.USAGE: "wrong usage: an option, a file or a configuration",
    Exit.NOT_FOUND: "there is no such stream, group, node or event",
    Exit.REFUSED: "the cluster answered, and refused; nothing was changed",
    Exit.UNAVAILABLE: "no answer in time, or overloaded; certainly nothing was changed",
    Exit.DAMAGED: "verify or the demo found damage",
    Exit.UNKNOWN: "no answer in time; the change may or may not have been made",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
    Exit.NOBODY_READS: "whoever read the output had left, as in `| head`",
}


class Failure(Exception):
    """Ends the command with a message for people, an exit code and, for `-o json`, a code's name.

    `hint` is what to do next, if there is something.
    """

    def __init__(self, exit_code: int, message: str, *, name: str = "", hint: str = "") -> None:
        """See the class."""
        super().__init__(message)
        self.exit_code = int(exit_code)
        self.name = name or (Exit(exit_code).name if exit_code in MEANINGS else "FAILED")
        self.hint = hint


def explain() -> str:
    """The exit codes as `veritydb --help` shows them."""
    return "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())
