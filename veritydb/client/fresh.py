"""Random ids, many at a time: asking the system for each one costs more than making a batch."""

import os

from veritydb.types.ids import ID_BYTES

STOCK_BYTES = 16 << 10


class FreshIds:
    """A stock of random bytes of one client. Not shared over a fork, as the client is not."""

    def __init__(self) -> None:
        """Begin with an empty stock."""
        self._stock = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return `count` ids, joined."""
        size = count * ID_BYTES
        if size >= STOCK_BYTES:
            return os.urandom(size)
        start, end = self._at, self._at + size
        if end > len(self._stock):
            self._stock = os.urandom(STOCK_BYTES)
            start, end = 0, size
        self._at = end
        return self._stock[start:end]
