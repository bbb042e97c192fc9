"""`veritydb publish`: a file of lines, or one payload, into a stream."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from veritydb.cli.connection import connect
from veritydb.cli.exits import Exit, Failure
from veritydb.cli.lines import BATCH_BYTES, BATCH_EVENTS, batches, lines, origin_of, type_of
from veritydb.cli.options import connected, formatted, named
from veritydb.cli.output import Output, console, say
from veritydb.client.sync import Stream
from veritydb.client.values import Appended, RecordedEvent
from veritydb.types.errors import OriginConflict
from veritydb.types.event import Event
from veritydb.types.labels import Placement
from veritydb.types.limits import BATCH_EVENTS_MAX

DEFAULT_TYPE = "Event"
# No origin has come this far, so asking to write here tells how far it has come.
FAR = 1 << 62


@click.command()
@named
@click.option(
    "--ndjson",
    "source",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="One event per line, its exact bytes as the payload; - is stdin.",
)
@click.option("--payload", metavar="TEXT", help="One event with this payload.")
@click.option(
    "--type", "kind", metavar="TYPE", help=f"The events' type.  [default: {DEFAULT_TYPE}]"
)
@click.option(
    "--type-field", metavar="FIELD", help="Take each event's type from this field of its JSON."
)
@click.option(
    "--origin", metavar="TEXT", help="A name for this input, under which it can be resumed."
)
@click.option(
    "--batch",
    type=click.IntRange(1, BATCH_EVENTS_MAX),
    default=BATCH_EVENTS,
    show_default=True,
    help="Events per batch, at most.",
)
@connected
@formatted
def publish(
    tenant: int,
    stream: str,
    placement: Placement | None,
    source: Path | None,
    payload: str | None,
    kind: str | None,
    type_field: str | None,
    origin: str | None,
    batch: int,
    url: str,
    timeout: float,
    form: str,
) -> None:
    """Append events to a stream.

    With --ndjson every line becomes one event: its exact bytes, without the newline that ends it.
    An empty line is an event with an empty payload; the last line may end without a newline.

    A file can be published again at any time: what is in the stream already is not appended twice.
    So a run that was interrupted goes on where it stopped, and a file that has grown adds its new
    lines. The stream knows a file by its path; for another file at the same path, or for stdin,
    say --origin TEXT. (No patient's name in it: it is kept for ever.)

    PHI belongs into payloads only: types, stream names and origins are not protected as PHI.
    """
    if (source is None) == (payload is None):
        raise click.UsageError("give either --ndjson FILE or --payload TEXT")
    if kind is not None and type_field is not None:
        raise click.UsageError("give either --type or --type-field")
    if payload is not None and origin is not None:
        raise click.UsageError("--origin goes with --ndjson")
    types = Types(kind or DEFAULT_TYPE, type_field)
    with connect(url, timeout) as db:
        target = db.stream(stream, tenant=tenant, placement=placement)
        run = Run(target, types, batch)
        if payload is not None:
            run.append([payload.encode("utf-8", "surrogateescape")])
        elif source is not None:
            publish_lines(run, source, origin)
    report(run, Output(form))


def publish_lines(run: "Run", source: Path, name: str | None) -> None:
    """Publish a file or stdin; when that breaks off, say how far it came and how to go on."""
    path = None if str(source) == "-" else source
    # What comes from stdin has no place by which it could be known again.
    origin = None if path is None and name is None else origin_of(path, name or "")
    try:
        with open_source(path) as file, progress(path) as advance:
            run.publish(file, origin, advance)
    except BaseException:
        if run.done:
            how = "run the same command again to go on" if origin else "--origin makes it resumable"
            say(f"{run.done} lines are in the stream; {how}", error=True)
        raise


class Types:
    """The type of each line's event: the same for all, or from a field."""

    def __init__(self, kind: str, field: str | None) -> None:
        """See the class."""
        self.kind = kind
        self.field = field

    def event(self, line: bytes, number: int) -> Event:
        """The event of the line with this number, the first being 1."""
        kind = self.kind if self.field is None else type_of(line, self.field, number)
        return Event(kind, line)


class Run:
    """One publishing of lines into a stream, and what has become of them so far."""

    def __init__(self, stream: Stream, types: Types, batch: int) -> None:
        """See the class."""
        self.stream = stream
        self.types = types
        self.batch = batch
        self.published = 0
        self.already = 0
        self.first: int | None = None
        self.next: int | None = None

    def publish(self, file: BinaryIO, origin: bytes | None, advance: "Advance") -> None:
        """Publish every line of a file, from where the origin stopped before."""
        made = batches(lines(file), self.batch, BATCH_BYTES)
        first = next(made, None)
        if first is None:
            return
        rest = chain.from_iterable(made)
        if origin is None:
            rest = chain(first, rest)
        elif (there := self.begin(first, origin)) is None:
            advance(first)
        else:
            rest = chain(first, rest)
            self.skip(rest, there, origin, advance)
        for batch in batches(rest, self.batch, BATCH_BYTES):
            try:
                self.append(batch, origin)
            except OriginConflict:
                raise Failure(
                    Exit.REFUSED,
                    "another run is publishing the same input at this moment",
                    name="ORIGIN_CONFLICT",
                    hint="when it has ended, run this again",
                ) from None
            advance(batch)

    @property
    def done(self) -> int:
        """How many lines are in the stream."""
        return self.published + self.already

    def begin(self, first: list[bytes], origin: bytes) -> int | None:
        """Append the first lines, or return how many lines of the origin the stream has already."""
        try:
            appended = self._append(self.events(first), 0, origin)
        except OriginConflict as conflict:
            return known(conflict)
        if appended.duplicate:
            return self.stopped_at(origin)
        self.count(appended)
        return None

    def append(self, batch: list[bytes], origin: bytes | None = None) -> None:
        """Append the next lines."""
        # A duplicate here is our own: it was sent again because the answer had been lost.
        self.count(self._append(self.events(batch), self.done, origin))

    def events(self, batch: list[bytes]) -> list[Event]:
        """The next lines as events."""
        return [self.types.event(line, self.done + at) for at, line in enumerate(batch, start=1)]

    def count(self, appended: Appended) -> None:
        """Note what was appended."""
        self.published += appended.count
        self.first = appended.base if self.first is None else self.first
        self.next = appended.next

    def stopped_at(self, origin: bytes) -> int:
        """How many lines of an origin the stream has."""
        try:
            self._append([Event(DEFAULT_TYPE, b"")], FAR, origin)
        except OriginConflict as conflict:
            return known(conflict)
        raise AssertionError("no origin comes this far")

    def skip(self, source: Iterator[bytes], count: int, origin: bytes, advance: "Advance") -> None:
        """Pass over the lines that the stream has, and make sure that they are these lines."""
        for number in range(1, count + 1):
            line = next(source, None)
            if line is None:
                raise another_input(f"{count} lines were published, and it has {number - 1}")
            if number in (1, count) and not self.holds(line, number, origin):
                raise another_input(f"line {number} is not the one that was published")
            advance([line])
        self.already = count

    def holds(self, line: bytes, number: int, origin: bytes) -> bool:
        """Whether the stream's event of that number is this line, if it can still be told."""
        appended = self._append([Event(DEFAULT_TYPE, line)], number - 1, origin)
        assert appended.duplicate
        if appended.base is None:
            return True
        items = self.stream.read(from_offset=appended.base, limit=1, at_least=appended.token)
        return all(item.payload == line for item in items if isinstance(item, RecordedEvent))

    def _append(self, events: list[Event], sequence: int, origin: bytes | None) -> Appended:
        if origin is None:
            return self.stream.append(events)
        return self.stream.append(events, origin=origin, origin_seq=sequence)


def known(conflict: OriginConflict) -> int:
    """How many lines the stream has, as the refusal says."""
    assert conflict.actual is not None
    return conflict.actual


def another_input(why: str) -> Failure:
    """The refusal to go on with an input that is not the one that was begun."""
    return Failure(
        Exit.REFUSED,
        f"something else was published under this origin: {why}",
        name="ORIGIN_CONFLICT",
        hint="give the input a name of its own with --origin TEXT",
    )


class Advance(Protocol):
    """Is told which lines are done with."""

    def __call__(self, batch: list[bytes]) -> None:
        """Count them."""


@contextmanager
def progress(path: Path | None) -> Iterator[Advance]:
    """Show how far a file has come, if somebody is looking on."""
    screen = console(error=True)
    if not screen.is_terminal:
        yield lambda batch: None
        return
    total = None if path is None else path.stat().st_size
    columns = (TextColumn("publishing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("publishing", total=total)
        yield lambda batch: bar.advance(task, sum(map(len, batch)) + len(batch))


@contextmanager
def open_source(path: Path | None) -> Iterator[BinaryIO]:
    """The file, or stdin."""
    if path is None:
        yield sys.stdin.buffer
    else:
        with path.open("rb") as file:
            yield file


def report(run: Run, output: Output) -> None:
    """Say what has been done."""
    output.record(
        {
            "published": run.published,
            "already_there": run.already,
            "first_offset": run.first,
            "next_offset": run.next,
        }
    )
