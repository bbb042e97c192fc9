"""What a node has that outlives its process."""

from pathlib import Path

from shell_simulation.world import World
from simulation.disk import SimDisk
from veritydb.server.config import Config
from veritydb.server.datadir import BORN, DataDir, Stamp, identity
from veritydb.storage.store import Store

ROOM = 1 << 40


class Home:
    """What a node has that outlives its process: its disks, its clock, its directory."""

    def __init__(self, world: World, config: Config, name: str, folder: Path, skew: int) -> None:
        """An empty, stamped directory. The wall clock is off by up to `skew`."""
        self.name = name
        self.world = world
        self.config = config
        choices = world.choices
        self.skew = choices.between("clock.skew", -skew, skew)
        self.disks: dict[str, SimDisk] = {}
        self.slow = 1
        self.misreads = 0
        self.free = ROOM
        incarnations = {}
        for part in config.groups_of(name):
            disk = self.disks[part.name] = SimDisk()
            Store.format(disk, identity(config, name, part.number, 0))
            (folder / "groups" / part.name).mkdir(parents=True)
            if len(part.replicas) == 1:
                (folder / "groups" / part.name / BORN).touch()
            incarnations[str(part.number)] = 0
        self._stamp = Stamp(
            format=1,
            cluster=config.cluster_id.hex(),
            node=name,
            region=config.node(name).region,
            instance=choices.bytes("instance", 16).hex(),
            incarnations=incarnations,
        )
        self._folder = folder

    def fill(self) -> None:
        """Let there be no more space than what is in use."""
        self.free = 0
        for disk in self.disks.values():
            disk.capacity = disk.used()

    def make_room(self) -> None:
        """There is space again."""
        self.free = ROOM
        for disk in self.disks.values():
            disk.capacity = None

    def heal(self) -> None:
        """Nothing is wrong with it from now on."""
        self.slow = 1
        self.misreads = 0
        self.make_room()
        for disk in self.disks.values():
            disk.errors.clear()

    def directory(self) -> "Directory":
        """The directory, opened."""
        return Directory(self._folder, self._stamp, -1)


class Directory(DataDir):
    """A data directory without a lock: no two processes of one node live at a time here."""

    def set_born(self, name: str) -> None:
        """See `DataDir`."""
        (self.group(name) / BORN).touch()

    def close(self) -> None:
        """See `DataDir`."""
