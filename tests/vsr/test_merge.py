"""The decision on a new view's log, enumerated for three replicas against an oracle that counts."""

from collections.abc import Iterator
from functools import cache
from itertools import product

import pytest

from tests.vsr.harness import CLUSTER, GROUP
from veritydb.types.frame import Header, seal
from veritydb.types.ids import Op, View
from veritydb.types.merkle import NO_HASH
from veritydb.vsr.merge import Merged, Undecided, merge
from veritydb.vsr.messages import DoViewChange

PRESENT, FAULTY, NACKED = range(3)
# One replica's word: its log view, and the state of each of its log's frames.
Word = tuple[int, tuple[int, ...]]


@cache
def header(op: int, view: int, previous: bytes, commit: int = 0) -> Header:
    return seal(
        Header(
            cluster=CLUSTER,
            group=GROUP,
            epoch=0,
            view=View(view),
            op=Op(op),
            commit=Op(commit),
            timestamp=op,
            kernel=1,
            segment=Op(1),
            position=512 * op,
            entry_base=op,
            entry_count=1,
            body_len=1,
            previous=previous,
            outcomes=NO_HASH,
            root=bytes([view]) * 32,
        )
    )


@cache
def log_of(shared: int, view: int, length: int) -> tuple[Header, ...]:
    """The log of `view`: it keeps `shared` ops of the view before and adds its own."""
    kept = log_of(shared, view - 1, shared) if view > 1 else ()
    made = list(kept)
    while len(made) < length:
        previous = made[-1].hash if made else NO_HASH
        made.append(header(len(made) + 1, view, previous))
    return tuple(made[:length])


def dvc(sender: int, shared: int, word: Word, commit: int = 0, low: int = 1) -> DoViewChange:
    log_view, states = word
    headers = log_of(shared, log_view, len(states))[low - 1 :]
    kept = states[low - 1 :]
    return DoViewChange(
        cluster=CLUSTER,
        group=GROUP,
        epoch=0,
        view=View(9),
        sender=sender,
        incarnation=0,
        log_view=View(log_view),
        commit=Op(commit),
        headers=headers,
        present=sum(1 << at for at, state in enumerate(kept) if state == PRESENT),
        nacks=sum(1 << at for at, state in enumerate(kept) if state == NACKED),
    )


def words(views: int, ops: int) -> list[Word]:
    return [
        (view, states)
        for view in range(1, views + 1)
        for length in range(ops + 1)
        for states in product((PRESENT, FAULTY, NACKED), repeat=length)
    ]


def may_have_acked(shared: int, word: Word, wanted: Header) -> bool:
    log_view, states = word
    log = log_of(shared, log_view, len(states))
    at = wanted.op - 1
    return at < len(log) and log[at].hash == wanted.hash and states[at] != NACKED


def has_copy(shared: int, word: Word, wanted: Header) -> bool:
    at = wanted.op - 1
    return may_have_acked(shared, word, wanted) and word[1][at] == PRESENT


def check(shared: int, said: tuple[Word, ...]) -> None:
    """Nothing that may be committed is given up, nothing kept that nobody has, no idle wait."""
    result = merge([dvc(at, shared, word) for at, word in enumerate(said)], 3)
    unseen = 3 - len(said)
    newest = max(log_view for log_view, _ in said)
    longest = max(len(states) for log_view, states in said if log_view == newest)
    log = log_of(shared, newest, longest)
    if isinstance(result, Merged):
        assert [result.headers[op] for op in sorted(result.headers)] == list(log[: result.head])
        for wanted in log:
            copies = sum(has_copy(shared, word, wanted) for word in said)
            ackers = sum(may_have_acked(shared, word, wanted) for word in said)
            if wanted.op > result.head:
                # The first that is given up was acknowledged by no quorum, so none after it was.
                assert ackers + unseen < 2
                return
            assert copies > 0
        return
    assert result == (Undecided.AWAIT_REPAIR if unseen else Undecided.DEADLOCK)
    stuck = next(w for w in log if not any(has_copy(shared, word, w) for word in said))
    ackers = sum(may_have_acked(shared, word, stuck) for word in said)
    assert ackers + unseen >= 2


def situations(views: int, ops: int, seen: int) -> Iterator[tuple[int, tuple[Word, ...]]]:
    for shared in range(ops + 1):
        for said in product(words(views, ops), repeat=seen):
            yield shared, said


@pytest.mark.parametrize(("views", "ops", "seen"), [(3, 3, 2), (3, 2, 3)], ids=["pairs", "triples"])
def test_every_combination(views: int, ops: int, seen: int) -> None:
    count = 0
    for shared, said in situations(views, ops, seen):
        check(shared, said)
        count += 1
    assert count > 1_000


def test_one_word_is_no_quorum() -> None:
    assert merge([dvc(0, 0, (1, (PRESENT,)))], 3) is Undecided.AWAIT_QUORUM
    assert merge([dvc(0, 0, (1, ())), dvc(1, 0, (1, ()))], 5) is Undecided.AWAIT_QUORUM


def test_the_order_of_the_words_does_not_matter() -> None:
    said = [dvc(0, 1, (2, (PRESENT, PRESENT))), dvc(1, 1, (1, (PRESENT, PRESENT)))]
    assert merge(said, 3) == merge(said[::-1], 3)


def test_commit_is_what_was_said_and_never_what_is_there() -> None:
    said = [dvc(at, 0, (1, (PRESENT, PRESENT, PRESENT)), commit=1) for at in range(3)]
    merged = merge(said, 3)
    assert isinstance(merged, Merged)
    assert (merged.commit, merged.head) == (1, 3)


def test_a_committed_op_is_kept_against_all_nacks() -> None:
    said = [dvc(at, 0, (1, (PRESENT, NACKED)), commit=2) for at in range(3)]
    merged = merge(said, 3)
    assert isinstance(merged, Merged)
    assert merged.head == 2


def test_a_log_that_ends_before_what_is_committed_decides_nothing() -> None:
    said = [dvc(0, 0, (1, (PRESENT,)), commit=2), dvc(1, 0, (1, (PRESENT,)))]
    assert merge(said, 3) is Undecided.AWAIT_REPAIR


def test_five_replicas_need_three_that_never_acknowledged() -> None:
    one = dvc(0, 0, (1, (PRESENT, PRESENT)))
    short = [dvc(at, 0, (1, (PRESENT,))) for at in range(1, 5)]
    for count, head in ((2, 2), (3, 1), (4, 1)):
        merged = merge([one, *short[:count]], 5)
        assert isinstance(merged, Merged)
        assert merged.head == head


def test_headers_without_frames_still_speak() -> None:
    """A backup that was told how the view begins, and has none of it, nacks; another has it."""
    told = dvc(0, 0, (2, (PRESENT, NACKED)), commit=1, low=2)
    other = dvc(1, 2, (1, (PRESENT, PRESENT)))
    old = DoViewChange(
        **{name: getattr(told, name) for name in told.__struct_fields__ if name != "headers"},
        headers=log_of(2, 1, 2)[1:],
    )
    merged = merge([old, other], 3)
    assert isinstance(merged, Merged)
    assert merged.head == 2
