"""A node's data directory: whose it is, that only one process has it, and a folder per group.

    node.toml       whose directory this is; written once
    lock            held by the process that has it open
    peers           what this node remembers of the others' directories (peer_memory.py)
    groups/NAME/    one replica: storage, and its stream index

A directory is made by `init` and by nothing else. A node whose disk was emptied must not come back
as itself: it would have forgotten what it promised. `born` says that its peers knew it before it
first took part.
"""

import fcntl
import os
import secrets
import shutil
import tomllib
from pathlib import Path

import msgspec
from crc32c import crc32c

from veritydb.server.config import Config
from veritydb.server.failures import (
    AlreadyInitialised,
    ConfigError,
    InUse,
    NotInitialised,
    UnknownFormat,
    WrongCluster,
    WrongNode,
    WrongRegion,
)
from veritydb.server.files import FileDisk
from veritydb.storage.store import Store
from veritydb.types.durable import Identity
from veritydb.types.ids import GroupId

FORMAT = 1
STAMP = "node.toml"
LOCK = "lock"
UNFINISHED = "unfinished"
GROUPS = "groups"
BORN = "born"
INCARNATION_MAX = (1 << 32) - 1


class Stamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `node.toml` says. `instance` is 16 random bytes that tell two directories apart.

    `check` covers all the rest: were a bit of the instance to flip, the peers would take this
    directory for another one, and its replicas for lost.
    """

    format: int
    cluster: str
    node: str
    region: str
    instance: str
    check: str = ""
    incarnations: dict[str, int]

    def incarnation(self, group: int) -> int:
        """Which incarnation of its index this directory holds in a group."""
        return self.incarnations.get(str(group), 0)


def check_of(content: msgspec.Struct) -> str:
    """The checksum of what a small file says, all but its own `check`."""
    bare = msgspec.structs.replace(content, check="")
    return f"{crc32c(msgspec.json.encode(bare)):08x}"


class DataDir:
    """An opened directory. Keeps the lock until `close`."""

    def __init__(self, path: Path, stamp: Stamp, lock: int) -> None:
        """Use `open_dir`."""
        self.path = path
        self.stamp = stamp
        self._lock = lock

    @property
    def instance(self) -> bytes:
        """What tells this directory from every other."""
        return bytes.fromhex(self.stamp.instance)

    def group(self, name: str) -> Path:
        """The folder of one group's replica."""
        return self.path / GROUPS / name

    def is_born(self, name: str) -> bool:
        """Whether this replica has taken part before, or may."""
        return (self.group(name) / BORN).exists()

    def set_born(self, name: str) -> None:
        """Remember for good that the replica's peers know its directory."""
        write_durably(self.group(name) / BORN, b"")

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)


