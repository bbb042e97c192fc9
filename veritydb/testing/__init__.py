"""For the tests of programs that use VerityDB: the real database, in memory, in one thread.

    with testing.Cluster(replicas=3) as db:
        notes = db.create_stream("notes", tenant=1, data_class=DataClass.PHI, placement=REGION)
        notes.append([testing.event("NoteCreated")], expected=NO_STREAM)
        db.crash(db.primary())
        notes.append([testing.event("NoteSigned")], expected=1)
        db.advance(timedelta(days=30))

What runs is the product: the replication, the storage formats and the kernel. Disks are dicts, the
network is a list and time passes only when something waits for it or `advance` says so; no thread,
socket, file or sleep is involved, and the same calls have the same results in each run.

The pytest plugin brings the fixtures `verity_db` (a replica alone), `verity_cluster` (three) and
`verity_client` (the SDK itself, on a node in a directory of the test's own).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veritydb.testing.cluster import REGION, Cluster
    from veritydb.testing.factories import EventFactory, event, events
    from veritydb.testing.stream import Stream

__all__ = ["REGION", "Cluster", "EventFactory", "Stream", "event", "events"]

_MODULES = {
    "veritydb.testing.cluster": ("REGION", "Cluster"),
    "veritydb.testing.factories": ("EventFactory", "event", "events"),
    "veritydb.testing.stream": ("Stream",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


# Pytest loads the plugin in every run, also where no test needs a database: so nothing is loaded
# before it is used. Hidden from type checkers, which would then accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first used."""
        if name not in _PLACES:
            raise AttributeError(f"module 'veritydb.testing' has no attribute {name!r}")
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
