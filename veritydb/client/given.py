"""Checks of what a program hands to the client, before anything is sent.

Whatever is wrong is an InvalidInput that says which parameter and which bound, and never quotes the
value: it may be about a patient. Left to the libraries below, the same mistakes would come out as
their own exceptions, or as a failure of the node.
"""

from collections.abc import Sequence
from typing import Any

from veritydb.types.errors import InvalidInput, TooLarge
from veritydb.types.event import Event
from veritydb.types.ids import GROUP_ID_MAX, U64_MAX
from veritydb.types.labels import DataClass, Global, Placement, Region
from veritydb.types.limits import NAME_BYTES_MAX
from veritydb.types.retention import RETENTION_MAX, Retention


def check_number(value: Any, what: str, low: int = 0, high: int = U64_MAX) -> None:
    """Refuse all but whole numbers from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(f"{what} is a whole number from {low} to {high}", limit=high)


def check_type(value: object, kind: type | tuple[type, ...], what: str) -> None:
    """Refuse what is of another type; `what` is a sentence that says what it should have been."""
    if not isinstance(value, kind):
        raise InvalidInput(what)


def check_name(name: str) -> None:
    """Refuse a name that no stream can have."""
    try:
        size = len(name.encode())
    except (UnicodeEncodeError, AttributeError):
        raise InvalidInput("a stream's name is text") from None
    if size == 0:
        raise InvalidInput("a stream's name is not empty")
    if size > NAME_BYTES_MAX:
        raise TooLarge(
            f"a name of {size} bytes; the limit is {NAME_BYTES_MAX}", limit=NAME_BYTES_MAX
        )


def check_tenant(tenant: int) -> None:
    """Refuse what is no tenant."""
    check_number(tenant, "a tenant")


def check_group(group: int) -> None:
    """Refuse what is no group."""
    check_number(group, "a group", high=GROUP_ID_MAX)


def check_class(data_class: DataClass) -> None:
    """Refuse what is no class of data."""
    check_type(data_class, DataClass, "a data class is one of DataClass")


def check_placement(placement: Placement) -> None:
    """Refuse what is no place."""
    check_type(placement, (Region, Global), "a placement is a Region or GLOBAL")


def check_retention(retention: Retention) -> None:
    """Refuse bounds that cannot be stored."""
    check_type(retention, Retention, "a retention is a Retention")
    check_number(retention.max_age_ns, "a retention's max_age_ns", high=RETENTION_MAX)
    check_number(retention.max_bytes, "a retention's max_bytes", high=RETENTION_MAX)
    check_number(retention.max_events, "a retention's max_events", high=RETENTION_MAX)


def sequence_of(values: Sequence[Any], what: str) -> tuple[Any, ...]:
    """Return a copy that nobody can change meanwhile. Refuses what is read only once."""
    if isinstance(values, str | bytes | bytearray) or not isinstance(values, Sequence):
        raise InvalidInput(f"{what} are a list or a tuple")
    return tuple(values)


def events_of(events: Sequence[Event]) -> tuple[Event, ...]:
    """The same for events."""
    found = sequence_of(events, "events")
    if not set(map(type, found)) <= {Event}:
        raise InvalidInput("events are a list of Event")
    return found