def write_durably(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all, and durably."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def identity(config: Config, node: str, group: int, incarnation: int) -> Identity:
    """Who a node's replica of a group is."""
    part = config.group(group)
    return Identity(
        cluster=config.cluster_id,
        group=GroupId(group),
        region=part.region,
        index=part.replicas.index(node),
        replicas=len(part.replicas),
        incarnation=incarnation,
    )


def lock_dir(path: Path) -> int:
    """Take the lock of a directory. Raises InUse."""
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUse(f"{path} is in use by another process") from None
    return descriptor


def init(config: Config, node: str, path: Path, incarnations: dict[int, int] | None = None) -> None:
    """Make a directory for a node; its parents are made too.

    `incarnations` names, by group, what `replica replace` answered; without them the node is one
    that the cluster is born with. Raises DataDirError, ConfigError, DiskFull, DiskError.
    """
    part = config.node(node)
    groups = config.groups_of(node)
    given = incarnations or {}
    for number in given:
        if number not in {group.number for group in groups}:
            raise ConfigError(f"node {node} holds no replica of group {number}")
    if any(not 0 <= count <= INCARNATION_MAX for count in given.values()):
        raise ConfigError(f"an incarnation lies between 0 and {INCARNATION_MAX}")
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = lock_dir(path)
    try:
        if (path / STAMP).exists():
            raise AlreadyInitialised(f"{path} is a node's directory already; nothing was changed")
        clear_unfinished(path)
        write_durably(path / UNFINISHED, b"")
        for group in groups:
            folder = path / GROUPS / group.name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            who = identity(config, node, group.number, given.get(group.number, 0))
            disk = FileDisk(folder)
            try:
                Store.format(disk, who)
            finally:
                disk.close()
            if len(group.replicas) == 1:
                write_durably(folder / BORN, b"")
        sync_folder(path / GROUPS)
        stamp = Stamp(
            format=FORMAT,
            cluster=config.cluster_id.hex(),
            node=node,
            region=part.region,
            instance=secrets.token_hex(16),
            # All groups are named, so that one whose folder is gone is missed.
            incarnations={str(group.number): given.get(group.number, 0) for group in groups},
        )
        # The stamp comes last: a directory with one is complete.
        stamp = msgspec.structs.replace(stamp, check=check_of(stamp))
        write_durably(path / STAMP, to_toml(stamp))
        (path / UNFINISHED).unlink()
        sync_folder(path.parent)
    finally:
        os.close(lock)


def clear_unfinished(path: Path) -> None:
    """Remove what an interrupted `init` left. Raises AlreadyInitialised if it may be data."""
    groups = path / GROUPS
    if not groups.exists():
        return
    if not (path / UNFINISHED).exists():
        raise AlreadyInitialised(
            f"{path} has replicas but no {STAMP}; restore that file, or empty the directory"
        )
    shutil.rmtree(groups)


def to_toml(stamp: Stamp) -> bytes:
    """The stamp as a file."""
    lines = ["# Whose data this is. Written by `veritydb init`; never edit it.\n"]
    for key in ("format", "cluster", "node", "region", "instance", "check"):
        lines.append(f"{key} = {msgspec.json.encode(getattr(stamp, key)).decode()}\n")
    lines.append("\n[incarnations]\n")
    lines += [f"{group} = {count}\n" for group, count in sorted(stamp.incarnations.items())]
    return "".join(lines).encode()


def read_stamp(path: Path) -> Stamp:
    """Read whose directory this is. Raises NotInitialised, UnknownFormat."""
    try:
        raw = tomllib.loads((path / STAMP).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise NotInitialised(
            f"{path} is not a node's directory; `veritydb init` makes one. If this node had data "
            "here before, it must not come back as itself: use `veritydb replica replace`"
        ) from None
    except (OSError, ValueError) as error:
        raise UnknownFormat(f"{path / STAMP} cannot be read: {type(error).__name__}") from None
    if raw.get("format") != FORMAT:
        raise UnknownFormat(
            f"{path} has format {raw.get('format')}; this version reads format {FORMAT}"
        )
    try:
        stamp = msgspec.convert(raw, Stamp)
    except msgspec.ValidationError as error:
        raise UnknownFormat(f"{path / STAMP}: {error}") from None
    if stamp.check != check_of(stamp):
        raise UnknownFormat(f"{path / STAMP} is damaged: its checksum does not hold")
    return stamp


def open_dir(config: Config, node: str, path: Path) -> DataDir:
    """Open a node's directory. Raises DataDirError, ConfigError."""
    part = config.node(node)
    stamp = read_stamp(path)
    if stamp.cluster != config.cluster_id.hex():
        raise WrongCluster(
            f"{path} belongs to cluster {stamp.cluster}, the configuration is of "
            f"{config.cluster_id.hex()} ({config.cluster.name})"
        )
    if stamp.node != node:
        raise WrongNode(f"{path} belongs to node {stamp.node}, not {node}")
    if stamp.region != part.region:
        raise WrongRegion(f"{path} was made for region {stamp.region}, not {part.region}")
    lock = lock_dir(path)
    missing = [g.name for g in config.groups_of(node) if not (path / GROUPS / g.name).is_dir()]
    if missing:
        os.close(lock)
        raise NotInitialised(f"{path} has no replica of group {', '.join(missing)}")
    return DataDir(path, stamp, lock)
