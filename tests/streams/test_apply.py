"""Making and listing streams."""

import pytest

from tests.streams.helpers import HOME, TENANT, Group
from veritydb.streams.commands import CreateStream
from veritydb.streams.state import find, page
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.ids import TenantId, group_of
from veritydb.types.labels import DataClass
from veritydb.types.limits import NAME_BYTES_MAX
from veritydb.types.outcome import Code, Outcome
from veritydb.types.retention import Retention


def create(group: Group, name: str, data_class: DataClass = DataClass.PHI) -> Outcome:
    header = EntryHeader(kind=Kind.COMMAND, tenant=TENANT)
    return group.submit(header, CreateStream(name, data_class, HOME))


def test_ids_carry_the_group_and_count_from_one() -> None:
    group = Group()
    ids = [group.create(name) for name in "abc"]
    assert [group_of(number) for number in ids] == [1, 1, 1]
    assert [number & 0xFFFF for number in ids] == [1, 2, 3]


def test_a_name_is_taken_once_per_tenant() -> None:
    group = Group()
    first = create(group, "notes")
    again = create(group, "notes")
    assert (again.code, again.stream) == (Code.STREAM_ALREADY_EXISTS, first.stream)
    other = create(group, "notes", DataClass.NON_PHI)
    assert (other.code, other.stream) == (Code.STREAM_DIFFERS, first.stream)
    assert group.create("notes", tenant=TenantId(8)) != first.stream
    found = find(group.state.streams, TENANT, "notes")
    assert found is not None and found.info.id == first.stream
    assert find(group.state.streams, TenantId(9), "notes") is None


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("", False),
        ("a", True),
        ("n" * NAME_BYTES_MAX, True),
        ("n" * (NAME_BYTES_MAX + 1), False),
        ("ä" * (NAME_BYTES_MAX // 2), True),
        ("ä" * (NAME_BYTES_MAX // 2 + 1), False),
        ("ward/3 notes:ä", True),
        ("a\nb", False),
        ("a\x00", False),
        ("\x7f", False),
        ("\x85", False),
        ("\ud800", False),
    ],
)
def test_names(name: str, fine: bool) -> None:
    assert create(Group(), name).code is (Code.OK if fine else Code.NAME_INVALID)


def test_bounds_that_cannot_be_stored_are_refused() -> None:
    group = Group()
    command = CreateStream("s", DataClass.PHI, HOME, Retention(max_events=1 << 63))
    header = EntryHeader(kind=Kind.COMMAND, tenant=TENANT)
    assert group.submit(header, command).code is Code.BAD_COMMAND
    assert group.stream(group.create("t", Retention())).info.retention is None


def test_pages_show_each_stream_once() -> None:
    group = Group()
    mine = []
    for n in range(25):
        tenant = TENANT if n % 3 else TenantId(8)
        number = group.create(f"s{n}", tenant=tenant)
        if tenant == TENANT:
            mine.append(number)
    seen = []
    after: int | None = 0
    pages = 0
    while after is not None:
        rows, after = page(group.state.streams, TENANT, after, limit=4, scan=7)
        assert len(rows) <= 4
        seen += [stream.info.id for stream in rows]
        pages += 1
    assert seen == mine
    assert pages >= 4
    assert page(group.state.streams, TENANT, 25, limit=1, scan=1) == ([], None)
