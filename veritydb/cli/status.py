"""How nodes are, each by its own word, or that one does not answer."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from veritydb.client.values import GroupStatus, NodeStatus, Pauses


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node. Down: no pid, not ready, no groups."""

    name: str
    pid: int | None = None
    address: str
    ready: bool = False
    groups: tuple[GroupStatus, ...] = ()
    pauses: tuple[Pauses, ...] = ()

    def line(self) -> str:
        """The node on one line, for people."""
        head = f"{self.name:<8} {self.address:<15}"
        if self.pid is None:
            return f"{head}  down"
        said = [
            f"{group.region or 'global'}: {group.role}, view {group.view}, commit {group.commit}"
            + (f", {group.rotten} rotten" if group.rotten else "")
            for group in self.groups
        ]
        return "  ".join([head, *([] if self.ready else ["not ready"]), *said])

    def standing(self) -> object:
        """What is worth a new line when it changes: all but the counters."""
        return (self.pid, self.ready, [(g.group, g.role, g.view) for g in self.groups])


def view_of(status: NodeStatus, *, name: str = "", pid: int | None = None) -> NodeView:
    """What a node said, or what is known of one that says nothing: its name and process."""
    if not status.reachable:
        return NodeView(name=name or status.address, pid=pid, address=status.address)
    return NodeView(
        name=status.name,
        pid=status.pid,
        address=status.address,
        ready=status.ready,
        groups=status.groups,
        pauses=status.pauses,
    )


def views_of(
    nodes: Iterable[tuple[str, str]], said: Mapping[str, NodeStatus], pids: Mapping[str, int]
) -> list[NodeView]:
    """Each of the nodes (name, address), by what was said at its address and its process's pid."""
    silent = {address: NodeStatus(address=address, reachable=False) for _, address in nodes}
    return [
        view_of((silent | dict(said))[address], name=name, pid=pids.get(name))
        for name, address in nodes
    ]


def document(views: Iterable[NodeView]) -> dict[str, Any]:
    """The JSON of `cluster status`."""
    return {
        "nodes": [
            {
                "name": view.name,
                "pid": view.pid,
                "address": view.address,
                "ready": view.ready,
                "groups": [
                    {
                        "group": group.group,
                        "role": group.role,
                        "view": group.view,
                        "op": group.op,
                        "commit": group.commit,
                        "region": group.region,
                        "index": group.index,
                        "applied": group.applied,
                        "incarnation": group.incarnation,
                        "rotten": group.rotten,
                        "ready": group.ready,
                    }
                    for group in view.groups
                ],
                "pauses": {
                    one.what: {"longest_us": one.longest_us, "counts": list(one.counts)}
                    for one in view.pauses
                },
            }
            for view in views
        ]
    }
