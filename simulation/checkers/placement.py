"""Where payloads may be: on disks and links of their group's nodes; and never in what people read.

Every payload begins with sixteen bytes like no other's (`base.TOKEN`) that tell its group. Names of
a region's streams carry a mark as well.
"""

import re
from collections.abc import Iterable
from typing import ClassVar

from simulation.checkers.base import TOKEN_MARK, Checker

SECRET_NAME = "patient-of-"
"""How the names of streams with clinical data begin; the group's number follows."""
SPELLINGS = (repr(TOKEN_MARK)[2:-1], TOKEN_MARK.hex(), TOKEN_MARK.decode("latin-1"), SECRET_NAME)
READABLE = re.compile("|".join(map(re.escape, SPELLINGS)), re.IGNORECASE)


class Placement(Checker):
    """A payload's token, or a clinical stream's name, is nowhere but where its group lives."""

    name: ClassVar[str] = "placement"

    def __init__(self, homes: dict[int, frozenset[int]]) -> None:
        """`homes` are the nodes of each group."""
        self._marks = {
            group: (TOKEN_MARK + group.to_bytes(4, "big"), f"{SECRET_NAME}{group}-".encode())
            for group in homes
        }
        self._homes = homes
        self._strange: dict[tuple[int, ...], list[tuple[int, bytes, bytes]]] = {}

    def bytes_at(self, nodes: tuple[int, ...], data: bytes, where: str) -> None:
        """Look at bytes that these nodes have or hand to each other."""
        strange = self._strange.get(nodes)
        if strange is None:
            strange = self._strange[nodes] = [
                (group, token, name)
                for group, (token, name) in self._marks.items()
                if not self._homes[group].issuperset(nodes)
            ]
        for group, token, name in strange:
            if token in data:
                self.fail(f"a payload of group {group} is {where} of {nodes}")
            if name in data:
                self.fail(f"the name of a stream of group {group} is {where} of {nodes}")


class Leaks(Checker):
    """What is told to people, such as logs, counts and errors, has nothing of a payload."""

    name: ClassVar[str] = "leaks"

    def told(self, texts: Iterable[str]) -> None:
        """Look at what people may read."""
        for text in texts:
            if READABLE.search(text):
                self.fail(f"{len(text)} characters that people read hold a payload or its name")
