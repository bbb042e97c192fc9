"""Run a module in a process that ends when the one that started it ends, however that was.

    python -m nemesis.leash PARENT MODULE ARGUMENTS...

A killed parent cannot clean up, so the system does it: the child asks to be killed with it.
"""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PROJECT = Path(__file__).parents[1]


def start(module: str, *arguments: str, **how: Any) -> subprocess.Popen[bytes]:
    """Start a module of ours on the leash. Call it on a thread that lives as long as the child."""
    return subprocess.Popen(
        [sys.executable, "-m", "nemesis.leash", str(os.getpid()), module, *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        **how,
    )


def tie(parent: int) -> None:
    """Have the system kill this process when its parent ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "cannot be tied to the parent process")
    if os.getppid() != parent:
        # It ended before we could ask.
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Tie this process, then be the module."""
    parent, module, *rest = sys.argv[1:]
    tie(int(parent))
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
