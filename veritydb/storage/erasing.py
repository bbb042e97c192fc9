"""Erasing events for good: first the map says what is gone, durably, then the bytes go."""

from collections.abc import Sequence
from hashlib import sha256

from veritydb.storage.holes import HoleMaps
from veritydb.storage.journal import Journal
from veritydb.storage.segments import BODY_AT, Segments, hole_spans
from veritydb.types import entry
from veritydb.types.frame import Frame, Header, Hole
from veritydb.types.ids import Op

Entry = tuple[Op, int]


class Erasing:
    """Erases parts of entries in the segments of one replica. Writer thread only."""

    def __init__(self, journal: Journal, segments: Segments, holes: HoleMaps) -> None:
        """Work on one replica's files."""
        assert holes is not None
        self._journal = journal
        self._segments = segments
        self._holes = holes

    def erase(self, entries: Sequence[Entry]) -> list[Entry]:
        """Erase all parts of entries; return those whose frame cannot be read."""
        wanted: dict[Op, list[int]] = {}
        for op, index in entries:
            wanted.setdefault(op, []).append(index)
        failed: list[Entry] = []
        found: dict[Op, list[tuple[Op, Hole]]] = {}
        spans: dict[Op, list[tuple[int, int]]] = {}
        for op in sorted(wanted):
            header = self._journal.header(op)
            whole = self._segments.read_one(header) if header is not None else None
            if whole is None:
                failed += [(op, index) for index in wanted[op]]
                continue
            holes = new_holes(whole, wanted[op])
            segment = whole.header.segment
            found.setdefault(segment, []).extend((op, hole) for hole in holes)
            spans.setdefault(segment, []).extend(_places(whole.header, whole.body, holes))
        # An earlier try may have ended in between for want of space: what it left comes first.
        whole_segments = [segment for segment in sorted(found) if self._complete(segment)]
        for segment in sorted(found):
            if found[segment]:
                self._holes.add(segment, found[segment])
        for segment in sorted(spans):
            if spans[segment]:
                self._segments.erase(segment, spans[segment])
                if segment in whole_segments:
                    self._holes.finish(segment)
        assert len(failed) <= len(entries)
        return failed

    def finish(self) -> None:
        """Erase again what the maps name, where a crash may have come before the bytes went."""
        for segment in self._holes.segments():
            self._complete(segment)

    def _complete(self, segment: Op) -> bool:
        """Erase what a segment's map names and may still be there. Returns whether none is left."""
        if segment not in self._holes.segments():
            return True
        ops = self._holes.unfinished(segment)
        spans: list[tuple[int, int]] = []
        complete, readable = True, False
        for op in ops:
            header = self._journal.header(op)
            whole = self._segments.read_one(header) if header is not None else None
            if whole is None:
                # To be repaired, and what repairs it keeps the holes. Look again next time.
                complete = False
                continue
            readable = True
            places = _places(whole.header, whole.body, self._holes.of(segment, op))
            spans += [place for place in places if self._segments.filled(segment, *place)]
        if readable:
            # Also where nothing is left to be made zero: it may not be durable.
            self._segments.erase(segment, spans)
        if ops and complete:
            self._holes.finish(segment)
        assert complete or ops
        assert readable or not spans
        return complete


def new_holes(whole: Frame, indexes: Sequence[int]) -> list[Hole]:
    """Return the holes that erasing these entries makes, beside those that are there."""
    known = {(hole.entry, hole.part) for hole in whole.holes}
    assert all(0 <= index < whole.header.entry_count for index in indexes)
    found = []
    body = memoryview(whole.body)
    for index, (header, start, _) in enumerate(entry.split(body, whole.header.entry_count)):
        if index not in indexes:
            continue
        at = start + entry.HEADER_BYTES + header.parts * entry.PART_BYTES
        for number, part in enumerate(
            entry.part_table(body[start + entry.HEADER_BYTES :], header.parts)
        ):
            events = body[at + part.descriptor_len :][: part.events_len]
            # A part that counts no events says how the others are to be read, and stays.
            if part.events and events and (index, number) not in known:
                found.append(Hole(index, number, sha256(events).digest()))
            at += part.descriptor_len + part.events_len
    return found


def _places(header: Header, body: bytes, holes: Sequence[Hole]) -> list[tuple[int, int]]:
    """Return where in the segment the bytes of holes stand."""
    start = header.position + BODY_AT
    spans = hole_spans(header, body, tuple(holes))
    assert len(spans) == len(holes)
    return [(start + first, start + last) for first, last in spans if first < last]
