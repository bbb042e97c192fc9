"""Refusals: every reason for not carrying out a call, as a typed result that quotes nobody.

An exception that leaves a handler would reach the caller with its traceback, so none may: handlers
run inside `guarded`, and the results that can be refused have a field for it.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from veritydb.types.errors import (
    Applied,
    CorruptData,
    EdgeCode,
    NotSupported,
    TooLarge,
    VerityError,
    code_name,
)
from veritydb.types.outcome import Code, Outcome

H = TypeVar("H")

MESSAGES: dict[int, str] = {
    Code.NO_SESSION: "the session is not known any more; register again",
    Code.STALE_NUMBER: "the result of this request number was forgotten after it was acknowledged",
    Code.WINDOW_EXCEEDED: "too many requests of this session are outstanding",
    Code.NO_SUCH_STREAM: "there is no such stream",
    Code.STREAM_ALREADY_EXISTS: "a stream of this name exists",
    Code.WRONG_EXPECTED_OFFSET: "the stream's next offset is not the expected one",
    Code.STREAM_SEALED: "the stream is sealed",
    Code.TOO_MANY_STREAMS: "the group holds as many streams as it can",
    Code.WRONG_TENANT: "there is no such stream",
    Code.OFFSET_BEYOND_END: "the offset lies beyond the stream's end",
    Code.ORIGIN_GAP: "the origin's sequence skips events that were never seen",
    Code.OUTCOME_UNKNOWN: "too old to tell whether it was applied before; it was not applied now",
    Code.ORIGIN_OVERLAP: "some of these events were applied before, and some were not",
    Code.STREAM_DIFFERS: "a stream of this name exists with another data class",
    Code.TOO_MANY_ORIGINS: "the group remembers as many origins as it can",
    Code.SENT_AHEAD: "the time of first sending (sentAt) is ahead of the cluster's clock",
    Code.PLACEMENT_REFUSED: "policy does not let this class of data lie there",
    Code.POLICY_VERSION_CONFLICT: "the policy has another version by now",
    Code.NO_SUCH_REGION: "no group serves this region",
    Code.FORBIDDEN: "policy does not let this tenant write here",
    Code.BAD_COMMAND: "the command is malformed",
    Code.NOT_SUPPORTED: "not supported by this version",
    Code.NAME_INVALID: "a name is in Unicode normal form C, not empty, without control characters",
    EdgeCode.NOT_PRIMARY: "this node is not the primary of the group",
    EdgeCode.NOT_READY: "the group has no primary that can answer yet",
    EdgeCode.OVERLOADED: "as much is waiting as may wait",
    EdgeCode.CLOCK: "the clocks of the cluster disagree",
    EdgeCode.READ_ONLY: "the disk is nearly full: only reads are served",
    EdgeCode.DROPPED: "the primary changed while the request waited",
    EdgeCode.DEADLINE: "the time given for the call has passed",
    EdgeCode.UNKNOWN_GROUP: "this node holds no replica of the group",
    EdgeCode.BELOW_FLOOR: "these events were given up",
    EdgeCode.AMBIGUOUS_STREAM: "several groups have a stream of this name",
    EdgeCode.STOPPING: "the node is stopping",
    EdgeCode.CORRUPT: "this node cannot read what is asked for until it is repaired",
    EdgeCode.INTERNAL: "internal error; the node's log says more",
}
# Where the RPC library reads and writes fields: a discriminant, enumerant or text it cannot read.
MESSAGES_FILE = "capnp.pyx"
MAYBE_APPLIED = {EdgeCode.DROPPED, EdgeCode.DEADLINE, EdgeCode.INTERNAL, Code.STALE_NUMBER}


class Refused(Exception):
    """A call is not carried out. What the caller is told, and nothing else."""

    def __init__(
        self,
        code: int,
        message: str = "",
        *,
        maybe_applied: bool | None = None,
        retry_after_ms: int = 0,
        redirect: str = "",
        actual: int = 0,
        limit: int = 0,
    ) -> None:
        """Without `message` the code's own text; without `maybe_applied` what the code implies."""
        super().__init__(message or MESSAGES.get(code, code_name(code)))
        self.code = int(code)
        self.maybe_applied = code in MAYBE_APPLIED if maybe_applied is None else maybe_applied
        self.retry_after_ms = retry_after_ms
        self.redirect = redirect
        self.actual = actual
        self.limit = limit


