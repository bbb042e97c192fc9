"""A thread with an asyncio loop of its own, in which the one implementation of the client lives.

Only plain values cross from it to other threads. Whatever belongs to pycapnp stays: dropping its
objects on another thread would end the process.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from veritydb.client.client import AsyncClient
from veritydb.types.errors import Closed

T = TypeVar("T")
Opening = Callable[[], AbstractAsyncContextManager[AsyncClient]]


class LoopThread:
    """Runs one client until it is closed."""

    def __init__(self, opening: Opening) -> None:
        """Start the thread. `opened` tells when the client can be used."""
        self._opening = opening
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life: asyncio.Task[None] | None = None
        self._stopping = False
        self.opened: Future[AsyncClient] = Future()
        self.ended: Future[None] = Future()
        # A daemon: a program that forgets to close its client can end nevertheless.
        self._thread = threading.Thread(target=self._main, name="veritydb-client", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        failure: BaseException = Closed("the client is closed")
        try:
            asyncio.run(self._live())
        except asyncio.CancelledError:
            # This is how `stop` ends it.
            pass
        except BaseException as error:
            failure = error.with_traceback(None)
        self._loop = self._life = None
        if not self.opened.done():
            self.opened.set_exception(failure)
        self.ended.set_result(None)

    async def _live(self) -> None:
        self._life = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self._stopping:
            return
        async with self._opening() as client:
            if self.opened.set_running_or_notify_cancel():
                self.opened.set_result(client)
                await asyncio.get_running_loop().create_future()

    def submit(self, work: Callable[[], Awaitable[T]]) -> "Future[T]":
        """Start a coroutine in the thread's loop; it is made there. Raises Closed."""
        loop = self._loop
        if os.getpid() != self._pid:
            raise Closed("the client was opened before a fork; open one in each process")
        if loop is None:
            raise Closed("the client is closed")
        running = _plainly(work)
        try:
            return asyncio.run_coroutine_threadsafe(running, loop)
        except RuntimeError:
            running.close()
            raise Closed("the client is closed") from None

    def forget(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Start a coroutine that nobody waits for, unless the thread has ended."""
        try:
            self.submit(work)
        except Closed:
            return

    def later(self, call: Callable[[], object]) -> None:
        """Call a function in the thread's loop, unless that has ended."""
        loop = self._loop
        if loop is None or os.getpid() != self._pid:
            return
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:
            # It has just ended by itself.
            return

    def stop(self) -> None:
        """Have the client closed and the thread end; `ended` tells when. May be called again."""
        self._stopping = True
        life = self._life
        if life is not None:
            self.later(life.cancel)

    def join(self) -> None:
        """Wait for the thread's end."""
        if os.getpid() == self._pid:
            self._thread.join()


async def _plainly(work: Callable[[], Awaitable[T]]) -> T:
    """Run it, and let its exception leave without the frames that it passed.

    They would hold on to pycapnp's objects, which another thread must not drop.
    """
    try:
        return await work()
    except asyncio.CancelledError:
        raise
    except Exception as error:
        error.__traceback__ = None
        error.__context__ = None
        error.__cause__ = None
        raise
