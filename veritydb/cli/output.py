"""What the command prints: tables for people, JSON for programs.

The JSON is a promise: keys are added, never renamed. Times in it are nanoseconds since 1970.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

Record = Mapping[str, Any]

# Wide enough that nothing is cut where there is no terminal whose width could matter.
PIPE_WIDTH = 10_000


class Output:
    """Prints records in the chosen format."""

    def __init__(self, form: str) -> None:
        """`form` is `json` or `table`."""
        self.json = form == "json"

    def document(self, document: Record, rows: Sequence[Record], columns: Sequence[str]) -> None:
        """Print `document` as JSON, or `rows` of it as a table with these columns."""
        if self.json:
            print_json(document)
        else:
            print_table(rows, columns)

    def record(self, record: Record) -> None:
        """Print one thing: as JSON, or as a table with a line per field."""
        if self.json:
            print_json(record)
        else:
            rows = [{"field": name, "value": value} for name, value in record.items()]
            print_table(rows, ("field", "value"), head=False)

    def say(self, text: str) -> None:
        """Print a sentence for people; a program gets the JSON and no sentences."""
        if not self.json:
            say(text)


def console(*, error: bool = False) -> Console:
    """A console on stdout or stderr that never cuts lines where nobody looks on."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def say(text: str, *, error: bool = False) -> None:
    """Print one line as it is."""
    print(text, file=sys.stderr if error else sys.stdout, flush=True)


def print_json(record: Any, *, indent: int = 2) -> None:
    """Print JSON; an indent of -1 keeps it on one line."""
    text = msgspec.json.format(msgspec.json.encode(record), indent=indent)
    say(text.decode())


def print_table(rows: Sequence[Record], columns: Sequence[str], *, head: bool = True) -> None:
    """Print one line per row."""
    table = Table(box=None, pad_edge=False, show_header=head, header_style="bold")
    for column in columns:
        right = bool(rows) and all(isinstance(row.get(column), int) for row in rows)
        table.add_column(
            Text(column.replace("_", " ")), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    screen = console()
    # Rich would end the process itself where nobody reads on; and it fills lines with blanks.
    with screen.capture() as capture:
        screen.print(table)
    say("\n".join(line.rstrip() for line in capture.get().splitlines()))


def cell(value: object) -> str:
    """One value as text. What a terminal would take for a command is shown as an escape."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping | list | tuple):
        return harmless(msgspec.json.encode(value).decode())
    return harmless(str(value))


def harmless(text: str) -> str:
    """Escape what is not printable, so that stored text cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def moment(ns: int) -> str:
    """A time as people read it; empty for none."""
    if ns == 0:
        return ""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
