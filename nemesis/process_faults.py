"""Faults of processes and of what they wrote: killed, frozen, damaged and emptied nodes."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

from nemesis.nodes import Stuck
from nemesis.site import Fault, Heal, Site
from veritydb.server.datadir import LOCK
from veritydb.server.failures import EXIT_DATA_DIR, EXIT_DISK
from veritydb.server.files import LOCK as REPLICA_LOCK

# Nothing to be repaired: who holds a directory.
NOT_DATA = {LOCK, REPLICA_LOCK}
REFUSALS = (EXIT_DATA_DIR, EXIT_DISK)


def kill(site: Site, victim: str, dice: random.Random) -> Heal:
    """End a node without warning."""
    site.say(f"killed {victim}")
    site.nodes.kill(victim)
    return lambda: site.nodes.start(victim)


def stop(site: Site, victim: str, dice: random.Random) -> Heal:
    """Freeze a node: it keeps its connections and says nothing."""
    site.say(f"froze {victim}")
    site.nodes.signal(victim, signal.SIGSTOP)
    return lambda: site.nodes.signal(victim, signal.SIGCONT)


def standstill(site: Site, victim: str, dice: random.Random) -> Heal:
    """Freeze all but one: nothing can be agreed on until they go on."""
    site.say(f"froze all but {victim}")
    for name in site.others(victim):
        site.nodes.signal(name, signal.SIGSTOP)

    def heal() -> None:
        for name in site.others(victim):
            site.nodes.signal(name, signal.SIGCONT)

    return heal


def blackout(site: Site, victim: str, dice: random.Random) -> Heal:
    """Kill all at once; the one that is named comes back last."""
    site.say(f"killed all; {victim} comes back last")
    for name in site.nodes.names:
        site.nodes.signal(name, signal.SIGKILL)
    for name in site.nodes.names:
        site.nodes.ended(name)

    def heal() -> None:
        for name in (*site.others(victim), victim):
            site.nodes.start(name)

    return heal


def flip(site: Site, victim: str, dice: random.Random) -> Heal:
    """Flip one bit of one file while the node is down."""
    return _damage(site, victim, dice, flip_bit)


def cut(site: Site, victim: str, dice: random.Random) -> Heal:
    """Cut off the end of one file while the node is down."""
    return _damage(site, victim, dice, cut_end)


def missing(site: Site, victim: str, dice: random.Random) -> Heal:
    """Remove one file while the node is down."""
    return _damage(site, victim, dice, remove)


def wipe(site: Site, victim: str, dice: random.Random) -> Heal:
    """Take away a node's disk. It has to be refused, and replaced."""
    site.say(f"emptied {victim}")
    site.nodes.kill(victim)
    site.nodes.empty(victim)

    def heal() -> None:
        site.nodes.start(victim)
        code = site.nodes.ended(victim)
        if code != EXIT_DATA_DIR:
            site.problems.append(f"{victim} with an emptied disk ended with {code}")
        _replace(site, victim)

    return heal


KINDS: dict[str, Fault] = {
    "kill": kill,
    "stop": stop,
    "standstill": standstill,
    "blackout": blackout,
    "flip": flip,
    "cut": cut,
    "missing": missing,
    "wipe": wipe,
}


def _damage(
    site: Site, victim: str, dice: random.Random, how: Callable[[Path, random.Random], str]
) -> Heal:
    site.nodes.kill(victim)
    done = how(site.nodes.data(victim), dice)
    site.say(f"{victim}: {done}")

    def heal() -> None:
        site.nodes.start(victim)
        code = _refusal(site, victim)
        if code is None:
            return
        said = site.nodes.last(victim).rpartition(" | ")[2]
        site.say(f"{victim} refuses to start ({code}): {said}")
        if code not in REFUSALS:
            site.problems.append(f"after {done}, {victim} ended with {code}: {said}")
        site.nodes.empty(victim)
        _replace(site, victim)

    return heal


def _refusal(site: Site, victim: str) -> int | None:
    """Wait until a node is ready (None) or has refused to start (its exit code)."""
    try:
        site.nodes.ready(victim)
    except Stuck:
        if site.nodes.runs(victim):
            raise
        return site.nodes.ended(victim)
    return None


def _replace(site: Site, victim: str) -> None:
    given = site.nodes.replace(victim)
    site.say(f"{victim} is replaced as {given}")
    site.nodes.start(victim)


def flip_bit(directory: Path, dice: random.Random) -> str:
    """Flip one bit of one file of a stopped node; say which.

    Only where there is something: a preallocated file is mostly zeros that nobody has written.
    """
    while True:
        path = dice.choice(_files(directory))
        with path.open("r+b") as file:
            at = dice.randrange(path.stat().st_size)
            file.seek(at)
            [byte] = file.read(1)
            if not byte:
                continue
            file.seek(at)
            file.write(bytes([byte ^ (1 << dice.randrange(8))]))
        return f"flipped a bit of byte {at} of {path.relative_to(directory)}"


def cut_end(directory: Path, dice: random.Random) -> str:
    """Cut one file of a stopped node somewhere in what was written to it; say which."""
    path = dice.choice(_files(directory))
    # Behind that there may be nothing but preallocated zeros.
    at = dice.randrange(max(1, len(path.read_bytes().rstrip(b"\0"))))
    with path.open("r+b") as file:
        file.truncate(at)
    return f"cut {path.relative_to(directory)} at byte {at}"


def remove(directory: Path, dice: random.Random) -> str:
    """Remove one file of a stopped node; say which."""
    path = dice.choice(_files(directory))
    path.unlink()
    return f"removed {path.relative_to(directory)}"


def _files(directory: Path) -> list[Path]:
    """The files with something in them, in a fixed order."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and path.name not in NOT_DATA and path.stat().st_size
    )
