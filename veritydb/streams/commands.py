"""What may be asked of streams besides appending.

The tenant and the stream meant are in the entry's header. Appends are not here: an append is its
header, and an append to several streams its header and their shares.
"""

import msgspec

from veritydb.types.labels import DataClass, Placement
from veritydb.types.multi import AppendMany as AppendMany
from veritydb.types.retention import Retention


class CreateStream(msgspec.Struct, frozen=True, gc=False):
    """Make a stream for the header's tenant. Without a retention the policy's default holds."""

    name: str
    data_class: DataClass
    placement: Placement
    retention: Retention | None = None


class Seal(msgspec.Struct, frozen=True, gc=False):
    """Accept no more events, for ever. The header's `expected` is checked as for an append."""


class TruncateBefore(msgspec.Struct, frozen=True, gc=False):
    """Give up all events before `offset`."""

    offset: int


class SetRetention(msgspec.Struct, frozen=True, gc=False):
    """Replace how long events are kept. What passes the new bounds goes at once."""

    retention: Retention


StreamCommand = CreateStream | Seal | TruncateBefore | SetRetention | AppendMany
