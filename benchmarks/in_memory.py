"""`python -m benchmarks.in_memory`: what a cluster in memory costs a test (docs/testing.md)."""

from statistics import median
from time import perf_counter

from veritydb import DataClass, testing

ROUNDS = 15
APPENDS = 1_000


def once(replicas: int) -> float:
    """Start a cluster, append single events and close it; return seconds."""
    began = perf_counter()
    with testing.Cluster(replicas) as db:
        stream = db.create_stream("notes", tenant=1, data_class=DataClass.PHI)
        for offset in range(APPENDS):
            stream.append([testing.event("NoteCreated", b"some text")], expected=offset)
    return perf_counter() - began


def main() -> None:
    """Print a line for each size."""
    for replicas in (1, 3, 5):
        took = sorted(once(replicas) * 1_000 for _ in range(ROUNDS))
        print(
            f"{replicas} replicas, start and {APPENDS:,} appends: "
            f"{median(took):.0f} ms ({took[0]:.0f} to {took[-1]:.0f})"
        )


if __name__ == "__main__":
    main()
