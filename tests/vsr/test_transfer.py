"""Conversations about snapshots and history: one replica, and peers that say what a test says."""

import pytest

from tests.marks import reaches
from tests.vsr.harness import Disk, Group, Site
from veritydb.types import outcome
from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Frame
from veritydb.types.history import History, Proof, before, head_after, proved
from veritydb.types.ids import Op
from veritydb.types.merkle import NO_HASH
from veritydb.vsr import effects as fx
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m
from veritydb.vsr.config import Status
from veritydb.vsr.view_change import do_view_change

OPS = 40
ANSWERS = (m.SnapshotOffer, m.SnapshotPart, m.HistoryPart, m.Frames)


class Scene:
    """A replica that lags by `OPS`, and two that do not and whose answers the test gives."""

    def __init__(
        self, replace: bool = False, transfer_ops: int = 10, answers: bool = False
    ) -> None:
        self.group = Group()
        self.group.transfer_ops = transfer_ops
        self.group.propose("first")
        self.late = next(s for s in self.group.sites if not s.live.is_primary)
        self.late.crash()
        if replace:
            self.late.disk = Disk(self.late.index, 3, incarnation=1)
            self.group.propose(f"replace {self.late.index} 1")
        for number in range(OPS):
            self.group.propose(f"w{number}")
        self.primary = self.group.primary()
        self.seen = len(self.group.sent)
        if not answers:
            self.group.filter = lambda _from, _to, message: not isinstance(message, ANSWERS)
        self.late.start()

    def frame(self, op: int) -> Frame:
        return self.primary.disk.frames[op]

    def ref(self, op: int, digest: bytes = b"\x01" * 32) -> SnapshotRef:
        """A snapshot of the state after an op."""
        return SnapshotRef(
            op=Op(op),
            header_hash=self.frame(op).header.hash,
            digest=digest,
            outcomes=self.primary.heads[op],
            size=1_000,
        )

    def said(self, kind: type) -> list[tuple[int, m.Message]]:
        """What the late one has sent of a kind since this was asked before: (to whom, what)."""
        found = [
            (to, message)
            for source, to, message in self.group.sent[self.seen :]
            if source == self.late.index and isinstance(message, kind)
        ]
        self.seen = len(self.group.sent)
        return found

    def wait_for(self, kind: type) -> tuple[int, m.Message]:
        """Let time pass until the late one sends a message of a kind."""
        found: list[tuple[int, m.Message]] = []

        def there() -> bool:
            found.extend(self.said(kind))
            return bool(found)

        self.group.until(there)
        return found[0]

    def common(self, sender: int) -> dict[str, object]:
        return dict(self.group.sites[sender].live._s.common)

    def offer(self, sender: int, ref: SnapshotRef) -> None:
        self.late.step(ev.Received(m.SnapshotOffer(**self.common(sender), ref=ref)))

    def part(self, sender: int, ref: SnapshotRef, at: int, size: int) -> None:
        message = m.SnapshotPart(
            **self.common(sender),
            op=ref.op,
            digest=ref.digest,
            at=at,
            total=ref.size,
            data=bytes(size),
        )
        self.late.step(ev.Received(message))

    def effect(self, kind: type) -> fx.Effect:
        """Take the oldest effect of a kind that the harness does not carry out."""
        found = next(each for each in self.late.asked if isinstance(each, kind))
        self.late.asked.remove(found)
        return found

    def fetched(self, op: int) -> SnapshotRef:
        """Bring a snapshot up to the moment at which it is known to be good."""
        ref = self.ref(op)
        to, _ = self.wait_for(m.RequestSnapshot)
        self.offer(to, ref)
        self.part(to, ref, 0, ref.size)
        assert self.effect(fx.SaveSnapshot) == fx.SaveSnapshot(ref, 0, bytes(ref.size))
        self.late.step(ev.SnapshotSaved(ref.op, ref.size))
        assert self.effect(fx.CheckSnapshot) == fx.CheckSnapshot(ref)
        self.late.step(ev.SnapshotChecked(ref, self.frame(op).header))
        return ref

    def taken_up(self, op: int) -> SnapshotRef:
        """Bring it up to where it is installed in memory, and tell the harness of the jump."""
        ref = self.fetched(op)
        self.group.until(lambda: any(isinstance(e, fx.InstallSnapshot) for e in self.late.asked))
        self.late.committed = [self.frame(each) for each in range(1, op + 1)]
        self.late.heads = list(self.primary.heads[: op + 1])
        return ref

    def installed(self, op: int) -> SnapshotRef:
        """Bring it up to where it is durable."""
        ref = self.taken_up(op)
        self.late.disk.frames = {n: self.frame(n) for n in range(1, op + 1)}
        self.late.step(ev.SnapshotInstalled(ref))
        return ref

    def history(self, first: int, last: int) -> History:
        """Ops as a peer would give them; what became of them is not looked at here."""
        frames = tuple(self.frame(op) for op in range(first, last + 1))
        return History(frames, bytes(64 * len(frames)), self.primary.heads[first - 1])

    def give(self, sender: int, first: int, last: int) -> None:
        history = self.history(first, last)
        self.late.step(
            ev.Received(m.HistoryPart(**self.common(sender), last=Op(last), history=history))
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_without_a_snapshot_anywhere_the_log_is_fetched() -> None:
    scene = Scene(answers=True)
    scene.group.run(200)
    assert len(scene.said(m.RequestSnapshot)) == 2
    assert scene.group.words(scene.late.index)[-1] == f"w{OPS - 1}"


def test_who_lags_little_never_asks() -> None:
    scene = Scene(transfer_ops=OPS + 10, answers=True)
    scene.group.run(200)
    assert not scene.said(m.RequestSnapshot)
    scene.group.same_logs()


def test_a_replacement_asks_however_short_the_log_is() -> None:
    scene = Scene(replace=True, transfer_ops=1_000)
    assert scene.late.live.status == Status.JOINING
    _, request = scene.wait_for(m.RequestSnapshot)
    assert isinstance(request, m.RequestSnapshot) and request.known == 0


def test_one_request_at_a_time_and_the_next_only_after_the_disk(scene: Scene) -> None:
    to, _ = scene.wait_for(m.RequestSnapshot)
    ref = scene.ref(30)
    scene.offer(to, ref)
    [(asked, first)] = scene.said(m.RequestSnapshotPart)
    assert asked == to and isinstance(first, m.RequestSnapshotPart)
    assert (first.op, first.digest, first.at, first.size) == (30, ref.digest, 0, 1_000)
    scene.part(to, ref, 0, 400)
    scene.part(to, ref, 0, 400)
    assert [type(e) for e in scene.late.asked] == [fx.SaveSnapshot]
    scene.group.run(1_000)
    assert not scene.said(m.RequestSnapshotPart)
    scene.late.step(ev.SnapshotSaved(Op(30), 400))
    [(_, second)] = scene.said(m.RequestSnapshotPart)
    assert isinstance(second, m.RequestSnapshotPart) and (second.at, second.size) == (400, 600)


def test_a_lost_peer_is_followed_by_one_with_the_same_snapshot(scene: Scene) -> None:
    to, _ = scene.wait_for(m.RequestSnapshot)
    ref = scene.ref(30)
    scene.offer(to, ref)
    scene.part(to, ref, 0, 400)
    scene.late.step(ev.SnapshotSaved(Op(30), 400))
    other, _ = scene.wait_for(m.RequestSnapshot)
    assert other != to
    scene.said(m.RequestSnapshotPart)
    scene.offer(other, ref)
    [(asked, part)] = scene.said(m.RequestSnapshotPart)
    assert asked == other and isinstance(part, m.RequestSnapshotPart) and part.at == 400


def test_another_snapshot_begins_at_its_beginning(scene: Scene) -> None:
    to, _ = scene.wait_for(m.RequestSnapshot)
    scene.offer(to, scene.ref(30))
    scene.part(to, scene.ref(30), 0, 400)
    scene.late.step(ev.SnapshotSaved(Op(30), 400))
    scene.said(m.RequestSnapshotPart)
    # It has been replaced by a newer one, says the peer. An older one would not count.
    scene.offer(to, scene.ref(29))
    assert not scene.said(m.RequestSnapshotPart)
    scene.offer(to, scene.ref(35))
    [(_, part)] = scene.said(m.RequestSnapshotPart)
    assert isinstance(part, m.RequestSnapshotPart) and (part.op, part.at) == (35, 0)


def test_a_snapshot_that_is_not_what_was_offered_is_not_taken_up(scene: Scene) -> None:
    to, _ = scene.wait_for(m.RequestSnapshot)
    ref = scene.ref(30)
    scene.offer(to, ref)
    scene.part(to, ref, 0, ref.size)
    scene.late.step(ev.SnapshotSaved(Op(30), ref.size))
    scene.late.step(ev.SnapshotRefused(Op(30)))
    [(other, _)] = scene.said(m.RequestSnapshot)
    assert other != to and scene.late.live.op == 1
    scene.offer(other, SnapshotRef())
    # Nobody has a good one: the log, then.
    scene.group.filter = lambda _from, _to, _message: True
    scene.group.run(500)
    assert scene.late.live.commit == OPS + 1


def test_what_our_log_holds_is_applied_before_it_is_left_behind(scene: Scene) -> None:
    scene.taken_up(30)
    assert scene.late.live.missing == (1, 30)
    install = scene.effect(fx.InstallSnapshot)
    assert isinstance(install, fx.InstallSnapshot) and install.applied == 1
    assert scene.late.live.op == scene.late.live.commit == 30


def test_nothing_is_acknowledged_before_the_disk_has_it(scene: Scene) -> None:
    ref = scene.taken_up(30)
    scene.said(m.PrepareOk)
    scene.group.run(300)
    assert {ack.op for _, ack in scene.said(m.PrepareOk) if isinstance(ack, m.PrepareOk)} == {0}
    scene.late.disk.frames = {n: scene.frame(n) for n in range(1, 31)}
    scene.late.step(ev.SnapshotInstalled(ref))
    scene.group.run(300)
    # The snapshot's own op is committed, but its frame is not here.
    assert {ack.op for _, ack in scene.said(m.PrepareOk) if isinstance(ack, m.PrepareOk)} == {0}
    sender, request = scene.wait_for(m.RequestHistory)
    assert isinstance(request, m.RequestHistory) and (request.first, request.last) == (2, 30)
    scene.give(sender, 21, 30)
    write = scene.effect(fx.WriteHistory)
    assert isinstance(write, fx.WriteHistory)
    assert write.proof == Proof(Op(30), ref.header_hash, ref.outcomes)
    scene.late.step(ev.HistoryWritten(Op(21)))
    scene.said(m.PrepareOk)
    _, ack = scene.wait_for(m.PrepareOk)
    assert isinstance(ack, m.PrepareOk) and ack.op == 30


def test_the_history_is_asked_for_downwards_until_the_log_is_whole(scene: Scene) -> None:
    scene.installed(30)
    bounds = [(21, 30), (2, 20)]
    for first, last in bounds:
        sender, request = scene.wait_for(m.RequestHistory)
        assert isinstance(request, m.RequestHistory) and request.last == last
        scene.give(sender, first, last)
        write = scene.effect(fx.WriteHistory)
        assert isinstance(write, fx.WriteHistory)
        assert before(write.history) == Proof(
            Op(first - 1), scene.frame(first).header.previous, scene.primary.heads[first - 1]
        )
        scene.late.step(ev.HistoryWritten(Op(first)))
    assert scene.effect(fx.CloseGap) == fx.CloseGap(Op(1))
    scene.late.step(ev.GapClosed(Op(1), joined=True))
    assert scene.late.live.missing == (0, 0)
    scene.group.run(500)
    assert not scene.said(m.RequestHistory)


def test_history_that_was_refused_is_asked_of_another(scene: Scene) -> None:
    scene.installed(30)
    first, _ = scene.wait_for(m.RequestHistory)
    scene.give(first, 21, 30)
    with reaches("vsr.history_refused"):
        scene.late.step(ev.HistoryRefused(Op(21)))
    second, request = scene.wait_for(m.RequestHistory)
    assert isinstance(request, m.RequestHistory) and request.last == 30
    assert second != first
    assert scene.late.live.missing == (1, 30)


def test_a_history_that_does_not_join_our_own_log_stops_us(scene: Scene) -> None:
    scene.installed(30)
    sender, _ = scene.wait_for(m.RequestHistory)
    scene.give(sender, 2, 30)
    scene.late.step(ev.HistoryWritten(Op(2)))
    scene.late.step(ev.GapClosed(Op(1), joined=False))
    assert scene.late.halted is not None and scene.late.halted.kind == fx.HaltKind.DIVERGED


def test_what_is_missing_is_neither_served_nor_rotten_nor_nacked(scene: Scene) -> None:
    scene.installed(30)
    live = scene.late.live
    asker = scene.common(scene.primary.index)
    scene.late.step(ev.Received(m.RequestFrames(**asker, first=Op(5), last=Op(9))))
    assert not scene.said(m.Frames) and not scene.late.inbox
    scene.late.step(ev.FrameRotten(Op(5)))
    assert live.faulty == 0
    scene.late.step(ev.Received(m.RequestHistory(**asker, first=Op(1), last=Op(9))))
    [(_, nothing)] = scene.said(m.HistoryPart)
    assert isinstance(nothing, m.HistoryPart) and nothing.history == History()
    state = live._s
    state.view_headers = (scene.frame(30).header,)
    said = do_view_change(state)
    assert (said.present, said.nacks) == (0, 0)


def test_what_rotted_below_a_gap_waits_for_it_and_nothing_of_the_gap_is_called_rotten(
    scene: Scene,
) -> None:
    scene.installed(30)
    scene.late.disk.frames = {n: scene.frame(n) for n in (1, 30)}
    scene.late.step(ev.FrameRotten(Op(1)))
    scene.group.run(3_000)
    assert scene.late.live.faulty == 1
    assert not [each for _, each in scene.said(m.RequestFrames) if each.first < 30]
    # The first op of what the snapshot stands for names the hash of the one that has rotted.
    scene.late.disk.frames = {n: scene.frame(n) for n in range(1, 31)}
    scene.group.run(3_000)
    assert [each.first for _, each in scene.said(m.RequestFrames) if each.first < 30]


@pytest.mark.parametrize(("op", "votes"), [(OPS + 2, True), (30, False)])
def test_a_replacement_has_a_voice_only_once_it_holds_all_that_was_promised(
    op: int, votes: bool
) -> None:
    """The log was OPS + 2 ops long when its primary answered."""
    scene = Scene(replace=True)
    scene.taken_up(op)
    assert scene.late.live.status == Status.JOINING
    scene.late.disk.frames = {n: scene.frame(n) for n in range(1, op + 1)}
    scene.late.live.replace_member(scene.late.index, 1, Op(op))
    scene.late.step(ev.SnapshotInstalled(scene.ref(op)))
    scene.group.run(100)
    assert (scene.late.live.status == Status.NORMAL) is votes
    scene.group.filter = lambda _from, _to, message: not isinstance(message, m.HistoryPart)
    scene.group.run(1_000)
    assert scene.late.live.status == Status.NORMAL
    assert scene.late.live.op == OPS + 2


# -- giving


def peer(scene: Scene) -> Site:
    """One that has a snapshot of op 30."""
    site = scene.primary
    site.live.snapshot_named(scene.ref(30))
    return site


def answers(scene: Scene, site: Site, message: m.Message) -> list[m.Message]:
    start = len(scene.group.sent)
    site.step(ev.Received(message))
    return [each for source, _, each in scene.group.sent[start:] if source == site.index]


def test_parts_are_read_for_a_peer_one_at_a_time(scene: Scene) -> None:
    site, asker = peer(scene), scene.common(scene.late.index)
    assert [type(a) for a in answers(scene, site, m.RequestSnapshot(**asker, known=Op(1)))] == [
        m.SnapshotOffer
    ]
    request = m.RequestSnapshotPart(**asker, op=Op(30), digest=b"\x01" * 32, at=900, size=500)
    assert not answers(scene, site, request) and not answers(scene, site, request)
    [read] = site.asked
    assert isinstance(read, fx.ReadSnapshot) and (read.at, read.size) == (900, 100)
    start = len(scene.group.sent)
    site.step(ev.SnapshotRead(read.token, 900, bytes(100)))
    _, to, given = scene.group.sent[start]
    assert to == scene.late.index and isinstance(given, m.SnapshotPart)
    assert (given.at, given.total, given.data) == (900, 1_000, bytes(100))


@pytest.mark.parametrize("late", [False, True], ids=["before it is read", "while it is read"])
def test_a_part_of_an_older_snapshot_is_answered_by_an_offer(scene: Scene, late: bool) -> None:
    site, asker = peer(scene), scene.common(scene.late.index)
    request = m.RequestSnapshotPart(**asker, op=Op(30), digest=b"\x01" * 32, at=0, size=500)
    newer = scene.ref(35, b"\x02" * 32)
    start = len(scene.group.sent)
    if late:
        assert not answers(scene, site, request)
        site.live.snapshot_named(newer)
        [read] = site.asked
        assert isinstance(read, fx.ReadSnapshot)
        site.step(ev.SnapshotRead(read.token, 0, None))
    else:
        site.live.snapshot_named(newer)
        assert answers(scene, site, request)
    said = [each for _, _, each in scene.group.sent[start:] if isinstance(each, m.SnapshotOffer)]
    assert [each.ref for each in said] == [newer]


def test_a_replica_that_starts_with_a_gap_looks_at_its_own_disk_first(scene: Scene) -> None:
    """What an earlier life wrote is proved again, and only the rest is asked for."""
    state = scene.late.live._s
    scene.installed(30)
    assert state.backfill is not None
    state.backfill.own = True
    scene.group.run(10)
    read = scene.effect(fx.ReadHistory)
    assert isinstance(read, fx.ReadHistory) and read.proof == state.backfill.proof
    assert (read.first, read.last) == (2, 30)
    scene.late.step(ev.HistoryRead(read.token, scene.history(11, 30)))
    again = scene.effect(fx.ReadHistory)
    assert isinstance(again, fx.ReadHistory) and again.last == 10
    scene.said(m.RequestHistory)
    scene.late.step(ev.HistoryRead(again.token, History()))
    _, request = scene.wait_for(m.RequestHistory)
    assert isinstance(request, m.RequestHistory) and request.last == 10


# -- the proof


def stretch(scene: Scene, first: int, last: int) -> tuple[History, Proof]:
    """Ops with outcome records of their own, and what proves them."""
    frames = tuple(scene.frame(op) for op in range(first, last + 1))
    records = b"".join(bytes([op]) * 64 for op in range(first, last + 1))
    head = NO_HASH
    for op in range(1, first):
        head = outcome.chain(head, [bytes([op]) * 64])
    history = History(frames, records, head)
    proof = Proof(Op(last), frames[-1].header.hash, head_after(history))
    return history, proof


def test_only_the_log_itself_is_proved(scene: Scene) -> None:
    history, proof = stretch(scene, 5, 12)
    frames, records, head = history.frames, history.records, history.before
    assert proved(history, proof)
    rotten = Frame(frames[3].header, frames[3].body[:-1] + b"?")
    for bad in (
        History(),
        History(frames[:-1], records[:-64], head),
        History((*frames[:2], *frames[3:]), records[64:], head),
        History((*frames[:3], rotten, *frames[4:]), records, head),
        History((scene.frame(4), *frames[1:]), records, head),
        History(frames, records[:-1] + b"?", head),
        History(frames, records[64:], head),
        History(frames, records, b"\x01" * 32),
    ):
        assert not proved(bad, proof)
    whole, top = stretch(scene, 1, 12)
    assert proved(whole, top) and before(whole).op == 0
