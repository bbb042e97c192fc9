"""Where faults happen: the cluster, its network, and what is found on the way."""

import random
from collections.abc import Callable
from typing import NamedTuple

from nemesis.nodes import Nodes
from nemesis.proxy import Network

Say = Callable[[str], None]


class Site(NamedTuple):
    """What a fault can touch. `problems` takes what must not be; `say` tells what is done."""

    nodes: Nodes
    network: Network
    problems: list[str]
    say: Say

    def others(self, name: str) -> list[str]:
        """All nodes but one."""
        return [one for one in self.nodes.names if one != name]


Heal = Callable[[], None]
Fault = Callable[[Site, str, random.Random], Heal]
"""Does harm to one node, or around it, by these dice; returns what undoes it."""
