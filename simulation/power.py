"""What a machine that ends leaves of the work of its disks."""

from simulation.choices import PPM, Choices
from simulation.disk import PowerCut, SimDisk, keep_everything, lose_everything
from simulation.host import Host
from simulation.world import World
from veritydb.storage.disk import DiskError, DiskFull
from veritydb.storage.errors import Damaged


def half_write(host: Host, disk: SimDisk, world: World) -> None:
    """The writer was busy when the process ended: some of its work may be on the disk."""
    if not host.writing or world.choices.chance("crash.not-begun", PPM // 2):
        return
    disk.fail_after(world.choices.choose("crash.disk-operation", 16))
    try:
        host.writer.turn()
    except (PowerCut, DiskError, DiskFull, Damaged):
        # What it had written may have rotted before it read it again.
        world.count("crashes.inside-write")


def cut(disk: SimDisk, choices: Choices) -> None:
    """What was not synced is lost, kept, or torn."""
    mode = choices.choose("crash.mode", 4)
    if mode == 0:
        disk.crash(lose_everything)
    elif mode == 1 and not disk.lying:
        disk.crash(keep_everything)
    else:
        disk.crash(lambda n: choices.choose("crash.sector", n))
