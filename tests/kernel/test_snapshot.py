"""Snapshots: the same state again, in small slices, and nothing else is taken for one."""

from itertools import pairwise
from sys import getrefcount

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.kernel_script import DIRECTORY, GROUP, HOME, run
from tests.streams.helpers import Group
from veritydb.kernel.checks import check
from veritydb.kernel.snapshot import CHUNK_ITEMS, BadSnapshot, Loader, chunks, digest, load
from veritydb.kernel.state import genesis
from veritydb.types.limits import RETENTION_RUNS_MAX, SECOND_NS
from veritydb.types.retention import Retention

# In a list, as the loop's variable, and as an argument.
ALONE = 3


def test_an_empty_state() -> None:
    state = genesis(GROUP, HOME, DIRECTORY)
    parts = list(chunks(state))
    assert len(parts) == 1
    assert load(parts) == state


def test_round_trip() -> None:
    state, _, _ = run()
    restored = load(chunks(state))
    assert restored == state
    assert digest(restored) == digest(state)
    check(state, restored)
    assert state.streams.timers is not None
    assert state.streams.batches.forgotten


def test_slices_are_small_and_complete() -> None:
    group = Group()
    numbers = range(2 * CHUNK_ITEMS + 5)
    for n in numbers:
        stream = group.create(f"s{n}") if n % 100 else group.create(f"s{n}", Retention(1 << 50))
        if n % 100 == 0:
            group.append(stream, batch=(n + 1).to_bytes(16, "big"))
    busy = group.create("busy", Retention(max_bytes=RETENTION_RUNS_MAX))
    for n in range(1, 301):
        group.append(busy, origin=n.to_bytes(16, "big"), after=SECOND_NS)
    parts = list(chunks(group.state))
    counts = [len(msgspec.msgpack.decode(part)) for part in parts[1:]]
    assert max(counts) <= CHUNK_ITEMS
    assert sum(counts) == len(numbers) + 1 + 300 + len(numbers[::100])
    assert load(parts) == group.state


def test_the_state_may_move_on_while_it_is_written() -> None:
    group = Group()
    stream = group.create("s")
    frozen = group.state
    before = digest(frozen)
    writing = chunks(frozen)
    first = next(writing)
    group.append(stream)
    group.create("t")
    assert load([first, *writing]) == frozen
    assert digest(frozen) == before != digest(group.state)


def test_what_was_written_is_let_go_of_piece_by_piece() -> None:
    """All at once at the end, a million streams would hold up everybody for a tenth of a second."""
    group = Group()
    for n in range(2 * CHUNK_ITEMS):
        group.append(group.create(f"s{n}"), origin=(n + 1).to_bytes(16, "big"))
    names = [stream.info.name for stream in group.state.streams.records.values()]
    keys = [origin.key for origin in group.state.streams.origins.values()]
    writing = chunks(group.state)
    del group
    held = []
    for _ in range(1 + 4):
        next(writing)
        held.append([sum(getrefcount(one) > ALONE for one in ones) for ones in (names, keys)])
    # One of the two is still in the variable of a loop.
    assert held[0][0] == len(names) and held[-1][0] == 0
    streams, origins = (list(one) for one in zip(*held, strict=True))
    assert all(before - after <= CHUNK_ITEMS + 1 for before, after in pairwise(streams))
    assert all(before - after <= CHUNK_ITEMS + 1 for before, after in pairwise(origins))
    assert not any(writing) and origins[-1] <= 1


def test_missing_or_surplus_chunks_are_refused() -> None:
    state, _, _ = run()
    parts = list(chunks(state))
    for end in range(len(parts)):
        with pytest.raises(BadSnapshot, match="missing"):
            load(parts[:end])
    with pytest.raises(BadSnapshot):
        load([*parts, parts[-1]])
    for one, two in pairwise(range(len(parts))):
        swapped = list(parts)
        swapped[one], swapped[two] = parts[two], parts[one]
        with pytest.raises(BadSnapshot):
            load(swapped)


def test_other_formats_and_versions_are_refused() -> None:
    parts = list(chunks(genesis(GROUP, HOME, DIRECTORY)))
    head = msgspec.msgpack.decode(parts[0])
    for at, value, reason in ((0, 2, "format 1"), (1, 9, "kernel version 9"), (2, 77, "group 77")):
        changed = list(head)
        changed[at] = value
        with pytest.raises(BadSnapshot, match=reason):
            load([msgspec.msgpack.encode(changed)])


@settings(max_examples=200)
@given(st.data())
def test_changed_bytes_load_or_are_refused(data: st.DataObject) -> None:
    state, _, _ = run()
    parts = list(chunks(state))
    at = data.draw(st.integers(0, len(parts) - 1))
    changed = bytearray(parts[at])
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    parts[at] = bytes(changed)
    loader = Loader()
    refusal = ""
    try:
        for part in parts:
            loader.add(part)
        loader.finish()
    except BadSnapshot as error:
        refusal = str(error)
    assert "notes" not in refusal
