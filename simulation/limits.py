"""Small limits, so that runs reach what a production cluster reaches only at a large scale.

The product takes these numbers from its limits when it is loaded; a run changes them where they are
used and puts them back. All replicas of a run have the same ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from simulation import segments
from simulation.checkers import sessions as sessions_checker
from simulation.plan import Plan
from veritydb.types.limits import KIB
from veritydb.vsr import commit, log, normal, sessions, view_change

FEW: tuple[tuple[ModuleType, str, int], ...] = (
    (sessions, "SESSIONS_MAX", 4),
    (sessions, "RESULTS_MAX", 24),
    # Any session may have been forgotten then.
    (sessions_checker, "SESSIONS_MAX", 0),
    (normal, "PIPELINE_BYTES_MAX", 12 * KIB),
    (normal, "PENDING_ENTRIES_MAX", 4),
    (view_change, "FORFEIT_OPS", 2),
    (log, "HEADERS_KEPT", 64),
    (log, "FRAMES_KEPT_BYTES", 48 * KIB),
    (commit, "BACKLOG_BYTES_MAX", 400 * KIB),
)


@contextmanager
def scaled(plan: Plan) -> Iterator[None]:
    """Have the limits of a plan inside the block."""
    segment_bytes = segments.use(plan.segment_bytes)
    changed = FEW if plan.few else ()
    before = [(module, name, vars(module)[name]) for module, name, _ in changed]
    for module, name, limit in changed:
        vars(module)[name] = limit
    try:
        yield
    finally:
        segments.use(segment_bytes)
        for module, name, limit in before:
            vars(module)[name] = limit
