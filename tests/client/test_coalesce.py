"""Joining appends: what goes together, in which order, and who hears what."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritydb.client.coalesce import (
    EVENT_OVERHEAD,
    JOINED_BYTES_MAX,
    Coalescer,
    Request,
    share_out,
    size_of,
    take_together,
)
from veritydb.client.deadline import Deadline
from veritydb.client.values import Appended, Token
from veritydb.types.errors import (
    Applied,
    Closed,
    DeadlineExceeded,
    InvalidInput,
    StreamSealed,
    VerityError,
)
from veritydb.types.event import Event
from veritydb.types.limits import BATCH_EVENTS_MAX
from veritydb.wire.batch import Batch, encode_batch


def encode(events: Sequence[Event]) -> Batch:
    return encode_batch(events, bytes(range(16)) * len(events))


class Answer:
    """Stands for a future whose state is all that matters."""

    def __init__(self, done: bool) -> None:
        self._done = done

    def done(self) -> bool:
        return self._done


def request(events: int, size: int, done: bool = False) -> Request:
    answer: Any = Answer(done)
    return Request([Event("t", b"")] * events, size, Deadline(1), answer)


@given(
    st.lists(
        st.tuples(st.integers(1, 6000), st.integers(0, JOINED_BYTES_MAX * 2), st.booleans()),
        max_size=12,
    )
)
def test_batches_are_full_but_not_too_full(asked: list[tuple[int, int, bool]]) -> None:
    requests = [request(*one) for one in asked]
    waiting = deque(requests)
    taken: list[Request] = []
    while waiting:
        together = take_together(waiting)
        if len(together) > 1:
            assert sum(len(one.events) for one in together) <= BATCH_EVENTS_MAX
            assert sum(one.size for one in together) <= JOINED_BYTES_MAX
        assert together or not waiting
        taken += together
    assert taken == [one for one in requests if not one.answer.done()]


def test_sizes() -> None:
    assert size_of([Event("t", b"123", metadata=b"4")]) == 4 + EVENT_OVERHEAD
    bad: Any = [Event("t", 5)]  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        size_of(bad)


class Node:
    """Takes batches one after another, and answers when told to."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.called = asyncio.Event()
        self.go = asyncio.Event()
        self.next = 0
        self.error: Exception | None = None

    async def take(self, batch: Batch, deadline: Deadline) -> Appended:
        self.batches.append(batch.events)
        self.called.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        base, self.next = self.next, self.next + batch.events
        return Appended(1, base, batch.events, False, Token())


def events(count: int) -> Sequence[Event]:
    return [Event("t", b"")] * count


def test_what_comes_meanwhile_goes_together() -> None:
    async def main() -> None:
        node = Node()
        joining = Coalescer(encode, node.take)
        tasks = [asyncio.create_task(joining.append(events(1), Deadline(9)))]
        await node.called.wait()
        for count in (2, 3, 4):
            tasks.append(asyncio.create_task(joining.append(events(count), Deadline(9))))
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.sleep(0)
        node.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert node.batches == [1, 6]
        assert isinstance(answers[2], asyncio.CancelledError)
        offsets = [list(one.offsets) for one in answers if isinstance(one, Appended)]
        assert offsets == [[0], [1, 2], [3, 4, 5, 6]]

    asyncio.run(main())


def test_everybody_hears_of_a_failure() -> None:
    async def main() -> None:
        node = Node()
        node.error = StreamSealed("sealed")
        node.go.set()
        joining = Coalescer(encode, node.take)
        answers = await asyncio.gather(
            *(joining.append(events(1), Deadline(9)) for _ in range(3)), return_exceptions=True
        )
        assert [type(one) for one in answers] == [StreamSealed] * 3
        assert len({id(one) for one in answers}) == 3
        node.error = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            await joining.append(events(1), Deadline(9))
        node.error = None
        assert (await joining.append(events(2), Deadline(9))).count == 2

    asyncio.run(main())


@pytest.mark.parametrize("sent", [True, False])
def test_a_caller_in_a_hurry(sent: bool) -> None:
    """Its own deadline counts, and it hears whether its events are on their way."""

    async def main() -> None:
        node = Node()
        joining = Coalescer(encode, node.take)
        patient = asyncio.create_task(joining.append(events(1), Deadline(9)))
        if not sent:
            await node.called.wait()
        hurried = asyncio.create_task(joining.append(events(1), Deadline(0.05)))
        with pytest.raises(DeadlineExceeded) as raised:
            await hurried
        assert raised.value.applied is (Applied.UNKNOWN if sent else Applied.NO)
        node.go.set()
        assert (await patient).base == 0
        assert node.batches == [2 if sent else 1]

    asyncio.run(main())


def test_closing() -> None:
    async def main() -> None:
        node = Node()
        joining = Coalescer(encode, node.take)
        tasks = [asyncio.create_task(joining.append(events(1), Deadline(9)))]
        await node.called.wait()
        tasks.append(asyncio.create_task(joining.append(events(1), Deadline(9))))
        await asyncio.sleep(0)
        assert not joining.idle
        await joining.close()
        assert joining.idle
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in answers] == [Closed, Closed]
        assert [one.applied for one in answers if isinstance(one, VerityError)] == [
            Applied.UNKNOWN,
            Applied.NO,
        ]

    asyncio.run(main())


def test_a_duplicate_of_unknown_place_has_none() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        taken = [Request(events(2), 0, Deadline(1), loop.create_future()) for _ in range(2)]
        share_out(taken, Appended(1, None, 4, True, Token()))
        for one in taken:
            answer = await one.answer
            assert answer.base is None and answer.next is None and list(answer.offsets) == []

    asyncio.run(main())


def test_no_events() -> None:
    async def main() -> None:
        with pytest.raises(InvalidInput):
            await Coalescer(encode, Node().take).append([], Deadline(1))

    asyncio.run(main())
