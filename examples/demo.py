"""`make demo`: three nodes, a day at a clinic, and a primary that is killed in the middle of it.

    python -m examples.demo

Starts three node processes on free ports of this machine with fresh data, publishes 20,000
synthetic events, kills the primary with SIGKILL half-way, goes on, brings it back, and reads
everything from every node. The exit code is 0 only if each of the three holds exactly what was
acknowledged, in order, and their logs are one.
"""

import shutil
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.clinic_day import ClinicEvent, clinic_day
from veritydb import (
    GLOBAL,
    Client,
    DataClass,
    Event,
    RecordedEvent,
    Region,
    Stream,
    Token,
    connect,
)
from veritydb.cli import processes
from veritydb.cli.exits import Failure
from veritydb.cli.processes import Process
from veritydb.cli.supervisor import Cluster
from veritydb.cli.verify import check_node
from veritydb.errors import VerityError
from veritydb.server import config as configs
from veritydb.server.datadir import GROUPS
from veritydb.storage.findings import DAMAGE
from veritydb.storage.journal import RECORD_BYTES
from veritydb.storage.names import JOURNAL

REGION = Region("au-syd")
TENANT = 1
NODES = ("node-1", "node-2", "node-3")
BATCH = 100
READY_SECONDS = 60.0
CALL_SECONDS = 30.0
POLL_SECONDS = 0.05

console = Console(highlight=False)


class DemoFailed(Exception):
    """The demo could not show what it is for. Says what went wrong."""


class Acknowledged(NamedTuple):
    """One event that the cluster confirmed: where it is, its id, and what it holds."""

    offset: int
    id: bytes
    digest: bytes


class Day:
    """What has been published so far."""

    def __init__(self, chart: Stream, operations: Stream) -> None:
        """What is about patients goes to `chart`, all else to `operations`."""
        self.streams = (operations, chart)
        self.acknowledged: tuple[list[Acknowledged], list[Acknowledged]] = ([], [])
        self.token = Token()
        self.seconds = 0.0
        self.outage = 0.0
        self.killed_at = 0
        self.over = False

    @property
    def count(self) -> int:
        """Events acknowledged."""
        return sum(map(len, self.acknowledged))

    def publish(self, phi: bool, batch: Sequence[ClinicEvent]) -> None:
        """Append a batch, and note what was confirmed and how long that took."""
        events = [
            Event(
                event.type,
                event.payload,
                id=sha256(b"%d" % (self.count + at)).digest()[:16],
                occurred_at=event.at,
            )
            for at, event in enumerate(batch)
        ]
        begun = time.monotonic()
        appended = self.streams[phi].append(events)
        took = time.monotonic() - begun
        self.seconds += took
        self.outage = max(self.outage, took)
        self.token |= appended.token
        self.acknowledged[phi].extend(
            Acknowledged(offset, event.id, sha256(event.payload).digest())
            for offset, event in zip(appended.offsets, events, strict=True)
        )


class Reading(NamedTuple):
    """What one node gave back. `same`: exactly what was acknowledged, in order."""

    node: str
    read: int
    lost: int
    duplicated: int
    same: bool


def main() -> int:
    """Run the demo; return its exit code."""
    base = Path(tempfile.mkdtemp(prefix="veritydb-demo-"))
    # The nodes must not outlive this process, however it is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = 1
    nodes = None
    try:
        file = write_config(base)
        nodes = Cluster(configs.load(file), file, base / "data")
        code = run(nodes)
    except KeyboardInterrupt:
        console.print("interrupted")
        code = 130
    except (DemoFailed, Failure, VerityError) as error:
        console.print(f"[bold red]failed:[/] {error}")
    finally:
        if nodes is not None:
            nodes.stop()
        if code in (0, 130):
            shutil.rmtree(base, ignore_errors=True)
        else:
            console.print(f"their logs are in {base}/data/<node>/{processes.LOG_FILE}")
    return code


