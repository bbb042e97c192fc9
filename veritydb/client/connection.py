"""One connection to one node: the handshake, the capabilities, and noticing when it is dead.

A node that died silently (stopped, unplugged) closes nothing. So while calls are outstanding and
nothing is heard, the connection asks how the node is; without any answer it gives the node up, and
all that was outstanding fails as lost.
"""

import asyncio
import time
from typing import Any

import capnp

from veritydb.client.refusal import check
from veritydb.client.transport import Dial
from veritydb.types.errors import Internal, NotSupported, WrongCluster
from veritydb.wire.schemas import load

PROTOCOL_VERSION = 1
HELLO_TIMEOUT_S = 1.0
WATCH_EVERY_S = 0.1
ASK_AFTER_S = 0.25
SILENT_AFTER_S = 0.75
SILENT_AFTER_MAX_S = 4.0
# In words of 8 bytes; the largest message is a batch or a page of 8 MiB and what surrounds it.
MESSAGE_WORDS_MAX = 4 << 20
CAPABILITIES = ("streams", "policy", "audit", "cluster")


class Lost(Exception):
    """The connection ended before the answer came: nobody knows whether the call took effect."""


class Connection:
    """Made by `open`, ended by `close` or by the other side."""

    def __init__(self, address: str, stream: Any, silent_after: float) -> None:
        """Speak over a connected stream. Use `open` instead."""
        self.address = address
        self.cluster = b""
        self.node = ""
        self.clock_offset = 0
        self.opened_at = time.monotonic()
        self.gave_up = False
        self._stream = stream
        self._silent_after = silent_after
        self._rpc = capnp.TwoPartyClient(stream, traversal_limit_in_words=MESSAGE_WORDS_MAX)
        self._methods: dict[tuple[str, str], Any] = {}
        self._capabilities: dict[str, Any] = {}
        self._outstanding = 0
        self._heard_at = 0.0
        self._asking: asyncio.Future[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False

    @classmethod
    async def open(
        cls, address: str, dial: Dial, client: bytes, silent_after: float = SILENT_AFTER_S
    ) -> "Connection":
        """Connect and shake hands. Raises OSError, TimeoutError, Lost, WrongCluster."""
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            connection = cls(address, await dial(address), silent_after)
            try:
                await connection._hello(client)
            except BaseException:
                connection.close()
                raise
            return connection

    async def _hello(self, client: bytes) -> None:
        schema = load("veritydb")
        door = answer = session = None
        try:
            door = self._rpc.bootstrap().cast_as(schema.VerityDb)
            answer = (
                await door.hello(req={"protocolVersion": PROTOCOL_VERSION, "client": client})
            ).res
            if answer.which() == "refused":
                raise WrongCluster(answer.refused.message or "the node refused the connection")
            self.cluster, self.node = answer.cluster, answer.node
            if answer.time:
                self.clock_offset = answer.time - time.time_ns()
            session = answer.session
            self._capabilities["session"] = session
            for name in CAPABILITIES:
                self._capabilities[name] = getattr(await getattr(session, name)(), name)
        except capnp.KjException as error:
            if isinstance(_translated(error), Lost):
                raise Lost from None
            # Something else that speaks Cap'n Proto: a node's address for its peers, say.
            raise WrongCluster("what answers there is no node that serves clients") from None
        except UnicodeDecodeError:
            raise Lost from None
        finally:
            # As in `call`.
            door = answer = session = None

    async def call(self, capability: str, method: str, **parameters: Any) -> Any:
        """Call a method and return its response. Raises Lost, NotSupported, Internal."""
        if self.closed:
            raise Lost
        bound = self._methods.get((capability, method))
        if bound is None:
            bound = getattr(self._capabilities[capability], method)
            self._methods[capability, method] = bound
        if self._outstanding == 0:
            self._heard_at = time.monotonic()
            if self._timer is None:
                self._watch_later()
        self._outstanding += 1
        try:
            answer = await bound(**parameters)
            self._heard_at = time.monotonic()
            return answer
        except capnp.KjException as error:
            raise _translated(error) from None
        finally:
            self._outstanding -= 1
            # A traceback keeps this frame, and must not keep a capability with it: another thread
            # may be the one that collects it.
            bound = None

    async def ask(self, capability: str, method: str, **parameters: Any) -> Any:
        """The same for calls whose result `res` may be a refusal. Raises RefusedBy as well."""
        return check((await self.call(capability, method, **parameters)).res)

    # -- noticing silence

    def _watch_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_EVERY_S, self._watch)

    def _watch(self) -> None:
        self._timer = None
        if self.closed or self._outstanding == 0:
            return
        silence = time.monotonic() - self._heard_at
        if silence > self._silent_after:
            self.gave_up = True
            self.close()
            return
        if silence > ASK_AFTER_S and self._asking is None:
            self._asking = asyncio.ensure_future(self._ask_how_it_is())
        self._watch_later()

    async def _ask_how_it_is(self) -> None:
        try:
            await self._capabilities["cluster"].status()
            self._heard_at = time.monotonic()
        except capnp.KjException:
            # If the connection is gone, the calls that wait for it hear of it themselves.
            pass
        finally:
            self._asking = None

    def close(self) -> None:
        """End the connection. What is outstanding fails as Lost. May be called again."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()
        # Capabilities must go here, on the loop's thread, and never through the cyclic collector.
        self._methods.clear()
        self._capabilities.clear()
        self._rpc.close()
        self._stream.close()


def _translated(error: Any) -> Exception:
    """Turn pycapnp's exception into ours. Its text may hold traces, so it stops here."""
    kind = str(error.type)
    if kind == "DISCONNECTED":
        return Lost()
    if kind == "UNIMPLEMENTED":
        return NotSupported("the node does not know this call")
    return Internal("the node failed to answer the call")
