"""Small segments, so that a run goes through many: with those of production it fills none.

The product takes the sizes from its limits when it is loaded, so that a run changes them there and
puts them back.
"""

from veritydb.storage import opening, segments, store
from veritydb.types import frame
from veritydb.types.limits import KIB, OP_BYTES_MAX, SEGMENT_BYTES
from veritydb.vsr import normal

SMALL = 64 * KIB
OP_SHARE = 7, 8
"""How much of a small segment one op may fill: the largest request of the workload is less."""
IN_SEGMENTS = (frame, opening, segments, store)
IN_OPS = (frame, normal)


def use(size: int) -> int:
    """Have segments of a size from now on, and ops that fit into them. Returns the size before."""
    before: int = vars(segments)["SEGMENT_BYTES"]
    op = OP_BYTES_MAX if size == SEGMENT_BYTES else size * OP_SHARE[0] // OP_SHARE[1]
    for module in IN_SEGMENTS:
        vars(module)["SEGMENT_BYTES"] = size
    for module in IN_OPS:
        vars(module)["OP_BYTES_MAX"] = op
    return before
