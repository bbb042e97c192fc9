"""The asyncio loop of one simulated process, turned by a Trio task instead of a selector.

In production asyncio is the host and Trio its guest; here Trio is the host. The server does not
notice: it uses callbacks, futures, tasks and timers, and all of these are asyncio's own.
"""

import asyncio
import contextlib
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextvars import Context
from typing import Any

import trio

from shell_simulation.world import World


class Died(BaseException):
    """The process that this code runs in has ended: nothing it does has an effect any more."""


class OrderedFuture(asyncio.Future[Any]):
    """A future that has the same place in a set in every run."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._number = number

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class OrderedTask(asyncio.Task[Any]):
    """A task likewise."""

    def __init__(self, number: int, work: Any, **kwargs: Any) -> None:
        self._number = number
        super().__init__(work, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class ProcessLoop(asyncio.AbstractEventLoop):
    """As much of an asyncio loop as the server uses. Sockets there are none."""

    def __init__(self, world: World, raised: Callable[[BaseException, str], None]) -> None:
        """`raised` gets what no code caught."""
        self._world = world
        self._raised = raised
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._wake = trio.Event()
        self._emptied = trio.Event()
        self._numbers = 0
        self._closed = False
        self.stalled_until = 0
        self.tasks: dict[int, OrderedTask] = {}

    # -- turned by Trio

    async def run(self) -> None:
        """Work off callbacks and timers, for ever."""
        while True:
            if (stalled := self.stalled_until - self._world.now) > 0:
                await trio.sleep(stalled / 1e9)
            self._turn()
            if self._ready:
                # A pass is an instant; those of other processes may come between two of them.
                await trio.lowlevel.checkpoint()
                continue
            self._wake = trio.Event()
            deadline = self._timers[0][0] / 1e9 if self._timers else float("inf")
            with trio.CancelScope(deadline=deadline):
                await self._wake.wait()

    def _turn(self) -> None:
        now = self._world.now
        while self._timers and self._timers[0][0] <= now:
            self._ready.append(heapq.heappop(self._timers)[2])
        with self.running():
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()

    def stall(self, until: int) -> None:
        """Do nothing until then: the process was stopped, or had no processor."""
        self.stalled_until = max(self.stalled_until, until)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop of the code within."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(before)

    def cancel_all(self) -> None:
        """Cancel every task."""
        for task in list(self.tasks.values()):
            task.cancel()

    async def settled(self) -> None:
        """Wait until no task is left."""
        while self.tasks:
            self._emptied = trio.Event()
            await self._emptied.wait()

    # -- what asyncio asks of a loop

    @property
    def now(self) -> int:
        """Nanoseconds since the run began."""
        return self._world.now

    def time(self) -> float:
        """Seconds since the run began."""
        return self._world.now / 1e9

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See asyncio."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self._closed:
            self._ready.append(handle)
            self._world.signal(self._wake)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See asyncio. Only one thread runs at a time anyhow."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (round(when * 1e9), self._number(), timer))
        self._world.signal(self._wake)
        return timer

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def create_future(self) -> OrderedFuture:
        """See asyncio."""
        return OrderedFuture(self._number(), self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> OrderedTask:
        """See asyncio."""
        number = self._number()
        task = OrderedTask(number, coro, loop=self, name=name, context=context)
        self.tasks[number] = task
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Future[Any]) -> None:
        assert isinstance(task, OrderedTask)
        del self.tasks[hash(task)]
        if not self.tasks:
            self._world.signal(self._emptied)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """See asyncio."""
        return asyncio.wrap_future(executor.submit(func, *args), loop=self)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """See asyncio."""
        error = context.get("exception")
        if error is not None:
            self._raised(error, str(context.get("message", "")))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """See asyncio: called by a timer. It is dropped when its time comes."""

    def get_debug(self) -> bool:
        """See asyncio."""
        return False

    def is_running(self) -> bool:
        """See asyncio."""
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        """See asyncio."""
        return self._closed

    def close(self) -> None:
        """See asyncio."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
