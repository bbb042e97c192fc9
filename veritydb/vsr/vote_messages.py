"""How a log ended, as its replica tells the next primary; and headers, as several messages do."""

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from veritydb.types.frame import HEADER_BYTES, Header, parse_header
from veritydb.types.ids import Op, View
from veritydb.types.merkle import NO_HASH
from veritydb.vsr.envelope import BadMessage, Common, Fields, Words

# More than this many headers are asked for again.
HEADERS_MAX = 64
REPLACEMENTS = struct.Struct("<Q")


class DoViewChange(Common, frozen=True, gc=False, kw_only=True):
    """To the primary of `view`, the new one: what the sender's log holds.

    `headers` is the end of its log, oldest first, as it was when the sender left `log_view`, the
    last view it was normal in; the same in every such message of a view. Bit i of `present` says
    that the frame of `headers[i]` can be read here, of `nacks` that it was never acknowledged here.
    `replacements` counts the replacements of disks that the sender durably knows of.
    """

    log_view: View
    commit: Op
    headers: tuple[Header, ...]
    present: int
    nacks: int
    replacements: int = 0

    @property
    def op(self) -> Op:
        """The head of the log."""
        return self.headers[-1].op if self.headers else Op(0)


def raw_headers(headers: Sequence[Header]) -> list[bytes]:
    """Return the bytes of headers as they stand in a message."""
    assert len(headers) <= HEADERS_MAX
    return [header.raw for header in headers]


def read_headers(view: memoryview, count: int) -> tuple[Header, ...]:
    """Read consecutive headers. Raises BadMessage."""
    if count > HEADERS_MAX or len(view) != count * HEADER_BYTES:
        raise BadMessage(f"{count} headers in {len(view)} bytes")
    starts = range(0, len(view), HEADER_BYTES)
    headers = tuple(parse_header(bytes(view[at : at + HEADER_BYTES])) for at in starts)
    check_consecutive(headers)
    return headers


def check_consecutive(headers: Sequence[Header]) -> None:
    """Raise BadMessage unless each follows the one before."""
    for before, header in pairwise(headers):
        if header.op != before.op + 1 or header.previous != before.hash:
            raise BadMessage(f"op {header.op} does not follow op {before.op}")


def dvc_fields(m: DoViewChange) -> Fields:
    """Return what the envelope and the payload of it hold: the count comes after the headers."""
    assert m.replacements >= 0
    payload = [*raw_headers(m.headers), REPLACEMENTS.pack(m.replacements)]
    return m.log_view, m.commit, m.present, m.nacks, NO_HASH, len(m.headers), payload


def read_dvc(common: dict[str, Any], words: Words) -> DoViewChange:
    """Read how a log ended. Raises BadMessage."""
    a, b, c, d, _, count, view = words
    if (c | d) >> count or c & d:
        raise BadMessage("bits for headers that are not there, or that contradict each other")
    split = len(view) - REPLACEMENTS.size
    if split < 0:
        raise BadMessage("how a log ended is cut short")
    headers = read_headers(view[:split], count)
    return DoViewChange(
        **common,
        log_view=View(a),
        commit=Op(b),
        present=c,
        nacks=d,
        headers=headers,
        replacements=REPLACEMENTS.unpack_from(view, split)[0],
    )
