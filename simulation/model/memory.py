"""A replica's memory as a value: taken out of the object, put back, and made canonical.

`freeze` takes all of it, by type, and refuses what it does not know; so nothing that a later
version of the protocol remembers can be shared between two lives by mistake.
"""

from collections import deque
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from veritydb.vsr.config import Status
from veritydb.vsr.events import Tick
from veritydb.vsr.log import Log
from veritydb.vsr.merge import Merged
from veritydb.vsr.replica import Replica
from veritydb.vsr.state import RECOVERING, Installation, State

NOW = 1_000_000_000
"""Time stands still: a timer goes off because it is chosen, not because time has passed."""
NEVER = 1 << 62
TICK = Tick(NOW, NOW)
SHARED = ("config", "prng", "index", "replicas", "peers", "incarnation", "epoch", "clock")
"""What no step changes, as time and clocks stand still."""
DERIVED = ("common",)
Memory = tuple[object, ...]


class Frozen(NamedTuple):
    """A container or an object, as a value."""

    kind: type
    parts: tuple[object, ...]


SCALARS = frozenset({int, bool, bytes, str, tuple, type(None)})
OPEN = (Installation, Merged)
"""Structs that are changed in place, or hold what is."""


def freeze(value: object) -> object:
    """Return a value that can be compared and hashed, and from which `thaw` makes an equal one."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if isinstance(value, list | deque):
        return Frozen(kind, tuple([v if type(v) in SCALARS else freeze(v) for v in value]))
    if isinstance(value, dict):
        return Frozen(kind, tuple([(key, freeze(value[key])) for key in sorted(value)]))
    if kind in (*OPEN, Log):
        return Frozen(kind, tuple([freeze(getattr(value, name)) for name in fields(value)]))
    if isinstance(value, Enum | tuple):
        return value
    if isinstance(value, msgspec.Struct) and value.__struct_config__.frozen:
        return value
    raise TypeError(f"the model does not know how to copy a {kind.__name__}")


def thaw(value: object) -> Any:
    """Return an independent copy of what was frozen."""
    if type(value) is not Frozen:
        return value
    kind: Any = value.kind
    if kind is dict:
        pairs: Any = value.parts
        return {key: thaw(each) for key, each in pairs}
    parts = [thaw(each) for each in value.parts]
    if kind in (list, deque):
        return kind(parts)
    if kind in OPEN:
        return kind(*parts)
    made = kind.__new__(kind)
    for name, part in zip(NAMES[kind], parts, strict=True):
        setattr(made, name, part)
    return made


NAMES: dict[type, tuple[str, ...]] = {}


def fields(value: object) -> tuple[str, ...]:
    """The names of all that an object holds."""
    kind = type(value)
    if kind not in NAMES:
        own = getattr(kind, "__struct_fields__", None) or getattr(kind, "__slots__", None)
        NAMES[kind] = tuple(own or vars(value))
    return NAMES[kind]


class Template:
    """What all lives of one replica have in common."""

    def __init__(self, replica: Replica) -> None:
        """Take it from a replica of that index."""
        state = replica._s
        self._names = tuple(name for name in fields(state) if name not in (*SHARED, *DERIVED))
        self._shared = [(name, getattr(state, name)) for name in SHARED]
        # By name, since 1 and True are equal.
        self._pools: list[dict[object, object]] = [{} for _ in self._names]
        assert not set(SHARED + DERIVED) - set(fields(state))

    def take(self, state: State) -> Memory:
        """Take the memory out. Equal parts of many memories are kept once."""
        assert not state.out and not state.unwritten, "between two steps nothing is left to do"
        values = [freeze(getattr(state, name)) for name in self._names]
        pooled = zip(self._pools, values, strict=True)
        return tuple([pool.setdefault(value, value) for pool, value in pooled])

    def give(self, memory: Memory) -> Replica:
        """Make a replica that has this memory."""
        state = State.__new__(State)
        for name, value in self._shared:
            setattr(state, name, value)
        for name, value in zip(self._names, memory, strict=True):
            setattr(state, name, thaw(value) if type(value) is Frozen else value)
        state.common = state._common()
        replica = Replica.__new__(Replica)
        replica._s = state
        return replica


def settle(state: State) -> None:
    """Forget what can make no difference any more, so that equal memories look equal.

    Timers rest until one is chosen; numbers that only tell things apart start again from 1; what is
    always written before it is read the next time is nought.
    """
    state.now = NOW
    state.heard_at = state.progress_at = state.time_agreed_at = NOW
    state.answered = [NOW] * state.replicas
    state.suspect_after = NEVER
    state.heartbeat_due = state.window_due = state.vote_due = NEVER
    state.change_due = state.dvc_due = state.ping_due = NEVER
    state.rumour_due = 0
    # Nought says that nothing was asked for yet.
    state.fetch_due = NEVER if state.fetch_due else 0
    state.repair_due = NEVER if state.repair_due > NOW and state.log.faulty else 0
    if state.installing is not None:
        asked = state.installing.request_due > NOW
        state.installing.request_due = NEVER if asked else 0
    if state.status not in RECOVERING:
        state.nonce = 1
    if state.following:
        state.frozen = type(state.frozen)(0)
        if not state.fetch_due:
            state.fetch_source = -1
    if not state.log.faulty:
        state.repair_op, state.repair_hashes, state.repair_source = type(state.commit)(0), [], -1
        state.repair_width = 1
    if not state.leading:
        # `lead` sets them all.
        state.acked = [0] * state.replicas
        state.rounds = [0] * state.replicas
        state.replacements = [0] * state.replicas
        state.lagging = [False] * state.replicas
        state.round = 0
        state.view_start = type(state.commit)(0)
    ranks = sorted({state.cuts, *(each.cuts for each in state.waiting.values())})
    state.cuts = ranks.index(state.cuts)
    state.waiting = {
        number: msgspec.structs.replace(each, cuts=ranks.index(each.cuts))
        for number, each in enumerate(state.waiting.values(), start=1)
    }
    state.token = len(state.waiting)
    state._view_writes = deque(
        (number, *write[1:]) for number, write in enumerate(state._view_writes, start=1)
    )
    state.view_write_number = len(state._view_writes)
    assert state.status != Status.NORMAL or state.log_view == state.view
