"""One entry at a time: policy, then the capability, then the outcome that the audit rests on.

Deterministic and total. Whatever a client may send ends in an outcome; an exception here is a bug.
"""

import msgspec

from veritydb.kernel.admission import Command, misplaced, permitted
from veritydb.kernel.effects import Effect, Reclaim, Violation, WakeConsumer, WakeProjection
from veritydb.kernel.state import KERNEL_VERSION, KernelState
from veritydb.policy import apply as policy
from veritydb.policy.commands import SetPolicy
from veritydb.policy.placement import GLOBAL_CLASSES, region_name
from veritydb.streams import append
from veritydb.streams import apply as streams
from veritydb.streams.append import Result
from veritydb.streams.commands import (
    AppendMany,
    CreateStream,
    Seal,
    SetRetention,
    TruncateBefore,
)
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.ids import StreamId, TenantId, group_of
from veritydb.types.limits import RETENTION_GRACE_NS
from veritydb.types.outcome import Code, Outcome, kind_of

# Numbers of log.capnp, as outcomes name them. Stored: never used again for something else.
NUMBERS: dict[type, int] = {
    CreateStream: 1,
    Seal: 2,
    TruncateBefore: 3,
    SetRetention: 4,
    SetPolicy: 5,
}
REFUSALS = {int(code): code for code in Code if code not in (Code.OK, Code.DUPLICATE)}
U32_MAX = (1 << 32) - 1
NOTHING: tuple[Effect, ...] = ()


class Context(msgspec.Struct, frozen=True, gc=False):
    """Where in the log an entry stands: its op, its index there, the op's log time."""

    op: int
    entry: int
    timestamp: int


def apply(
    state: KernelState, header: EntryHeader, command: Command | None, context: Context
) -> tuple[KernelState, Outcome, tuple[Effect, ...]]:
    """Apply one committed entry. `command` is its decoded body, None if bad or absent.

    Registering sessions and replacing replicas are the node's and never come here.
    """
    assert state.kernel == KERNEL_VERSION, "there is one version of this function so far"
    if header.kind is Kind.APPEND:
        return _append(state, header, context)
    wrong = misplaced(state, header, command)
    if wrong is not Code.OK:
        return _violation(state, header, command, context, wrong)
    if header.kind is Kind.PULSE:
        result = streams.pulse(state.streams, context.timestamp)
    elif header.kind is Kind.REFUSED:
        result = _refused(state, header)
    elif header.kind is Kind.APPEND_MANY and isinstance(command, AppendMany):
        result = _append_many(state, command, header, context)
    elif header.kind is Kind.COMMAND and isinstance(command, SetPolicy):
        return _set_policy(state, command, header, context)
    elif header.kind is Kind.COMMAND and isinstance(command, CreateStream):
        result = _create(state, command, header, context)
    elif header.kind is Kind.COMMAND and isinstance(command, Seal | TruncateBefore | SetRetention):
        result = streams.change(state.streams, command, header, context.timestamp)
    else:
        assert header.kind not in (Kind.REGISTER, Kind.REPLACE_REPLICA)
        result = Result(state.streams, Code.BAD_COMMAND, header.stream)
    return _finish(state, result, header, command, context)


def _append(
    state: KernelState, header: EntryHeader, context: Context
) -> tuple[KernelState, Outcome, tuple[Effect, ...]]:
    """The hot path: everything else is worth a longer way."""
    number = header.stream
    if group_of(number) != state.group:
        return _violation(state, header, None, context, Code.PLACEMENT_REFUSED)
    stream = state.streams.records.get(number)
    if stream is None:
        result = Result(state.streams, Code.NO_SUCH_STREAM, number)
    elif stream.info.tenant != header.tenant:
        result = Result(state.streams, Code.WRONG_TENANT, number)
    else:
        info = stream.info
        assert state.region or info.data_class in GLOBAL_CLASSES
        code = policy.check(state.policy, header.tenant, info.data_class, info.placement)
        if code is Code.OK:
            result = append.append(state.streams, stream, header, context.timestamp)
        else:
            result = Result(state.streams, code, number)
    return _finish(state, result, header, None, context)


