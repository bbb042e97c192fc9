"""One seed from its plan to its verdict: a phase with faults, a phase without, the end."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from traceback import format_exc
from typing import NamedTuple

from simulation import floors, limits
from simulation.checkers.assemble import Checkers
from simulation.checkers.base import Answer, Log, Watch
from simulation.checkers.steady import Steady
from simulation.choices import Choices
from simulation.clients import Client, Shared
from simulation.cluster import Cluster
from simulation.facts import load_of
from simulation.limit import Hung, cpu_limit
from simulation.nemesis.director import Nemesis
from simulation.network import CLIENTS, Network, Packet
from simulation.operator import OPERATOR, Operator
from simulation.plan import NODES, REPLICAS, Plan, make
from simulation.topology import groups
from simulation.workload import Workload
from simulation.world import EVENTS_MAX, MS, SECOND, TIMELINE_LINES, Failure, Line, World
from veritydb.node.state import chunks
from veritydb.types import marks
from veritydb.types.ids import ClientId
from veritydb.types.limits import CLOCK_TOLERANCE_NS

PRODUCT = Path(marks.__file__).parents[1]

SAFETY_TIME = 30 * SECOND
LIVENESS_TIME = 60 * SECOND
CHECK_EVERY = 50 * MS
MORE_REQUESTS, MORE_REQUESTS_MAX = 10, 100
"""Made at a time, and altogether, while a fault that was drawn has not struck."""
QUEUE_MAX = 20_000
EXCUSED_MAX = 60
"""So many times in a row the same reason has to hold why the core comes to no end."""
CPU_SECONDS_MAX = 60
"""A run that takes longer hangs. The slowest ones take a fiftieth."""


class Result(NamedTuple):
    """What became of a run. `failure` is (checker, what) or None; `empty` says what was missing."""

    seed: int
    failure: tuple[str, str] | None
    empty: str
    trace: str
    events: int
    time: int
    counts: dict[str, int]
    timeline: list[Line]
    """The last lines of a run that failed; of any, if the caller wants them."""
    marks: frozenset[str] = frozenset()
    """The rare branches that were reached."""
    where: str = ""
    """The function of the product that raised, if one did."""
    cpu: float = 0.0
    """Seconds of processor time."""

    @property
    def key(self) -> str:
        """What kind of failure it is: two runs with one key have found the same bug."""
        return " ".join((self.failure[0], self.where)).strip() if self.failure else ""


class Simulation:
    """Everything of one run, wired together."""

    def __init__(
        self, plan: Plan, choices: Choices | None = None, lines: int | None = TIMELINE_LINES
    ) -> None:
        """Nothing has happened yet. `choices` may come from a tape; `lines` are kept, or all."""
        self.plan = plan
        choices = choices or Choices(plan.seed)
        self.world = World(choices, lines)
        self.log: Log = {}
        self.network = Network(self.world, plan.network, NODES[plan.shape])
        self._shared = Shared(self.world, self.network, Workload(choices))
        self._shared.left, self._shared.events = plan.requests, plan.events
        self._excused = 0
        self._more = MORE_REQUESTS_MAX
        self.watch = Watch(self.log, [])
        self.cluster = Cluster(self.world, plan, self.watch, self.network)
        self.operator = Operator(self.cluster)
        self.nemesis = Nemesis(self.cluster, self.operator, plan.clients)
        self.nemesis.left = lambda: self._shared.left
        self.checkers = Checkers(
            plan.seed,
            self.log,
            {group.number: group.nodes for group in self.cluster.groups},
            self.cluster,
            lambda: self.world.now,
            self._latest,
        )
        if not plan.faults and not plan.few:
            # Where there is little room, requests are sent away and wait.
            net = plan.network
            pace = net.delay_min + net.delay_mean + plan.write_latency
            steady = Steady(pace, REPLICAS[plan.shape], lambda: self.world.now)
            self.checkers.all.append(steady)
        self._wire_checkers()
        self.clients = self._make_clients()
        self.cluster.to_client = self._to_client
        self.cluster.damaged = self.operator.replace
        self.cluster.held_back = self.operator.held_back

    def _wire_checkers(self) -> None:
        cluster, watch = self.cluster, Watch(self.log, self.checkers.all)
        self.watch = cluster.watch = watch
        if len(self.cluster.groups) > 1:
            self.network.watch = self._taint
        shared = self._shared
        shared.invoked, shared.denied, shared.read = watch.invoked, watch.denied, watch.read
        shared.answered = self._answered

    def _make_clients(self) -> list[Client]:
        plan, choices = self.plan, self.world.choices
        made: list[Client] = []
        for index in range(plan.clients):
            identity = ClientId(choices.bytes("client.id", 16))
            if plan.twins and index == 1:
                identity = made[0].identity
            reached = list(groups(plan.shape))
            if len(reached) > 1:
                # A client lives in one region; it uses that one's group and the global one.
                reached = [reached[0], reached[1 + index % 2]]
            made.append(
                Client(
                    self._shared,
                    index,
                    identity,
                    reached,
                    plan.clients,
                    plan.window,
                    plan.think,
                    plan.patience,
                )
            )
        return made

    # -- facts

    def _latest(self) -> int:
        return max(box.clock.highest for box in self.cluster.boxes) + CLOCK_TOLERANCE_NS

    def _answered(self, answer: Answer) -> None:
        what = f"{answer.request.what} -> {answer.outcome.code.name}"
        where = f"op {answer.outcome.op} base {answer.outcome.base}"
        self.world.note(f"client{answer.request.client}", (), what, where)
        self.watch.answered(answer)

    def _to_client(self, packet: Packet) -> None:
        if packet.target == OPERATOR:
            self.operator.receive(packet.tag)
        else:
            self.clients[packet.target - CLIENTS].receive(packet.tag)

    def _taint(self, packet: Packet) -> None:
        if not packet.data:
            return
        if packet.source >= CLIENTS:
            nodes: tuple[int, ...] = (packet.target,)
        else:
            nodes = (packet.source, packet.target) if packet.target < CLIENTS else (packet.source,)
        self.checkers.placement.bytes_at(nodes, packet.data, "on the link")

    # -- phases

    def run(self) -> None:
        """Run to the end. Raises Failure."""
        world = self.world
        for box in self.cluster.boxes:
            box.start()
        for client in self.clients:
            world.choices.apart(f"client{client.index}", client.start)
        self.nemesis.start()
        self._until(SAFETY_TIME, self._enough)
        world.count("safety-ms", world.now // MS)
        world.note("world", (), "liveness phase: everything heals")
        self._shared.calm = True
        self.nemesis.stop()
        self.watch.healed()
        self.cluster.scrub()
        start = world.now
        if not self._until(start + LIVENESS_TIME, self._ended):
            raise Failure("liveness", self._why_not())
        if self._excused >= EXCUSED_MAX:
            world.count("core.excused")
            return
        world.count("liveness-ms", (world.now - start) // MS)
        self.watch.ended()
        world.count("searches", self.checkers.histories.searches)
        world.count("searches.given-up", self.checkers.histories.given_up)
        self._search_disks()
        self._search_texts()
        self._compare_states()

    def _until(self, until: int, done: Callable[[], bool]) -> bool:
        """Let time pass, looking now and then whether it is enough."""
        world = self.world
        while world.now < until:
            world.run(min(until, world.now + CHECK_EVERY))
            for box in self.cluster.boxes:
                for host in box.hosts.values():
                    load = load_of(host.node, len(host.writer.queue), host.reading)
                    self.watch.loaded(host.key, load)
            if world.pending > QUEUE_MAX:
                raise Failure("bounds", f"{world.pending} things are under way")
            if done():
                return True
        return False

    def _enough(self) -> bool:
        """Whether each class of faults has struck, and the clients had their answers, or time."""
        events, planned = self.world.events, self.plan.events
        waits = self._more > 0 and not 0 < planned * 3 // 2 <= events
        if waits and self.nemesis.missing():
            # Some faults need something to happen.
            if not self._shared.more:
                self._more -= MORE_REQUESTS
                self._shared.left += MORE_REQUESTS
                for client in self.clients:
                    client.wake()
            return False
        # Who still waits for an answer gets it when all has healed.
        most = planned * 9 // 8 if self._shared.left > 0 else planned * 33 // 32
        return 0 < most <= events or self._clients_done()

    def _clients_done(self) -> bool:
        return not self._shared.more and not any(client.open for client in self.clients)

    def _ended(self) -> bool:
        """Whether all that can come to an end has, or it was proved for long that it cannot."""
        if self._converged():
            return True
        self._excused = self._excused + 1 if self.nemesis.core.excuse() else 0
        return self._excused >= EXCUSED_MAX

    def _converged(self) -> bool:
        if not self._clients_done():
            return False
        unheard = self.nemesis.core.unheard()
        for box in self.cluster.boxes:
            if box.index in self.nemesis.core.outside:
                continue
            if not box.up:
                return False
            for group in self.cluster.groups:
                if box.index not in group.nodes:
                    continue
                host = box.hosts.get(group.number)
                if (group.number, group.nodes.index(box.index)) in unheard:
                    continue
                if host is None or host.writing or not host.node.ready:
                    return False
                if host.key in self.cluster.gaps:
                    return False
                if host.node.applied != len(self.log.get(group.number, [])):
                    return False
        if not self.cluster.whole(self.cluster.outside | unheard):
            return False
        if not set(self.operator.joining()) <= self.cluster.outside | unheard:
            return False
        self.cluster.outside.update(unheard)
        return True

    def _why_not(self) -> str:
        lines = [f"not converged after {LIVENESS_TIME // SECOND} s without faults"]
        opened = sum(len(client.open) for client in self.clients)
        lines.append(f"requests left {self._shared.left}, unanswered {opened}")
        lines.append(f"rotten {sorted(self.cluster.rotten)}, lost {self.operator.joining()}")
        for box in self.cluster.boxes:
            for host in box.hosts.values():
                decided = len(self.log.get(host.group.number, []))
                state = " ".join(str(part) for part in host.state())
                lines.append(f"{host.name} up={box.up} {state} of {decided}")
        return "\n".join(lines)

    def _compare_states(self) -> None:
        """Replicas that applied the same ops hold the same state, byte for byte."""
        for group in self.cluster.groups:
            found: dict[int, set[bytes]] = {}
            for index, node in enumerate(group.nodes):
                if (group.number, index) in self.cluster.outside:
                    continue
                host = self.cluster.boxes[node].hosts[group.number]
                state = sha256(b"".join(chunks(host.node.state))).digest()
                found.setdefault(host.node.applied, set()).add(state)
            if any(len(states) > 1 for states in found.values()):
                raise Failure("state", f"group {group.number}: states differ in the end")

    def _search_disks(self) -> None:
        """Look for payloads on disks where they must not be."""
        if len(self.cluster.groups) == 1:
            return
        for (group, index), disk in self.cluster.disks.items():
            node = self.cluster.group(group).nodes[index]
            for name, _, data in disk.contents():
                self.checkers.placement.bytes_at((node,), data, f"in {name}")

    def _search_texts(self) -> None:
        """Look for payloads in what people are shown."""
        self.checkers.leaks.told(self.world.counts)
        self.checkers.leaks.told(str(line) for line in self.world.timeline)

    # -- the floor

    def empty(self) -> str:
        """What was missing for the run to count, or nothing."""
        return floors.missing(self.plan, self.world.counts)


def simulate(
    seed: int,
    plan: Plan | None = None,
    choices: Choices | None = None,
    lines: int | None = TIMELINE_LINES,
    events_max: int = EVENTS_MAX,
) -> Result:
    """Run one seed, or one plan with choices of its own, and say what became of it."""
    plan = plan or make(seed)
    with limits.scaled(plan):
        return _simulate(plan, Simulation(plan, choices, lines), events_max)


def _simulate(plan: Plan, simulation: Simulation, events_max: int) -> Result:
    failure, where = None, ""
    reached: set[str] = set()
    before = marks.listen(reached.add)
    world = simulation.world
    world.events_max = events_max
    try:
        with cpu_limit(CPU_SECONDS_MAX) as used:
            simulation.run()
        simulation.checkers.leaks.told(reached)
    except Failure as error:
        failure, where = (error.checker, error.what), raised_in(error.__cause__)
    except Hung:
        failure = ("hung", format_exc())
    except Exception as error:
        failure, where = (f"raised-{type(error).__name__}", format_exc()), raised_in(error)
    finally:
        marks.listen(before)
    return Result(
        seed=plan.seed,
        failure=failure,
        empty="" if failure else simulation.empty(),
        trace=world.trace,
        events=world.events,
        time=world.now,
        counts=dict(sorted(world.counts.items())),
        timeline=list(world.timeline) if failure or world.timeline.maxlen is None else [],
        marks=frozenset(reached),
        where=where,
        cpu=used(),
    )


def raised_in(error: BaseException | None) -> str:
    """The innermost function of the product that an error came through, as file:function."""
    where, at = "", error.__traceback__ if error is not None else None
    while at is not None:
        code = at.tb_frame.f_code
        path = Path(code.co_filename)
        if PRODUCT in path.parents:
            where = f"{path.relative_to(PRODUCT)}:{code.co_name}"
        at = at.tb_next
    return where
