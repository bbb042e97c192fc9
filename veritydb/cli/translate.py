"""What the errors of the SDK and the server mean as exit codes."""

from veritydb.cli.exits import Exit, Failure
from veritydb.server.failures import ConfigError, NotInitialised, StartError
from veritydb.storage.disk import DiskError
from veritydb.types import errors
from veritydb.types.outcome import Code

# The first class that fits decides.
MEANINGS: tuple[tuple[type[errors.VerityError], Exit], ...] = (
    (errors.InvalidInput, Exit.USAGE),
    (errors.NoSuchStream, Exit.NOT_FOUND),
    (errors.TruncatedRange, Exit.NOT_FOUND),
    (errors.CorruptData, Exit.DAMAGED),
    (errors.Internal, Exit.BUG),
    (errors.Closed, Exit.BUG),
    (errors.OutcomeUnknown, Exit.UNKNOWN),
    (errors.DeadlineExceeded, Exit.UNAVAILABLE),
    (errors.Unavailable, Exit.UNAVAILABLE),
    (errors.UnreachablePlacement, Exit.UNAVAILABLE),
)
START: tuple[tuple[type[StartError], Exit], ...] = (
    (ConfigError, Exit.USAGE),
    (NotInitialised, Exit.NOT_FOUND),
)
# What a cluster that could be reached does not have, under a class whose others could not.
ABSENT = {int(Code.NO_SUCH_REGION), int(errors.EdgeCode.UNKNOWN_GROUP)}

HINTS: tuple[tuple[type[errors.VerityError], str], ...] = (
    (errors.AmbiguousStream, "say which with --placement global or --placement region:NAME"),
    (errors.OutcomeUnknown, "read the stream to find out"),
    (errors.Unavailable, "is the cluster up? veritydb cluster status"),
)


def translate(error: Exception) -> Failure | None:
    """The failure that stands for an error of ours; None for any other exception."""
    if isinstance(error, errors.VerityError):
        hint = next((hint for kind, hint in HINTS if isinstance(error, kind)), "")
        return Failure(exit_of(error), str(error), name=name_of(error), hint=hint)
    if isinstance(error, StartError):
        code = next((code for kind, code in START if isinstance(error, kind)), Exit.REFUSED)
        return Failure(code, str(error), name=type(error).__name__)
    if isinstance(error, DiskError):
        # Names a file and what the system says of it.
        denied = isinstance(error.__cause__, PermissionError)
        return Failure(Exit.USAGE if denied else Exit.DAMAGED, str(error), name="DISK")
    return None


def exit_of(error: errors.VerityError) -> Exit:
    """The exit code of a failed call."""
    found = next((code for kind, code in MEANINGS if isinstance(error, kind)), Exit.REFUSED)
    if error.code in ABSENT:
        return Exit.NOT_FOUND
    if found is Exit.UNAVAILABLE and error.applied is errors.Applied.UNKNOWN:
        return Exit.UNKNOWN
    return found


def name_of(error: errors.VerityError) -> str:
    """The name a program can rely on: that of the outcome, or else of the error."""
    return errors.code_name(error.code) if error.code else type(error).__name__
