"""What kind of data a stream holds and where its bytes may lie."""

import re
from enum import IntEnum

import msgspec

from veritydb.types.limits import REGION_BYTES_MAX

REGION_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


class DataClass(IntEnum):
    """What the payloads of a stream may contain. Never changes once the stream exists."""

    PHI = 1
    NON_PHI = 2
    DEIDENTIFIED = 3


class Region(msgspec.Struct, frozen=True, order=True):
    """A named region: lower-case words and digits joined by hyphens, at most 32 bytes.

    Raises ValueError for any other name. Whether a group serves the region is another question,
    which the directory answers.
    """

    name: str

    def __post_init__(self) -> None:
        """Refuse a name that could not be a directory, a label or an argument everywhere."""
        if len(self.name) > REGION_BYTES_MAX or not REGION_NAME.match(self.name):
            raise ValueError(
                f"not a region name: {self.name[:40]!r} (lower-case letters and digits joined by "
                f"hyphens, at most {REGION_BYTES_MAX} bytes, starting with a letter)"
            )

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"region:{self.name}"


class Global(msgspec.Struct, frozen=True):
    """The placement of data that may lie on any node of the cluster."""

    def __str__(self) -> str:
        """As it is written on the command line."""
        return "global"


Placement = Region | Global
GLOBAL = Global()

AP_SOUTHEAST_2 = Region("ap-southeast-2")
US_EAST_1 = Region("us-east-1")
EU_WEST_1 = Region("eu-west-1")


def parse_placement(text: str) -> Placement:
    """Read `global` or `region:NAME`. Raises ValueError, naming what is allowed."""
    if text == "global":
        return GLOBAL
    if text.startswith("region:"):
        return Region(text.removeprefix("region:"))
    raise ValueError(f"not a placement: {text[:40]!r} (global, or region:NAME)")
