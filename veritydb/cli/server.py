"""`veritydb server` runs one node, `veritydb init` stamps its data directory."""

import secrets
from pathlib import Path
from typing import Any

import click

from veritydb.cli.exits import Exit, Failure
from veritydb.cli.output import say
from veritydb.server import config as configs
from veritydb.server import datadir
from veritydb.server.config import Config, ServerPart
from veritydb.server.failures import StartError
from veritydb.server.print_config import describe
from veritydb.types.labels import Region

DEFAULT_ADDRESS = "127.0.0.1:7401"
PATH = click.Path(path_type=Path)


def node_options(function: Any) -> Any:
    """Add the options that say which node: of a file, or a cluster of its own."""
    for option in (
        click.option(
            "--address",
            metavar="HOST:PORT",
            help=f"With --region: where clients connect.  [default: {DEFAULT_ADDRESS}]",
        ),
        click.option(
            "--region",
            metavar="NAME",
            help="Without --config: a cluster of this one node, which stands in this region."
            " A directory that was made before knows its own.",
        ),
        click.option("--data-dir", type=PATH, metavar="DIR", help="The node's own directory."),
        click.option("--node", metavar="NAME", help="Which of the file's nodes this is."),
        click.option("--config", "file", type=PATH, metavar="FILE", help="The cluster's file."),
    ):
        function = option(function)
    return function


@click.command(
    epilog="\b\nExit codes besides those of `veritydb --help`:\n"
    "  70   the node stopped itself, because going on could have done harm; its log says why\n"
    "  73   the data directory is not this node's, is in use, or was emptied\n"
    "  74   the disk failed or is damaged\n"
    "  75   an address is in use\n"
)
@node_options
@click.option(
    "--print-config", is_flag=True, help="Print the whole configuration and all limits, and end."
)
def server(
    file: Path | None,
    node: str | None,
    data_dir: Path | None,
    region: str | None,
    address: str | None,
    print_config: bool,
) -> int:
    """Run one node in the foreground, until SIGTERM or Ctrl-C.

    With --config and --node it is a node of that cluster; its directory must have been stamped with
    `veritydb init` (which `veritydb cluster up` does).

    With --data-dir and --region it is a cluster of its own: one process that holds the global group
    and the region's. A directory that does not exist yet, or is empty, is made into one.
    """
    try:
        config, name, directory = settle(
            file, node, data_dir, region, address, new=not print_config
        )
        if print_config:
            say(describe(config).rstrip())
            return Exit.DONE
        from veritydb.server.main import serve

        return serve(config, name, directory)
    except StartError as error:
        # A supervisor decides by the exact code whether to start it again.
        raise Failure(error.exit_code, str(error), name=type(error).__name__) from error


@click.command()
@node_options
@click.option(
    "--incarnation",
    "incarnations",
    multiple=True,
    metavar="GROUP=NUMBER",
    help="For a replica that lost its disk: what `veritydb replica replace` answered.",
)
def init(
    file: Path | None,
    node: str | None,
    data_dir: Path | None,
    region: str | None,
    address: str | None,
    incarnations: tuple[str, ...],
) -> None:
    """Stamp a data directory as one node's, without starting it.

    A directory is stamped once. One whose disk was lost takes part again only under the new
    incarnation that `veritydb replica replace` gives it.
    """
    given = dict(read_incarnation(text) for text in incarnations)
    if file is None and given:
        raise click.UsageError("--incarnation goes with --config and --node")
    config, name, directory = settle(file, node, data_dir, region, address, new=False)
    datadir.init(config, name, directory, given)
    say(f"{directory} is now the directory of node {name} in cluster {config.cluster.name}")


def settle(
    file: Path | None,
    node: str | None,
    data_dir: Path | None,
    region: str | None,
    address: str | None,
    *,
    new: bool,
) -> tuple[Config, str, Path]:
    """Which configuration, node and directory are meant. `new`: stamp an empty directory."""
    if file is not None:
        if node is None or region is not None or address is not None:
            raise click.UsageError("--config goes with --node, and not with --region or --address")
        config = configs.load(file)
        return config, config.node(node).name, data_dir or config.node_dir(node)
    if data_dir is None or node is not None:
        raise click.UsageError("give --config and --node, or --data-dir and --region")
    config, fresh = alone(data_dir, region, address or DEFAULT_ADDRESS)
    [part] = config.nodes
    if new and fresh:
        datadir.init(config, part.name, data_dir)
    return config, part.name, data_dir


def alone(directory: Path, region: str | None, address: str) -> tuple[Config, bool]:
    """The configuration of a cluster of one node, and whether its directory is still empty."""
    fresh = not directory.exists() or not any(directory.iterdir())
    if not fresh:
        stamp = datadir.read_stamp(directory)
        cluster, region = bytes.fromhex(stamp.cluster), region or stamp.region
    elif region is None:
        raise click.UsageError("a new directory needs --region: where does its data lie?")
    else:
        cluster = secrets.token_bytes(16)
    try:
        Region(region)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error), name="REGION") from None
    part = ServerPart(data_dir=str(directory.parent))
    return configs.one_node(cluster, region, address, part), fresh


def read_incarnation(text: str) -> tuple[int, int]:
    """Read `GROUP=NUMBER`."""
    group, equals, number = text.partition("=")
    if not equals or not group.isdecimal() or not number.isdecimal():
        raise click.UsageError(f"--incarnation: {text!r} is not GROUP=NUMBER")
    return int(group), int(number)
