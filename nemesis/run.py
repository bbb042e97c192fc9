"""One run: a cluster, its publishers and its faults, and then the account of it all."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nemesis import checks, memory
from nemesis.checks import Reading, Verdict
from nemesis.faults import Faults
from nemesis.ledger import digest_of
from nemesis.memory import Flatness
from nemesis.nodes import Nodes, three_nodes, veritydb
from nemesis.publishers import CALL_SECONDS, TENANT, Publishers, Stream, streams
from veritydb.client.sync import Client
from veritydb.client.values import Token
from veritydb.types.labels import Region

REGION = "au-syd"
SAMPLE_SECONDS = 1.0
VERIFY_SECONDS = 600.0


class Plan(NamedTuple):
    """What was asked for."""

    minutes: float
    every: float
    faults: list[str]
    seed: int


class Result(NamedTuple):
    """What came of it. `problems` is empty if everything holds."""

    verdicts: dict[str, Verdict]
    memory: dict[str, Flatness | None]
    faults: dict[str, int]
    errors: dict[str, int]
    silence: float
    seconds: float
    problems: list[str]


class Run:
    """A run in progress."""

    def __init__(self, nodes: Nodes, plan: Plan, say: Callable[[str], None]) -> None:
        """The nodes are up."""
        self._nodes = nodes
        self._plan = plan
        self._say = say
        self._samples: dict[str, list[tuple[float, int]]] = {name: [] for name in nodes.names}
        self._publishers = Publishers(nodes.url, streams(Region(REGION)), plan.seed)
        dice = random.Random(f"{plan.seed}/faults")
        self._faults = Faults(nodes, plan.faults, plan.every, dice)

    def run(self) -> Result:
        """Publish and do harm for as long as planned, then look at everything."""
        begun = time.monotonic()
        self._publishers.start()
        try:
            self._harm(begun)
            self._faults.recover()
        finally:
            self._publishers.stop()
        seconds = time.monotonic() - begun
        token = Token()
        for ledger in self._publishers.ledgers.values():
            token |= ledger.token
        self._say(f"{self._publishers.count:,} events are acknowledged; waiting for all nodes")
        self._nodes.level(token)
        self._say("reading everything back from every node")
        verdicts = {one.name: self._verdict(one, token) for one in self._publishers.plan}
        self._say("stopping the nodes, and checking every byte they wrote")
        self._nodes.stop()
        problems = [*self._faults.problems, *self._publishers.wronged[:5], *self._verify()]
        for name, verdict in verdicts.items():
            problems += [f"{name}: {problem}" for problem in verdict.problems]
        flatness = {name: memory.judge(found) for name, found in self._samples.items()}
        for name, flat in flatness.items():
            if flat is not None and flat.flat is False:
                problems.append(f"the memory of {name} grew")
        if not self._publishers.count:
            problems.append("nothing was acknowledged")
        return Result(
            verdicts=verdicts,
            memory=flatness,
            faults=self._faults.done,
            errors=self._publishers.errors,
            silence=self._publishers.silence,
            seconds=seconds,
            problems=problems,
        )

    def _harm(self, begun: float) -> None:
        end = begun + self._plan.minutes * 60
        due = begun + self._plan.every
        while (now := time.monotonic()) < end:
            self._publishers.check()
            self._sample(now - begun)
            if now >= due:
                self._faults.one(lambda text: self._tell(begun, text))
                due = max(due + self._plan.every, time.monotonic())
            time.sleep(min(SAMPLE_SECONDS, max(0.0, due - time.monotonic())))

    def _tell(self, begun: float, text: str) -> None:
        self._say(f"{time.monotonic() - begun:6.1f} s {self._publishers.count:>9,} events  {text}")

    def _sample(self, at: float) -> None:
        for name, samples in self._samples.items():
            size = memory.resident(self._nodes.pid(name)) if self._nodes.runs(name) else None
            if size is not None:
                samples.append((at, size))

    def _verdict(self, stream: Stream, token: Token) -> Verdict:
        readings = {}
        for name in self._nodes.names:
            with Client(self._nodes.url, timeout=CALL_SECONDS) as db:
                readings[name] = read(db, stream, name, token)
        return checks.judge(self._publishers.ledgers[stream.name], readings)

    def _verify(self) -> list[str]:
        problems = []
        for name in self._nodes.names:
            done = veritydb("verify", str(self._nodes.data(name)), timeout=VERIFY_SECONDS)
            if done.returncode:
                said = (done.stdout + done.stderr).decode(errors="replace").strip()
                problems.append(f"verify of {name} ended with {done.returncode}: {said[-1000:]}")
        return problems


def read(db: Client, stream: Stream, node: str, token: Token) -> Reading:
    """Read a whole stream from one node alone."""
    handle = db.stream(stream.name, tenant=TENANT, placement=stream.placement)
    offsets: list[int] = []
    digests: list[bytes] = []
    floor = 0
    for batch in handle.read_batches(0, node=node, at_least=token):
        if batch.truncated:
            floor = batch.base + batch.count
        # What was erased has offsets but no payloads: that it is missing shows.
        for offset, payload in zip(batch.offsets, batch.payloads, strict=False):
            offsets.append(offset)
            digests.append(digest_of(payload))
    return Reading(offsets, digests, floor)


def run(folder: Path, plan: Plan, say: Callable[[str], None]) -> Result:
    """Run on fresh data in a folder. Whatever happens, no node is left behind."""
    with Nodes(folder, three_nodes()) as nodes:
        nodes.up()
        return Run(nodes, plan, say).run()
