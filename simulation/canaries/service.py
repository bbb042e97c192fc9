"""Mistakes in reads, time, placement, and in how much is done at once."""

from typing import Any, cast

import msgspec

from simulation.canaries.planting import ASSERTED, Canary, put, replace, replace_in
from simulation.host import PERFORM, Host
from simulation.network import Packet
from veritydb.kernel import admission
from veritydb.node import applier
from veritydb.policy import apply as policy
from veritydb.types.frame import Frame, seal
from veritydb.types.ids import Op, View
from veritydb.types.outcome import Code
from veritydb.vsr import clock, normal, read_index
from veritydb.vsr import replica as vsr_replica
from veritydb.vsr.effects import ReadIndexReady
from veritydb.vsr.messages import encode
from veritydb.vsr.state import State


def _read_without_round() -> None:
    def on_read_index(s: State, token: int) -> None:
        s.reads.append((token, 0, s.commit))

    replace(read_index.on_read_index, on_read_index)


def _read_by_anybody() -> None:
    """A backup answers a fresh read from what it has."""

    def on_read_index(s: State, token: int) -> None:
        s.out.append(ReadIndexReady(token, s.commit))

    replace(read_index.on_read_index, on_read_index)


def _reads_pile_up() -> None:
    replace(read_index.answer, lambda s: None)


def _commit_goes_back() -> None:
    """What a heartbeat says is committed is believed, also if it was sent long ago."""
    hear = normal.on_heartbeat

    def believing(s: State, message: Any) -> None:
        hear(s, message)
        if s.following and message.view == s.view and not s.leading:
            s.commit_max = Op(max(s.commit, message.commit))

    replace(hear, believing)


def _frames_of_the_view_before() -> None:
    """A new primary goes on to put the last view into its frames, every now and then."""
    make = normal.make_frame

    def making(s: State, last: Any, timestamp: int, proposals: Any) -> Any:
        made = make(s, last, timestamp, proposals)
        if last is None or last.view == 0 or made.header.op % 5:
            return made
        older = msgspec.structs.replace(made.header, view=View(last.view - 1))
        return Frame(seal(older), made.body)

    replace(make, making)


def _time_goes_back() -> None:
    def timestamp(self: clock.Clock, last: int) -> int | None:
        return max(1, self.wall)

    put(clock.Clock, "timestamp", timestamp)
    make = normal.make_frame

    def making(s: State, last: Any, timestamp: int, proposals: Any) -> Any:
        first = msgspec.structs.replace(last, timestamp=0) if last else None
        return make(s, first, timestamp, proposals)

    replace(make, making)


def _log_time_leads() -> None:
    stamp = clock.Clock.timestamp

    def leading(self: clock.Clock, last: int) -> int | None:
        now = stamp(self, last)
        return None if now is None else now + 3_600_000_000_000

    put(clock.Clock, "timestamp", leading)


def _newer_kernel_applied() -> None:
    """Ops for a kernel that this program does not know are applied all the same."""
    apply = applier.apply_frame

    def applying(state: Any, frame: Any, decode: Any, kernels: Any = ()) -> Any:
        return apply(state, frame, decode, (*kernels, frame.header.kernel))

    replace(apply, applying)


def _placement_not_checked() -> None:
    """Neither the node nor the kernel asks in which group a stream belongs."""
    replace(admission.misplaced, lambda state, header, command: Code.OK)
    replace(policy.check, lambda state, tenant, data_class, placement: Code.OK)


def _frames_sent_abroad() -> None:
    """What goes to a peer also goes to a node of another region."""
    send = Host._send

    def sending(self: Host, effect: Any) -> None:
        send(self, effect)
        data = b"".join(encode(effect.message))
        nodes: int = len(cast(Any, self.machine).cluster.boxes)
        target = (self.group.nodes[effect.to] + 3) % nodes
        if target not in self.group.nodes:
            tag = ("peer", self.group.number, type(effect.message).__name__)
            self.machine.send(Packet(self.machine.index, target, tag, data))

    replace_in(PERFORM, send, sending)


def _led_by_anybody() -> None:
    """A backup that has the newest op proposes, too."""
    tick = vsr_replica._on_tick

    def leading(s: State, event: Any) -> None:
        tick(s, event)
        if s.following and not s.leading and s.now % 7 == 0:
            s.common = {**s.common, "sender": s.index}
            s.leading, s.round = True, 0
            normal.heartbeat(s)
            s.leading = False

    replace(tick, leading)


CANARIES = (
    Canary("read without a round", "", ("streams", "linearizable", "steady"), _read_without_round),
    Canary("read by anybody", "", ("streams", "linearizable"), _read_by_anybody),
    Canary("reads pile up", "", ("queues", "liveness"), _reads_pile_up),
    Canary("commit goes back", "", ("forward", ASSERTED), _commit_goes_back, (25,)),
    Canary("frames of an old view", "", ("hash-chain",), _frames_of_the_view_before),
    Canary("led by anybody", "", ("leaders",), _led_by_anybody),
    Canary("time goes back", "", ("timestamps", ASSERTED), _time_goes_back),
    Canary("log time leads all clocks", "", ("timestamps",), _log_time_leads),
    Canary("newer kernel applied", "", ("versions",), _newer_kernel_applied),
    Canary("placement not checked", "", ("placement", ASSERTED), _placement_not_checked),
    Canary("frames sent abroad", "", ("placement",), _frames_sent_abroad),
)
