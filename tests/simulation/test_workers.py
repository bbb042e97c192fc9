"""Work in processes: none of them can take the others with it."""

import os
import signal
import sys
from multiprocessing import active_children

import pytest

from simulation.limit import Hung, cpu_limit
from simulation.workers import Lost, share


def double(number: int) -> int:
    if number == 3:
        sys.exit(7)
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def test_every_job_is_done_once_whoever_dies() -> None:
    done = dict(share(iter(range(8)), double, 2))
    assert done == {
        **{number: 2 * number for number in (0, 1, 2, 4, 6, 7)},
        3: Lost(7),
        5: Lost(-signal.SIGKILL),
    }


def test_no_work_is_no_problem() -> None:
    assert list(share(iter(()), double, 2)) == []


def process(number: int) -> int:
    return os.getpid()


def test_each_job_may_have_a_process_of_its_own() -> None:
    alone = {done for _, done in share(iter(range(4)), process, 2, each_anew=True)}
    shared = {done for _, done in share(iter(range(4)), process, 2)}
    assert len(alone) == 4 and len(shared) <= 2 and os.getpid() not in alone


def test_who_stops_early_leaves_no_process_behind() -> None:
    before = active_children()
    shared = share(iter(range(1_000_000)), double, 2)
    next(shared)
    assert len(active_children()) == len(before) + 2
    shared.close()
    assert set(active_children()) <= set(before)


def hang() -> None:
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue


def test_what_hangs_is_stopped_and_no_handler_is_in_the_way() -> None:
    with pytest.raises(Hung), cpu_limit(0.05):
        hang()


def test_what_is_quick_enough_is_left_alone() -> None:
    with cpu_limit(30) as used:
        sum(range(100_000))
    assert used() < 30
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
