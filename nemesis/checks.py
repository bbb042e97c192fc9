"""Whether what was read back is what was acknowledged. Functions over plain data."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from nemesis.ledger import Ledger

NAMED = 5


class Reading(msgspec.Struct, frozen=True):
    """What one node gave back of one stream, in the order in which it came.

    What lies below `floor` was given up by retention.
    """

    offsets: Sequence[int]
    digests: Sequence[bytes]
    floor: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong with one stream, or nothing."""

    acknowledged: int
    read: int
    given_up: int
    lost: int
    duplicated: int
    problems: tuple[str, ...]


def judge(ledger: Ledger, readings: Mapping[str, Reading]) -> Verdict:
    """Check one stream as each of the nodes gave it back."""
    problems = list(ledger.conflicts[:NAMED])
    lost = duplicated = 0
    for node, reading in readings.items():
        found = lost_of(ledger, reading)
        twice = repeated(reading)
        lost, duplicated = max(lost, len(found)), max(duplicated, len(twice))
        for words, offsets in (
            ("acknowledged and lost", found),
            ("there more than once", twice),
            ("refused as not applied, and there", unwanted(ledger, reading)),
            ("not dense", gaps(reading)),
        ):
            if offsets:
                problems.append(f"{node}: {len(offsets)} {words}, the first: {offsets[:NAMED]}")
    problems += differences(readings)
    return Verdict(
        acknowledged=ledger.count,
        read=min((len(reading.offsets) for reading in readings.values()), default=0),
        given_up=max((reading.floor for reading in readings.values()), default=0),
        lost=lost,
        duplicated=duplicated,
        problems=tuple(problems),
    )


def lost_of(ledger: Ledger, reading: Reading) -> list[int]:
    """Offsets whose acknowledged event is not there; -1 for each whose offset is not known."""
    there = dict(zip(reading.offsets, reading.digests, strict=True))
    lost = [
        at
        for at, digest in ledger.acknowledged.items()
        if at >= reading.floor and there.get(at) != digest
    ]
    nowhere = 0 if reading.floor else len(ledger.somewhere - set(there.values()))
    return sorted(lost) + [-1] * nowhere


def repeated(reading: Reading) -> list[int]:
    """Offsets of events that stand at an earlier one, too."""
    seen: set[bytes] = set()
    found = []
    for offset, digest in zip(reading.offsets, reading.digests, strict=True):
        if digest in seen:
            found.append(offset)
        seen.add(digest)
    return found


def unwanted(ledger: Ledger, reading: Reading) -> list[int]:
    """Offsets of events that nobody published, or whose publisher was told that they are not."""
    wanted = set(ledger.acknowledged.values()) | ledger.somewhere | ledger.unknown
    pairs = zip(reading.offsets, reading.digests, strict=True)
    return [offset for offset, digest in pairs if digest not in wanted]


def gaps(reading: Reading) -> list[int]:
    """Offsets that do not follow the one before; the first is the floor."""
    pairs = enumerate(reading.offsets, start=reading.floor)
    return [offset for at, offset in pairs if offset != at][:NAMED]


def differences(readings: Mapping[str, Reading]) -> list[str]:
    """Nodes that gave back something else than the first of them."""
    names = list(readings)
    return [
        f"{name} and {names[0]} gave back different events"
        for name in names[1:]
        if readings[name] != readings[names[0]]
    ]


def totals(verdicts: Iterable[Verdict]) -> Counter[str]:
    """The sums over all streams."""
    sums: Counter[str] = Counter()
    for one in verdicts:
        sums["acknowledged"] += one.acknowledged
        sums["read"] += one.read
        sums["given up"] += one.given_up
        sums["lost"] += one.lost
        sums["duplicated"] += one.duplicated
    return sums
