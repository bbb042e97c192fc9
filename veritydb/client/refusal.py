"""What a node answers when it does not do what it was asked."""

from typing import Any

import msgspec

from veritydb.types.errors import ERRORS, Applied, EdgeCode, Internal, VerityError
from veritydb.types.outcome import Code

# Another node may do it, or this one a moment later. Certainly not applied, but for DROPPED.
TRY_AGAIN = frozenset(
    {
        EdgeCode.NOT_PRIMARY,
        EdgeCode.NOT_READY,
        EdgeCode.OVERLOADED,
        EdgeCode.CLOCK,
        EdgeCode.DROPPED,
        EdgeCode.UNKNOWN_GROUP,
        EdgeCode.STOPPING,
        EdgeCode.CORRUPT,
        Code.WINDOW_EXCEEDED,
    }
)
# Another node should be asked, as against the same one once more.
ASK_ANOTHER = frozenset(
    {
        EdgeCode.NOT_PRIMARY,
        EdgeCode.NOT_READY,
        EdgeCode.DROPPED,
        EdgeCode.UNKNOWN_GROUP,
        EdgeCode.STOPPING,
    }
)


class RefusedBy(Exception):
    """Carries a refusal from where it was read to where it is decided what follows from it."""

    def __init__(self, refusal: "Refusal") -> None:
        """See the class."""
        super().__init__(refusal.name)
        self.refusal = refusal


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """`Refusal` of common.capnp as plain values."""

    code: int
    name: str
    message: str
    unknown: bool
    retry_after_ms: int = 0
    redirect: str = ""
    actual: int = 0
    limit: int = 0

    @property
    def decided(self) -> bool:
        """Whether the log itself decided so, as against a node on its own."""
        return self.code < EdgeCode.NOT_PRIMARY

    def error(self, *, maybe_applied: bool = False) -> VerityError:
        """Return what the caller gets. `maybe_applied`: an earlier attempt may have succeeded."""
        kind = ERRORS.get(self.code, Internal)
        unknown = self.unknown or (maybe_applied and not self.decided)
        return kind(
            self.message or self.name,
            applied=Applied.UNKNOWN if unknown else None,
            actual=self.actual,
            limit=self.limit or None,
            retry_after_ms=self.retry_after_ms,
            code=self.code,
        )


def read_refusal(message: Any) -> Refusal:
    """Copy a `Refusal`."""
    return Refusal(
        code=message.code,
        name=message.name,
        message=message.message,
        unknown=str(message.applied) == "unknown",
        retry_after_ms=message.retryAfterMs,
        redirect=message.redirect,
        actual=message.actual,
        limit=message.limit,
    )


def check(result: Any) -> Any:
    """Return a result that has a union with `refused`, or raise RefusedBy."""
    if result.which() == "refused":
        raise RefusedBy(read_refusal(result.refused))
    return result


def check_flat(response: Any) -> Any:
    """The same for a response with a `refused` field whose code 0 means that all is well."""
    if response.refused.code:
        raise RefusedBy(read_refusal(response.refused))
    return response
