"""`veritydb cluster`: the nodes of a cluster on this machine, started, watched and stopped."""

import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

import click

from veritydb.cli import processes, supervisor
from veritydb.cli.connection import ask_status, connect
from veritydb.cli.exits import Exit, Failure
from veritydb.cli.options import DEFAULT_URL, SCHEME, connected, formatted
from veritydb.cli.output import Output, say
from veritydb.cli.processes import Process
from veritydb.cli.status import NodeView, document, views_of
from veritydb.cli.supervisor import Cluster
from veritydb.server import config as configs

PATH = click.Path(path_type=Path)
NAMES = ("veritydb", "vdb-admin")
WATCH_SECONDS = 0.5
COLUMNS = ("node", "address", "pid", "ready", "group", "role", "view", "op", "commit")


@click.group()
def cluster() -> None:
    """Start, watch and stop the nodes of a cluster on this machine."""


@cluster.command()
@click.option(
    "--config",
    "file",
    type=PATH,
    required=True,
    metavar="FILE",
    help="The cluster's file, such as cluster-configs/three-node (.toml may be left out).",
)
@click.option(
    "--data-dir",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Where the nodes keep their data, a directory for each.",
)
@click.option(
    "--foreground", is_flag=True, help="Stay, show what changes, and stop the nodes on Ctrl-C."
)
@click.option(
    "--wait",
    type=click.FloatRange(0.0, 3_600.0),
    default=supervisor.READY_SECONDS,
    show_default=True,
    help="Seconds to wait until every node is ready.",
)
def up(file: Path, data_dir: Path, foreground: bool, wait: float) -> int:
    """Start every node of the file as a process of its own, except those that run already.

    The first time, the nodes' directories are made. A directory that is emptied later is not made
    again: its node stays down until `veritydb replica replace` has given it a new identity.
    """
    config = configs.load(file)
    nodes = Cluster(config, configs.find(file), data_dir)
    if foreground:
        # Whoever ends this process means the nodes as well, however he says it.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        started = nodes.start()
        views = nodes.wait_ready(wait)
        for view in views:
            say(view.line())
        complain_about_down(nodes, views)
        if foreground:
            say_next(nodes, foreground=True)
            watch(nodes, views)
            ended(nodes, started)
            return Exit.DONE
        elif all(view.ready for view in views):
            say_next(nodes, foreground=False)
    except KeyboardInterrupt:
        if foreground:
            say("stopping")
            stop_nodes(nodes)
            return Exit.DONE
        raise
    if all(view.ready for view in views):
        return Exit.DONE
    down = [view.name for view in views if not view.ready]
    raise Failure(
        Exit.UNAVAILABLE,
        f"not ready: {', '.join(down)} (of {len(started)} started)",
        hint=f"their logs are {nodes.directory}/<node>/{processes.LOG_FILE}",
    )


def watch(nodes: Cluster, views: list[NodeView]) -> None:
    """Print a node's line whenever more than its counters changes; return once all have ended."""
    known = {view.name: view.standing() for view in views}
    while any(view.pid is not None for view in views):
        time.sleep(WATCH_SECONDS)
        views = nodes.look()
        for view in views:
            if known[view.name] != view.standing():
                say(view.line())
                known[view.name] = view.standing()


def ended(nodes: Cluster, started: dict[str, Process]) -> None:
    """Every node has ended without a Ctrl-C here: by `cluster stop`, or by itself."""
    codes = {name: processes.exit_code(process) for name, process in started.items()}
    if any(codes.values()):
        raise Failure(
            Exit.UNAVAILABLE,
            f"every node has ended: {codes}",
            hint=f"their logs are {nodes.directory}/<node>/{processes.LOG_FILE}",
        )
    say("every node has been stopped")


def complain_about_down(nodes: Cluster, views: list[NodeView]) -> None:
    """Say why a node has ended, in its own last words."""
    for view in views:
        if view.pid is None:
            directory = nodes.node_dir(view.name)
            say(f"{view.name} has ended; the end of {directory / processes.LOG_FILE}:", error=True)
            for line in processes.tail(directory):
                say(f"    {line}", error=True)


def say_next(nodes: Cluster, *, foreground: bool) -> None:
    """What to type next."""
    # As it was typed, where the shell would not find it by its bare name.
    typed = Path(sys.argv[0]).name in NAMES and not shutil.which("veritydb")
    me = sys.argv[0] if typed else "veritydb"
    regions = [group.region for group in nodes.config.groups if group.region]
    place = f"phi --placement region:{regions[0]}" if regions else "nonphi --placement global"
    say("")
    say("next, in another terminal:" if foreground else "next:")
    if nodes.url != DEFAULT_URL:
        say(f"  export VERITYDB_URL={nodes.url.removeprefix(SCHEME)}")
    say(f"  {me} stream create --tenant 1 --stream notes --data-class {place}")
    say(f"  {me} publish --tenant 1 --stream notes --payload hello")
    say(f"  {me} read --tenant 1 --stream notes")
    say(f"  {me} cluster status")
    if foreground:
        say("Ctrl-C stops the nodes; their data stays.")
    else:
        say(f"  {me} cluster stop --data-dir {nodes.directory}")
    say("")


@cluster.command()
@click.option(
    "--data-dir", type=PATH, metavar="DIR", help="Of nodes on this machine; knows those down, too."
)
@partial(connected, seconds=2.0)
@formatted
def status(data_dir: Path | None, url: str, timeout: float, form: str) -> int:
    """Show every node, by its own word.

    With --data-dir: the nodes that `cluster up` started there. Otherwise those that the cluster
    names; one that is down has no name then but its address, no pid, and is not ready. Exit code 5
    if no node answers.
    """
    if data_dir is not None:
        views = supervisor.find(data_dir).look(timeout)
    else:
        said = ask_status(url, timeout)
        addresses = list(said) or url.removeprefix(SCHEME).split(",")
        views = views_of([("", address) for address in addresses], said, {})
    rows = [
        {
            "node": view.name,
            "address": view.address,
            "pid": view.pid,
            "ready": view.ready,
            "group": (group.region or "global") if group else "",
            "role": group.role if group else "",
            "view": group.view if group else None,
            "op": group.op if group else None,
            "commit": group.commit if group else None,
        }
        for view in views
        for group in view.groups or (None,)
    ]
    Output(form).document(document(views), rows, COLUMNS)
    return Exit.DONE if any(view.groups for view in views) else Exit.UNAVAILABLE


@cluster.command()
@click.option(
    "--data-dir", type=PATH, required=True, metavar="DIR", help="Where `cluster up` put them."
)
def stop(data_dir: Path) -> None:
    """Stop the nodes that `cluster up` started. Their data stays."""
    stop_nodes(supervisor.find(data_dir))


def stop_nodes(nodes: Cluster) -> None:
    """Stop all that run, and say which."""
    stopped, killed = nodes.stop()
    for name in stopped:
        say(f"{name} {'took too long and was killed' if name in killed else 'stopped'}")
    if not stopped:
        say("no node was running")


@cluster.command("step-down")
@click.option(
    "--group",
    type=click.IntRange(0, (1 << 16) - 1),
    required=True,
    metavar="NUMBER",
    help="The group whose primary gives up; 0 is the global group.",
)
@connected
def step_down(group: int, url: str, timeout: float) -> None:
    """Ask a group's primary to let another replica be elected."""
    with connect(url, timeout) as db:
        db.step_down(group)
    say(f"the primary of group {group} has stepped down")
