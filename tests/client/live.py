"""A real node in a process of its own, for the tests of the client."""

import signal
import socket
import subprocess
from pathlib import Path

from nemesis import leash
from veritydb.client.sync import Client

REGION = "au-syd"


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class LiveNode:
    """A cluster of one node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"veritydb://{self.address}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it may not be ready yet."""
        with open(self.folder / "log", "ab") as log:
            # Killed with us, should we be.
            self.process = leash.start(
                *("veritydb.cli", "server", "--data-dir", str(self.folder / "data")),
                *("--region", REGION, "--address", self.address),
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        try:
            with Client(self.url, timeout=60) as db:
                db.list_streams(tenant=1)
        except Exception as error:
            log = (self.folder / "log").read_text(errors="replace")
            raise AssertionError(f"the node did not come up:\n{log}") from error

    def kill(self) -> None:
        """End it without warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait(60)
