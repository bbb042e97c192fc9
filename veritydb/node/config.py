"""What a node must be told before it can start."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from veritydb.kernel.admission import Command
from veritydb.kernel.state import KERNEL_VERSION, KernelState
from veritydb.types.entry import Kind
from veritydb.types.limits import MIB
from veritydb.vsr.config import Config as VsrConfig

Decode = Callable[[Kind, bytes], Command | None]
"""Decodes the body of a command; None if it is not one. Total: it never raises."""


class Prng(Protocol):
    """The only source of chance below the waterline, given from above."""

    def randrange(self, stop: int, /) -> int:
        """Return a number from 0 to `stop` - 1."""


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`genesis` is the group's state before op 1.

    A snapshot is due when that many entries or bytes were applied since the last: they bound what
    a restart replays.
    """

    vsr: VsrConfig
    genesis: KernelState
    decode: Decode
    snapshot_entries: int = 200_000
    snapshot_bytes: int = 512 * MIB
    kernels: tuple[int, ...] = (KERNEL_VERSION,)
    """The kernel versions whose ops this program can apply."""
