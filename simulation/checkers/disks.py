"""What the disks hold in the end, byte for byte: computed here from what was decided."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

from crc32c import crc32c

from simulation.checkers.base import Checker, Decided, Files, Log, Replica
from veritydb.types import frame
from veritydb.types.frame import Frame

JOURNAL, OUTCOMES = "headers", "outcomes"
RECORD = 256
FIXED = frozenset({"superblock", JOURNAL, OUTCOMES, "segments/spare"})
LEFT_OVER = frozenset({"snapshots/received"})
"""A peer's snapshot that was not needed after all stays until the next snapshot."""
SNAPSHOTS_MAX = 2


Span = tuple[int, int]


class Erased(NamedTuple):
    """Where a frame in a segment file has holes.

    Whoever got the frame with its holes wrote another checksum than who made them; and between the
    map of holes and the erasing the bytes are there still: these may be either way.
    """

    zero: list[Span]
    either: list[Span]


class Disks(Checker):
    """Segments, journal and outcome file are what the log leads to, and there is nothing else.

    What has rotted on the way was found and put right.
    """

    name: ClassVar[str] = "disks"

    def __init__(
        self,
        log: Log,
        disks: Callable[[], dict[Replica, Files]],
        damaged: Callable[[], set[Replica]],
        erased: Callable[[Replica, int], dict[int, Erased]],
    ) -> None:
        """`disks()` are those of the replicas, all of which have caught up.

        Outcomes are derived, and known to be whole elsewhere: whoever had files `damaged` may lack
        some, or have bytes where nobody looks. `erased` tells where a replica's segment has holes.
        """
        self._log = log
        self._disks = disks
        self._damaged = damaged
        self._erased = erased

    def ended(self) -> None:
        """Compare them all."""
        images: dict[int, dict[int, bytes]] = {}
        damaged = self._damaged()
        for replica, disk in self._disks().items():
            log = self._log.get(replica[0], [])
            if replica[0] not in images:
                images[replica[0]] = segments(log)
            for first, image in images[replica[0]].items():
                self._segment(replica, disk, first, image)
                if replica not in damaged:
                    self._behind(replica, disk, first, image, log)
            self._journal(replica, disk, log)
            if replica not in damaged:
                self._outcomes(replica, disk, log)
            self._names(replica, disk, images[replica[0]])

    def _segment(self, replica: Replica, disk: Files, first: int, image: bytes) -> None:
        name = f"segments/{first:020d}.log"
        if disk.size(name) is None:
            self.fail(f"{replica} has no {name}")
        found = disk.read(name, 0, len(image))
        for erased in self._erased(replica, first).values():
            image = zeroed(image, [*erased.zero, *erased.either])
            found = zeroed(found, erased.either)
        if found != image:
            at = next(i for i, byte in enumerate(image) if i >= len(found) or found[i] != byte)
            self.fail(f"{name} of {replica} is other at {at} than the log is")

    def _behind(
        self, replica: Replica, disk: Files, first: int, image: bytes, log: list[Decided]
    ) -> None:
        name = f"segments/{first:020d}.log"
        behind = disk.next_data(name, len(image))
        if behind is None:
            return
        # An op that is under way may stand there; nothing else, and nowhere else.
        op = int.from_bytes(disk.read(name, len(image), 8), "little")
        if op != len(log) + 1:
            self.fail(f"behind the log of {replica} there is something at {behind} of {name}")

    def _journal(self, replica: Replica, disk: Files, log: list[Decided]) -> None:
        found = disk.read(JOURNAL, RECORD, len(log) * RECORD)
        for at, what in enumerate(log):
            record = found[at * RECORD : (at + 1) * RECORD]
            sound = int.from_bytes(record[:4], "little") == crc32c(record[4:])
            if not sound or record[16:224] != what.header.raw or any(record[224:]):
                self.fail(f"the record of op {at + 1} of {replica} is not that of its frame")

    def _outcomes(self, replica: Replica, disk: Files, log: list[Decided]) -> None:
        expected = b"".join(what.records for what in log)
        if disk.read(OUTCOMES, 0, len(expected)) != expected:
            self.fail(f"the outcomes of {replica} are not what the log leads to")

    def _names(self, replica: Replica, disk: Files, image: dict[int, bytes]) -> None:
        mine = {f"segments/{first:020d}.{kind}" for first in image for kind in ("log", "holes")}
        snapshots = 0
        for name in disk.names(""):
            if name.startswith("snapshots/") and name.endswith(".snap"):
                snapshots += 1
            elif name not in FIXED and name not in mine and name not in LEFT_OVER:
                self.fail(f"{replica} has a file {name}, which nothing needs")
        if snapshots > SNAPSHOTS_MAX:
            self.fail(f"{replica} has {snapshots} snapshots")


def zeroed(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    """The same bytes with zeros in some places."""
    out = bytearray(data)
    for first, last in spans:
        out[first:last] = bytes(len(out[first:last]))
    return bytes(out)


def segments(log: list[Decided]) -> dict[int, bytes]:
    """What each segment file begins with, up to the end of its last frame with its padding."""
    pieces: dict[int, list[bytes]] = {}
    for what in log:
        header = what.header
        whole = b"".join(frame.buffers(Frame(header, what.body)))
        pad = header.frame_bytes() - len(whole)
        pieces.setdefault(header.segment, []).append(whole + bytes(pad))
    return {first: b"".join(each) for first, each in pieces.items()}
