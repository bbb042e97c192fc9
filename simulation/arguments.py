"""What the command lines of the simulators and the nemesis have in common.

What cannot be is refused with one line that names what and which limit, and exit status 2.
"""

import os
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""
NUMBERS_END = 1_000_000_000
PROCESSES_MAX = 1_000
AMOUNT_END = 1_000_000.0
WORD = re.compile(r"1|op\d+|g\d*|g\d+r\d*|node\d*|client\d*|network|world")


class BadInput(Exception):
    """A file that was named cannot be used; the text says which one and why."""


class Parser(ArgumentParser):
    """Refuses in one line, without the usage that `--help` shows."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def whole(least: int, most: int = NUMBERS_END) -> Callable[[str], int]:
    """Reads a whole number within bounds."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ArgumentTypeError(f"{text[:40]!r} is no whole number from {least} to {most:,}")
        return number

    return read


processes = whole(1, PROCESSES_MAX)
"""Reads how many processes there are to be."""


def positive(text: str) -> float:
    """Reads a number above zero."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < AMOUNT_END:
        raise ArgumentTypeError(f"{text[:40]!r} is no number above 0 and below {AMOUNT_END:,.0f}")
    return number


def one_of(what: str, names: Collection[str]) -> Callable[[str], str]:
    """Reads one of some names."""

    def read(text: str) -> str:
        if text not in names:
            raise ArgumentTypeError(f"{text!r} is no {what}; there are: {', '.join(names)}")
        return text

    return read


def new_file(text: str) -> Path:
    """Reads where a file is to be written; its folder has to be there."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{text!r} is a folder, not a file")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"{text!r}: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ArgumentTypeError(f"{text!r} cannot be written")
    return path


def words(text: str) -> list[str]:
    """Reads which lines of a timeline are wanted, "1" and nothing for all of them."""
    found = text.split(",")
    if wrong := [word for word in found if not WORD.fullmatch(word)]:
        raise ArgumentTypeError(
            f"{wrong[0]!r} is none of g1, g1r2, node0, client3, op64, network, world"
        )
    return [word for word in found if word != "1"]
