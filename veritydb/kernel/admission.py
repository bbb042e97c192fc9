"""What may enter this group's log at all: asked by the node before, and by the kernel after."""

from veritydb.kernel.state import KernelState
from veritydb.policy import apply as policy
from veritydb.policy.commands import SetPolicy
from veritydb.policy.placement import group_for_placement
from veritydb.streams.commands import AppendMany, CreateStream, StreamCommand
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.ids import group_of
from veritydb.types.outcome import Code

Command = StreamCommand | SetPolicy
"""Everything that an entry's body may decode to."""


def misplaced(state: KernelState, header: EntryHeader, command: Command | None) -> Code:
    """Return OK unless these bytes belong into another group's log, or into none.

    Decided by what never changes (the directory, the stream's id, the labels asked for), so that
    what was admitted once can never turn out to be misplaced later.
    """
    assert state.directory.region_of(state.group) == state.region
    if header.kind is Kind.APPEND:
        if group_of(header.stream) != state.group:
            return Code.PLACEMENT_REFUSED
    elif header.kind is Kind.APPEND_MANY and isinstance(command, AppendMany):
        if any(group_of(share.stream) != state.group for share in command.shares):
            return Code.PLACEMENT_REFUSED
    elif header.kind is Kind.COMMAND and isinstance(command, CreateStream):
        group = group_for_placement(state.directory, command.data_class, command.placement)
        if isinstance(group, Code):
            return group
        if group != state.group:
            return Code.PLACEMENT_REFUSED
    return Code.OK


def admit(state: KernelState, header: EntryHeader, command: Command | None) -> Code:
    """Return OK, or the code with which the edge must refuse this request and not propose it.

    Besides misplaced bytes that is what the rules of this moment forbid. Where they change before
    the request is applied, the kernel refuses it by the newer ones.
    """
    code = misplaced(state, header, command)
    if code is not Code.OK:
        return code
    if isinstance(command, CreateStream):
        return policy.check(state.policy, header.tenant, command.data_class, command.placement)
    if header.kind is Kind.APPEND:
        return permitted(state, header.tenant, header.stream)
    if isinstance(command, AppendMany):
        for share in command.shares:
            code = permitted(state, header.tenant, share.stream)
            if code is not Code.OK:
                return code
    assert code is Code.OK
    return code


def permitted(state: KernelState, tenant: int, stream: int) -> Code:
    """Return whether the rules let a tenant append to its stream. OK for a stream it has not."""
    known = state.streams.records.get(stream)
    if known is None or known.info.tenant != tenant:
        return Code.OK
    info = known.info
    assert info.id == stream
    return policy.check(state.policy, tenant, info.data_class, info.placement)
