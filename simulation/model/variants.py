"""What the product does not do, and might: searched in the same way, to know if it would hold."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from simulation.canaries.planting import put
from simulation.model.scopes import Scope
from veritydb.storage import journal, names
from veritydb.storage.segments import padded, runs
from veritydb.storage.store import Store
from veritydb.types.frame import Frame


class Variant(NamedTuple):
    """Another way to do something, and the scope in which it is searched."""

    name: str
    plant: Callable[[], None]
    scope: Scope


def one_sync() -> None:
    """An append is frames and records together, and one sync of both files.

    So a crash may leave a record without its frame. Nothing else is changed: recovery takes such a
    frame for a rotten one, which is neither present nor absent in a view change.
    """

    def append(self: Store, frames: Sequence[Frame]) -> None:
        if not frames:
            return
        last = frames[-1].header
        self._journal.reserve(last.op)
        written = []
        for first, end in runs([each.header for each in frames]):
            run = frames[first:end]
            name = self._segments._ensure(run[0].header.segment)
            self._disk.write(name, run[0].header.position, [b for f in run for b in padded(f)])
            written.append(name)
        records = b"".join(journal.encode(each.header) for each in frames)
        at = frames[0].header.op * journal.RECORD_BYTES
        self._disk.write(names.JOURNAL, at, (records,))
        for name in (*written, names.JOURNAL):
            self._disk.sync(name)
        self._last, self._head = last, last.op

    put(Store, "append", append)


VARIANTS = (
    Variant(
        "one sync per append",
        one_sync,
        Scope(name="crash", views=2, requests=1, timeouts=1, crashes=1, states=400_000),
    ),
)
