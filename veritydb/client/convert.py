"""Between messages and values. Messages are `Any`; nothing of them leaves this module's callers."""

from typing import Any

from veritydb.client.values import GroupInfo, GroupStatus, NodeStatus, Pauses, StreamInfo, Token
from veritydb.policy.state import ClassRetention, Rules
from veritydb.types.labels import GLOBAL, DataClass, Global, Placement, Region
from veritydb.types.retention import Retention

TO_CLASS = {
    DataClass.PHI: "phi",
    DataClass.NON_PHI: "nonPhi",
    DataClass.DEIDENTIFIED: "deidentified",
}
FROM_CLASS = {name: data_class for data_class, name in TO_CLASS.items()}


def to_placement(placement: Placement | None) -> dict[str, Any]:
    """Spell a placement; None for wherever it is."""
    if placement is None:
        return {"unspecified": None}
    if isinstance(placement, Global):
        return {"global": None}
    return {"region": placement.name}


def from_placement(message: Any) -> Placement:
    """Read a placement that is given."""
    return Region(message.region) if message.which() == "region" else GLOBAL


def to_retention(retention: Retention) -> dict[str, int]:
    """Spell a retention."""
    return {
        "maxAgeNs": retention.max_age_ns,
        "maxBytes": retention.max_bytes,
        "maxEvents": retention.max_events,
    }


def from_retention(message: Any) -> Retention:
    """Read a retention."""
    return Retention(message.maxAgeNs, message.maxBytes, message.maxEvents)


def stream_info(message: Any) -> StreamInfo:
    """Read `StreamInfo`."""
    return StreamInfo(
        id=message.id,
        tenant=message.tenant,
        name=message.name,
        data_class=FROM_CLASS[str(message.dataClass)],
        placement=from_placement(message.placement),
        group=message.group,
        next_offset=message.nextOffset,
        floor=message.floor,
        sealed=message.sealed,
        retention=from_retention(message.retention),
        created_at=message.createdAt,
        bytes=message.bytes,
    )


def group_infos(message: Any) -> list[GroupInfo]:
    """Read the directory."""
    return [GroupInfo(one.group, one.region, tuple(one.addresses)) for one in message]


def node_status(address: str, message: Any) -> NodeStatus:
    """Read `NodeStatus`. `address` is where it was asked."""
    return NodeStatus(
        address=address,
        reachable=True,
        name=message.name,
        pid=message.pid,
        ready=message.ready,
        version=message.version,
        cluster=message.cluster,
        groups=tuple(
            GroupStatus(
                group=one.group,
                region=one.region,
                index=one.index,
                role=one.role,
                view=one.view,
                op=one.op,
                commit=one.commit,
                applied=one.applied,
                primary=one.primary,
                ready=one.ready,
                incarnation=one.incarnation,
                rotten=one.rotten,
            )
            for one in message.groups
        ),
        pauses=tuple(
            Pauses(what=one.what, longest_us=one.longestUs, counts=tuple(one.counts))
            for one in message.pauses
        ),
    )


def to_marks(token: Token, group: int) -> list[dict[str, int]]:
    """Spell the part of a token that matters to one group."""
    return [{"group": number, "op": op} for number, op in token.marks if number == group]


def to_rules(rules: Rules) -> dict[str, Any]:
    """Spell policy rules."""
    return {
        "deidentifiedGlobal": rules.deidentified_global,
        "nonPhiGlobal": rules.non_phi_global,
        "regions": list(rules.regions),
        "tenants": list(rules.tenants),
        "retention": [
            {"dataClass": TO_CLASS[row.data_class], "retention": to_retention(row.retention)}
            for row in rules.retention
        ],
    }


def from_rules(message: Any) -> Rules:
    """Read policy rules."""
    return Rules(
        deidentified_global=message.deidentifiedGlobal,
        non_phi_global=message.nonPhiGlobal,
        regions=tuple(message.regions),
        tenants=tuple(message.tenants),
        retention=tuple(
            ClassRetention(FROM_CLASS[str(row.dataClass)], from_retention(row.retention))
            for row in message.retention
        ),
    )
