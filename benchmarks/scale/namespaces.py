"""Nodes in network namespaces of their own, joined by a bridge that they can be taken off.

What a node sends then goes nowhere, and nobody is told: its link stays up, as when the cable behind
the next switch is pulled. Needs root, and `ip` of iproute2.

    python -m benchmarks.scale.namespaces NAME ARGUMENTS...   runs Python inside of one
"""

import ctypes
import os
import shutil
import subprocess
import sys
from types import TracebackType

from benchmarks.cluster import NODES, Cluster
from benchmarks.outages import Fault
from benchmarks.processes import ChildFailed

CLONE_NEWNET = 0x40000000
CLIENT_PORT, PEER_PORT = 7000, 7001


def possible() -> bool:
    """Whether this process may make namespaces."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


class Namespaces:
    """Places for three nodes. Leaving it removes them."""

    def __init__(self) -> None:
        """Names and addresses that no other run has."""
        number = os.getpid()
        self._tag = f"vdb{number % 1_000_000}"
        self._net = f"10.{200 + number % 50}.{number // 50 % 250}"

    def __enter__(self) -> "Namespaces":
        """Make all of it. This side of the bridge is where clients are."""
        try:
            ip("link", "add", self._tag, "type", "bridge", "forward_delay", "0")
            ip("address", "add", f"{self._net}.254/24", "dev", self._tag)
            ip("link", "set", self._tag, "up")
            for number in range(NODES):
                self._make(number)
        except ChildFailed:
            self._remove()
            raise
        return self

    def _make(self, number: int) -> None:
        space, link = self._space(number), self._link(number)
        ip("netns", "add", space)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", link, "master", self._tag, "up")
        ip("-n", space, "address", "add", f"{self._host(number)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove all of it."""
        self._remove()

    def _remove(self) -> None:
        for number in range(NODES):
            # With a namespace its links go, both of their ends.
            subprocess.run(["ip", "netns", "del", self._space(number)], check=False)
        subprocess.run(["ip", "link", "del", self._tag], check=False)

    def _space(self, number: int) -> str:
        return f"{self._tag}-{number}"

    def _link(self, number: int) -> str:
        return f"{self._tag}v{number}"

    def _host(self, number: int) -> str:
        return f"{self._net}.{number + 1}"

    def addresses(self) -> list[tuple[str, str]]:
        """Where each node is found by clients and by its peers."""
        hosts = [self._host(number) for number in range(NODES)]
        return [(f"{host}:{CLIENT_PORT}", f"{host}:{PEER_PORT}") for host in hosts]

    def command(self, number: int) -> list[str]:
        """What comes before the arguments of Python to have a node run there."""
        return ["-m", "benchmarks.scale.namespaces", self._space(number)]

    @property
    def unplugged(self) -> Fault:
        """A node whose packets are dropped, both ways."""

        def link(cluster: Cluster, name: str) -> str:
            return self._link(list(cluster.addresses).index(name))

        return Fault(
            lambda cluster, name: ip("link", "set", link(cluster, name), "nomaster"),
            lambda cluster, name: ip("link", "set", link(cluster, name), "master", self._tag),
        )


def ip(*arguments: str) -> None:
    """Change the network. Raises ChildFailed."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChildFailed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def main(space: str, arguments: list[str]) -> None:
    """Become a Python inside of a namespace; the process stays the same one."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/var/run/netns/{space}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter network namespace {space}")
    os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
