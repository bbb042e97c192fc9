"""A replicated system-of-record database for healthcare: an append-only log, and its projections.

Importing the package loads nothing else. The test of the architecture holds that, so that a part
can be used (and simulated) without pulling in the ones above it.
"""

__version__ = "0.1.0"


class AssertionsDisabledError(RuntimeError):
    """Python was started with assertions switched off; VerityDB does not run like that."""


# Not an assertion, because those are just what would be missing.
if not __debug__:
    raise AssertionsDisabledError(
        "VerityDB refuses to run under `python -O` or PYTHONOPTIMIZE: its assertions stop a "
        "replica that has gone wrong before it can spread the damage. Start Python without them."
    )
