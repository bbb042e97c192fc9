"""One client's connection: how much of it may be in flight, and what it may cost."""

from types import TracebackType

from veritydb.server.gate import Gate
from veritydb.server.refusals import Refused
from veritydb.types.errors import EdgeCode
from veritydb.types.limits import CONNECTION_IN_FLIGHT_BYTES_MAX, CONNECTION_IN_FLIGHT_CALLS_MAX

# Reading stops some way before calls are refused, so that refusals are for those who never stop.
HOLD_CALLS = CONNECTION_IN_FLIGHT_CALLS_MAX // 2
HOLD_BYTES = CONNECTION_IN_FLIGHT_BYTES_MAX // 2
CALL_BYTES = 256


class Connection:
    """Counts the calls that are being carried out and their bytes; holds the gate above a bound."""

    def __init__(self, gate: Gate, number: int) -> None:
        """`number` is what the log calls it."""
        self.gate = gate
        self.number = number
        self.client = b""
        self.calls = 0
        self.bytes = 0

    def call(self, size: int = 0) -> "Call":
        """Enter this around a call whose parameters have `size` bytes. Raises Refused."""
        if (
            self.calls >= CONNECTION_IN_FLIGHT_CALLS_MAX
            or self.bytes + size > CONNECTION_IN_FLIGHT_BYTES_MAX
        ):
            raise Refused(
                EdgeCode.OVERLOADED,
                "too many calls of this connection are waiting",
                retry_after_ms=50,
                limit=CONNECTION_IN_FLIGHT_CALLS_MAX,
            )
        return Call(self, size + CALL_BYTES)


class Call:
    """A call in flight."""

    __slots__ = ("_connection", "_size")

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection = connection
        self._size = size

    def __enter__(self) -> None:
        connection = self._connection
        connection.calls += 1
        connection.bytes += self._size
        if connection.calls > HOLD_CALLS or connection.bytes > HOLD_BYTES:
            connection.gate.hold()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection = self._connection
        connection.calls -= 1
        connection.bytes -= self._size
        if connection.calls <= HOLD_CALLS and connection.bytes <= HOLD_BYTES:
            connection.gate.release()
