"""Where payloads may be: on the disks of their group's nodes, and on links between those."""

from typing import ClassVar

from simulation.checkers.base import TOKEN_MARK, Checker


class Placement(Checker):
    """A payload's token is nowhere but where its group lives."""

    name: ClassVar[str] = "placement"

    def __init__(self, homes: dict[int, frozenset[int]]) -> None:
        """`homes` are the nodes of each group."""
        self._marks = {group: TOKEN_MARK + group.to_bytes(4, "big") for group in homes}
        self._homes = homes

    def bytes_at(self, nodes: tuple[int, ...], data: bytes, where: str) -> None:
        """Look at bytes that these nodes have or hand to each other."""
        if TOKEN_MARK not in data:
            return
        for group, mark in self._marks.items():
            if mark in data and not self._homes[group].issuperset(nodes):
                self.fail(f"a payload of group {group} is {where}")
