"""Says which field of which event cannot be written, once it is known that one cannot.

Checking every field of every event beforehand would cost more than writing them; and the text of
the exception that it ended in may quote a value, and values may be PHI.
"""

from collections.abc import Sequence
from typing import Any

from veritydb.types.ids import U64_MAX

U32_MAX = (1 << 32) - 1


def describe(events: Sequence[Any]) -> str:
    """Name the first field that is not of its type or range."""
    for number, event in enumerate(events):
        for name, rule in RULES.items():
            try:
                value = getattr(event, name)
            except AttributeError:
                return f"event {number} is no Event"
            if not rule[0](value):
                return f"the {name} of event {number} is not {rule[1]}"
    return "an event field has the wrong type or range"


def _text(value: object) -> bool:
    # Half of a surrogate pair is a str and no text.
    return isinstance(value, str) and not any(0xD800 <= ord(char) < 0xE000 for char in value)


def _data(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _tags(value: object) -> bool:
    return isinstance(value, tuple | list) and all(map(_text, value))


def _up_to(bound: int) -> Any:
    return lambda value: isinstance(value, int) and 0 <= value <= bound


RULES = {
    "type": (_text, "text"),
    "payload": (_data, "bytes"),
    "id": (_data, "bytes"),
    "schema_version": (_up_to(U32_MAX), "a number of 32 bits"),
    "occurred_at": (_up_to(U64_MAX), "a number of 64 bits (ns since 1970)"),
    "causation_id": (_data, "bytes"),
    "correlation_id": (_data, "bytes"),
    "actor": (_text, "text"),
    "metadata": (_data, "bytes"),
    "tags": (_tags, "a tuple of texts"),
}