def of_error(error: VerityError) -> Refused:
    """The refusal that stands for an error found while looking at a request."""
    code = EdgeCode.INVALID_INPUT
    if isinstance(error, TooLarge):
        code = EdgeCode.TOO_LARGE
    elif isinstance(error, CorruptData):
        code = EdgeCode.CORRUPT
    return Refused(
        Code.NOT_SUPPORTED if isinstance(error, NotSupported) else error.code or code,
        str(error.args[0]),
        maybe_applied=error.applied is Applied.UNKNOWN,
        actual=error.actual or 0,
        limit=error.limit or 0,
    )


def of_outcome(outcome: Outcome) -> Refused:
    """The refusal that stands for an outcome which the log decided on."""
    assert not outcome.accepted
    message = ""
    if outcome.code is Code.WRONG_EXPECTED_OFFSET:
        message = f"the stream's next offset is {outcome.base}, not the expected one"
    return Refused(outcome.code, message, actual=outcome.base)


def fill(builder: Any, refused: Refused) -> None:
    """Write a refusal into a `Refusal` of common.capnp."""
    builder.code = refused.code
    builder.name = code_name(refused.code)
    builder.message = str(refused)
    builder.applied = "unknown" if refused.maybe_applied else "no"
    builder.retryAfterMs = refused.retry_after_ms
    builder.redirect = refused.redirect
    builder.actual = refused.actual
    builder.limit = refused.limit


Handler = Callable[[H, Any], Awaitable[None]]
Place = Callable[[Any], Any]


def in_result(results: Any) -> Any:
    """Where most results hold their refusal."""
    return results.init("res").init("refused")


def directly(results: Any) -> Any:
    """Where results without a union hold it."""
    return results.init("refused")


def guarded(place: Place | None = in_result) -> Callable[[Handler[H]], Handler[H]]:
    """Make a handler answer with a refusal whatever it raises.

    `place` finds the refusal in the results; None for calls that have no room for one. A handler's
    class has an attribute `log` for what is nobody's fault but ours.
    """

    def decorate(handler: Handler[H]) -> Handler[H]:
        @functools.wraps(handler)
        async def call(self: H, context: Any) -> None:
            try:
                await handler(self, context)
                return
            except Refused as error:
                refused = error
            except VerityError as error:
                refused = of_error(error)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                refused = failed(self, handler.__name__, error)
            if place is not None:
                fill(place(context.results), refused)

        return call

    return decorate


def place_of(error: Exception) -> tuple[str, int]:
    """File and line where an exception arose."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return "", 0
    return at.tb_frame.f_code.co_filename.rpartition("/")[2], at.tb_lineno


def failed(handler: Any, name: str, error: Exception) -> Refused:
    """The refusal of a call whose handler stumbled: over the request, or over a bug of ours."""
    if isinstance(error, UnicodeDecodeError):
        return Refused(EdgeCode.INVALID_INPUT, "a text of the request is not UTF-8")
    if place_of(error)[0] == MESSAGES_FILE:
        # Of a request, surely; but if it were of the answer, the call was carried out.
        handler.log.warning("request.malformed", call=name)
        message = "the request holds what its schema does not know"
        return Refused(EdgeCode.INVALID_INPUT, message, maybe_applied=True)
    report(handler, name, error)
    return Refused(EdgeCode.INTERNAL)


def report(handler: Any, name: str, error: Exception) -> None:
    """Log a bug: the type and the place of an exception, but never its text."""
    file, line = place_of(error)
    handler.log.error("handler.failed", call=name, error=type(error).__name__, at=f"{file}:{line}")
