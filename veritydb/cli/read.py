"""`veritydb read`: the events of a stream."""

import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, assert_never

import click

from veritydb.cli.connection import connect
from veritydb.cli.options import TIME, U64, connected, formatted, named
from veritydb.cli.output import Record, moment, print_json, print_table, say
from veritydb.client.values import LINEARIZABLE, LOCAL, Erased, Item, RecordedEvent, Truncated
from veritydb.types.ids import U64_MAX
from veritydb.types.labels import Placement

# So many rows share the widths of their columns; more would have to be kept in memory.
TABLE_ROWS = 200
COLUMNS = ("offset", "time", "type", "payload")
SHOWN = 120


@click.command()
@named
@click.option("--from", "start", type=U64, metavar="N", help="Begin at this offset.")
@click.option(
    "--from-time",
    type=TIME,
    metavar="TIME",
    help="Begin with the first event appended at or after this log time: ISO 8601, or ns since"
    " 1970; with --backwards, with the last one appended before it.",
)
@click.option(
    "--limit", type=click.IntRange(1, U64_MAX), metavar="N", help="So many events at most."
)
@click.option("--backwards", is_flag=True, help="The latest first.")
@click.option(
    "--node",
    metavar="NAME",
    help="Ask this node alone for what it has applied; without it, the answer is no older than"
    " the question.",
)
@click.option("--raw", is_flag=True, help="Print the payloads alone, byte for byte, one to a line.")
@connected
@formatted
def read(
    tenant: int,
    stream: str,
    placement: Placement | None,
    start: int | None,
    from_time: int | None,
    limit: int | None,
    backwards: bool,
    node: str | None,
    raw: bool,
    url: str,
    timeout: float,
    form: str,
) -> None:
    """Read the events of a stream, from its beginning to its end as it is now.

    -o json prints one object per line. A payload that is text stands under "payload", any other in
    base64 under "payload_base64"; times are nanoseconds since 1970. Events that were erased, or
    given up by retention, are named as such; --raw skips them and says so on stderr.
    """
    if start is not None and from_time is not None:
        raise click.UsageError("give either --from or --from-time")
    if raw and form == "json":
        raise click.UsageError("give either --raw or -o json")
    with connect(url, timeout) as db:
        items = db.stream(stream, tenant=tenant, placement=placement).read(
            from_offset=start,
            from_time=from_time,
            backwards=backwards,
            limit=limit,
            consistency=LINEARIZABLE if node is None else LOCAL,
            node=node,
        )
        if raw:
            print_raw(items)
        elif form == "json":
            for item in items:
                print_json(as_record(item), indent=-1)
        else:
            print_rows(as_row(item) for item in items)


def print_raw(items: Iterable[Item]) -> None:
    """Print payloads, each followed by a newline."""
    missing = 0
    out = sys.stdout.buffer
    for item in items:
        if isinstance(item, RecordedEvent):
            out.write(item.payload)
            out.write(b"\n")
        else:
            missing += item.end - item.offset if isinstance(item, Truncated) else 1
    out.flush()
    if missing:
        say(f"{missing} events are gone: erased, or given up by retention", error=True)


def print_rows(rows: Iterator[Record]) -> None:
    """Print a table in pieces."""
    head = True
    while piece := list(islice(rows, TABLE_ROWS)):
        print_table(piece, COLUMNS, head=head)
        head = False


def as_record(item: Item) -> dict[str, Any]:
    """One item for programs."""
    match item:
        case RecordedEvent():
            record: dict[str, Any] = {
                "offset": item.offset,
                "type": item.type,
                "timestamp": item.timestamp,
                "occurred_at": item.occurred_at,
                "id": item.id.hex(),
                "schema_version": item.schema_version,
                "causation_id": item.causation_id.hex(),
                "correlation_id": item.correlation_id.hex(),
                "actor": item.actor,
                "tags": item.tags,
                "op": item.entry.op,
            }
            return record | as_text("payload", item.payload) | as_text("metadata", item.metadata)
        case Erased():
            return {"offset": item.offset, "erased": True, "timestamp": item.timestamp}
        case Truncated():
            return {"offset": item.offset, "truncated": True, "end": item.end}
        case _:
            assert_never(item)


def as_text(name: str, data: bytes) -> dict[str, str]:
    """Bytes as text if they are text, else in base64."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(data).decode()}


def as_row(item: Item) -> Record:
    """One item for people."""
    match item:
        case RecordedEvent():
            text = item.payload.decode(errors="backslashreplace")
            shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(item.payload)} bytes)"
            return {
                "offset": item.offset,
                "time": moment(item.timestamp),
                "type": item.type,
                "payload": shown,
            }
        case Erased():
            return {"offset": item.offset, "time": moment(item.timestamp), "type": "(erased)"}
        case Truncated():
            return {"offset": item.offset, "type": f"(given up until {item.end - 1})"}
        case _:
            assert_never(item)
