"""Threads of which only one runs at a time, and a seed says which and when.

A simulated thread is one of the system's, but it runs only while the main thread waits for it. It
gives the turn back wherever a real one could be overtaken by others: before it touches the disk,
and where it waits. So the very code of the writer runs, with everything that may happen between
two of its operations, and still every run of a seed is like the last.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from shell_simulation.loop import Died
from shell_simulation.world import World
from simulation.world import US

POST_MEAN = 20 * US
READERS = 4


class Lockstep(threading.local):
    """Which simulated thread this code runs on; none on the main thread."""

    current: "SimThread | None" = None


_lockstep = Lockstep()


def current() -> "SimThread | None":
    """The simulated thread that runs, None on the main one."""
    return _lockstep.current


class SimThread:
    """One thread of a process."""

    def __init__(self, threads: "Threads", run: Callable[[], None], name: str) -> None:
        """Use `Threads.start`."""
        self.name = name
        self.done = False
        self._threads = threads
        self._run = run
        # Each is released by one side, and acquired by the other: whose turn it is.
        self._turn, self._parked = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._parked.acquire()
        self._parks = 0
        self._waiting = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    # -- on the thread itself

    def _main(self) -> None:
        self._turn.acquire()
        _lockstep.current = self
        try:
            if not self._threads.dead():
                self._run()
        except Died:
            pass
        except BaseException as error:
            self._threads.raised(error, self.name)
        finally:
            self.done = True
            self._parked.release()

    def park(self, delay: int | None) -> None:
        """Let others run for `delay` ns; None: until notified. Raises Died after the end."""
        self._parks += 1
        self._waiting = delay is None
        if delay is not None:
            self._threads.world.after(delay, self.go_on, self._parks)
        self._parked.release()
        self._turn.acquire()
        if self._threads.dead():
            raise Died

    # -- on the main thread

    def notify(self, delay: int) -> None:
        """Have it go on soon, if it is parked."""
        self._waiting = False
        self._threads.world.after(delay, self.go_on, self._parks)

    def go_on(self, park: int) -> None:
        """Let it run until it parks or ends; nothing if it went on from this park already."""
        if not self.done and park == self._parks:
            self._step()

    def _step(self) -> None:
        assert current() is None, "a simulated thread never waits for another"
        self._parks += 1
        self._turn.release()
        self._parked.acquire()
        self._threads.world.pass_on()
        if self.done:
            self._thread.join()
            self._threads.ended(self)

    def join(self) -> None:
        """Wait for its end, as the main thread does: nothing else of the process happens."""
        while not self.done:
            if self._waiting and not self._threads.dead():
                self._threads.stuck(self)
            self._step()


class SimCondition:
    """As `threading.Condition`. There is nothing to lock: only one thread runs at a time."""

    def __init__(self, threads: "Threads") -> None:
        self._threads = threads
        self._waiting: deque[SimThread] = deque()

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, timeout: float | None = None) -> bool:
        """Park until notified, or for so long."""
        thread = current()
        assert thread is not None, "the loop's thread never waits"
        self._waiting.append(thread)
        thread.park(None if timeout is None else round(timeout * 1e9))
        if thread in self._waiting:
            self._waiting.remove(thread)
        return True

    def notify(self, n: int = 1) -> None:
        """Wake one that waits."""
        for _ in range(min(n, len(self._waiting))):
            self._waiting.popleft().notify(self._threads.post_delay())


class Threads:
    """All threads of one process."""

    def __init__(
        self,
        world: World,
        name: str,
        dead: Callable[[], bool],
        raised: Callable[[BaseException, str], None],
    ) -> None:
        """`raised` gets what a thread did not catch."""
        self.world = world
        self.dead = dead
        self.raised = raised
        self._name = name
        self._alive: dict[SimThread, None] = {}

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._alive)

    def post_delay(self) -> int:
        """How long it takes until a thread that was woken runs."""
        return self.world.choices.exponential(f"thread.{self._name}", POST_MEAN)

    def start(self, run: Callable[[], None], name: str) -> SimThread:
        """Start a thread; it runs a moment from now."""
        thread = SimThread(self, run, name)
        self._alive[thread] = None
        thread.notify(self.post_delay())
        return thread

    def ended(self, thread: SimThread) -> None:
        """One came to its end."""
        del self._alive[thread]

    def stuck(self, thread: SimThread) -> None:
        """Somebody waits for a thread that waits for what cannot come."""
        self.raised(RuntimeError(f"{thread.name} is joined and waits for ever"), thread.name)
        raise Died

    def unwind(self) -> None:
        """Have all threads of a dead process end."""
        assert self.dead()
        for thread in list(self._alive):
            thread.join()


class Readers(Executor):
    """A pool of simulated threads, one for each job."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._queue: deque[Callable[[], None]] = deque()
        self._busy: dict[SimThread, None] = {}
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """See `Executor`."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except Died:
                raise
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            finally:
                self._next()

        self._queue.append(run)
        self._fill()
        return future

    def _fill(self) -> None:
        while self._queue and len(self._busy) < READERS:
            self._busy[self._threads.start(self._queue.popleft(), "reader")] = None

    def _next(self) -> None:
        thread = current()
        assert thread is not None
        del self._busy[thread]
        if not self._threads.dead():
            self._fill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `Executor`."""
        self._closed = True
        while wait and self._busy:
            next(iter(self._busy)).join()
