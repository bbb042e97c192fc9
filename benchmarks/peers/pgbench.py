"""Appends to PostgreSQL by pgbench, the compiled client it comes with."""

import math
import random
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks import accounting, appends
from benchmarks.accounting import Window
from benchmarks.appends import Appended, Workload
from benchmarks.cluster import HOST, wait_until
from benchmarks.payloads import TYPE
from benchmarks.peers.running import Servers
from benchmarks.processes import Child, ChildFailed
from benchmarks.tasks import Appending

THREADS = 2
START_SECONDS = 30.0
END_SECONDS = 30.0
# It is sure to be at work before its first second is over, and then says so once a second.
AT_WORK = b"progress:"

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


def script(workload: Workload) -> tuple[str, list[str]]:
    """What every connection does again and again, and how pgbench is told to do it."""
    rng = random.Random(1)
    made = [rng.randbytes(workload.payload_bytes).hex() for _ in range(workload.batch)]
    names = ["-D", "number=0", "-D", f"first={time.time_ns() // 1000}"]
    if workload.batch == 1:
        # The payload is a parameter, as it is for a program.
        given = ["-M", "prepared", "-D", f"payload=\\x{made[0]}"]
        return SINGLE.format(type=TYPE), names + given
    payloads = "{" + ",".join(f'"\\\\x{one}"' for one in made) + "}"
    text = BATCH.format(batch=workload.batch, type=TYPE, payloads=payloads)
    return text, [*names, "-M", "simple"]


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


def measure(
    program: Path, port: int, workload: Workload, servers: Servers, seconds: float
) -> Appended:
    """Measure once. Clients and lanes are connections here, of one process."""
    directory = servers.directory / "pgbench"
    directory.mkdir()
    connections = workload.clients * workload.lanes
    text, options = script(workload)
    (directory / "script").write_text(text)
    command = [
        *("-h", HOST, "-p", str(port), "-U", "postgres", "-n"),
        *("-c", str(connections), "-j", str(min(connections, THREADS))),
        *("-T", str(math.ceil(appends.WARM_SECONDS + seconds) + 1), "-P", "1"),
        *("-l", "--log-prefix", str(directory / "log"), "-f", str(directory / "script")),
        *options,
        "postgres",
    ]
    log = directory / "output"
    child = Child("pgbench", command, log, program=str(program))
    try:
        wait_until(lambda: AT_WORK in log.read_bytes() or not child.alive, "pgbench", START_SECONDS)
        began, cpu = time.time(), accounting.cpu_seconds(child.pid)
        window = Window(servers.pids(), servers.directory)
        time.sleep(seconds)
        cost = window.cost()
        ended, cpu = time.time(), accounting.cpu_seconds(child.pid) - cpu
        resident = accounting.resident_bytes(child.pid) or 0
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
    shutil.rmtree(directory)
    result = Appending(
        requests=len(took),
        events=len(took) * workload.batch,
        durations_us=took,
        cpu_s=cpu,
        resident_bytes=resident,
        errors=[],
    )
    return appends.summary([result], cost, ended - began, servers.pids())
