"""Trio as a guest of the asyncio loop, on one thread: what waits is Trio's, RPC is asyncio's.

pycapnp's RPC needs an asyncio loop; a stop in order needs cancel scopes. The host task runs under
`asyncio.run(capnp.run(...))`; Trio's scheduler is driven by the same loop.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import trio

T = TypeVar("T")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def host(main: Callable[[Callable[[], None]], Awaitable[T]], *, signals: bool = True) -> T:
    """Run `main(stop)` under Trio until it returns; await this in an asyncio task.

    `main` gets a function that asks for its own cancellation; SIGTERM and SIGINT call it too. What
    it raises is raised here. If the asyncio task is cancelled, Trio is ended first.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    scope = trio.CancelScope()

    def stop() -> None:
        if not done.done():
            scope.cancel()

    async def root() -> T | None:
        with scope:
            return await main(stop)
        return None

    def finished(result: Any) -> None:
        if not done.done():
            done.set_result(result)

    trio.lowlevel.start_guest_run(
        root,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        run_sync_soon_not_threadsafe=loop.call_soon,
        done_callback=finished,
        host_uses_signal_set_wakeup_fd=True,
    )
    for number in STOP_SIGNALS if signals else ():
        loop.add_signal_handler(number, stop)
    try:
        result = await settled(done, stop)
    finally:
        for number in STOP_SIGNALS if signals else ():
            loop.remove_signal_handler(number)
    value: T = result.unwrap()
    return value


async def settled(done: asyncio.Future[Any], stop: Callable[[], None]) -> Any:
    """Wait for Trio's end, also when this task is cancelled meanwhile."""
    while True:
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if done.done() and not done.cancelled():
                return done.result()
            stop()


async def from_trio(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Await an asyncio coroutine from a Trio task; cancelling the one cancels the other."""
    task = loop.create_task(work)
    over = trio.Event()
    task.add_done_callback(lambda _: over.set())
    try:
        await over.wait()
    except trio.Cancelled:
        task.cancel()
        with trio.CancelScope(shield=True):
            await over.wait()
        raise
    return task.result()
