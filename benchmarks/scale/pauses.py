"""What the nodes say of how long their loops were held up, over a window."""

from collections.abc import Mapping

from benchmarks.scale.results import Pause
from veritydb.client.values import NodeStatus, Pauses

Told = Mapping[int, tuple[Pauses, ...]]


def told(statuses: list[NodeStatus]) -> Told:
    """The histograms of each process."""
    return {status.pid: status.pauses for status in statuses if status.reachable}


def since(before: Told, after: Told) -> list[Pause]:
    """What came in between, of all nodes together. A process that is new counts from its start."""
    found: dict[str, Pause] = {}
    for pid, histograms in after.items():
        earlier = {one.what: one for one in before.get(pid, ())}
        for one in histograms:
            old = earlier.get(one.what)
            counts = [
                count - (old.counts[place] if old else 0) for place, count in enumerate(one.counts)
            ]
            # The longest of all time is that of the window only if it grew in it.
            longest = one.longest_us if old is None or one.longest_us > old.longest_us else 0
            sofar = found.get(
                one.what, Pause(what=one.what, longest_ms=0.0, counts=[0] * len(counts))
            )
            found[one.what] = Pause(
                what=one.what,
                longest_ms=max(sofar.longest_ms, longest / 1_000),
                counts=[a + b for a, b in zip(sofar.counts, counts, strict=True)],
            )
    return list(found.values())
