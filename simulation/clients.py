"""Clients: sessions, windows, retries after silence, following the primary, reading back."""

from collections.abc import Callable

import msgspec

from simulation.calls import Answered, Call, Denied, ReadCall, ReadReply, Refused
from simulation.checkers.base import Answer, ReadAnswer, Request
from simulation.network import CLIENTS, Network, Packet
from simulation.topology import Group
from simulation.workload import TENANT, Draft, Known, Workload, register
from simulation.world import MS, US, World
from veritydb.types.entry import EXPECT_ANY, Entry, EntryHeader, Kind
from veritydb.types.ids import ClientId, GroupId, StreamId
from veritydb.types.limits import SESSION_WINDOW
from veritydb.types.outcome import Code, Outcome

AT_LEISURE = 500 * MS
"""Mean time between two requests, of all clients, once all that had to be asked was asked."""
AGAIN, CALM_AGAIN = 50, 400
"""How long a client that was refused waits at most, ms; longer once everything heals."""
FEW_ATTEMPTS = 4
GIVE_UP_PPM = 20_000
RESTART_PPM = 5_000
HOME_OF_MISPLACED = GroupId(1)
FRESH_PPM = 500_000
ANYBODY_PPM = 250_000
"""How many fresh reads go to a replica that may well not be the primary (any more)."""


class Session:
    """One client's session with one group."""

    def __init__(self, group: Group) -> None:
        """Not registered yet."""
        self.group = group
        self.number = 0
        self.next = 1
        self.registering = False
        self.primary = 0
        self.outstanding: set[int] = set()
        self.origin_seq: dict[int, int] = {}
        self.origin_busy: dict[int, Draft] = {}
        """By stream: the batch of this client's origin that is on its way."""
        self.redo: list[Draft] = []
        """Batches of the origin that were on their way when the client died."""

    def acked(self) -> int:
        """Results below this number are not needed any more."""
        return min(self.outstanding, default=self.next)

    def renew(self) -> None:
        """The session is gone; a new one has to be opened."""
        self.number = 0
        self.next = 1
        self.outstanding.clear()


class Open:
    """A request on its way: resent until it is answered or given up."""

    def __init__(self, session: Session, entry: Entry, draft: Draft | None, floor: int) -> None:
        """Not sent yet. Without a draft it opens a session."""
        self.session = session
        self.entry = entry
        self.draft = draft
        self.floor = floor
        self.attempts = 0
        self.request: Request | None = None


class OpenRead:
    """A read on its way."""

    def __init__(
        self, session: Session, known: Known, fresh: bool, floor: int, invoked: int
    ) -> None:
        """Not sent yet."""
        self.invoked = invoked
        self.session = session
        self.known = known
        self.fresh = fresh
        self.floor = floor
        self.first = 0
        self.attempts = 0


class Shared:
    """What all clients of a run have in common."""

    def __init__(self, world: World, network: Network, workload: Workload) -> None:
        """Nothing was answered yet."""
        self.world = world
        self.network = network
        self.workload = workload
        self.highest: dict[int, int] = {}
        self.left = 0
        """Requests that are still to be made."""
        self.events = 0
        """As long as there were fewer events, more are made, while faults strike."""
        self.calm = False
        self.invoked: Callable[[Request], None] = lambda request: None
        self.answered: Callable[[Answer], None] = lambda answer: None
        self.denied: Callable[[Request], None] = lambda request: None
        self.read: Callable[[ReadAnswer], None] = lambda answer: None

    @property
    def more(self) -> bool:
        """Whether there is another request to make."""
        return self.left > 0 or (not self.calm and self.world.events < self.events)

    def heard(self, group: int, op: int) -> None:
        """Somebody knows now that op happened; whatever is invoked later comes after it."""
        self.highest[group] = max(self.highest.get(group, 0), op)


