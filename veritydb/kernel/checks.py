"""What must hold of every state, and of every step from one to the next.

Looks at everything, so it is for simulations and tests; production has the assertions.
"""

from veritydb.kernel.state import KernelState
from veritydb.policy.placement import GLOBAL_CLASSES, region_name
from veritydb.streams import timers
from veritydb.streams.batches import GENERATION_IDS_MAX, GENERATIONS
from veritydb.streams.state import Retained, Stream, Streams, name_key
from veritydb.types.ids import StreamId, group_of, stream_id
from veritydb.types.limits import ORIGIN_RUNS_MAX, RETENTION_RUNS_MAX, SENT_AHEAD_MAX_NS


def check(before: KernelState, after: KernelState) -> None:
    """Assert that `after` is a state, and can have come from `before`."""
    assert after.group == before.group and after.region == before.region
    assert after.directory is before.directory or after.directory == before.directory
    assert after.kernel >= before.kernel
    assert after.policy.version >= before.policy.version
    if after.policy.version == before.policy.version:
        assert after.policy.rules == before.policy.rules, "rules changed under their version"
    old, new = before.streams, after.streams
    assert new.group == after.group
    assert new.created >= old.created
    assert len(new.records) == new.created == len(new.names)
    for counter in range(1, new.created + 1):
        number = stream_id(new.group, counter)
        stream = new.records[number]
        known = old.records.get(number)
        assert (known is None) == (counter > old.created), "a stream came or went out of order"
        if stream is not known:
            _check_stream(after, stream, number)
            if known is not None:
                _check_step(known, stream)
        _check_retained(new, stream)
    _check_timers(new)
    _check_origins(old, new)
    batches = new.batches
    assert batches.forgotten >= old.batches.forgotten
    assert len(batches.generations) <= GENERATIONS
    for generation in batches.generations:
        assert generation.first_at <= generation.until
        assert batches.forgotten <= generation.first_at + SENT_AHEAD_MAX_NS
        assert 0 < len(generation.ids) <= GENERATION_IDS_MAX


def _check_stream(state: KernelState, stream: Stream, number: StreamId) -> None:
    info = stream.info
    assert info.id == number and group_of(number) == state.group
    assert region_name(info.placement) == state.region, "a stream outside of its region"
    assert state.region or info.data_class in GLOBAL_CLASSES, "PHI in the global group"
    assert 0 <= stream.floor <= stream.next
    assert state.streams.names[name_key(info.tenant, info.name)] == number


def _check_step(before: Stream, after: Stream) -> None:
    old, new = before.info, after.info
    assert (old.tenant, old.name, old.data_class) == (new.tenant, new.name, new.data_class)
    assert (old.placement, old.created_at) == (new.placement, new.created_at)
    assert after.next >= before.next and after.floor >= before.floor
    assert after.sealed or not before.sealed
    assert not before.sealed or after.next == before.next, "a sealed stream grew"
    assert after.bytes >= before.bytes and after.last_at >= before.last_at


def _check_retained(streams: Streams, stream: Stream) -> None:
    kept: Retained | None = streams.retained.get(stream.info.id)
    bounds = stream.info.retention
    if bounds is not None and bounds.max_events:
        assert stream.next - stream.floor <= bounds.max_events
    if kept is None:
        return
    assert bounds is not None and (bounds.max_age_ns or bounds.max_bytes)
    assert bool(kept.due) == bool(bounds.max_age_ns)
    assert 0 < len(kept.runs) <= RETENTION_RUNS_MAX
    assert kept.count == sum(run.count for run in kept.runs)
    assert kept.bytes == sum(run.bytes for run in kept.runs)
    # The oldest run may reach below the floor, but not all of it.
    assert stream.next - kept.count <= stream.floor
    assert stream.next - kept.count + kept.runs[0].count > stream.floor


def _check_timers(streams: Streams) -> None:
    waiting = {(kept.due, number) for number, kept in streams.retained.items() if kept.due}
    found = []
    stack = [streams.timers]
    while stack:
        node: timers.Timer | None = stack.pop()
        if node is not None:
            found.append((node.due, node.stream))
            stack += [node.left, node.right]
    assert len(found) == len(waiting) and set(found) == waiting, "timers and streams disagree"
    assert streams.timers is None or timers.first(streams.timers) == min(found)


def _check_origins(before: Streams, after: Streams) -> None:
    assert len(after.origins) == len(after.origin_numbers) >= len(before.origins)
    for number in range(len(after.origins)):
        origin = after.origins[number]
        assert after.origin_numbers[origin.key] == number
        known = before.origins.get(number)
        if origin is known:
            continue
        assert known is None or (known.key == origin.key and known.next <= origin.next)
        assert 0 < len(origin.runs) <= ORIGIN_RUNS_MAX
        assert origin.runs[-1].seq + origin.runs[-1].count == origin.next
