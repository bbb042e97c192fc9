"""One run: a cluster, its clients and its faults, and then the account of it all."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from nemesis import checks, history, memory
from nemesis.checks import Verdict
from nemesis.history import Judgement
from nemesis.memory import Flatness
from nemesis.nodes import Nodes, three_nodes, veritydb
from nemesis.plants import PLANTS, Shown
from nemesis.proxy import Network
from nemesis.publishers import Publishers, streams
from nemesis.reading import endings_of, readings_of
from nemesis.recorded import Recorded
from nemesis.rounds import NEED_SMALL_DISKS, Account, Rounds
from nemesis.site import Site
from nemesis.taint import found_in
from veritydb.client.values import Token
from veritydb.types.labels import Region

REGION = Region("au-syd")
NAMES = ("node-1", "node-2", "node-3")
SAMPLE_SECONDS = 1.0
VERIFY_SECONDS = 600.0
# As many faults as there is time for rounds, if each is over when the next is due; but for some.
FAULTS_RATIO = 2 / 3


class Plan(msgspec.Struct, frozen=True):
    """What was asked for.

    `plant` names a lie that the account is told, `canary` a bug that all nodes have: to be found.
    """

    minutes: float
    every: float
    faults: tuple[str, ...]
    seed: int
    plant: str = ""
    canary: str = ""

    @property
    def faults_min(self) -> int:
        """With fewer the run did too little to mean anything."""
        return max(1, int(self.minutes * 60 / self.every * FAULTS_RATIO))


class Result(msgspec.Struct, frozen=True):
    """What came of it. `problems` is empty if everything holds, `lacking` if enough was done."""

    verdicts: dict[str, Verdict]
    judgement: Judgement
    memory: dict[str, Flatness | None]
    accounts: dict[str, Account]
    errors: dict[str, int]
    silence: float
    seconds: float
    problems: tuple[str, ...]
    lacking: tuple[str, ...]


class Run:
    """A run in progress."""

    def __init__(
        self,
        nodes: Nodes,
        network: Network,
        recorded: Recorded,
        plan: Plan,
        say: Callable[[str], None],
    ) -> None:
        """The nodes are up."""
        self._nodes = nodes
        self._recorded = recorded
        self._plan = plan
        self._say = say
        self._begun = time.monotonic()
        self._problems: list[str] = []
        self._samples: dict[str, list[tuple[float, int]]] = {name: [] for name in nodes.names}
        self._publishers = Publishers(nodes.url, streams(REGION), plan.seed)
        site = Site(nodes, network, self._problems, self._tell)
        silence = self._publishers.silence_since
        self._rounds = Rounds(site, plan.faults, plan.seed, self._wait, silence)

    def run(self) -> Result:
        """Publish and do harm for as long as planned, then look at everything."""
        self._publishers.start()
        self._recorded.start(self._nodes.url, REGION.name, self._plan.seed)
        try:
            self._harm()
        except BaseException:
            # The nodes are about to be killed, so that nothing would ever be answered again.
            self._publishers.leave()
            raise
        self._problems += self._recorded.stop()
        self._publishers.stop()
        seconds = time.monotonic() - self._begun
        shown = PLANTS[self._plan.plant](self._read_back())
        ledgers = self._publishers.ledgers
        verdicts = {
            name: checks.judge(ledgers[name], found) for name, found in shown.readings.items()
        }
        epoch = time.time_ns() - time.monotonic_ns()
        judgement = history.judge_all(shown.notes, shown.endings, epoch)
        self._say("stopping the nodes, and checking every byte they wrote")
        self._nodes.stop()
        for name, verdict in verdicts.items():
            self._problems += [f"{name}: {problem}" for problem in verdict.problems]
        self._problems += [*judgement.problems, *self._publishers.wronged[:5]]
        self._problems += [*self._verify(), *self._printed()]
        flatness = memory.judge_all(self._samples)
        self._problems += [
            f"the memory of {name} grew"
            for name, one in flatness.items()
            if one and one.flat is False
        ]
        return Result(
            verdicts=verdicts,
            judgement=judgement,
            memory=flatness,
            accounts=self._rounds.accounts,
            errors=self._publishers.errors,
            silence=self._publishers.silence,
            seconds=seconds,
            problems=tuple(self._problems),
            lacking=tuple(self._lacking(judgement)),
        )

    def _harm(self) -> None:
        end = self._begun + self._plan.minutes * 60
        due = time.monotonic() + self._plan.every
        while True:
            self._wait(min(due, end) - time.monotonic())
            if time.monotonic() >= end:
                return
            due = time.monotonic() + self._plan.every
            self._rounds.one()

    def _wait(self, seconds: float) -> None:
        """Let time pass, looking at the nodes' memory meanwhile."""
        until = time.monotonic() + seconds
        while True:
            self._publishers.check()
            self._recorded.check()
            self._sample()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(SAMPLE_SECONDS, left))

    def _sample(self) -> None:
        at = time.monotonic() - self._begun
        for name, samples in self._samples.items():
            size = memory.resident(self._nodes.pid(name)) if self._nodes.runs(name) else None
            if size is not None:
                samples.append((at, size))

    def _tell(self, text: str) -> None:
        at = time.monotonic() - self._begun
        self._say(f"{at:6.1f} s {self._publishers.count:>9,} events  {text}")

    def _read_back(self) -> Shown:
        """What every node holds in the end; that they hold the same is checked here."""
        token = Token()
        for ledger in self._publishers.ledgers.values():
            token |= ledger.token
        self._say(f"{self._publishers.count:,} events are acknowledged; waiting for all nodes")
        self._nodes.level(token)
        # What rotted where nobody looked is found by the nodes themselves.
        self._nodes.scrubbed()
        self._say("reading everything back from every node")
        notes = self._recorded.notes()
        readings = readings_of(self._nodes, self._publishers.plan, token)
        endings, unlike = endings_of(self._nodes, history.streams(notes), REGION)
        self._problems += unlike
        return Shown(readings, notes, endings)

    def _verify(self) -> list[str]:
        """What `verify` says of each node's directory."""
        problems = []
        for name in self._nodes.names:
            done = veritydb("verify", str(self._nodes.data(name)), timeout=VERIFY_SECONDS)
            printed = done.stdout + done.stderr
            problems += found_in(printed, f"verify of {name}")
            if done.returncode and not only_index(printed):
                said = printed.decode(errors="replace").strip()
                problems.append(f"verify of {name} ended with {done.returncode}: {said[-1000:]}")
        return problems

    def _printed(self) -> list[str]:
        """What the nodes printed and should not have."""
        return [
            problem
            for name in self._nodes.names
            for problem in found_in(self._nodes.log(name).encode(), name)
        ]

    def _lacking(self, judgement: Judgement) -> list[str]:
        """In what the run did too little."""
        lacking = []
        fired = sum(one.count for one in self._rounds.accounts.values())
        if fired < self._plan.faults_min:
            lacking.append(f"{fired} faults, not {self._plan.faults_min}")
        unused = [kind for kind, one in self._rounds.accounts.items() if not one.count]
        if unused and self._plan.faults_min >= len(self._rounds.accounts):
            lacking.append(f"no fault of the kinds {', '.join(unused)}")
        silent = [name for name, one in self._publishers.ledgers.items() if not one.count]
        if silent:
            lacking.append(f"nothing was acknowledged to {', '.join(silent)}")
        if not judgement.acknowledged or not judgement.searched:
            lacking.append("the clients recorded no history to speak of")
        return lacking


def only_index(printed: bytes) -> bool:
    """Whether all that `verify` calls damaged is of the stream index.

    That is derived, and each answer from it is held against the log; a place in it that nobody has
    looked at may have rotted all the same.
    """
    damage = [line for line in printed.splitlines() if line.startswith(b"damage:")]
    return bool(damage) and all(b"/index.db" in line for line in damage)


def run(folder: Path, plan: Plan, say: Callable[[str], None]) -> Result:
    """Run on fresh data in a folder. Whatever happens, no process is left behind."""
    with (
        Network(NAMES, plan.seed) as network,
        Nodes(folder, three_nodes(), network, plan.canary) as nodes,
    ):
        if any(kind in NEED_SMALL_DISKS for kind in plan.faults):
            nodes.limit_disks()
        nodes.up()
        with Recorded(folder) as recorded:
            result = Run(nodes, network, recorded, plan, say).run()
        nodes.keep = bool(result.problems)
        return result
