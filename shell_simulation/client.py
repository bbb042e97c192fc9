"""Clients: Trio tasks that append and read over simulated connections, and remember all of it."""

from typing import Any

import msgspec
import trio

from shell_simulation.history import History, Request, Seen, Told
from shell_simulation.line import STREAMS, Line, Lost
from shell_simulation.network import Connection, Network
from shell_simulation.rpc import new_params
from shell_simulation.world import World
from simulation.checkers.base import TOKEN
from simulation.clocks import EPOCH
from simulation.topology import REGION_A, Group
from simulation.workload import TENANT, Draft, Known, Workload
from simulation.world import MS
from veritydb.types.entry import EXPECT_ANY, EntryHeader, Kind
from veritydb.types.errors import EdgeCode
from veritydb.types.ids import GroupId, StreamId
from veritydb.types.outcome import Code

GROUP = Group(GroupId(1), REGION_A, (0, 1, 2))
CONNECT_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
THINK_MEAN = 50 * MS
ATTEMPTS = 6
TIMEOUTS_MS = (30, 100, 1_000, 5_000)
ANYBODY_PPM = 250_000


class Client:
    """One client, which does one thing after another."""

    def __init__(self, number: int, world: World, network: Network, shared: "Shared") -> None:
        self.name = f"c{number}"
        self.number = number
        self._world = world
        self._choices = world.choices
        self._network = network
        self._shared = shared
        self._lines: dict[str, Line] = {}
        self._believed = "n1"

    # -- connections

    async def line(self, node: str) -> Line:
        """The connection to a node. Raises Lost."""
        line = self._lines.get(node)
        if line is None or line.ended:
            line = self._lines[node] = await self._connect(node)
        return line

    async def _connect(self, node: str) -> Line:
        over = trio.Event()
        found: list[Line] = []
        late: list[bool] = []

        def made(connection: Connection) -> None:
            if late:
                connection.close(0)
            else:
                found.append(Line(self._world, connection, self.number))
                over.set()

        self._network.connect(self, f"{node}/client", made, over.set)
        with trio.move_on_after(CONNECT_SECONDS):
            await over.wait()
        late.append(True)
        if not found:
            raise Lost
        with trio.move_on_after(CONNECT_SECONDS):
            await found[0].open()
            return found[0]
        found[0].close()
        raise Lost

    def _elsewhere(self) -> None:
        names = self._shared.nodes
        self._believed = names[(names.index(self._believed) + 1) % len(names)]

    # -- work

    async def work(self) -> None:
        """Do things until nothing is left to be done."""
        shared = self._shared
        while shared.left > 0:
            await self.think(THINK_MEAN)
            shared.left -= 1
            streams = shared.workload.streams.get(GROUP.number)
            kind = self._choices.pick("client.kind", KINDS)
            if not streams or (kind == "create" and len(streams) < 4):
                await self.create()
            elif kind == "read":
                await self.read()
            else:
                await self.append(kind)

    async def think(self, mean: int) -> None:
        """Let time pass."""
        await trio.sleep(self._choices.exponential(f"think.{self.name}", mean) / 1e9)

    async def append(self, kind: str) -> None:
        """Append once, or (with a batch id) until it is known what became of it."""
        request = self._draft(kind)
        attempts = 1 if kind == "single" else ATTEMPTS
        for attempt in range(attempts):
            with trio.move_on_after(PATIENCE_SECONDS) as scope:
                if kind == "hasty":
                    scope.deadline = trio.current_time() + self._hurry()
                if await self._attempt(request, attempt):
                    return
            if scope.cancelled_caught:
                request.surely_not = False
                self._world.count("client.gave-up")
                self._elsewhere()
            await self.think(50 * MS)

    def _hurry(self) -> float:
        return self._choices.exponential(f"hurry.{self.name}", 5 * MS) / 1e9

    def _draft(self, kind: str) -> Request:
        workload = self._shared.workload
        known = workload.pick(GROUP)
        header = EntryHeader(kind=Kind.APPEND, tenant=TENANT, stream=known.number)
        expected = EXPECT_ANY
        if kind == "exact":
            expected = known.next
        elif kind != "single":
            batch = self._choices.bytes("client.batch", 16)
            sent_at = EPOCH + self._world.now
            header = msgspec.structs.replace(header, batch=batch, sent_at=sent_at)
        draft = workload.append(header, GROUP.number, expected, "append")
        return self._begin(draft)

    def _begin(self, draft: Draft) -> Request:
        history = self._shared.history
        request = Request(self.number, draft, self._world.now, history.highest)
        history.requests.append(request)
        return request

    def _entry(self, request: Request) -> Any:
        params = new_params(STREAMS, "append")
        params.entry = request.draft.entry.data
        params.timeoutMs = self._choices.pick("client.timeout", TIMEOUTS_MS)
        return params

    async def _attempt(self, request: Request, attempt: int) -> bool:
        """Try once; whether it is known now what became of the request."""
        try:
            line = await self.line(self._believed)
        except Lost:
            self._elsewhere()
            return False
        sure, request.surely_not = request.surely_not, False
        try:
            results = await line.call("append", self._entry(request))
        except Lost:
            self._world.count("client.lost")
            self._elsewhere()
            return False
        if str(results.res.which()) == "refused":
            refused = results.res.refused
            request.surely_not = sure and str(refused.applied) == "no"
            return self._refused(request, refused)
        self._appended(request, results.res)
        if sure and attempt and request.told[-1].code is Code.DUPLICATE:
            self._world.fail("not-applied", f"{self.name} was told so of what has been applied")
        return True

    def _refused(self, request: Request, refused: Any) -> bool:
        """Learn from a refusal; whether the log itself said it."""
        name = str(refused.name)
        self._world.note(self.name, "refused", name, refused.applied)
        self._world.count(f"refused.{name}")
        code = int(refused.code)
        if code == EdgeCode.NOT_PRIMARY and refused.redirect:
            self._believed = self._shared.node_at(str(refused.redirect))
        elif code in (EdgeCode.NOT_READY, EdgeCode.STOPPING, EdgeCode.NOT_PRIMARY):
            self._elsewhere()
        if code == Code.WRONG_EXPECTED_OFFSET:
            known = self._known(request.draft.entry.header.stream)
            known.next = max(known.next, refused.actual)
            return True
        return False

    def _known(self, stream: int) -> Known:
        streams = self._shared.workload.streams[GROUP.number]
        return next(known for known in streams if known.number == stream)

    def _appended(self, request: Request, res: Any) -> None:
        at = res.appended
        code = Code.DUPLICATE if at.duplicate else Code.OK
        told = Told(code, at.op, at.base, at.count, at.stream)
        self._world.note(self.name, "appended", *told)
        self._world.count("client.answers")
        self._shared.history.tell(request, told)
        known = self._known(at.stream)
        known.next = max(known.next, at.base + at.count)

    async def create(self) -> None:
        """Make a stream."""
        params = new_params(STREAMS, "create")
        req = params.req
        self._shared.names += 1
        req.tenant, req.name = TENANT, f"notes-{self._shared.names}"
        req.dataClass, req.timeoutMs = "phi", 1_000
        req.placement.region = REGION_A.name
        for _ in range(ATTEMPTS):
            with trio.move_on_after(PATIENCE_SECONDS):
                try:
                    results = await (await self.line(self._believed)).call("create", params)
                except Lost:
                    self._elsewhere()
                    continue
                if str(results.res.which()) == "stream":
                    self._world.note(self.name, "created", results.res.stream.id)
                    streams = self._shared.workload.streams.setdefault(GROUP.number, [])
                    number = StreamId(results.res.stream.id)
                    if all(known.number != number for known in streams):
                        streams.append(Known(number, GROUP))
                    return
                self._refused_create(results.res.refused)
            await self.think(50 * MS)

    def _refused_create(self, refused: Any) -> None:
        self._world.note(self.name, "refused", refused.name)
        if refused.redirect:
            self._believed = self._shared.node_at(str(refused.redirect))
        else:
            self._elsewhere()

    async def read(self) -> None:
        """Read a stretch of a stream, fresh from the primary or as it is on any node."""
        fresh = self._choices.chance("client.fresh", 500_000)
        node = self._believed
        if not fresh or self._choices.chance("client.anybody", ANYBODY_PPM):
            node = self._choices.pick("client.node", self._shared.nodes)
        known = self._shared.workload.pick(GROUP)
        first = self._choices.choose("client.first", known.next + 1)
        params = new_params(STREAMS, "read")
        params.req.stream.tenant = TENANT
        params.req.stream.id = known.number
        getattr(params.req, "from").offset = first
        params.req.limit, params.req.timeoutMs = 20, 1_000
        setattr(params.req.consistency, "linearizable" if fresh else "local", None)
        floor_op = self._shared.history.highest if fresh else 0
        with trio.move_on_after(PATIENCE_SECONDS):
            try:
                results = await (await self.line(node)).call("read", params)
            except Lost:
                self._elsewhere()
                return
            if str(results.res.which()) == "refused":
                self._world.note(self.name, "read refused", results.res.refused.name)
                if results.res.refused.redirect:
                    self._believed = self._shared.node_at(str(results.res.refused.redirect))
                return
            self._shown(node, known, first, floor_op, results.res.page)

    def _shown(self, node: str, known: Known, first: int, floor_op: int, page: Any) -> None:
        tokens: list[bytes] = []
        for item in page.items:
            tokens += TOKEN.findall(item.entry)[max(0, first - item.base) :]
        seen = Seen(
            client=self.number,
            node=self._shared.nodes.index(node),
            stream=known.number,
            applied=page.mark.op,
            floor_op=floor_op,
            next=page.end,
            floor=page.floor,
            first=min(first, page.end),
            tokens=tuple(tokens),
        )
        self._world.note(self.name, "read", node, seen.applied, seen.first, len(tokens))
        self._world.count("client.reads")
        self._shared.history.seen.append(seen)


KINDS = (*["batch"] * 6, *["single"] * 2, *["exact"] * 2, "hasty", *["read"] * 3, "create")


class Shared:
    """What the clients of a run have in common."""

    def __init__(self, world: World, nodes: tuple[str, ...], addresses: dict[str, str]) -> None:
        """`addresses` are the nodes' names by the addresses that redirects give."""
        self.workload = Workload(world.choices)
        self.history = History()
        self.nodes = nodes
        self.left = 0
        self.names = 0
        self._addresses = addresses

    def node_at(self, address: str) -> str:
        """Which node has this address."""
        return self._addresses[address]
