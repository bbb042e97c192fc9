"""What has been measured, kept line by line, so that a run that was interrupted can go on."""

from pathlib import Path

import msgspec

from benchmarks.appends import Appended
from benchmarks.figures import Latency
from benchmarks.reads import Read


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One system doing one workload in one of its ways, once. All but the rate is per event.

    `syncs` are flushes of the whole disk; `written` is what a node had written. CPU is that of all
    three nodes, memory that of all three together.
    """

    events_per_s: float
    latency: Latency | None = None
    server_cpu_us: float
    client_cpu_us: float
    syncs: float | None = None
    written: float | None = None
    memory_mib: float
    others_cores: float | None = None
    errors: list[str] = []


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """One round of one workload on one system, in all of its ways."""

    at: str
    round: int
    system: str
    version: str
    work: str
    seconds: float
    ways: dict[str, Measurement]


def of_appends(once: Appended, memory_mib: float) -> Measurement:
    """Keep what is compared."""
    return Measurement(
        events_per_s=once.events_per_s,
        latency=once.latency,
        server_cpu_us=once.server_cpu_us,
        client_cpu_us=once.client_cpu_us,
        syncs=once.flushes,
        written=once.written,
        memory_mib=memory_mib,
        others_cores=once.others_cores,
        errors=once.errors,
    )


def of_read(once: Read, memory_mib: float) -> Measurement:
    """Keep what is compared."""
    return Measurement(
        events_per_s=once.events_per_s,
        server_cpu_us=once.server_cpu_us,
        client_cpu_us=once.client_cpu_us,
        memory_mib=memory_mib,
    )


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

    def add(self, entry: Finished) -> None:
        """Keep one more."""
        self.entries.append(entry)
        with self._path.open("ab") as file:
            file.write(self._line(entry))
