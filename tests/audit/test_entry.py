"""Audit entries tell what the log decided, and what an edge refused."""

import msgspec
import pytest

from veritydb.audit.entry import read
from veritydb.audit.refusals import fold, refused
from veritydb.kernel.apply import Context, apply
from veritydb.kernel.state import KernelState, genesis
from veritydb.policy.placement import Directory
from veritydb.policy.state import Rules, in_force
from veritydb.streams.commands import CreateStream
from veritydb.types.entry import HEADER_BYTES, EntryHeader, Kind, pack_header, with_body
from veritydb.types.ids import ClientId, GroupId, StreamId, TenantId
from veritydb.types.labels import DataClass, Region
from veritydb.types.outcome import Code

HOME = Region("au-syd")
CLIENT = ClientId(b"client".ljust(16, b"."))


def group() -> KernelState:
    return genesis(GroupId(1), HOME, Directory(((0, ""), (1, HOME.name))))


def request(stream: int = 0, tenant: int = 7) -> EntryHeader:
    return EntryHeader(
        kind=Kind.APPEND,
        parts=1,
        client=CLIENT,
        session=4,
        number=9,
        tenant=TenantId(tenant),
        stream=StreamId(stream),
        batch=b"b" * 16,
        actor=33,
        events=5,
        body_len=1_000,
        crc=1,
    )


def test_a_command_is_named_with_who_and_what() -> None:
    header = EntryHeader(kind=Kind.COMMAND, tenant=TenantId(7), client=CLIENT, actor=33)
    command = CreateStream("notes", DataClass.PHI, HOME)
    _, outcome, _ = apply(group(), header, command, Context(5, 2, 1_000))
    entry = read(header, outcome, 1_000)
    assert (entry.op, entry.entry, entry.time) == (5, 2, 1_000)
    assert (entry.tenant, entry.actor, entry.client) == (7, 33, CLIENT)
    assert (entry.kind, entry.command) == (Kind.COMMAND, 1)
    assert (entry.code, entry.policy, entry.stream) == (Code.OK, 1, 1 << 48 | 1)
    assert not entry.refused_at_edge
    assert "notes" not in repr(entry)


def test_an_edge_refusal_is_logged_without_what_was_sent() -> None:
    header = refused(request(stream=9), Code.PLACEMENT_REFUSED)
    assert len(with_body(header, b"").data) == HEADER_BYTES
    assert b"b" * 16 not in pack_header(header)
    state = group()
    after, outcome, effects = apply(state, header, None, Context(5, 0, 1_000))
    assert after is state
    assert effects == ()
    entry = read(header, outcome, 1_000)
    assert entry.refused_at_edge
    assert (entry.code, entry.times, entry.count) == (Code.PLACEMENT_REFUSED, 1, 0)
    assert (entry.tenant, entry.stream, entry.actor) == (7, 9, 33)


def test_many_refusals_fold_into_one_with_their_number() -> None:
    one = refused(request(1), Code.PLACEMENT_REFUSED)
    two = refused(request(1), Code.FORBIDDEN)
    three = refused(request(1, tenant=8), Code.PLACEMENT_REFUSED)
    folded = list(fold([one, two, one, three, one, *fold([one, one])]))
    assert [(row.tenant, row.expected, row.events) for row in folded] == [
        (7, Code.PLACEMENT_REFUSED, 5),
        (7, Code.FORBIDDEN, 1),
        (8, Code.PLACEMENT_REFUSED, 1),
    ]
    _, outcome, _ = apply(group(), folded[0], None, Context(1, 0, 1))
    assert read(folded[0], outcome, 1).times == 5


def test_a_refusal_names_the_version_that_decided() -> None:
    state = msgspec.structs.replace(group(), policy=in_force(3, Rules()))
    for named, expected in ((0, 3), (2, 2), (3, 3), (9, 3)):
        header = refused(request(1), Code.FORBIDDEN, named)
        [folded] = fold([header, header])
        _, outcome, _ = apply(state, folded, None, Context(1, 0, 1))
        assert (outcome.policy, outcome.count) == (expected, 2)
    two = [refused(request(1), Code.FORBIDDEN, version) for version in (1, 2)]
    assert list(fold(two)) == two


def test_what_is_no_refusal() -> None:
    for code in (Code.OK, Code.DUPLICATE):
        with pytest.raises(ValueError, match="no refusal"):
            refused(request(), code)
    with pytest.raises(ValueError, match="no refusal"):
        list(fold([request()]))
    # One that claims success, or carries a body, is itself refused.
    for expected, body_len in ((0, 0), (1, 0), (9_999, 0), (40, 1)):
        header = EntryHeader(kind=Kind.REFUSED, expected=expected, events=1, body_len=body_len)
        _, outcome, _ = apply(group(), header, None, Context(1, 0, 1))
        assert outcome.code is Code.BAD_COMMAND


def test_an_outcome_of_another_entry_is_not_read() -> None:
    header = refused(request(), Code.FORBIDDEN)
    _, outcome, _ = apply(group(), header, None, Context(1, 0, 1))
    with pytest.raises(ValueError, match="not of this entry"):
        read(request(), outcome, 1)
    with pytest.raises(ValueError, match="not of this entry"):
        read(refused(request(tenant=8), Code.FORBIDDEN), outcome, 1)
