"""`veritydb replica`: a new identity for a replica whose disk is lost."""

import click

from veritydb.cli.connection import connect
from veritydb.cli.options import connected, formatted
from veritydb.cli.output import Output
from veritydb.types.limits import REPLICAS_MAX


@click.group()
def replica() -> None:
    """Replace a replica whose disk is lost."""


@replica.command()
@click.option(
    "--group",
    type=click.IntRange(0, (1 << 16) - 1),
    required=True,
    metavar="NUMBER",
    help="The replica's group; 0 is the global group.",
)
@click.option(
    "--index",
    type=click.IntRange(0, REPLICAS_MAX - 1),
    required=True,
    metavar="NUMBER",
    help="Its place in the group's `replicas`, from 0.",
)
@connected
@formatted
def replace(group: int, index: int, url: str, timeout: float, form: str) -> None:
    """Give a replica that lost its disk a new incarnation.

    \b
    A node whose directory was emptied has forgotten what it promised, so it may not come back as
    itself. Bring it back like this, while the others serve on:
      1. stop the node and empty its directory
      2. veritydb replica replace --group G --index I        for each group it holds a replica of
      3. veritydb init --config F --node N --data-dir D --incarnation G=NUMBER ...
      4. start it again: it takes everything over from the others
    The old incarnation is refused for ever, should its disk turn up again.
    """
    with connect(url, timeout) as db:
        incarnation = db.replace(group, index)
    output = Output(form)
    output.record({"group": group, "index": index, "incarnation": incarnation})
    output.say(
        f"next: veritydb init --config FILE --node NAME --data-dir DIR"
        f" --incarnation {group}={incarnation}"
    )
