"""The bytes of a replica's files never change: what this version wrote is read for ever."""

import os
from pathlib import Path

import pytest

from simulation.disk import SimDisk
from tests.storage.logs import full_directory, identity
from veritydb.storage import names, superblock
from veritydb.storage.store import Store
from veritydb.storage.verify import verify
from veritydb.types.ids import Op
from veritydb.types.limits import MIB

FOLDER = Path(__file__).parent
NAMES = {
    "superblock": names.SUPERBLOCK,
    "headers": names.JOURNAL,
    "outcomes": names.OUTCOMES,
    "segment": names.segment(1),
    "holes": names.holes(1),
    "snapshot": names.snapshot(5),
}


def text_of(disk: SimDisk, name: str) -> str:
    """The file as text: its size, then each stretch that is not zero."""
    lines = [f"size {disk.size(name)}"]
    for file, at, data in disk.contents():
        if file == name:
            lines += [f"at {at}", data.hex("\n", 32)]
    return "\n".join(lines) + "\n"


def put(disk: SimDisk, name: str, text: str) -> None:
    """Make a file from its text."""
    at = 0
    for line in text.splitlines():
        word, _, number = line.partition(" ")
        if word == "size":
            disk.allocate(name, int(number))
        elif word == "at":
            at = int(number)
        else:
            data = bytes.fromhex(line)
            left = max(0, (disk.size(name) or 0) - at)
            disk.write(name, at, (data[:left],))
            at += len(data)


@pytest.mark.parametrize("kind", NAMES)
def test_the_bytes_of_a_file(kind: str) -> None:
    disk, _, _ = full_directory()
    path = FOLDER / f"storage_{kind}.hex"
    if os.environ.get("VERITYDB_GOLDEN") == "write":
        path.write_text(text_of(disk, NAMES[kind]))
    assert path.read_text() == text_of(disk, NAMES[kind])


def test_the_stored_directory_opens_and_is_whole() -> None:
    disk = SimDisk()
    for kind, name in NAMES.items():
        put(disk, name, (FOLDER / f"storage_{kind}.hex").read_text())
    disk.crash(lambda n: n - 1)
    assert list(verify(disk)) == []
    store, recovered = Store.open(disk, identity())
    assert recovered.head == 7
    assert recovered.superblock.snapshot.op == 5
    assert list(store.read_snapshot()) == [b"first chunk", b"second chunk" * 20]
    _, _, frames = full_directory()
    read = store.read_frames(Op(1), Op(7), MIB)
    assert [frame.header for frame in read if frame is not None] == [f.header for f in frames]
    assert superblock.load(disk).stale == ()
