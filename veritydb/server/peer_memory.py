"""What a node remembers of the data directories of its peers.

A replica whose disk was emptied has forgotten what it promised, and must not take part as itself.
It cannot know that; its peers can. Each directory has random bytes of its own, and a node durably
remembers which it saw for an index and incarnation before it takes any message from there. A fresh
replica takes part only after enough peers have remembered it. Any two such sets of peers overlap,
so a second directory for the same index is always found out by one of them.

A file that has rotted is not believed, or this node would send sound peers away for ever. It is
forgotten, as by a node that was replaced, and learnt again.
"""

from pathlib import Path

import msgspec

from veritydb.server.datadir import check_of, write_durably
from veritydb.server.failures import UnknownFormat

FILE = "peers"
FORMAT = 1


class Seen(msgspec.Struct, frozen=True):
    """One replica and the directory it was seen with."""

    group: int
    index: int
    incarnation: int
    instance: str


class Form(msgspec.Struct, frozen=True):
    """What a file of every format begins with."""

    format: int


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The file. `check` covers all the rest."""

    format: int
    check: str = ""
    seen: tuple[Seen, ...]


def enough(replicas: int) -> int:
    """How many peers must know a fresh replica: any two such sets of them overlap."""
    return 0 if replicas == 1 else replicas // 2 + 1


class PeerMemory:
    """The peers' directories, in memory and in the file `peers`."""

    def __init__(self, folder: Path) -> None:
        """Read what is remembered; `damaged` if that cannot be. Raises UnknownFormat."""
        self._path = folder / FILE
        self._seen: dict[tuple[int, int, int], str] = {}
        self.damaged = False
        try:
            data = self._path.read_bytes()
            form = msgspec.json.decode(data, type=Form).format
            if form != FORMAT:
                raise UnknownFormat(f"{self._path} has format {form}, known is {FORMAT}")
            memory = msgspec.json.decode(data, type=Memory)
        except FileNotFoundError:
            return
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.damaged = True
            return
        except OSError as error:
            raise UnknownFormat(f"{self._path} cannot be read: {type(error).__name__}") from None
        self.damaged = memory.check != check_of(memory)
        for one in () if self.damaged else memory.seen:
            self._seen[one.group, one.index, one.incarnation] = one.instance

    def stranger(self, replicas: list[tuple[int, int, int]], instance: bytes) -> bool:
        """Whether one of the replicas is remembered with another directory."""
        return any(self._seen.get(one, instance.hex()) != instance.hex() for one in replicas)

    def remember(self, replicas: list[tuple[int, int, int]], instance: bytes) -> None:
        """Remember a directory durably, if it is not yet. Blocks; happens once in a peer's life."""
        assert not self.stranger(replicas, instance)
        if all(one in self._seen for one in replicas):
            return
        self._seen.update(dict.fromkeys(replicas, instance.hex()))
        rows = tuple(Seen(*key, value) for key, value in sorted(self._seen.items()))
        memory = Memory(format=FORMAT, seen=rows)
        memory = msgspec.structs.replace(memory, check=check_of(memory))
        write_durably(self._path, msgspec.json.encode(memory))
