"""Appends to PostgreSQL by pgbench, the compiled client it comes with."""

import math
import random
import re
import shutil
import time
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

from benchmarks import accounting, appends
from benchmarks.accounting import Window
from benchmarks.appends import Workload
from benchmarks.cluster import HOST, wait_until
from benchmarks.payloads import TYPE
from benchmarks.peers.finished import Measurement, of_appends
from benchmarks.peers.system import Running
from benchmarks.peers.tasks import READS_OF_TEN
from benchmarks.peers.works import MIX_LANES, MIX_PAGE, Work
from benchmarks.processes import Child, ChildFailed
from benchmarks.tasks import Appending

THREADS = 2
START_SECONDS = 30.0
END_SECONDS = 30.0
# Once a second it says how many transactions there were; at first it is busy connecting.
AT_WORK = re.compile(rb"progress: [\d.]+ s, (?!0\.0 tps)")
CONNECTIONS_PER_SECOND = 64
COMPLAINT = "error:"
ERRORS_KEPT = 3

SINGLE = """\
\\set number :number + 1
INSERT INTO events (stream_id, "offset", type, payload)
VALUES (:first::bigint + :client_id, :number::bigint, '{type}', :payload::bytea);
"""
BATCH = """\
\\set number :number + {batch}
INSERT INTO events (stream_id, "offset", type, payload)
SELECT :first::bigint + :client_id, :number + place, '{type}', payload
FROM unnest('{payloads}'::bytea[]) WITH ORDINALITY AS batch (payload, place);
"""
PAGE = """\
\\set at random(0, {last})
SELECT "offset", type, payload FROM events
WHERE stream_id = {stream} AND "offset" >= :at::bigint ORDER BY "offset" LIMIT {page};
"""


class Load(msgspec.Struct, frozen=True):
    """What every connection does again and again: scripts with how often of all each is taken."""

    connections: int
    events: int
    scripts: dict[str, int]
    options: tuple[str, ...]


def number_of(stream: str) -> int:
    """A number for the name of a stream."""
    return int.from_bytes(blake2b(stream.encode(), digest_size=7).digest(), "big")


def singles(payload_bytes: int) -> tuple[str, tuple[str, ...]]:
    """The script of single appends. The payload is a parameter, as it is for a program."""
    payload = random.Random(1).randbytes(payload_bytes).hex()
    names = ("-D", "number=0", "-D", f"first={time.time_ns() // 1000}")
    return SINGLE.format(type=TYPE), (*names, "-M", "prepared", "-D", f"payload=\\x{payload}")


def appends_of(workload: Workload) -> Load:
    """Clients and lanes are connections here, of one process."""
    connections = workload.clients * workload.lanes
    if workload.batch == 1:
        text, options = singles(workload.payload_bytes)
        return Load(connections, 1, {text: 1}, options)
    rng = random.Random(1)
    made = [rng.randbytes(workload.payload_bytes).hex() for _ in range(workload.batch)]
    payloads = "{" + ",".join(f'"\\\\x{one}"' for one in made) + "}"
    text = BATCH.format(batch=workload.batch, type=TYPE, payloads=payloads)
    names = ("-D", "number=0", "-D", f"first={time.time_ns() // 1000}")
    return Load(connections, workload.batch, {text: 1}, (*names, "-M", "simple"))


def mix_of(work: Work, stream: str) -> Load:
    """Pages of a stream, and single appends to others."""
    text, options = singles(work.payload_bytes)
    last = work.events - MIX_PAGE
    page = PAGE.format(last=last, stream=number_of(stream), page=MIX_PAGE)
    return Load(MIX_LANES, 1, {page: READS_OF_TEN, text: 10 - READS_OF_TEN}, options)


def durations(lines: Iterable[str], start: float, end: float) -> list[int]:
    """Microseconds of the transactions that ended within a window of the wall clock."""
    found = []
    for line in lines:
        _connection, _number, took, _script, seconds, micros, *_ = line.split()
        ended = int(seconds) + int(micros) / 1e6
        # One that failed has a word instead of a time.
        if start <= ended < end and took.isdigit():
            found.append(int(took))
    return found


def measure(program: Path, port: int, load: Load, running: Running, seconds: float) -> Measurement:
    """Measure once."""
    directory = running.directory / "pgbench"
    directory.mkdir()
    files: list[str] = []
    connecting = load.connections / CONNECTIONS_PER_SECOND
    for number, (text, weight) in enumerate(load.scripts.items()):
        (directory / f"script-{number}").write_text(text)
        files += ["-f", f"{directory / f'script-{number}'}@{weight}"]
    command = [
        *("-h", HOST, "-p", str(port), "-U", "postgres", "-n"),
        *("-c", str(load.connections), "-j", str(min(load.connections, THREADS))),
        *("-T", str(math.ceil(appends.WARM_SECONDS + connecting + seconds) + 1), "-P", "1"),
        *("-l", "--log-prefix", str(directory / "log"), *files, *load.options, "postgres"),
    ]
    log = directory / "output"
    child = Child("pgbench", command, log, program=str(program))

    def at_work() -> bool:
        return AT_WORK.search(log.read_bytes()) is not None or not child.alive

    try:
        wait_until(at_work, "pgbench", START_SECONDS)
        began, cpu = time.time(), accounting.cpu_seconds(child.pid)
        window = Window(running.pids(), running.directory)
        time.sleep(seconds)
        cost = window.cost()
        ended, cpu = time.time(), accounting.cpu_seconds(child.pid) - cpu
        memory = running.memory_mib()
        wait_until(lambda: not child.alive, "pgbench to end", END_SECONDS)
    finally:
        child.stop()
    took = [
        one
        for file in directory.glob("log.*")
        for one in durations(file.read_text().splitlines(), began, ended)
    ]
    if not took:
        raise ChildFailed(child.last_words())
    complaints = [line for line in log.read_text().splitlines() if COMPLAINT in line]
    shutil.rmtree(directory)
    result = Appending(
        requests=len(took),
        events=len(took) * load.events,
        durations_us=took,
        cpu_s=cpu,
        resident_bytes=0,
        errors=complaints[:ERRORS_KEPT],
    )
    return of_appends(appends.summary([result], cost, ended - began, []), memory)
