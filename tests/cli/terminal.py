"""A database to type commands at, and what they answer."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from examples.demo import free_ports
from veritydb.client.sync import connect

REGION = "au-syd"
READY_SECONDS = 60.0
LINES = msgspec.json.Decoder(dict[str, Any])


class Server(NamedTuple):
    """A node that runs."""

    process: subprocess.Popen[bytes]
    address: str
    directory: Path

    @property
    def url(self) -> str:
        """How a client reaches it."""
        return f"veritydb://{self.address}"

    def stop(self) -> int:
        """End it as an operator does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


def start_server(directory: Path) -> Server:
    """Start a node, and wait until it answers."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = ("server", "--data-dir", str(directory), "--region", REGION, "--address", address)
    with (directory.parent / f"{directory.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "veritydb.cli", *command], stdout=log, stderr=log
        )
    connect(f"veritydb://{address}", timeout=READY_SECONDS).close()
    return Server(process, address, directory)


class Ran(NamedTuple):
    """What became of a command."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its output, which has to be one JSON object."""
        return LINES.decode(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its output, a JSON object to a line."""
        return LINES.decode_lines(self.out)


Type = Callable[..., Ran]
