"""What has been measured, kept line by line, so that a run that was interrupted can go on."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.appends import Appended
from benchmarks.figures import Latency
from benchmarks.peers.failover import Failover
from benchmarks.reads import Read


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One system doing one workload in one of its ways, once; `value` is in the workload's unit.

    CPU, `syncs` and `written` are per event: CPU that of all three nodes, syncs those of the whole
    disk, and written a third of what it wrote: what the system counts for a process is more where
    it rewrites a small part of something large, as PostgreSQL does. Memory is that of all three
    nodes together.
    """

    value: float
    latency: Latency | None = None
    server_cpu_us: float | None = None
    client_cpu_us: float | None = None
    syncs: float | None = None
    written: float | None = None
    memory_mib: float | None = None
    others_cores: float | None = None
    errors: list[str] = []


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """One round of one workload on one system, in all of its ways; it may have none."""

    at: str
    round: int
    system: str
    version: str
    work: str
    seconds: float
    ways: dict[str, Measurement]


def of_appends(once: Appended, memory_mib: float) -> Measurement:
    """Events or calls per second, with what they cost."""
    return Measurement(
        value=once.events_per_s,
        latency=once.latency,
        server_cpu_us=once.server_cpu_us,
        client_cpu_us=once.client_cpu_us,
        syncs=once.flushes,
        written=once.disk_written,
        memory_mib=memory_mib,
        others_cores=once.others_cores,
        errors=once.errors,
    )


def of_tail(once: Appended, memory_mib: float) -> Measurement:
    """The latency is what counts."""
    found = of_appends(once, memory_mib)
    value = found.latency.p50 if found.latency else float("inf")
    return msgspec.structs.replace(found, value=value)


def of_read(once: Read, memory_mib: float) -> Measurement:
    """Events per second."""
    return Measurement(
        value=once.events_per_s,
        server_cpu_us=once.server_cpu_us,
        client_cpu_us=once.client_cpu_us,
        memory_mib=memory_mib,
        others_cores=once.others_cores,
    )


def of_failover(once: Failover) -> Measurement:
    """Seconds of silence. What was acknowledged and is gone is an error."""
    lost = f"{once.lost} of {once.acknowledged} acknowledged events were lost"
    return Measurement(value=once.silent_s, errors=[lost] if once.lost else [])


class Ledger:
    """The file of what is finished."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Go on with what is there, or begin anew."""
        self._path = path
        self._decoder = msgspec.json.Decoder(Finished)
        self.entries: list[Finished] = []
        if resume and path.exists():
            # The last line may have been cut off with the run.
            whole = path.read_bytes().split(b"\n")[:-1]
            self.entries = [self._decoder.decode(line) for line in whole]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(map(self._line, self.entries)))

    def _line(self, entry: Finished) -> bytes:
        return msgspec.json.encode(entry) + b"\n"

    def has(self, number: int, system: str, version: str, work: str, seconds: float) -> bool:
        """Whether that has been measured, of this version and for as long."""
        wanted = (number, system, version, work, seconds)
        return any(
            wanted == (one.round, one.system, one.version, one.work, one.seconds)
            for one in self.entries
        )

    def found(self, rounds: int, versions: Mapping[str, str], seconds: float) -> list[Finished]:
        """What belongs to such a run, and not to one of other versions before it."""
        return [
            one
            for one in self.entries
            if one.round < rounds
            and versions.get(one.system) == one.version
            and one.seconds == seconds
        ]

    def add(self, entry: Finished) -> None:
        """Keep one more."""
        self.entries.append(entry)
        with self._path.open("ab") as file:
            file.write(self._line(entry))
