"""One replica with its disk, as a value, and what the production code makes of each event.

A *site* is the replica's memory, the image on its disk, the writes that wait, and the reads that
are under way. Sites and messages are numbered as they are met. What an event does to a site is
worked out once, by `Replica.step` and the storage, and remembered.
"""

from typing import NamedTuple

import msgspec

from simulation.model.broken import Broken, noticed
from simulation.model.happenings import TIMERS, Dice, Event, agreed_clock, ended, proposal
from simulation.model.images import CLUSTER, GROUP, REPLICAS, Images, Write
from simulation.model.memory import TICK, Memory, Template, settle
from simulation.model.promises import Facts, check_promise, facts_of
from veritydb.types import outcome
from veritydb.types.merkle import NO_HASH
from veritydb.vsr import effects as fx
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m
from veritydb.vsr.config import Config
from veritydb.vsr.replica import Replica

Read = fx.ReadFrames | fx.ReadHeaders
Answer = ev.FramesRead | ev.HeadersRead


class Site(NamedTuple):
    """One replica, as a value. `life` counts its starts: what tells a nonce from an earlier one."""

    replica: int
    memory: Memory
    image: int
    queue: tuple[Write, ...]
    reads: tuple[tuple[Read, Answer], ...]
    life: int


class Outcome(NamedTuple):
    """What an event did: the site after it, and what the world saw.

    `sends` are messages by number; `commits` are (op, hash); `points` are (ops acknowledged before
    a read was asked for, op up to which it may read). `leads`: a view was begun.
    """

    site: int
    sends: tuple[int, ...]
    commits: tuple[tuple[int, bytes], ...]
    points: tuple[tuple[int, int], ...]
    leads: bool


