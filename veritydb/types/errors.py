"""What can go wrong for a caller, by name. Each says whether it may have been applied after all.

The numbers below 100 are outcomes that the log decided (outcome.py); the ones here were decided by
a node before the log was asked. Messages name what is wrong and which limit, and never quote what
the caller sent.
"""

from enum import Enum, IntEnum
from typing import ClassVar

from veritydb.types.outcome import Code


class EdgeCode(IntEnum):
    """Why a node did not even propose a call. Sent: a number never changes its meaning."""

    NOT_PRIMARY = 100
    NOT_READY = 101
    OVERLOADED = 102
    CLOCK = 103
    READ_ONLY = 104
    """The disk is nearly full."""
    DROPPED = 105
    """The primary changed while the call waited: unknown."""
    DEADLINE = 106
    """The call's own time passed while it waited: unknown."""
    UNKNOWN_GROUP = 107
    INVALID_INPUT = 108
    TOO_LARGE = 109
    UNSUPPORTED_VERSION = 110
    BELOW_FLOOR = 111
    """The events asked for were given up; `actual` is the floor."""
    AMBIGUOUS_STREAM = 112
    NOT_FOUND = 113
    STOPPING = 114
    CORRUPT = 115
    """This node cannot read what is asked for until it has been repaired."""
    INTERNAL = 199


class Applied(Enum):
    """What is known about the effect of a call that failed."""

    NO = "not applied"
    UNKNOWN = "unknown"


class VerityError(Exception):
    """Any failure of a call. `applied` says whether it may have taken effect nevertheless.

    `actual` is the true value that was expected to be another (an offset, a version, a floor),
    `limit` the bound that was exceeded, where the error knows them.
    """

    default_applied: ClassVar[Applied] = Applied.NO

    def __init__(
        self,
        message: str,
        *,
        applied: Applied | None = None,
        actual: int | None = None,
        limit: int | None = None,
        retry_after_ms: int = 0,
        code: int = 0,
    ) -> None:
        """Take the class's word on `applied` unless told otherwise."""
        super().__init__(message)
        self.applied = applied or self.default_applied
        self.actual = actual
        self.limit = limit
        self.retry_after_ms = retry_after_ms
        self.code = code

    def copy(self) -> "VerityError":
        """The same failure as another exception, for another caller."""
        return type(self)(
            str(self.args[0]),
            applied=self.applied,
            actual=self.actual,
            limit=self.limit,
            retry_after_ms=self.retry_after_ms,
            code=self.code,
        )

    def __str__(self) -> str:
        """The message, and what is known about the effect."""
        return f"{self.args[0]} ({self.applied.value})"


class InvalidInput(VerityError):
    """The caller's own data breaks a rule or a limit."""


class TooLarge(InvalidInput):
    """Something is over one of the limits of limits.py."""


class NotSupported(VerityError):
    """Known, and not there yet. Never answered by something weaker."""


class WrongExpectedOffset(VerityError):
    """The stream is not where the caller thought; `actual` is its next offset."""


class NoSuchStream(VerityError):
    """No stream of this name or id."""


class StreamExists(VerityError):
    """A stream of this name exists and differs from the one asked for."""


class StreamSealed(VerityError):
    """The stream accepts no more events, for ever."""


class OriginConflict(VerityError):
    """The origin's sequence skips events, or only some of them were applied before.

    `actual` is the sequence that has to come next, where known.
    """


class AmbiguousStream(VerityError):
    """Several groups have a stream of this name; say the placement."""


class UnreachablePlacement(VerityError):
    """Groups that might hold the stream cannot be asked, or nothing serves the placement."""


class PlacementRefused(VerityError):
    """Policy does not let this class of data lie there."""


class PolicyConflict(VerityError):
    """The policy has another version by now (`actual`)."""


class Forbidden(VerityError):
    """The caller may not do this."""


class Unavailable(VerityError):
    """No node that could carry it out was found in time."""


class Overloaded(Unavailable):
    """The cluster has as much to do as it can; see `retry_after_ms`."""


class ReadOnly(Unavailable):
    """The node is short of disk and takes no writes."""


class OutcomeUnknown(VerityError):
    """Nobody can say any more whether it was applied. Read the stream to find out."""

    default_applied = Applied.UNKNOWN


class DeadlineExceeded(VerityError):
    """The call's time passed."""


class TruncatedRange(VerityError):
    """The events asked for were given up; the first that is left is `actual`."""


class CorruptData(VerityError):
    """What arrived is not what was stored: a checksum or a format does not hold."""


class WrongCluster(VerityError):
    """A node of another cluster answered, or one that speaks another version."""


class Closed(VerityError):
    """The client was closed, or carried over a fork."""


class Internal(VerityError):
    """A bug of ours, on the node's side. It logged more."""

    default_applied = Applied.UNKNOWN


ERRORS: dict[int, type[VerityError]] = {
    Code.NO_SESSION: Unavailable,
    Code.STALE_NUMBER: OutcomeUnknown,
    Code.WINDOW_EXCEEDED: Overloaded,
    Code.NO_SUCH_STREAM: NoSuchStream,
    Code.STREAM_ALREADY_EXISTS: StreamExists,
    Code.WRONG_EXPECTED_OFFSET: WrongExpectedOffset,
    Code.STREAM_SEALED: StreamSealed,
    Code.TOO_MANY_STREAMS: TooLarge,
    Code.WRONG_TENANT: NoSuchStream,
    Code.OFFSET_BEYOND_END: InvalidInput,
    Code.ORIGIN_GAP: OriginConflict,
    Code.OUTCOME_UNKNOWN: OutcomeUnknown,
    Code.ORIGIN_OVERLAP: OriginConflict,
    Code.STREAM_DIFFERS: StreamExists,
    Code.TOO_MANY_ORIGINS: TooLarge,
    Code.SENT_AHEAD: InvalidInput,
    Code.PLACEMENT_REFUSED: PlacementRefused,
    Code.POLICY_VERSION_CONFLICT: PolicyConflict,
    Code.NO_SUCH_REGION: UnreachablePlacement,
    Code.FORBIDDEN: Forbidden,
    Code.BAD_COMMAND: InvalidInput,
    Code.NOT_SUPPORTED: NotSupported,
    Code.NAME_INVALID: InvalidInput,
    EdgeCode.NOT_PRIMARY: Unavailable,
    EdgeCode.NOT_READY: Unavailable,
    EdgeCode.OVERLOADED: Overloaded,
    EdgeCode.CLOCK: Unavailable,
    EdgeCode.READ_ONLY: ReadOnly,
    EdgeCode.DROPPED: OutcomeUnknown,
    EdgeCode.DEADLINE: DeadlineExceeded,
    EdgeCode.UNKNOWN_GROUP: UnreachablePlacement,
    EdgeCode.INVALID_INPUT: InvalidInput,
    EdgeCode.TOO_LARGE: TooLarge,
    EdgeCode.UNSUPPORTED_VERSION: WrongCluster,
    EdgeCode.BELOW_FLOOR: TruncatedRange,
    EdgeCode.AMBIGUOUS_STREAM: AmbiguousStream,
    EdgeCode.NOT_FOUND: NoSuchStream,
    EdgeCode.STOPPING: Unavailable,
    EdgeCode.CORRUPT: CorruptData,
    EdgeCode.INTERNAL: Internal,
}


def code_name(code: int) -> str:
    """Return a code's name for people, whichever of the two lists it is from."""
    for words in (Code, EdgeCode):
        if code in words._value2member_map_:
            return words(code).name
    return f"code {code}"
