"""The verdict: logs read back from the disks, judged with what the clients were told.

The checkers are those of `simulation`. They get what was decided from the disks, through storage,
and nothing from the server's memory.
"""

from shell_simulation.client import GROUP
from shell_simulation.history import History, Request, Told
from simulation.checkers.base import Answer, Checker, Decided, Log, ReadAnswer, Start, Watch
from simulation.checkers.base import Request as Asked
from simulation.checkers.clients import ExactlyOnce, RealTime, Replies
from simulation.checkers.log import Agreement, HashChain, OutcomeChain
from simulation.checkers.streams import Streams
from simulation.disk import SimDisk
from simulation.world import Failure
from veritydb.storage.store import Store
from veritydb.types.entry import HEADER_BYTES, Kind, split
from veritydb.types.ids import Op
from veritydb.types.outcome import RECORD_BYTES, Outcome
from veritydb.wire import log as commands

READ_BYTES = 64 << 20


def judge(disks: list[SimDisk], committed: int, history: History) -> Log:
    """Read `committed` ops back from each replica's disk and check everything. Raises Failure."""
    log: Log = {}
    streams = Streams()
    checkers: list[Checker] = [
        Agreement(log),
        HashChain(log),
        OutcomeChain(log),
        ExactlyOnce(),
        Replies(log),
        RealTime(),
        streams,
    ]
    for request in history.requests:
        streams.requests[request.draft.entry.data] = asked(request)
    watch = Watch(log, checkers)
    for index, disk in enumerate(disks):
        read_back(disk, index, committed, watch, streams)
    decided = log.get(GROUP.number, [])
    where = {
        data: one.header.op
        for one in decided
        for _, data, became in one.entries()
        if became.accepted
    }
    for request in history.requests:
        if request.surely_not and request.draft.entry.data in where:
            op = where[request.draft.entry.data]
            raise Failure("not-applied", f"op {op} holds what a client was told is not applied")
        for told in request.told:
            answer = Answer(asked(request), (GROUP.number, 0), outcome(request, told, decided), 0)
            watch.answered(answer)
    for seen in history.seen:
        watch.read(
            ReadAnswer(
                client=seen.client,
                replica=(GROUP.number, seen.node),
                stream=seen.stream,
                applied=seen.applied,
                floor_op=seen.floor_op,
                next=seen.next,
                floor=seen.floor,
                first=seen.first,
                tokens=seen.tokens,
            )
        )
    watch.ended()
    return log


def asked(request: Request) -> Asked:
    """A request as the checkers know it."""
    draft = request.draft
    return Asked(
        client=request.client,
        what=draft.what,
        group=GROUP.number,
        header=draft.entry.header,
        data=draft.entry.data,
        tokens=draft.tokens,
        invoked=request.invoked,
        floor=request.floor,
    )


def outcome(request: Request, told: Told, decided: list[Decided]) -> Outcome:
    """What a client was told, as an outcome. Raises Failure if that op does not hold its entry."""
    if not 0 < told.op <= len(decided):
        raise Failure("lost", f"acknowledged in op {told.op}, and the log has {len(decided)}")
    header = request.draft.entry.header
    for at, (_, data, _) in enumerate(decided[told.op - 1].entries()):
        if data == request.draft.entry.data:
            return Outcome(
                code=told.code,
                kind=header.kind,
                policy=0,
                op=Op(told.op),
                tenant=header.tenant,
                stream=header.stream,
                base=told.base,
                count=told.events,
                entry=at,
            )
    raise Failure("lost", f"acknowledged in op {told.op}, which does not hold it")


def read_back(disk: SimDisk, index: int, committed: int, watch: Watch, streams: Streams) -> None:
    """Tell the checkers what one replica's disk holds."""
    store, _ = Store.open(disk)
    replica = (GROUP.number, index)
    watch.begun(replica, Start(0))
    op = 1
    while op <= committed:
        frames = store.read_frames(Op(op), Op(committed), READ_BYTES)
        if not frames or frames[0] is None:
            raise Failure("lost", f"op {op} is not on the disk of replica {index}")
        for frame in frames:
            if frame is None:
                break
            header = frame.header
            records = store.read_outcomes(header.entry_base, header.entry_count)
            if len(records) != header.entry_count * RECORD_BYTES:
                raise Failure("lost", f"outcomes of op {op} are not on the disk of {index}")
            name_commands(frame.body, header.entry_count, streams)
            watch.applied(replica, header, frame.body, records)
            op += 1


def name_commands(body: bytes, count: int, streams: Streams) -> None:
    """The server makes the entries of commands itself: tell from them what was asked for."""
    for header, start, end in split(body, count):
        data = body[start:end]
        if header.kind is Kind.COMMAND and data not in streams.requests:
            command = commands.decode(header.kind, data[HEADER_BYTES:])
            what = {"CreateStream": "create", "Seal": "seal", "TruncateBefore": "truncate"}
            streams.requests[data] = Asked(
                client=0,
                what=what.get(type(command).__name__, "retain"),
                group=GROUP.number,
                header=header,
                data=data,
                tokens=(),
                invoked=0,
                floor=0,
            )
