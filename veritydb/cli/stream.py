"""`veritydb stream`: create, list, show, seal and truncate streams, and bound what they keep."""

from typing import Any

import click

from veritydb.cli.connection import connect
from veritydb.cli.options import (
    CLASS,
    DURATION,
    PLACEMENT,
    SIZE,
    U64,
    connected,
    formatted,
    named,
    tenanted,
)
from veritydb.cli.output import Output, moment
from veritydb.client.values import StreamInfo
from veritydb.types.labels import DataClass, Placement
from veritydb.types.retention import Retention

COLUMNS = ("name", "data_class", "placement", "events", "floor", "bytes", "sealed", "id")
CLASS_NAMES = {
    DataClass.PHI: "phi",
    DataClass.NON_PHI: "nonphi",
    DataClass.DEIDENTIFIED: "deidentified",
}


@click.group()
def stream() -> None:
    """Create, list, show, seal and truncate streams."""


def retention_options(function: Any) -> Any:
    """Add the three bounds of retention."""
    for option, kind, name, text in reversed(
        (
            ("--max-age", DURATION, "DURATION", "Events older than this may go: 36h, 30d, 7y."),
            ("--max-bytes", SIZE, "SIZE", "Older events may go once the rest is this large: 10g."),
            ("--max-events", U64, "N", "Only the latest N events stay."),
        )
    ):
        function = click.option(option, type=kind, metavar=name, help=f"{text} 0: no bound.")(
            function
        )
    return function


@stream.command()
@tenanted
@click.option("--stream", "name", required=True, metavar="NAME", help="Its name: never PHI.")
@click.option(
    "--data-class",
    type=CLASS,
    required=True,
    metavar="CLASS",
    help="What payloads may contain: phi, nonphi or deidentified. It can never be changed.",
)
@click.option(
    "--placement",
    type=PLACEMENT,
    required=True,
    metavar="PLACE",
    help="global, or region:NAME. PHI goes to a region only.",
)
@retention_options
@connected
@formatted
def create(
    tenant: int,
    name: str,
    data_class: DataClass,
    placement: Placement,
    max_age: int | None,
    max_bytes: int | None,
    max_events: int | None,
    url: str,
    timeout: float,
    form: str,
) -> None:
    """Create a stream.

    Creating it again with the same class and placement changes nothing and succeeds.
    """
    # Without any bound the policy's own for this class hold.
    bounds = (max_age, max_bytes, max_events)
    unbounded = all(bound is None for bound in bounds)
    retention = None if unbounded else Retention(*(bound or 0 for bound in bounds))
    with connect(url, timeout) as db:
        made = db.create_stream(
            name, tenant=tenant, data_class=data_class, placement=placement, retention=retention
        )
        info = made.info()
    report(info, form)


@stream.command("list")
@tenanted
@click.option("--placement", type=PLACEMENT, metavar="PLACE", help="Only those in this place.")
@connected
@formatted
def list_streams(
    tenant: int, placement: Placement | None, url: str, timeout: float, form: str
) -> None:
    """List a tenant's streams in every group that can be reached."""
    with connect(url, timeout) as db:
        infos = db.list_streams(tenant=tenant, placement=placement)
    rows = [as_record(info) for info in infos]
    Output(form).document({"streams": rows}, rows, COLUMNS)


@stream.command()
@named
@connected
@formatted
def show(
    tenant: int, stream: str, placement: Placement | None, url: str, timeout: float, form: str
) -> None:
    """Show what a stream is and how far it has come."""
    with connect(url, timeout) as db:
        info = db.stream(stream, tenant=tenant, placement=placement).info()
    report(info, form)


@stream.command()
@named
@connected
@formatted
def seal(
    tenant: int, stream: str, placement: Placement | None, url: str, timeout: float, form: str
) -> None:
    """Close a stream for ever: it can be read, and nothing can be appended."""
    with connect(url, timeout) as db:
        info = db.stream(stream, tenant=tenant, placement=placement).seal()
    report(info, form)


@stream.command()
@named
@click.option(
    "--before", type=U64, required=True, metavar="N", help="The first offset that is kept."
)
@connected
@formatted
def truncate(
    tenant: int,
    stream: str,
    placement: Placement | None,
    before: int,
    url: str,
    timeout: float,
    form: str,
) -> None:
    """Give up the events before an offset. They cannot be brought back."""
    with connect(url, timeout) as db:
        info = db.stream(stream, tenant=tenant, placement=placement).truncate(before)
    report(info, form)


@stream.command("set-retention")
@named
@retention_options
@connected
@formatted
def set_retention(
    tenant: int,
    stream: str,
    placement: Placement | None,
    max_age: int | None,
    max_bytes: int | None,
    max_events: int | None,
    url: str,
    timeout: float,
    form: str,
) -> None:
    """Bound what a stream keeps, by age, bytes or count, or by several of them.

    A bound that is not given stays as it is; 0 takes it away. What a bound gives up cannot be
    brought back.
    """
    given = (max_age, max_bytes, max_events)
    if all(bound is None for bound in given):
        raise click.UsageError("give --max-age, --max-bytes or --max-events")
    with connect(url, timeout) as db:
        target = db.stream(stream, tenant=tenant, placement=placement)
        now = target.info().retention
        present = (now.max_age_ns, now.max_bytes, now.max_events)
        wanted = (old if new is None else new for old, new in zip(present, given, strict=True))
        info = target.set_retention(Retention(*wanted))
    report(info, form)


def report(info: StreamInfo, form: str) -> None:
    """Print one stream."""
    record = as_record(info)
    if form == "table":
        record["created_at"] = moment(info.created_at)
    Output(form).record(record)


def as_record(info: StreamInfo) -> dict[str, Any]:
    """A stream for programs."""
    return {
        "name": info.name,
        "tenant": info.tenant,
        "data_class": CLASS_NAMES[info.data_class],
        "placement": str(info.placement),
        "id": info.id,
        "group": info.group,
        "next_offset": info.next_offset,
        "floor": info.floor,
        "events": info.next_offset - info.floor,
        "bytes": info.bytes,
        "sealed": info.sealed,
        "retention": {
            "max_age_ns": info.retention.max_age_ns,
            "max_bytes": info.retention.max_bytes,
            "max_events": info.retention.max_events,
        },
        "created_at": info.created_at,
    }
