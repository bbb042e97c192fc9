"""Faults of machines: clocks that are wrong, disks that are slow, break, or have no space."""

import random
import time

from nemesis.nodes import PATIENCE_SECONDS
from nemesis.site import Fault, Heal, Site
from veritydb.client.values import NodeStatus
from veritydb.server.failures import EXIT_DISK
from veritydb.types.errors import Applied, ReadOnly, VerityError
from veritydb.types.event import Event
from veritydb.types.labels import GLOBAL, DataClass

MS_NS = 1_000_000
SECOND_NS = 1_000 * MS_NS
# Within and beyond what clocks may differ by; the last is a battery that is empty.
OFFSETS_NS = (SECOND_NS // 2, 5 * SECOND_NS, 60 * SECOND_NS, 86_400 * SECOND_NS)
YEARS_NS = 30 * 365 * 86_400 * SECOND_NS
SLOW_NS = (5 * MS_NS, 100 * MS_NS)
# Refusals come from whoever leads, and leading changes hands while nobody has space.
REFUSED_SECONDS = 10.0
ATTEMPT_SECONDS = 1.0
TENANT = 2


def clock(site: Site, victim: str, dice: random.Random) -> Heal:
    """Set a node's clock wrong, and right again."""
    offset = dice.choice((*OFFSETS_NS, *(-one for one in OFFSETS_NS), -YEARS_NS))
    site.say(f"set the clock of {victim} {offset / SECOND_NS:+,.1f} s off")
    ailments = site.nodes.ailments[victim]
    ailments.clock_ns = offset

    def heal() -> None:
        ailments.clock_ns = 0

    return heal


def slow_disk(site: Site, victim: str, dice: random.Random) -> Heal:
    """Make each write and each sync of a node take longer."""
    slow = dice.randrange(*SLOW_NS)
    site.say(f"made the disk of {victim} {slow / MS_NS:.0f} ms slower")
    ailments = site.nodes.ailments[victim]
    ailments.slow_ns = slow

    def heal() -> None:
        ailments.slow_ns = 0

    return heal


def broken_disk(site: Site, victim: str, dice: random.Random) -> Heal:
    """Let every sync of a node fail. It has to end, and may not have tried again."""
    site.say(f"broke the disk of {victim}")
    ailments = site.nodes.ailments[victim]
    ailments.broken = True

    def heal() -> None:
        code = site.nodes.ended(victim)
        if code != EXIT_DISK:
            site.problems.append(f"{victim} with a broken disk ended with {code}")
        ailments.broken = False
        site.nodes.start(victim)

    return heal


def full_disk(site: Site, victim: str, dice: random.Random) -> Heal:
    """Take a node's space. It has to turn read-only, and back without a restart."""
    return _fill(site, [victim])


def drought(site: Site, victim: str, dice: random.Random) -> Heal:
    """Take the space of all nodes: appends are refused as not applied, and reads go on."""
    heal = _fill(site, site.nodes.names)

    def refused_then_heal() -> None:
        _until_read_only(site, site.nodes.names)
        site.problems.extend(_unless_refused(site))
        heal()

    return refused_then_heal


KINDS: dict[str, Fault] = {
    "clock": clock,
    "slow-disk": slow_disk,
    "broken-disk": broken_disk,
    "full-disk": full_disk,
    "drought": drought,
}
NEED_SMALL_DISKS = ("full-disk", "drought")


def _fill(site: Site, names: list[str]) -> Heal:
    site.say(f"filled the disk of {', '.join(names)}")
    lives = {name: site.nodes.pid(name) for name in names}
    for name in names:
        site.nodes.disks[name].fill()

    def heal() -> None:
        _until_read_only(site, names)
        for name in names:
            site.nodes.disks[name].empty()
        site.nodes.ready()
        for name in names:
            if site.nodes.pid(name) != lives[name]:
                site.problems.append(f"{name} needed a restart when it had space again")

    return heal


def _until_read_only(site: Site, names: list[str]) -> None:
    def read_only(status: NodeStatus) -> bool:
        # One that is looking for a primary has another word for its role meanwhile.
        return any(group.role == "read-only" for group in status.groups)

    site.nodes.until(
        f"{', '.join(names)} did not turn read-only",
        lambda seen: all(name in seen and read_only(seen[name]) for name in names),
    )


def _unless_refused(site: Site) -> list[str]:
    """What is wrong with how an append is answered when nobody has space."""
    deadline = time.monotonic() + REFUSED_SECONDS
    with site.nodes.client(timeout=PATIENCE_SECONDS) as db:
        while True:
            try:
                db.create_stream(
                    f"drought-{deadline}",
                    tenant=TENANT,
                    data_class=DataClass.NON_PHI,
                    placement=GLOBAL,
                    timeout=ATTEMPT_SECONDS,
                ).append([Event("None", b"")], timeout=ATTEMPT_SECONDS)
            except ReadOnly as error:
                return [] if error.applied is Applied.NO else [f"refused as {error.applied}"]
            except VerityError as error:
                if time.monotonic() > deadline:
                    return [f"with no space anywhere an append was refused as {error!r}"]
            else:
                return ["an append was accepted although no node had space"]
