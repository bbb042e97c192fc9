"""Stored commands: what is written is read, and no bytes can do harm."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.kernel_script import COMMANDS, append_many
from veritydb.policy.commands import SetPolicy
from veritydb.policy.state import ClassRetention, Rules
from veritydb.streams.commands import CreateStream, Seal, SetRetention, TruncateBefore
from veritydb.types.entry import EntryHeader, Kind, check_parts
from veritydb.types.labels import GLOBAL, DataClass, Region
from veritydb.types.limits import COMMAND_BYTES_MAX
from veritydb.types.multi import AppendMany
from veritydb.types.retention import Retention
from veritydb.wire.log import SCHEMA, BadCommand, decode, encode

U64 = st.integers(0, (1 << 64) - 1)
CLASSES = st.sampled_from(DataClass)
REGIONS = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5}){0,2}", fullmatch=True)
RETENTION = st.builds(Retention, U64, U64, U64)
NAMES = st.text(st.characters(codec="utf-8"), max_size=60)
RULES = st.builds(
    Rules,
    deidentified_global=st.booleans(),
    non_phi_global=st.booleans(),
    regions=st.lists(REGIONS, max_size=4).map(tuple),
    tenants=st.lists(U64, max_size=4).map(tuple),
    retention=st.lists(st.builds(ClassRetention, CLASSES, RETENTION), max_size=3).map(tuple),
)
ANY = st.one_of(
    st.builds(
        CreateStream, NAMES, CLASSES, REGIONS.map(Region) | st.just(GLOBAL), st.none() | RETENTION
    ),
    st.just(Seal()),
    st.builds(TruncateBefore, U64),
    st.builds(SetRetention, RETENTION),
    st.builds(SetPolicy, st.integers(0, (1 << 32) - 1), RULES),
)


@given(ANY)
def test_what_is_written_is_read(command: SetPolicy | CreateStream) -> None:
    body = encode(command)
    assert decode(Kind.COMMAND, body) == command
    assert decode(Kind.COMMAND, memoryview(b"x" + body)[1:]) == command
    assert encode(command) == body


@settings(max_examples=400)
@given(st.sampled_from(COMMANDS), st.data())
def test_changed_bytes_are_a_command_or_none(
    command: SetPolicy | CreateStream, data: st.DataObject
) -> None:
    body = bytearray(encode(command))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for mangled in (bytes(body), bytes(body[:cut])):
        decode(Kind.COMMAND, mangled)


@settings(max_examples=300)
@given(st.sampled_from(Kind), st.binary(max_size=300))
def test_random_bytes_are_a_command_or_none(kind: Kind, body: bytes) -> None:
    command = decode(kind, body)
    assert command is None or kind in (Kind.COMMAND, Kind.APPEND_MANY)


def test_a_command_of_a_later_version_is_none() -> None:
    body = bytearray(encode(Seal()))
    at = body.index(1, 8)
    body[at] = 200
    assert decode(Kind.COMMAND, bytes(body)) is None


@pytest.mark.parametrize("regions", [[], ["au-syd", "eu-west-1"], ["Not A Region"], [""]])
def test_placements_other_than_one_region_are_none(regions: list[str]) -> None:
    message = SCHEMA.Command.new_message()
    create = message.init("createStream")
    create.name, create.dataClass = "s", 1
    create.placement.regions = regions
    assert decode(Kind.COMMAND, message.to_bytes()) is None


@pytest.mark.parametrize("data_class", [0, 4, 65_535])
def test_unknown_classes_are_none(data_class: int) -> None:
    message = SCHEMA.Command.new_message()
    create = message.init("createStream")
    create.name, create.dataClass = "s", data_class
    assert decode(Kind.COMMAND, message.to_bytes()) is None
    assert create.placement.which() == "global"


def test_sizes_are_bounded() -> None:
    with pytest.raises(BadCommand, match=f"limit is {COMMAND_BYTES_MAX}"):
        encode(CreateStream("n" * COMMAND_BYTES_MAX, DataClass.PHI, GLOBAL))
    with pytest.raises(BadCommand, match="parts"):
        encode(AppendMany(()))
    message = SCHEMA.Command.new_message()
    message.init("createStream").name = "n" * COMMAND_BYTES_MAX
    assert decode(Kind.COMMAND, message.to_bytes()) is None


def test_a_small_message_cannot_claim_much() -> None:
    """Pointers that all lead to one long text are followed no further than the limit."""
    message = SCHEMA.Command.new_message()
    rules = message.init("setPolicy").init("rules")
    rules.regions = ["n" * 30_000, *["m"] * 60]
    body = bytearray(message.to_bytes())
    tracemalloc.start()
    decode(Kind.COMMAND, bytes(body))
    for at in range(8, 600, 8):
        decode(
            Kind.COMMAND,
            bytes(body[:at]) + b"\x01\x00\x00\x00\xfe\xff\xff\xff" + bytes(body[at + 8 :]),
        )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_the_table_of_several_streams_fits_its_entry() -> None:
    header, body = append_many([(1, 13, 2), (2, 12, 1), (3, 36, 0)])
    check_parts(body, header)
    command = decode(Kind.APPEND_MANY, body)
    assert isinstance(command, AppendMany)
    assert [(s.expected, s.parts, s.events, s.size) for s in command.shares] == [
        (13, 1, 2, 60),
        (12, 1, 1, 60),
        (36, 0, 0, 0),
    ]
    assert decode(Kind.COMMAND, body) is None
    assert isinstance(header, EntryHeader)
