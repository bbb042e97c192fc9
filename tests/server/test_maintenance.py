"""What a node does beside its work does not hold up its loop."""

import threading

import trio

from veritydb.server.machine import Machine
from veritydb.server.maintenance import watch_disk


class Asked(Machine):
    """Remembers on which thread the disk was asked for its space."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def free_bytes(self, path: str) -> int:
        self.threads.append(threading.get_ident())
        return super().free_bytes(path)


def test_a_disk_is_asked_for_its_space_on_another_thread() -> None:
    machine = Asked()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_disk, [], machine, "/", 0)
            while not machine.threads:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert threading.get_ident() not in machine.threads
