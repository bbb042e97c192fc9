"""A node as it is, on a machine whose clock and disks misbehave as a file says.

    python -m nemesis.machine CONFIG NODE DIRECTORY AILMENTS [CANARY]

What runs is the server itself. Only what it takes from its machine is replaced here, so nothing in
the product can be told to lie about time or to fail. A CANARY is a bug that is planted on purpose.
"""

import mmap
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from veritydb.server import config as configs
from veritydb.server.failures import StartError
from veritydb.server.files import FileDisk
from veritydb.server.machine import Machine
from veritydb.server.main import serve
from veritydb.storage.disk import Buffer, DiskError

NUMBER = struct.Struct("<q")
CLOCK, SLOW, BROKEN = 0, 8, 16
SIZE = 24


class Ailments:
    """What ails a machine: three numbers in a file that the node and the nemesis share."""

    def __init__(self, path: Path) -> None:
        """Make the file if it is not there: nothing ails the machine."""
        if not path.exists():
            path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), SIZE)

    def _get(self, at: int) -> int:
        value: int = NUMBER.unpack_from(self._shared, at)[0]
        return value

    def _set(self, at: int, value: int) -> None:
        NUMBER.pack_into(self._shared, at, value)

    @property
    def clock_ns(self) -> int:
        """How far the wall clock is ahead."""
        return self._get(CLOCK)

    @clock_ns.setter
    def clock_ns(self, value: int) -> None:
        self._set(CLOCK, value)

    @property
    def slow_ns(self) -> int:
        """How long each write and each sync takes beside what it takes anyhow."""
        return self._get(SLOW)

    @slow_ns.setter
    def slow_ns(self, value: int) -> None:
        self._set(SLOW, value)

    @property
    def broken(self) -> bool:
        """Whether every sync fails."""
        return self._get(BROKEN) != 0

    @broken.setter
    def broken(self, value: bool) -> None:
        self._set(BROKEN, int(value))


class AilingDisk(FileDisk):
    """A disk that is slow, or fails, when its machine's ailments say so."""

    def __init__(self, root: Path, ailments: Ailments) -> None:
        """See `FileDisk`."""
        super().__init__(root)
        self._ailments = ailments

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """See `Disk`."""
        self._wait()
        super().write(name, at, buffers)

    def sync(self, name: str) -> None:
        """See `Disk`. Where it fails, nobody knows what reached the disk."""
        self._wait()
        if self._ailments.broken:
            raise DiskError(f"cannot sync {name}: EIO")
        super().sync(name)

    def _wait(self) -> None:
        if slow := self._ailments.slow_ns:
            time.sleep(slow / 1e9)


class AilingMachine(Machine):
    """The real machine, but for its wall clock and its disks."""

    def __init__(self, ailments: Ailments) -> None:
        """See `Machine`."""
        super().__init__()
        self._ailments = ailments

    def wall_ns(self) -> int:
        """See `Machine`."""
        return time.time_ns() + self._ailments.clock_ns

    def disk(self, folder: Path) -> AilingDisk:
        """See `Machine`."""
        return AilingDisk(folder, self._ailments)


def main(config: str, node: str, directory: str, ailments: str, canary: str = "") -> int:
    """Run the node; return its exit status."""
    if canary:
        # With it comes the simulator, which no other node needs.
        from simulation.canaries import find

        find(canary).plant()
    machine = AilingMachine(Ailments(Path(ailments)))
    try:
        return serve(configs.load(config), node, Path(directory), machine)
    except StartError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
