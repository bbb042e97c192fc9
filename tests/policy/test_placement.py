"""The table of DESIGN: class by placement by group, as the edge and as the kernel see it."""

from itertools import product

import pytest

from veritydb.kernel.admission import admit, misplaced
from veritydb.kernel.apply import Context, apply
from veritydb.kernel.effects import Violation
from veritydb.kernel.state import KernelState, genesis
from veritydb.policy.placement import Directory, group_for_placement, placement_of
from veritydb.streams.commands import CreateStream
from veritydb.types.entry import EXPECT_NO_STREAM, EntryHeader, Kind
from veritydb.types.ids import GroupId, StreamId, stream_id
from veritydb.types.labels import GLOBAL, DataClass, Placement, Region
from veritydb.types.multi import AppendMany, Share
from veritydb.types.outcome import Code

A, B, NOWHERE = Region("au-syd"), Region("eu-west-1"), Region("us-east-1")
DIRECTORY = Directory(((0, ""), (1, A.name), (2, B.name)))
CREATE = EntryHeader(kind=Kind.COMMAND, tenant=1)

# Who must hold it; the only question is the class, and only where the placement is global.
TABLE: dict[tuple[DataClass, Placement], GroupId | Code] = {
    (DataClass.PHI, GLOBAL): Code.PLACEMENT_REFUSED,
    (DataClass.NON_PHI, GLOBAL): GroupId(0),
    (DataClass.DEIDENTIFIED, GLOBAL): GroupId(0),
    **{(data_class, A): GroupId(1) for data_class in DataClass},
    **{(data_class, B): GroupId(2) for data_class in DataClass},
    **{(data_class, NOWHERE): Code.NO_SUCH_REGION for data_class in DataClass},
}


def state_of(group: int) -> KernelState:
    region = DIRECTORY.region_of(GroupId(group))
    assert region is not None
    return genesis(GroupId(group), placement_of(region), DIRECTORY)


@pytest.mark.parametrize(("data_class", "placement"), TABLE)
def test_the_group_for_a_placement(data_class: DataClass, placement: Placement) -> None:
    assert group_for_placement(DIRECTORY, data_class, placement) == TABLE[data_class, placement]


@pytest.mark.parametrize(
    ("data_class", "placement", "group"),
    [(*row, group) for row, group in product(TABLE, (0, 1, 2))],
)
def test_class_by_placement_by_group(
    data_class: DataClass, placement: Placement, group: int
) -> None:
    state = state_of(group)
    command = CreateStream("notes", data_class, placement)
    holder = TABLE[data_class, placement]
    after, outcome, effects = apply(state, CREATE, command, Context(1, 0, 1))
    if holder == group:
        assert admit(state, CREATE, command) is Code.OK
        assert outcome.code is Code.OK
        assert effects == ()
        assert after.streams.created == 1
    else:
        refusal = holder if isinstance(holder, Code) else Code.PLACEMENT_REFUSED
        assert misplaced(state, CREATE, command) is refusal
        assert admit(state, CREATE, command) is refusal
        assert outcome.code is refusal
        [effect] = effects
        assert isinstance(effect, Violation)
        assert "notes" not in effect.reason
        assert after.streams is state.streams


@pytest.mark.parametrize("group", [0, 1, 2])
@pytest.mark.parametrize("holder", [0, 1, 2])
def test_bytes_for_another_groups_stream_stop_the_replica(group: int, holder: int) -> None:
    state = state_of(group)
    stream = stream_id(GroupId(holder), 1)
    single = EntryHeader(kind=Kind.APPEND, parts=1, tenant=1, stream=stream, events=1, body_len=9)
    own = stream_id(GroupId(group), 2)
    shares = (Share(own, 0, 1, 1, 9), Share(stream, EXPECT_NO_STREAM, 1, 1, 9))
    many = EntryHeader(kind=Kind.APPEND_MANY, parts=3, tenant=1, events=2, body_len=99)
    for header, command in ((single, None), (many, AppendMany(shares))):
        after, outcome, effects = apply(state, header, command, Context(1, 0, 1))
        assert after.streams is state.streams
        if group == holder:
            assert outcome.code is Code.NO_SUCH_STREAM
            assert effects == ()
        else:
            assert admit(state, header, command) is Code.PLACEMENT_REFUSED
            assert outcome.code is Code.PLACEMENT_REFUSED
            assert [type(effect) for effect in effects] == [Violation]


def test_a_stream_number_of_no_group_is_misplaced_in_a_region() -> None:
    header = EntryHeader(kind=Kind.APPEND, parts=1, tenant=1, stream=StreamId(0), events=1)
    assert misplaced(state_of(1), header, None) is Code.PLACEMENT_REFUSED


@pytest.mark.parametrize(
    "groups",
    [
        ((0, ""), (0, "")),
        ((1, "a"), (0, "")),
        ((0, "a"),),
        ((1, ""),),
        ((0, ""), (1, "a"), (2, "a")),
        ((0, ""), (1, "Not A Region")),
        ((0, ""), (1 << 16, "a")),
    ],
)
def test_directories_that_cannot_be(groups: tuple[tuple[int, str], ...]) -> None:
    with pytest.raises(ValueError, match=r"group|region"):
        Directory(groups)


def test_a_group_is_born_where_the_directory_says() -> None:
    with pytest.raises(ValueError, match="directory"):
        genesis(GroupId(1), B, DIRECTORY)
    with pytest.raises(ValueError, match="directory"):
        genesis(GroupId(3), A, DIRECTORY)
