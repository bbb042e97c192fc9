"""Events as bytes: the body of an append entry.

A batch is written column by column, because that is what CPython does fast. One part, in the clear:

descriptor  codec u8 | version u8 | flags u16 | events u32
            types: strings | type of each u16 (MANY_TYPES) | payload size of each u32
            | occurred at u64 of each (OCCURRED)
            | tags: strings, how many u8 of each, which u16 (TAGS)
events      codec u8 | version u8 | flags u16 | events u32
            id of each | schema version u32 of each (SCHEMAS) | causation id of each (CAUSATION)
            | correlation id of each (CORRELATION) | actors: strings, which u16 of each (ACTORS)
            | metadata size u32 of each, metadata (METADATA) | payloads

strings     how many u16 | length u8 of each | UTF-8

Little-endian. A column in brackets is there only if its flag is set; its default is 0, empty, or
version 1. An id of 16 zero bytes is none. Ids cover everything a reader may filter by, so that the
descriptor still tells what was there when the events are erased.
"""

import struct
from functools import lru_cache

CODEC = 1
VERSION = 1
HEAD = struct.Struct("<BBHI")

# Flags of the descriptor.
MANY_TYPES = 1
OCCURRED = 2
TAGS = 4
DESCRIPTOR_FLAGS = MANY_TYPES | OCCURRED | TAGS

# Flags of the events.
SCHEMAS = 1
CAUSATION = 2
CORRELATION = 4
ACTORS = 8
METADATA = 16
EVENTS_FLAGS = SCHEMAS | CAUSATION | CORRELATION | ACTORS | METADATA


@lru_cache(maxsize=4096)
def column(letter: str, count: int) -> struct.Struct:
    """Return the form of a column of `count` numbers."""
    return struct.Struct(f"<{count}{letter}")
