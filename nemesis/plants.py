"""Lies that the account of a run is told on purpose. One that it believes is a hole in it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from nemesis.checks import Reading
from nemesis.clients import Note
from nemesis.history import Ending
from simulation.checkers.history import Kind

# More than can be without an answer at the end of a stream.
DROPPED = 100


class Shown(NamedTuple):
    """What the account is made from: by stream, and for the published ones by node."""

    readings: Mapping[str, Mapping[str, Reading]]
    notes: Sequence[Note]
    endings: Mapping[str, Ending]


def truth(shown: Shown) -> Shown:
    """Nothing is planted."""
    return shown


def drop_ack(shown: Shown) -> Shown:
    """The last events of each published stream are lost on all nodes, acknowledged or not."""
    kept = {
        stream: {
            node: msgspec.structs.replace(
                reading, offsets=reading.offsets[:-DROPPED], digests=reading.digests[:-DROPPED]
            )
            for node, reading in found.items()
        }
        for stream, found in shown.readings.items()
    }
    return shown._replace(readings=kept)


def forget(shown: Shown) -> Shown:
    """Each recorded stream lacks its first event."""
    kept = {
        stream: Ending(ending.values[1:], ending.times[1:])
        for stream, ending in shown.endings.items()
    }
    return shown._replace(endings=kept)


def repeat(shown: Shown) -> Shown:
    """Each recorded stream ends with its first event, as if that had been applied twice."""
    more = {
        stream: Ending(ending.values + ending.values[:1], ending.times + ending.times[-1:])
        for stream, ending in shown.endings.items()
    }
    return shown._replace(endings=more)


def stale_read(shown: Shown) -> Shown:
    """Fresh reads show nothing, however much is there."""
    notes = [
        msgspec.structs.replace(
            note, operation=note.operation._replace(values=(), offset=0, next=0)
        )
        if note.operation.kind is Kind.READ and note.operation.fresh
        else note
        for note in shown.notes
    ]
    return shown._replace(notes=notes)


PLANTS: dict[str, Callable[[Shown], Shown]] = {
    "": truth,
    "drop-ack": drop_ack,
    "forget": forget,
    "repeat": repeat,
    "stale-read": stale_read,
}