def run(nodes: Cluster) -> int:
    """The demo itself."""
    begun = time.monotonic()
    say(begun, "starting three nodes with fresh data")
    nodes.start()
    await_ready(nodes)
    with ExitStack() as stack:
        db = stack.enter_context(connect(nodes.url, timeout=CALL_SECONDS))
        day = Day(
            db.create_stream("chart", tenant=TENANT, data_class=DataClass.PHI, placement=REGION),
            db.create_stream(
                "operations", tenant=TENANT, data_class=DataClass.NON_PHI, placement=GLOBAL
            ),
        )
        events = clinic_day()
        say(begun, f"publishing {len(events):,} events in batches of {BATCH}")
        killed = publish(nodes, day, events)
        if not day.killed_at:
            raise DemoFailed("the day was over before the primary was killed")
        say(begun, f"{day.count:,} events are acknowledged; bringing {killed} back")
        nodes.start()
        caught_up(nodes, db, day)
        say(begun, "it has caught up; reading everything from every node")
        readings = [read_back(day, node) for node in NODES]
    say(begun, "stopping the nodes, and checking every byte they wrote")
    nodes.stop()
    one_log = same_log(nodes, day)
    show(day, readings, one_log=one_log)
    if day.count != len(events):
        raise DemoFailed(f"{day.count} of {len(events)} events were acknowledged")
    if not one_log or not all(reading.same for reading in readings):
        raise DemoFailed("the nodes do not hold what was acknowledged")
    say(begun, "the log is intact, and the same on all three nodes")
    return 0


