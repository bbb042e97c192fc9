"""Large buffers and the C library of the process."""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
MIB = 1 << 20


def keep_large_buffers() -> None:
    """Let this process keep the memory of large buffers that were freed: up to about 128 MiB.

    A batch of many events passes through several buffers of its size. Left to itself the C library
    takes each from the system page by page, and gives it back: about half of what it costs a client
    to append such a batch. It is a setting of the whole process, so a program has to ask for it.
    Where the C library has no such setting, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 * MIB)
        mallopt(M_TRIM_THRESHOLD, 128 * MIB)
        mallopt(M_TOP_PAD, 16 * MIB)
