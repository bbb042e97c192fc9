"""Reasons for which a node does not start or does not go on, and the exit status of each."""

from typing import ClassVar

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_HALTED = 70
EXIT_DATA_DIR = 73
EXIT_DISK = 74
EXIT_ADDRESS = 75


class StartError(Exception):
    """A node cannot run like this. The message is for people and names what to change."""

    exit_code: ClassVar[int] = EXIT_USAGE


class ConfigError(StartError):
    """The configuration says something that cannot be; names the file and the key."""


class DataDirError(StartError):
    """The data directory is not this node's, or not one at all."""

    exit_code = EXIT_DATA_DIR


class NotInitialised(DataDirError):
    """No node has been stamped into this directory."""


class AlreadyInitialised(DataDirError):
    """`init` was asked to stamp a directory that already is a node's."""


class WrongCluster(DataDirError):
    """The directory belongs to another cluster, or to another layout of this one."""


class WrongNode(DataDirError):
    """The directory belongs to another node of this cluster, or to another replica of a group."""


class WrongRegion(DataDirError):
    """The directory was stamped for another region; its bytes may not be used in this one."""


class UnknownFormat(DataDirError):
    """The directory was written by another version; nothing in it was touched."""


class InUse(DataDirError):
    """Another process has the directory open."""


class LostDisk(DataDirError):
    """The directory is fresh, but its replica has taken part before: it lost what it promised."""


class DiskFailed(StartError):
    """The disk failed, or has no space for what a start needs."""

    exit_code = EXIT_DISK


class AddressInUse(StartError):
    """A listening address could not be bound."""

    exit_code = EXIT_ADDRESS
