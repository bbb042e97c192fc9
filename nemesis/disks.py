"""File systems of limited size, in a name space that goes with the process that made it.

Where a process may mount (as root, or in a user name space of its own), each node gets one, and it
can be made full at any moment. Elsewhere there are none, and whoever wants a full disk is told.
"""

import ctypes
import os
import subprocess
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
ROOMY = 4 << 30
# What a full file system still takes: less than any node would call enough.
LEFT_OVER = 128 << 10
ATTEMPTS = 20


class NoMounts(Exception):
    """This process may not mount anything; says why."""


def go_private() -> None:
    """Enter a mount name space of our own, before any thread is started. Raises NoMounts."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNS) != 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
            raise NoMounts(f"no mount name space: {os.strerror(ctypes.get_errno())}")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    # What is mounted from now on is seen by us and our children, and ends with the last of them.
    mount("--make-rprivate", "/")


class SmallDisk:
    """A file system in memory, mounted at a folder."""

    def __init__(self, folder: Path) -> None:
        """Mount it. Raises NoMounts."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        mount("-t", "tmpfs", "-o", f"size={ROOMY},mode=0755", "verity-nemesis", str(folder))

    def fill(self) -> None:
        """Leave next to nothing free."""
        for _ in range(ATTEMPTS):
            space = os.statvfs(self.folder)
            used = (space.f_blocks - space.f_bfree) * space.f_frsize
            try:
                self._resize(used + LEFT_OVER)
                return
            except NoMounts:
                # More was used meanwhile.
                continue
        raise NoMounts(f"{self.folder} cannot be made smaller")

    def empty(self) -> None:
        """Let there be space again."""
        self._resize(ROOMY)

    def close(self, *, keep: bool) -> None:
        """Unmount it, now or as soon as nobody uses it. `keep`: what is in it, in its place."""
        kept = self.folder.with_name(f"{self.folder.name}.kept")
        if keep:
            subprocess.run(["cp", "-a", "--sparse=always", self.folder, kept], check=False)
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)
        if keep:
            self.folder.rmdir()
            kept.rename(self.folder)

    def _resize(self, size: int) -> None:
        mount("-o", f"remount,size={size}", str(self.folder))


def mount(*arguments: str) -> None:
    """Call `mount`. Raises NoMounts with what it says."""
    try:
        done = subprocess.run(["mount", *arguments], check=False, capture_output=True)
    except OSError as error:
        raise NoMounts(f"mount: {error.strerror}") from None
    if done.returncode:
        raise NoMounts(done.stderr.decode(errors="replace").strip())
