"""pycapnp's loop inside the user's asyncio loop: started by the first client, ended by the last.

pycapnp allows one per asyncio loop, and several clients may live in it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import capnp


class _Use:
    """Who uses the loop. `entered` is None where somebody else had started it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.count = 0
        self.entered: AbstractAsyncContextManager[Any] | None = None


_uses: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Use]" = WeakKeyDictionary()


@asynccontextmanager
async def running() -> AsyncIterator[None]:
    """Make sure that RPC works in this asyncio loop for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    use = _uses.setdefault(loop, _Use())
    async with use.lock:
        if use.count == 0 and not hasattr(loop, "_kj_loop"):
            use.entered = capnp.kj_loop()
            await use.entered.__aenter__()
        use.count += 1
    try:
        yield
    finally:
        async with use.lock:
            use.count -= 1
            if use.count == 0 and use.entered is not None:
                entered, use.entered = use.entered, None
                await entered.__aexit__(None, None, None)