class Client:
    """One client process."""

    def __init__(
        self,
        shared: Shared,
        index: int,
        identity: ClientId,
        groups: list[Group],
        clients: int,
        window: int,
        think: int,
        patience: int,
    ) -> None:
        """`groups` are those whose streams it uses; there are so many `clients`."""
        self._shared = shared
        self._world = shared.world
        self._choices = shared.world.choices
        self.index = index
        self.endpoint = CLIENTS + index
        self.identity = identity
        self._origin = self._choices.bytes("client.origin", 16)
        self._sessions = {group.number: Session(group) for group in groups}
        self._window = window
        self._think = think
        self._leisure = max(think, AT_LEISURE * clients)
        self._thinking = f"client{index}.think"
        self._patience = patience
        self.open: dict[int, Open | OpenRead] = {}
        self._keys = 0
        self._turns = 0
        self._full = False
        self._ended = False

    def start(self) -> None:
        """Begin, a moment from now."""
        self._later(self._work)

    def wake(self) -> None:
        """Go on, should it have ended for want of more to do."""
        if self._ended:
            self._ended = False
            self._later(self._work)

    def _later(self, call: Callable[[], None]) -> None:
        think = self._think if self._shared.left > 0 else self._leisure
        self._world.after(self._choices.exponential(self._thinking, think), call)

    # -- asking

    def _work(self) -> None:
        """Make one request; or the next when there is room for it, or never again."""
        shared = self._shared
        self._ended = not shared.more
        if self._ended:
            return
        self._full = len(self.open) >= self._window
        if self._full:
            return
        self._later(self._work)
        self._turns += 1
        if not self._choices.apart(f"client{self.index}#{self._turns}", self._ask):
            shared.left -= 1

    def _ask(self) -> None:
        shared = self._shared
        if not shared.calm and self._choices.chance("client.restart", RESTART_PPM):
            self._restart()
        session = self._choices.pick("client.group", list(self._sessions.values()))
        if session.number == 0:
            self._register(session)
            return
        shared.left -= 1
        self._request(session)

    def _restart(self) -> None:
        """The process dies and comes back: what was open is never heard of again."""
        self._world.count("client.restarts")
        self.open.clear()
        if self._choices.chance("client.new-id", 500_000):
            self.identity = ClientId(self._choices.bytes("client.id", 16))
        for session in self._sessions.values():
            session.renew()
            session.registering = False
            session.redo += session.origin_busy.values()
            session.origin_busy.clear()

    def _register(self, session: Session) -> None:
        if not session.registering:
            session.registering = True
            # No two processes count alike, not even those that have one id.
            attempt = (self._world.now // US + 1) * CLIENTS + self.index
            entry = register(self.identity, attempt)
            self._begin(Open(session, entry, None, self._floor(session)))

    def _floor(self, session: Session) -> int:
        return self._shared.highest.get(session.group.number, 0)

    def _request(self, session: Session) -> None:
        workload = self._shared.workload
        kind = workload.kind(session.group)
        if kind == "read":
            known = workload.pick(session.group)
            fresh = self._choices.chance("client.fresh", FRESH_PPM)
            floor, now = self._floor(session), self._world.now
            self._begin(OpenRead(session, known, fresh, floor, now))
            return
        draft = self._draft(session, kind)
        floor = self._floor(session)
        request = Open(session, draft.entry, draft, floor)
        request.request = Request(
            client=self.index,
            what=draft.what,
            group=session.group.number,
            header=draft.entry.header,
            data=draft.entry.data,
            tokens=draft.tokens,
            invoked=self._world.now,
            floor=floor,
            retention=draft.retention,
        )
        self._shared.invoked(request.request)
        self._begin(request)

    def _draft(self, session: Session, kind: str) -> Draft:
        workload = self._shared.workload
        if kind == "batch":
            # No session: only the batch's id tells a repeat from a new request.
            batch = self._choices.bytes("client.batch", 16)
            header = EntryHeader(kind=Kind.APPEND, tenant=TENANT, batch=batch)
            return workload.draft("batch", session.group, header)
        assert session.next - session.acked() < SESSION_WINDOW
        header = EntryHeader(
            kind=Kind.APPEND,
            client=self.identity,
            session=session.number,
            number=session.next,
            acked=session.acked(),
            tenant=TENANT,
        )
        session.outstanding.add(session.next)
        session.next += 1
        if kind == "origin" or session.redo:
            return self._origin_draft(session, header)
        return workload.draft(kind, session.group, header)

    def _origin_draft(self, session: Session, header: EntryHeader) -> Draft:
        """The next batch of this client's origin, or one again that it lost sight of."""
        workload = self._shared.workload
        if session.redo:
            draft = workload.again(session.redo.pop(0), header)
        else:
            stream = workload.pick(session.group).number
            if stream in session.origin_busy:
                return workload.draft("append", session.group, header)
            sequence = session.origin_seq.get(stream, 0)
            header = msgspec.structs.replace(
                header, stream=stream, origin=self._origin, origin_seq=sequence
            )
            draft = workload.append(header, session.group.number, EXPECT_ANY, "origin")
        session.origin_busy[draft.entry.header.stream] = draft
        return draft

    def _begin(self, request: Open | OpenRead) -> None:
        self._keys += 1
        self.open[self._keys] = request
        self._send(self._keys, request)

    def _send(self, key: int, request: Open | OpenRead) -> None:
        session = request.session
        group = session.group
        request.attempts += 1
        if isinstance(request, OpenRead):
            index = session.primary
            if not request.fresh or self._choices.chance("client.anybody", ANYBODY_PPM):
                index = self._choices.choose("client.replica", len(group.nodes))
            tag: Call | ReadCall = ReadCall(
                key, group.number, index, request.known.number, request.first, request.fresh
            )
            data = b""
        else:
            index = session.primary
            tag = Call(key, group.number, index)
            data = request.entry.data
        self._shared.network.send(Packet(self.endpoint, group.nodes[index], tag, data))
        self._world.after(self._patience, self._timeout, key, request, request.attempts)

    def _timeout(self, key: int, request: Open | OpenRead, attempts: int) -> None:
        """Silence: ask somebody else, or give up without knowing."""
        if self.open.get(key) is not request or request.attempts != attempts:
            return
        self._elsewhere(request.session)
        tired = attempts >= FEW_ATTEMPTS and not self._shared.calm
        if tired and self._choices.chance("client.give-up", GIVE_UP_PPM):
            self._world.count("client.gave-up")
            self._shared.left += 1
            self.wake()
            if isinstance(request, Open):
                self._origin_open(request.session, request.draft)
            self._close(key, request)
            return
        self._send(key, request)

    def _elsewhere(self, session: Session) -> None:
        # Not always the next: it may say that the one before knows better, and so on.
        others = len(session.group.nodes) - 1
        step = 1 + self._choices.choose("client.elsewhere", others) if others else 0
        session.primary = (session.primary + step) % len(session.group.nodes)

    def _close(self, key: int, request: Open | OpenRead) -> None:
        del self.open[key]
        if self._full:
            self._full = False
            self._later(self._work)
        if isinstance(request, Open):
            if request.draft is None:
                request.session.registering = False
            elif request.entry.header.session == request.session.number:
                request.session.outstanding.discard(request.entry.header.number)
            if request.draft is not None and request.draft.what == "origin":
                request.session.origin_busy.pop(request.entry.header.stream, None)

    # -- being answered

    def receive(self, tag: object) -> None:
        """An answer arrived."""
        if isinstance(tag, Answered):
            self._on_answer(tag)
        elif isinstance(tag, Refused):
            self._on_refusal(tag)
        elif isinstance(tag, Denied):
            request = self.open.get(tag.key)
            if request is not None:
                self._world.count("client.denied")
                self._close(tag.key, request)
                if isinstance(request, Open) and request.request is not None:
                    self._shared.denied(request.request)
        elif isinstance(tag, ReadReply):
            self._on_read(tag)

    def _on_answer(self, tag: Answered) -> None:
        request = self.open.get(tag.key)
        if not isinstance(request, Open):
            return
        session = request.session
        group = session.group.number
        session.primary = tag.replica
        self._close(tag.key, request)
        if request.draft is None:
            self._world.count("client.registered")
            if tag.outcome.code in (Code.OK, Code.DUPLICATE):
                session.number = tag.outcome.base
            return
        assert request.request is not None
        self._shared.answered(
            Answer(request.request, (group, tag.replica), tag.outcome, self._world.now)
        )
        if tag.outcome.code != Code.DUPLICATE:
            self._shared.heard(group, tag.outcome.op)
        self._world.count("client.answers")
        if tag.outcome.code not in (Code.OK, Code.DUPLICATE) and not self._shared.calm:
            # Only what is done counts.
            self._shared.left += 1
            self.wake()
        self._world.count(f"code.{tag.outcome.code.name}")
        if tag.outcome.code == Code.NO_SESSION and request.entry.header.session == session.number:
            session.renew()
        self._learn(request.draft, session, tag.outcome)

    def _learn(self, draft: Draft, session: Session, outcome: Outcome) -> None:
        """Keep up with what the streams look like."""
        streams = self._shared.workload.streams.setdefault(session.group.number, [])
        numbers: dict[int, Known] = {known.number: known for known in streams}
        if draft.what == "rules":
            if outcome.code in (Code.OK, Code.POLICY_VERSION_CONFLICT):
                self._shared.workload.rules[session.group.number] = outcome.base
            return
        if draft.what in ("create", "misplaced"):
            if outcome.code == Code.OK and outcome.stream not in numbers:
                streams.append(Known(StreamId(outcome.stream), session.group))
                if draft.what == "misplaced":
                    streams[-1].home = HOME_OF_MISPLACED
            return
        if draft.what == "origin":
            self._learn_origin(draft, session, outcome)
        known = numbers.get(outcome.stream)
        if known is None:
            return
        if (outcome.code == Code.OK and draft.what == "seal") or outcome.code == Code.STREAM_SEALED:
            known.sealed = True
        elif outcome.code == Code.WRONG_EXPECTED_OFFSET:
            known.next = max(known.next, outcome.base)
        elif outcome.code == Code.OK and draft.tokens and draft.what != "many":
            known.next = max(known.next, outcome.base + outcome.count)

    def _learn_origin(self, draft: Draft, session: Session, outcome: Outcome) -> None:
        """Find out where this client's origin stands in a stream."""
        header = draft.entry.header
        if outcome.code in (Code.OK, Code.DUPLICATE):
            session.origin_seq[header.stream] = header.origin_seq + header.events
        elif outcome.code in (Code.ORIGIN_GAP, Code.ORIGIN_OVERLAP):
            session.origin_seq[header.stream] = outcome.base
        elif outcome.code in (Code.NO_SESSION, Code.STALE_NUMBER, Code.WINDOW_EXCEEDED):
            self._origin_open(session, draft)

    def _origin_open(self, session: Session, draft: Draft | None) -> None:
        """Whether it was applied is not known: no other batch may be sent in its place."""
        if draft is not None and draft.what == "origin":
            session.redo.append(draft)

    def _on_refusal(self, tag: Refused) -> None:
        """Not applied: try again, where the node says the primary is."""
        request = self.open.get(tag.key)
        if request is None:
            return
        self._world.count(f"refused.{tag.reason.name}")
        session = request.session
        if tag.redirect is not None:
            session.primary = tag.redirect
        else:
            self._elsewhere(session)
        attempts = request.attempts
        longest = CALM_AGAIN if self._shared.calm else AGAIN
        wait = self._choices.between("client.again", 1, longest) * MS
        self._world.after(wait, self._again, tag.key, attempts)

    def _again(self, key: int, attempts: int) -> None:
        request = self.open.get(key)
        if request is not None and request.attempts == attempts:
            self._send(key, request)

    def _on_read(self, tag: ReadReply) -> None:
        request = self.open.get(tag.key)
        if not isinstance(request, OpenRead):
            return
        session = request.session
        group = session.group.number
        self._close(tag.key, request)
        self._world.count("client.reads")
        floor = request.floor if request.fresh else 0
        self._shared.read(
            ReadAnswer(
                client=self.index,
                replica=(group, tag.replica),
                stream=request.known.number,
                applied=tag.applied,
                floor_op=floor,
                next=tag.next,
                floor=tag.floor,
                first=tag.first,
                tokens=tag.tokens,
                fresh=request.fresh,
                invoked=request.invoked,
                time=self._world.now,
            )
        )
        self._shared.heard(group, tag.applied)
        request.known.next = max(request.known.next, tag.next)
