"""The remembered end of a log, and which of it is durable."""

import pytest

from tests.vsr.test_merge import header
from veritydb.types.frame import Frame
from veritydb.types.ids import Op
from veritydb.types.merkle import NO_HASH
from veritydb.vsr.log import FRAMES_KEPT_BYTES, HEADERS_KEPT, Log


def extend(log: Log, count: int, view: int = 1, body: bytes = b"x") -> None:
    for _ in range(count):
        previous = log.hash_at(log.head)
        assert previous is not None
        log.append(Frame(header(log.head + 1, view, previous), body))


def write(log: Log) -> tuple[Op, bytes]:
    top = log.headers[log.head]
    log.asked(top)
    return top.op, top.hash


def empty() -> Log:
    return Log(None, (), ())


def test_an_op_is_durable_when_it_was_written() -> None:
    log = empty()
    extend(log, 3)
    asked = write(log)
    assert (log.head, log.durable) == (3, 0)
    log.written(*asked)
    assert log.durable == 3


def test_one_answer_may_stand_for_several_writes() -> None:
    log = empty()
    extend(log, 2)
    write(log)
    extend(log, 2)
    log.written(*write(log))
    assert log.durable == 4


def test_writes_that_a_cut_will_undo_do_not_count() -> None:
    log = empty()
    extend(log, 4)
    first = write(log)
    log.cut(Op(2))
    extend(log, 3, view=2)
    second = write(log)
    log.written(*first)
    assert log.durable == 2
    log.was_cut(Op(2))
    assert log.durable == 2
    log.written(*second)
    assert log.durable == 5


def test_two_cuts_are_finished_in_order() -> None:
    log = empty()
    extend(log, 4)
    asked = write(log)
    log.cut(Op(3))
    log.cut(Op(1))
    log.written(*asked)
    log.was_cut(Op(3))
    assert log.durable == 1
    with pytest.raises(AssertionError):
        log.was_cut(Op(3))


def test_an_answer_to_nothing_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        empty().written(Op(1), NO_HASH)


def test_a_frame_that_does_not_follow_is_our_bug() -> None:
    log = empty()
    extend(log, 1)
    with pytest.raises(AssertionError):
        log.append(Frame(header(2, 1, NO_HASH), b""))


def test_what_is_committed_is_forgotten_and_what_is_not_is_kept() -> None:
    log = empty()
    extend(log, HEADERS_KEPT + 100)
    log.prune(Op(HEADERS_KEPT + 50))
    assert log.header(49) is None and log.header(50) is not None
    assert log.header(log.head) is not None
    body = bytes(FRAMES_KEPT_BYTES // 4)
    extend(log, 8, body=body)
    log.prune(log.head)
    assert log.frames_bytes <= FRAMES_KEPT_BYTES
    before = len(log.frames)
    extend(log, 8, body=body)
    log.prune(Op(log.head - 8))
    assert len(log.frames) >= 8 and before <= 8


def test_what_was_read_back_is_forgotten_although_newer_frames_came_before() -> None:
    """After a restart new frames arrive while old ones are still being applied."""
    source = empty()
    extend(source, 20, body=bytes(FRAMES_KEPT_BYTES // 4))
    headers = tuple(source.headers[op] for op in range(1, 13))
    log = Log(None, headers, ())
    for op in range(13, 21):
        log.append(source.frames[op])
    for op in range(1, 13):
        log.keep(source.frames[op])
        log.prune(Op(op))
        assert sorted(log.frames)[-8:] == list(range(13, 21))
        assert len(log.frames) == 8
    log.prune(Op(20))
    assert log.frames_bytes <= FRAMES_KEPT_BYTES


def test_rot_is_remembered_until_mended() -> None:
    log = empty()
    extend(log, 5)
    for op in (4, 2, 4):
        log.add_faulty(op)
    assert log.faulty == [2, 4] and log.is_faulty(4) and not log.is_faulty(3)
    log.mended(2)
    log.mended(2)
    log.cut(Op(3))
    assert log.faulty == []


def test_a_log_that_was_recovered_begins_with_its_end() -> None:
    source = empty()
    extend(source, 700)
    headers = tuple(source.headers[op] for op in range(1, 701))
    log = Log(None, headers, (7,))
    assert (log.head, log.durable, log.lowest) == (700, 700, 700 - HEADERS_KEPT + 1)
    short = Log(headers[9], headers[10:20], ())
    assert short.hash_at(10) == headers[9].hash and short.head == 20
    assert Log(headers[9], (), ()).head == 10
