"""When memory is given back, and that it is."""

import ctypes

from veritydb.server.heap import MIB, WORTH_BYTES, Heap, own_heap, resident

PIECE = 100_000


def test_only_much_is_worth_the_trouble() -> None:
    sizes = [100 * MIB]
    trimmed: list[int] = []

    def trim() -> None:
        trimmed.append(sizes[0])
        sizes[0] -= 10 * MIB

    heap = Heap(trim, lambda: sizes[0])
    assert not heap.turn()
    sizes[0] += WORTH_BYTES - 1
    assert not heap.turn()
    sizes[0] += 1
    assert heap.turn()
    assert trimmed == [100 * MIB + WORTH_BYTES]
    # What could not be given back is in use, and not tried again every time.
    assert not heap.turn()
    # A smaller process has more to give back.
    sizes[0] = 50 * MIB
    assert not heap.turn()
    sizes[0] = 50 * MIB + WORTH_BYTES
    assert heap.turn()


def test_what_lies_before_a_living_object_is_given_back() -> None:
    heap = own_heap()
    assert heap is not None
    # From the heap, as in a node, where even large buffers come from there.
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    before = resident()
    pieces = [libc.malloc(PIECE) for _ in range(2_000)]
    for piece in pieces:
        ctypes.memset(piece, 1, PIECE)
    *freed, kept = pieces
    for piece in freed:
        libc.free(piece)
    held = resident()
    assert held > before + WORTH_BYTES
    assert heap.turn()
    assert resident() < held - WORTH_BYTES
    libc.free(kept)