class Sites:
    """All sites and messages that were met so far, by number."""

    def __init__(self, promises: bool = True) -> None:
        """`promises`: see that no message says what a crash would take back."""
        self.images = Images()
        self.all: list[Site] = []
        self.facts: list[Facts] = []
        self.messages: list[m.Message] = []
        self.targets: list[int] = []
        self._promises = promises
        self._numbers: dict[Site, int] = {}
        self._message_numbers: dict[tuple[int, m.Message], int] = {}
        self._outcomes: dict[tuple[int, Event], Outcome] = {}
        # An op is proposed as soon as there is a request, whatever else is on its way.
        self._configs = [
            Config(
                cluster=CLUSTER, group=GROUP, index=at, replicas=REPLICAS, kernel=1, eager_bytes=1
            )
            for at in range(REPLICAS)
        ]
        self._clocks = [agreed_clock(config) for config in self._configs]
        self.templates = [
            Template(self._new(at, self.images.fresh(at), 0)) for at in range(REPLICAS)
        ]

    @property
    def worked_out(self) -> int:
        """How many pairs of a site and an event were run."""
        return len(self._outcomes)

    def boot(self, index: int, view: int) -> Outcome:
        """A replica's first start."""
        return self._start(index, self.images.fresh(index, view), 0)

    def outcome(self, number: int, event: Event) -> Outcome:
        """What an event does to a site. Raises Broken."""
        known = self._outcomes.get((number, event))
        if known is None:
            try:
                known = self._run(self.all[number], event)
            except AssertionError as error:
                raise noticed(error) from error
            self._outcomes[number, event] = known
        return known

    def _new(self, index: int, image: int, life: int) -> Replica:
        replica = Replica(self._configs[index], self.images.all[image].recovered, Dice(life))
        replica._s.clock = self._clocks[index]
        return replica

    def _start(self, index: int, image: int, life: int) -> Outcome:
        """Start from a directory, as production does, and let the first tick come."""
        site = Site(index, (), image, (), (), life)
        return self._step(self._new(index, image, life), site, TICK)

    def _run(self, site: Site, event: Event) -> Outcome:
        if event.kind == "crash":
            return self._start(site.replica, event.number, site.life + 1)
        replica = self.templates[site.replica].give(site.memory)
        if event.kind == "deliver":
            return self._step(replica, site, ev.Received(self.messages[event.number]))
        if event.kind == "write":
            return self._write(replica, site, event.number)
        if event.kind == "read":
            place, now = divmod(event.number, 2)
            read, then = site.reads[place]
            rest = (*site.reads[:place], *site.reads[place + 1 :])
            answer = self._look(site.image, read) if now else then
            return self._step(replica, site._replace(reads=rest), answer)
        if event.kind == "propose":
            return self._step(replica, site, ev.Proposed((proposal(event.number),)))
        if event.kind == "read index":
            return self._step(replica, site, ev.ReadIndex(event.number))
        TIMERS[event.kind](replica._s)
        return self._step(replica, site, TICK)

    def _write(self, replica: Replica, site: Site, count: int) -> Outcome:
        """Let the writer end its oldest write, or so many appends at once."""
        image = site.image
        for write in site.queue[:count]:
            image = self.images.write(image, write)
        after = site._replace(image=image, queue=site.queue[count:])
        return self._step(replica, after, ended(site.queue[count - 1]))

    def _look(self, image: int, read: Read) -> Answer:
        """What a read finds on an image."""
        if isinstance(read, fx.ReadHeaders):
            headers = self.images.read_headers(image, read.first, read.last)
            return ev.HeadersRead(read.token, read.first, headers)
        frames = self.images.read_frames(image, read.first, read.last, read.bytes_max)
        return ev.FramesRead(read.token, read.first, frames)

    def _step(self, replica: Replica, site: Site, event: ev.Event) -> Outcome:
        """Take one step and carry out its effects, as far as they do not wait for anything."""
        was_leading = replica._s.leading
        sends: list[int] = []
        commits: list[tuple[int, bytes]] = []
        points: list[tuple[int, int]] = []
        queue, reads = list(site.queue), list(site.reads)
        for effect in replica.step(event):
            if isinstance(effect, fx.Send):
                if not isinstance(effect.message, m.Ping | m.Pong):
                    sends.append(self._send(site, effect))
            elif isinstance(effect, Write):
                queue.append(effect)
            elif isinstance(effect, Read):
                reads.append((effect, self._look(site.image, effect)))
            elif isinstance(effect, fx.Commit):
                commits.append(self._commit(replica, effect))
            elif isinstance(effect, fx.ReadIndexReady):
                if effect.commit is not None:
                    points.append((effect.token, effect.commit))
            elif isinstance(effect, fx.Halt):
                raise Broken("halted", f"replica {site.replica} halts: {effect.reason}")
            else:
                assert isinstance(effect, fx.RoleChanged), f"{effect} is out of scope"
        after = self._number(self._settled(replica, site, queue, reads), replica)
        leads = replica._s.leading and not was_leading
        return Outcome(after, tuple(sorted({*sends})), tuple(commits), tuple(points), leads)

    def _settled(
        self,
        replica: Replica,
        site: Site,
        queue: list[Write],
        reads: list[tuple[Read, Answer]],
    ) -> Site:
        """The site in its canonical form."""
        state, replace = replica._s, msgspec.structs.replace
        writes = {write[0]: at for at, write in enumerate(state._view_writes, start=1)}
        tokens = {token: at for at, token in enumerate(state.waiting, start=1)}
        settle(state)
        return Site(
            site.replica,
            self.templates[site.replica].take(state),
            site.image,
            tuple(
                fx.WriteViewState(writes[write.number], write.state)
                if isinstance(write, fx.WriteViewState)
                else write
                for write in queue
            ),
            tuple(
                (replace(read, token=tokens[read.token]), replace(then, token=tokens[read.token]))
                for read, then in reads
            ),
            site.life,
        )

    def _send(self, site: Site, effect: fx.Send) -> int:
        """Number a message as it would arrive: out of its bytes."""
        message = m.decode(b"".join(m.encode(effect.message)))
        key = effect.to, message
        number = self._message_numbers.get(key)
        if number is None:
            number = self._message_numbers[key] = len(self.messages)
            self.messages.append(message)
            self.targets.append(effect.to)
        if self._promises:
            check_promise(site.replica, self.images.all[site.image], message)
        return number

    def _commit(self, replica: Replica, effect: fx.Commit) -> tuple[int, bytes]:
        """Apply an op: all that it means here is that the chain of outcomes goes on."""
        header, state = effect.frame.header, replica._s
        heads = [NO_HASH]
        for op in range(1, header.op + 1):
            heads.append(outcome.chain(heads[-1], [state.log.headers[op].hash]))
        if header.outcomes != heads[header.commit]:
            raise Broken("outcomes", f"op {header.op} names outcomes of another log")
        replica.applied(header.op, heads[-1])
        return header.op, header.hash

    def _number(self, site: Site, replica: Replica) -> int:
        number = self._numbers.get(site)
        if number is None:
            facts = facts_of(replica._s, self.images.all[site.image], self._promises)
            number = self._numbers[site] = len(self.all)
            self.all.append(site)
            self.facts.append(facts)
        return number
