"""What an edge refused, as it goes into the log."""

import msgspec
import pytest

from veritydb.audit.refusals import fold, refused
from veritydb.kernel.apply import Context, apply
from veritydb.kernel.state import KernelState, genesis
from veritydb.policy.placement import Directory
from veritydb.policy.state import Rules, in_force
from veritydb.types.entry import HEADER_BYTES, EntryHeader, Kind, pack_header, with_body
from veritydb.types.ids import ClientId, GroupId, StreamId, TenantId
from veritydb.types.labels import Region
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


def test_an_edge_refusal_is_logged_without_what_was_sent() -> None:
    header = refused(request(stream=9), Code.PLACEMENT_REFUSED)
    assert len(with_body(header, b"").data) == HEADER_BYTES
    assert b"b" * 16 not in pack_header(header)
    state = group()
    after, outcome, effects = apply(state, header, None, Context(5, 0, 1_000))
    assert after is state
    assert effects == ()
    assert (outcome.kind, outcome.code, outcome.count) == (Kind.REFUSED, Code.PLACEMENT_REFUSED, 1)
    assert (outcome.tenant, outcome.stream, header.actor) == (7, 9, 33)


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
    assert outcome.count == 5


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