def _append_many(
    state: KernelState, command: AppendMany, header: EntryHeader, context: Context
) -> Result:
    assert all(group_of(share.stream) == state.group for share in command.shares)
    for share in command.shares:
        code = permitted(state, header.tenant, share.stream)
        if code is not Code.OK:
            return Result(state.streams, code, share.stream)
    return append.append_many(state.streams, command, header, context.timestamp)


def _create(
    state: KernelState, command: CreateStream, header: EntryHeader, context: Context
) -> Result:
    assert region_name(command.placement) == state.region
    tenant = header.tenant
    code = policy.check(state.policy, tenant, command.data_class, command.placement)
    if code is not Code.OK:
        return Result(state.streams, code)
    retention = command.retention
    if retention is None:
        retention = policy.default_retention(state.policy, command.data_class)
    return streams.create(state.streams, command, TenantId(tenant), retention, context.timestamp)


def _set_policy(
    state: KernelState, command: SetPolicy, header: EntryHeader, context: Context
) -> tuple[KernelState, Outcome, tuple[Effect, ...]]:
    """Change the rules. The outcome names the version that decided, in `base` the one in force."""
    if header.tenant != 0:
        result = Result(state.streams, Code.FORBIDDEN, base=state.policy.version)
        return _finish(state, result, header, command, context)
    changed, code = policy.set_policy(state.policy, command, state.directory)
    assert changed.version >= state.policy.version
    result = Result(state.streams, code, base=changed.version)
    _, outcome, effects = _finish(state, result, header, command, context)
    if code is not Code.OK:
        return state, outcome, effects
    return msgspec.structs.replace(state, policy=changed), outcome, effects


def _refused(state: KernelState, header: EntryHeader) -> Result:
    """Record what an edge refused. Nothing changes; how many it stands for is the count."""
    code = REFUSALS.get(header.expected)
    assert Code.OK not in REFUSALS.values()
    if code is None or header.body_len or not header.events:
        return Result(state.streams, Code.BAD_COMMAND, header.stream)
    return Result(state.streams, code, header.stream, count=header.events)


def _violation(
    state: KernelState, header: EntryHeader, command: Command | None, context: Context, code: Code
) -> tuple[KernelState, Outcome, tuple[Effect, ...]]:
    """Answer bytes that should not be in this log, and ask for the replica to be stopped."""
    assert code is not Code.OK
    stream = header.stream if header.kind is Kind.APPEND else 0
    result = Result(state.streams, code, stream)
    after, outcome, effects = _finish(state, result, header, command, context)
    reason = (
        f"op {context.op} entry {context.entry}: {header.kind.name} does not belong into group "
        f"{state.group} ({code.name})"
    )
    return after, outcome, (*effects, Violation(reason))


def _finish(
    state: KernelState,
    result: Result,
    header: EntryHeader,
    command: Command | None,
    context: Context,
) -> tuple[KernelState, Outcome, tuple[Effect, ...]]:
    """Turn a capability's result into the next state, the outcome and the effects."""
    kind = int(header.kind)
    if command is not None:
        kind = kind_of(kind, NUMBERS.get(type(command), 0))
    assert 0 <= result.count <= U32_MAX
    version = state.policy.version
    if header.kind is Kind.REFUSED and 0 < header.origin_seq < version:
        # The edge decided before the rules were changed.
        version = header.origin_seq
    outcome = Outcome(
        code=result.code,
        kind=kind,
        policy=version,
        op=context.op,
        tenant=header.tenant,
        stream=result.stream,
        base=result.base,
        count=result.count,
        entry=context.entry,
    )
    if result.streams is state.streams:
        return state, outcome, NOTHING
    after = KernelState(
        state.group, state.region, state.directory, state.kernel, state.policy, result.streams
    )
    if not result.grown and not result.floors:
        return after, outcome, NOTHING
    return after, outcome, _effects(result, context.timestamp)


def _effects(result: Result, now: int) -> tuple[Effect, ...]:
    effects: list[Effect] = []
    for number in result.grown:
        effects += (WakeProjection(number), WakeConsumer(number))
    for number, floor in result.floors:
        assert floor > 0
        effects.append(Reclaim(StreamId(number), floor, now + RETENTION_GRACE_NS))
    return tuple(effects)


def deadline(state: KernelState) -> int | None:
    """Return the log time at which a pulse is worth proposing, None for never."""
    found = streams.deadline(state.streams)
    assert found is None or found > 0
    return found
