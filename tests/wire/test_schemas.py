"""What the RPC library makes of an error that the other side sent."""

import socket
import struct
import subprocess
import sys
import threading

PROGRAM = """
from veritydb.client.sync import connect
from veritydb.errors import Unavailable, WrongCluster
try:
    connect("veritydb://127.0.0.1:{port}", timeout=0.3)
except (Unavailable, WrongCluster):
    print("typed")
"""


def abort(reason: bytes) -> bytes:
    """The RPC message `abort`, with a text of eight bytes."""
    assert len(reason) == 8 and reason.endswith(b"\0")
    root = struct.pack("<IHH", 0, 1, 1)
    message = struct.pack("<HHI", 1, 0, 0)
    to_exception = struct.pack("<IHH", 0, 1, 1)
    exception = struct.pack("<HHHH", 0, 0, 0, 0)
    to_reason = struct.pack("<II", 1, 8 << 3 | 2)
    words = root + message + to_exception + exception + to_reason + reason
    return struct.pack("<II", 0, len(words) // 8) + words


def test_an_error_whose_text_is_not_utf8_is_an_error_all_the_same() -> None:
    """In a process of its own, which would die of it."""

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
                with caller:
                    caller.recv(65_536)
                    caller.sendall(abort(b"bad\xff\xfe!!\0"))
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        program = PROGRAM.format(port=listener.getsockname()[1])
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert (ended.returncode, ended.stdout) == (0, "typed\n"), ended.stderr
