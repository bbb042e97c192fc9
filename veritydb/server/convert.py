"""Between the structs that clients see and our own words."""

import unicodedata
from typing import Any

from veritydb.policy.state import ClassRetention, Rules
from veritydb.server.refusals import Refused
from veritydb.streams.state import Stream
from veritydb.types.errors import EdgeCode
from veritydb.types.event import Event
from veritydb.types.ids import group_of
from veritydb.types.labels import GLOBAL, DataClass, Global, Placement, Region
from veritydb.types.limits import NAME_BYTES_MAX
from veritydb.types.outcome import Code
from veritydb.types.retention import Retention

CLASSES = {
    "phi": DataClass.PHI,
    "nonPhi": DataClass.NON_PHI,
    "deidentified": DataClass.DEIDENTIFIED,
}
CLASS_NAMES = {data_class: name for name, data_class in CLASSES.items()}


def data_class(value: Any) -> DataClass:
    """Read a data class that has to be there. Raises Refused."""
    found = CLASSES.get(str(value))
    if found is None:
        raise Refused(EdgeCode.INVALID_INPUT, "a data class is needed: phi, nonPhi or deidentified")
    return found


def placement(value: Any) -> Placement | None:
    """Read a placement; None where none is given. Raises Refused."""
    which = str(value.which())
    if which == "unspecified":
        return None
    if which == "global":
        return GLOBAL
    try:
        return Region(value.region)
    except ValueError:
        raise Refused(Code.NO_SUCH_REGION, "not a region name") from None


def put_placement(to: Any, value: Placement) -> None:
    """Write a placement."""
    if isinstance(value, Global):
        setattr(to, "global", None)
    else:
        to.region = value.name


def stream_name(name: str) -> str:
    """Check a stream's name; whether it may be stored the kernel decides. Raises Refused."""
    if len(name.encode()) > NAME_BYTES_MAX:
        raise Refused(
            EdgeCode.TOO_LARGE,
            f"a stream name may have {NAME_BYTES_MAX} bytes",
            limit=NAME_BYTES_MAX,
        )
    if not name or not unicodedata.is_normalized("NFC", name):
        raise Refused(Code.NAME_INVALID)
    return name


def optional_id(value: bytes, what: str) -> bytes:
    """Check an id that is empty or 16 bytes. Raises Refused."""
    if len(value) not in (0, 16):
        raise Refused(EdgeCode.INVALID_INPUT, f"{what} is empty or 16 bytes")
    return value or bytes(16)


def retention(value: Any) -> Retention:
    """Read how long events are kept. Raises Refused."""
    found = Retention(value.maxAgeNs, value.maxBytes, value.maxEvents)
    if not found.valid:
        raise Refused(EdgeCode.INVALID_INPUT, "a bound of the retention is out of range")
    return found


def put_retention(to: Any, value: Retention) -> None:
    """Write how long events are kept."""
    to.maxAgeNs = value.max_age_ns
    to.maxBytes = value.max_bytes
    to.maxEvents = value.max_events


def put_stream(to: Any, stream: Stream) -> None:
    """Write what is known of a stream."""
    info = stream.info
    to.id = info.id
    to.tenant = info.tenant
    to.name = info.name
    to.dataClass = CLASS_NAMES[info.data_class]
    put_placement(to.placement, info.placement)
    to.nextOffset = stream.next
    to.floor = stream.floor
    to.sealed = stream.sealed
    if info.retention is not None:
        put_retention(to.retention, info.retention)
    to.createdAt = info.created_at
    to.bytes = stream.bytes
    to.group = group_of(info.id)


def event(value: Any) -> Event:
    """Read one plain event."""
    return Event(
        type=value.type,
        payload=value.payload,
        id=value.id,
        schema_version=value.schemaVersion,
        occurred_at=value.occurredAt,
        causation_id=value.causationId,
        correlation_id=value.correlationId,
        actor=value.actor,
        metadata=value.metadata,
    )


def put_event(to: Any, value: Event) -> None:
    """Write one plain event."""
    to.id = value.id
    to.type = value.type
    to.schemaVersion = value.schema_version
    to.occurredAt = value.occurred_at
    to.causationId = value.causation_id
    to.correlationId = value.correlation_id
    to.actor = value.actor
    to.payload = value.payload
    to.metadata = value.metadata


def rules(value: Any) -> Rules:
    """Read a policy's rules, in the order that the log wants them. Raises Refused."""
    rows = {data_class(row.dataClass): retention(row.retention) for row in value.retention}
    return Rules(
        deidentified_global=value.deidentifiedGlobal,
        non_phi_global=value.nonPhiGlobal,
        regions=tuple(sorted(set(value.regions))),
        tenants=tuple(sorted(set(value.tenants))),
        retention=tuple(ClassRetention(key, rows[key]) for key in sorted(rows)),
    )


def put_rules(to: Any, value: Rules) -> None:
    """Write a policy's rules."""
    to.deidentifiedGlobal = value.deidentified_global
    to.nonPhiGlobal = value.non_phi_global
    to.regions = list(value.regions)
    to.tenants = list(value.tenants)
    for row, default in zip(
        to.init("retention", len(value.retention)), value.retention, strict=True
    ):
        row.dataClass = CLASS_NAMES[default.data_class]
        put_retention(row.retention, default.retention)
