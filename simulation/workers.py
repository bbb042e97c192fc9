"""Work shared out to processes, of which any may hang or die without taking the rest with it."""

import gc
import signal
from collections.abc import Callable, Generator, Iterator
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, NamedTuple, TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")

GC_THRESHOLD = 50_000


class Lost(NamedTuple):
    """What there is instead of a result if the process died over a job."""

    status: int | None
    """Its exit status; -9 means that it was killed by signal 9."""


class Worker(Generic[Job, Done]):
    """One process, and the job that it has."""

    def __init__(self, work: Callable[[Job], Done]) -> None:
        """Start it."""
        self.connection, other = Pipe()
        self.process = Process(target=_serve, args=(other, work), daemon=True)
        # Inside of a fork an interrupt would be swallowed.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self.process.start()
        # Ours has to be the only end left, or nobody would notice that the process is gone.
        other.close()
        self.job: Job
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        except KeyboardInterrupt:
            # It came meanwhile, and nobody else knows of this process yet.
            self.stop()
            raise

    def give(self, job: Job) -> None:
        """Have it do something."""
        self.job = job
        self.connection.send(job)

    def take(self) -> Done | Lost:
        """What it did."""
        try:
            done: Done = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            return Lost(self.process.exitcode)
        return done

    def stop(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    # An interrupt at the terminal reaches all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What was imported stays, and a job leaves little behind: to look for it seldom is enough.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    while True:
        connection.send(work(connection.recv()))


def share(
    jobs: Iterator[Job], work: Callable[[Job], Done], processes: int, each_anew: bool = False
) -> Generator[tuple[Job, Done | Lost], None, None]:
    """Do each job in one of some processes, and yield it as soon as it is done.

    Jobs are taken one by one when a process is free, so an iterator that ends at some time ends
    the work then. With `each_anew` no process has more than one job. An interrupt, or whatever
    else ends this early, ends all of the processes.
    """
    assert processes > 0
    workers: list[Worker[Job, Done]] = []
    busy: dict[Connection, Worker[Job, Done]] = {}

    def next_job(worker: Worker[Job, Done]) -> None:
        for job in jobs:
            worker.give(job)
            busy[worker.connection] = worker
            return

    try:
        for _ in range(processes):
            workers.append(Worker(work))
            next_job(workers[-1])
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                worker = busy.pop(ready)
                done = worker.take()
                job = worker.job
                if each_anew or isinstance(done, Lost):
                    worker.stop()
                    workers.remove(worker)
                    workers.append(worker := Worker(work))
                next_job(worker)
                yield job, done
    finally:
        for worker in workers:
            worker.stop()
