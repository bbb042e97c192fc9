"""Calls that end when their time is up, with one timer for all of them."""

import asyncio

from veritydb.client.deadline import Deadline, Watch

LONG = 1_000.0


async def call(watch: Watch, deadline: Deadline, work: asyncio.Future[str]) -> str:
    """What a client does: wait for an answer, but not for ever."""
    try:
        async with asyncio.timeout(None) as running:
            watch.begin(running, deadline)
            try:
                return await work
            finally:
                watch.end(running)
    except TimeoutError:
        return "too late"


def test_each_call_ends_at_its_own_deadline() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        watch = Watch()
        answered = loop.create_future()
        calls = [
            asyncio.create_task(call(watch, Deadline(LONG), answered)),
            asyncio.create_task(call(watch, Deadline(0.002), loop.create_future())),
            asyncio.create_task(call(watch, Deadline(0.001), loop.create_future())),
        ]
        late = await asyncio.gather(*calls[1:])
        assert not calls[0].done()
        answered.set_result("answered")
        watch.close()
        return [await calls[0], *late]

    assert asyncio.run(main()) == ["answered", "too late", "too late"]


def test_calls_one_after_the_other_share_a_timer() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        watch = Watch()
        timers = set()
        for _ in range(100):
            answered = loop.create_future()
            answered.set_result("answered")
            assert await call(watch, Deadline(LONG), answered) == "answered"
            timers.add(watch._timer)
        watch.close()
        return len(timers)

    assert asyncio.run(main()) == 1


def test_who_is_slow_to_end_is_told_once() -> None:
    async def main() -> str:
        watch = Watch()

        async def stubborn() -> str:
            async with asyncio.timeout(None) as running:
                watch.begin(running, Deadline(0.001))
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    # The time of another call is up meanwhile.
                    other = asyncio.get_running_loop().create_future()
                    assert await call(watch, Deadline(0.001), other) == "too late"
                    watch.end(running)
            return "answered"

        try:
            return await stubborn()
        except TimeoutError:
            return "too late"
        finally:
            watch.close()

    assert asyncio.run(main()) == "too late"


def test_who_is_cancelled_is_not_late() -> None:
    async def main() -> bool:
        watch = Watch()
        work = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(call(watch, Deadline(LONG), work))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        watch.close()
        return task.cancelled() and not watch._calls

    assert asyncio.run(main())
