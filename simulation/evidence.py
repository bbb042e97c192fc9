"""What checkers may ask of a run's disks, and what they are not to be asked for."""

from collections.abc import Set

from simulation.checkers.base import Files, Replica, Watch
from simulation.checkers.disks import Erased, zeroed
from simulation.disk import SimDisk
from simulation.ledger import Ledger, Said
from simulation.world import Failure
from veritydb.storage import journal, names, superblock
from veritydb.storage.holes import decode
from veritydb.storage.journal import RECORD_BYTES
from veritydb.storage.segments import BODY_AT, hole_spans, padded
from veritydb.types.durable import Superblock
from veritydb.types.frame import CRC, Frame, Header


class Evidence:
    """The disks of all replicas, and a record of the damage that was done to them on purpose."""

    watch: Watch
    ledger: Ledger
    disks: dict[Replica, SimDisk]
    frames: dict[bytes, Frame]
    """Every frame that was ever written, by its hash."""
    stored: dict[bytes, tuple[bytes, bytes]]
    """The bytes of some of them and of their records, as they have to be on a disk."""
    views: dict[Replica, tuple[int, int]]
    gaps: set[Replica]
    rotten: dict[tuple[Replica, int], bytes]
    ruined: set[Replica]
    suspects: set[Replica]
    given_up: set[tuple[int, int, int]]
    """(group, op, entry) of what retention allowed to be erased."""
    outside: set[Replica]
    """Replicas that stay broken in the end: nothing is expected of them."""

    def mended(self, key: Replica, first: int) -> None:
        """What comes with history takes the place of what may have rotted."""
        for at, op in [each for each in self.rotten if each[0] == key and each[1] >= first]:
            header = self.watch.log[key[0]][op - 1].header
            rotten = self.rotten.pop((at, op))
            if not self.survives(key, header):
                self.rotten[(at, op)] = rotten

    def note_views(self, key: Replica) -> Superblock | None:
        """Read what a power cut would leave of a replica's views."""
        disk, size = self.disks[key], superblock.COPY_BYTES
        starts = range(0, superblock.FILE_BYTES, size)
        copies = [disk.surviving(names.SUPERBLOCK, start, size) for start in starts]
        choice = superblock.choose(superblock.decode_copies(copies))
        if choice is None:
            return None
        block = choice.block
        self.ledger.noted(key, block.view_state)
        self.views[key] = (block.view_state.view, block.view_state.log_view)
        self.gaps.discard(key)
        if block.gap_end:
            self.gaps.add(key)
        return block

    def durable_views(self, key: Replica) -> tuple[int, int]:
        """(view, log view) that a power cut would leave."""
        return self.views[key]

    def survives(self, key: Replica, header: Header) -> bool:
        """Whether a power cut would leave this frame and its record, injected rot aside."""
        if self.rotten.get((key, header.op)) == header.hash:
            return True
        if key in self.suspects and header.op <= self.ledger.said.get(key, Said()).acked:
            return True
        return self.holds(key, header)

    def holds(self, key: Replica, header: Header) -> bool:
        """The same, and nothing is put aside."""
        frame = self.frames.get(header.hash)
        if frame is None:
            return False
        disk = self.disks[key]
        if header.hash not in self.stored:
            self.stored[header.hash] = b"".join(padded(frame)), journal.encode(header)
        data, record = self.stored[header.hash]
        if disk.surviving(names.JOURNAL, header.op * RECORD_BYTES, RECORD_BYTES) != record:
            return False
        found = disk.surviving(names.segment(header.segment), header.position, len(data))
        return found == data or self._but_for_holes(key, frame, found, data)

    def _but_for_holes(self, key: Replica, frame: Frame, found: bytes, data: bytes) -> bool:
        erased = self.erased(key, frame.header.segment).get(frame.header.op)
        if erased is None:
            return False
        start = frame.header.position
        spans = [*erased.zero, *erased.either]
        within = [(first - start, last - start) for first, last in spans]
        return zeroed(found, within) == zeroed(data, within)

    def erased(self, key: Replica, segment: int) -> dict[int, Erased]:
        """Where in a segment file bytes were erased, by op, and the checksums over them."""
        disk, name = self.disks[key], names.holes(segment)
        size = disk.size(name)
        found: dict[int, Erased] = {}
        if size is None:
            return found
        log = self.watch.log.get(key[0], [])
        holes_of = decode(disk.surviving(name, 0, size))
        finished = holes_of.done == holes_of.used - 1
        for op, holes in holes_of.ops.items():
            header, body = log[op - 1].header, log[op - 1].body
            spans = hole_spans(header, body, holes)
            at, end = header.position + BODY_AT, header.position + header.frame_bytes()
            zero = [(at + first, at + last) for first, last in spans]
            for hole in holes:
                if (key[0], op, hole.entry) not in self.given_up:
                    raise Failure("erased", f"{key} erased entry {hole.entry} of op {op}")
            if key in self.suspects or (key, op) in self.rotten:
                # Nobody reads what is in holes, nor checksum and padding of a frame that has them:
                # what rot or a stray write left there stays.
                found[op] = Erased([], [*zero, (at + header.body_len, end)])
                continue
            crc = (at + header.body_len, at + header.body_len + CRC.size)
            found[op] = Erased(zero, [crc]) if finished else Erased([], [*zero, crc])
        return found

    def header_of(self, digest: bytes) -> Header | None:
        """The header of a frame that was ever written, by its hash."""
        frame = self.frames.get(digest)
        return None if frame is None else frame.header

    def files(self) -> dict[Replica, Files]:
        """The disk of every replica of which something is expected."""
        return {key: disk for key, disk in self.disks.items() if key not in self.outside}

    def damaged_disks(self) -> set[Replica]:
        """Whose disks lost more than the protocol knows how to bring back."""
        return set(self.ruined)

    def whole(self, excused: Set[Replica]) -> bool:
        """Whether nothing of the log is rotten any more, but on replicas that need not get well."""
        for (key, op), digest in self.rotten.items():
            if key in excused:
                continue
            log = self.watch.log.get(key[0], [])
            header = log[op - 1].header if 0 < op <= len(log) else None
            if header is not None and header.hash == digest and not self.holds(key, header):
                return False
        # Of a disk that took things back nobody knows what it lacks.
        return all(
            self.holds(key, what.header)
            for key in sorted((self.suspects | self.ruined) - excused)
            for what in self.watch.log.get(key[0], [])
        )

    def acknowledged_survives(self, key: Replica, op: int, digest: bytes) -> bool:
        """The same, for a frame known by its hash."""
        frame = self.frames.get(digest)
        return frame is not None and frame.header.op == op and self.survives(key, frame.header)
