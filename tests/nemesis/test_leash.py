"""A child on the leash ends with whoever started it, even if that one was killed."""

import os
import subprocess
import sys

from nemesis.leash import PROJECT

# Starts a child that holds the pipe open, says so, and waits.
PARENT = """
import os, subprocess, sys
from nemesis import leash
held = int(os.environ["HELD"])
child = leash.start("tests.nemesis.sleeper", stdout=subprocess.PIPE, pass_fds=[held])
print(child.stdout.readline().decode().strip(), flush=True)
sys.stdin.read()
"""


def test_a_killed_parent_leaves_no_child() -> None:
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[theirs],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "HELD": str(theirs)},
    ) as parent:
        os.close(theirs)
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"asleep\n"
        parent.kill()
    # The pipe ends when the last process that has its other end is gone.
    with os.fdopen(ours, "rb") as pipe:
        assert pipe.read() == b""