def publish(nodes: Cluster, day: Day, events: Sequence[ClinicEvent]) -> str:
    """Publish the day, killing the primary in the middle of it; return who that was."""
    columns = (TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    name, primary = find_primary(nodes, day)
    killer = Thread(target=kill_at, args=(primary, day, len(events) // 2))
    killer.start()
    told = False
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("publishing", total=len(events))
            for phi, batch in batches(events):
                day.publish(phi, batch)
                progress.update(task, completed=day.count)
                if day.killed_at and not told:
                    told = True
                    progress.console.print(
                        f"killed {name}, the primary, with SIGKILL after {day.killed_at:,} events"
                    )
    finally:
        day.over = True
        killer.join()
    return name


def find_primary(nodes: Cluster, day: Day) -> tuple[str, Process]:
    """The node that leads the group of the patients' stream, and its process."""
    group = day.streams[True].group
    for view in nodes.look():
        if any(one.group == group and one.role == "primary" for one in view.groups):
            return view.name, nodes.running()[view.name]
    raise DemoFailed("no node leads")


def kill_at(primary: Process, day: Day, count: int) -> None:
    """Kill a node without warning once so many events are acknowledged, whatever is under way."""
    while not day.over:
        if day.count >= count:
            processes.send(primary, signal.SIGKILL)
            day.killed_at = day.count
            return
        time.sleep(0.001)


def batches(events: Sequence[ClinicEvent]) -> Iterator[tuple[bool, list[ClinicEvent]]]:
    """The day in batches of one stream each, in order within the stream."""
    for start in range(0, len(events), BATCH):
        piece = sorted(events[start : start + BATCH], key=lambda event: event.phi)
        for phi, group in groupby(piece, key=lambda event: event.phi):
            yield phi, list(group)


def await_ready(nodes: Cluster) -> None:
    """Wait until every node is ready. Raises DemoFailed."""
    views = nodes.wait_ready(READY_SECONDS)
    if not all(view.ready for view in views):
        raise DemoFailed("; ".join(view.line() for view in views))
    for view in views:
        console.print(f"         {view.line()}", soft_wrap=True)


def caught_up(nodes: Cluster, db: Client, day: Day) -> None:
    """Wait until every node has applied all that was acknowledged. Raises DemoFailed."""
    await_ready(nodes)
    wanted = dict(day.token.marks)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        behind = [
            node.address
            for node in db.status()
            if not node.reachable
            or any(group.applied < wanted[group.group] for group in node.groups)
        ]
        if not behind:
            return
        time.sleep(POLL_SECONDS)
    raise DemoFailed(f"still behind: {', '.join(behind)}")


def read_back(day: Day, node: str) -> Reading:
    """Read both streams from one node alone, and compare with what was acknowledged."""
    read = lost = extra = 0
    same = True
    for stream, acknowledged in zip(day.streams, day.acknowledged, strict=True):
        items = [
            item
            for item in stream.read(0, node=node, at_least=day.token)
            if isinstance(item, RecordedEvent)
        ]
        found = [Acknowledged(i.offset, i.id, sha256(i.payload).digest()) for i in items]
        counts = Counter(one.id for one in found)
        read += len(found)
        lost += sum(one.id not in counts for one in acknowledged)
        extra += sum(count - 1 for count in counts.values())
        same = same and found == acknowledged
    return Reading(node, read, lost, extra, same)


def same_log(nodes: Cluster, day: Day) -> bool:
    """Whether every file of every node is intact, and all name the same frames by their hashes."""
    findings = [
        finding
        for name in NODES
        for _, found in check_node(nodes.node_dir(name), nodes.directory)
        for finding in found
        if finding["severity"] == DAMAGE
    ]
    for finding in findings:
        console.print(f"{finding['file']} byte {finding['at']}: {finding['problem']}")
    logs = set()
    for name in NODES:
        digest = sha256()
        for group, op in day.token.marks:
            folder = nodes.node_dir(name) / GROUPS / nodes.config.group(group).name
            # Record i of the journal names frame i by its header, and so all that came before.
            digest.update((folder / JOURNAL).read_bytes()[: (op + 1) * RECORD_BYTES])
        logs.add(digest.digest())
    return not findings and len(logs) == 1


def show(day: Day, readings: Sequence[Reading], *, one_log: bool) -> None:
    """Print the result."""
    table = Table(show_header=False, title="one day at the clinic", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("events acknowledged", f"{day.count:,}")
    for reading in readings:
        table.add_row(f"read back from {reading.node}", f"{reading.read:,}")
    table.add_row("lost", str(max(reading.lost for reading in readings)))
    table.add_row("duplicated", str(max(reading.duplicated for reading in readings)))
    table.add_row("payloads, ids and offsets as acknowledged", yes(all(r.same for r in readings)))
    table.add_row("every byte checked, one log on three nodes", yes(one_log))
    table.add_row("seconds without service", f"{day.outage:.2f}")
    table.add_row("events/s, one publisher, batches of 100", f"{day.count / day.seconds:,.0f}")
    console.print(table)


def yes(fact: bool) -> str:
    """A fact in a word."""
    return "yes" if fact else "NO"


def say(begun: float, text: str) -> None:
    """Print what happens, and when."""
    console.print(f"{time.monotonic() - begun:6.1f} s {text}")


def write_config(base: Path) -> Path:
    """A configuration of three nodes on ports that are free."""
    lines = ['[cluster]\nname = "demo"\n']
    ports = iter(free_ports(2 * len(NODES)))
    for name in NODES:
        client, peer = next(ports), next(ports)
        lines.append(
            f'[[nodes]]\nname = "{name}"\nregion = "{REGION.name}"\n'
            f'client = "127.0.0.1:{client}"\npeer = "127.0.0.1:{peer}"\n'
        )
    replicas = ", ".join(f'"{name}"' for name in NODES)
    lines.append(f"[[groups]]\nnumber = 0\nreplicas = [{replicas}]\n")
    lines.append(f'[[groups]]\nnumber = 1\nregion = "{REGION.name}"\nreplicas = [{replicas}]\n')
    file = base / "demo.toml"
    file.write_text("\n".join(lines))
    return file


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on just now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    raise SystemExit(main())
