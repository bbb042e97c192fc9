"""What a node looks for when it starts: streams below whose floors something may be left."""

from typing import Any

import pytest
import trio

from tests.node.lone import Site
from tests.node.test_node import CLIENT, TENANT, append, create, register
from veritydb.server import reclaim
from veritydb.streams.commands import TruncateBefore
from veritydb.types.entry import EntryHeader, Kind, with_body
from veritydb.types.ids import StreamId
from veritydb.wire import log


class Floors:
    """A world that remembers floors, and reads and erases nothing."""

    def __init__(self, site: Site) -> None:
        self.group = site
        self.reclaims: dict[int, int] = {}
        self.remember_floor = self.reclaims.__setitem__
        self.recent = self.index_file = self.work = None


def test_all_streams_with_a_floor_are_found_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaim, "LOOKED_AT", 2)
    site = Site()
    session = site.ask(register()).base
    streams = [site.ask(create(f"s{n}", session, 1 + n)).stream for n in range(5)]
    for stream in streams[1::2]:
        site.ask(append(stream, b"a"))
        header = EntryHeader(
            kind=Kind.COMMAND, client=CLIENT, tenant=TENANT, stream=StreamId(stream)
        )
        site.ask(with_body(header, log.encode(TruncateBefore(1))))
    world: Any = Floors(site)
    trio.run(reclaim.Reclaimer(world)._look_back)
    assert world.reclaims == dict.fromkeys(streams[1::2], 1)
