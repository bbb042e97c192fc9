"""What a node takes of the computer it runs on. A test may hand it another one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from veritydb.server.files import FileDisk


class Machine(NamedTuple):
    """`wall` is the time in ns since 1970; `disk` opens the files below a directory."""

    wall: Callable[[], int] = time.time_ns
    disk: Callable[[Path], FileDisk] = FileDisk


MACHINE = Machine()
