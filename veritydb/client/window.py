"""The numbers of one session's requests: which are outstanding, and which may be forgotten."""

from veritydb.types.limits import SESSION_WINDOW


class Window:
    """Numbers from 1. No two outstanding ones are further apart than the node remembers."""

    def __init__(self, session: int, size: int = SESSION_WINDOW) -> None:
        """Begin a session with nothing outstanding."""
        assert size > 0
        self.session = session
        self._size = size
        self._next = 1
        self._outstanding: set[int] = set()
        self._lowest = 1

    @property
    def has_room(self) -> bool:
        """Whether one more may be outstanding."""
        return self._next - self._lowest < self._size

    @property
    def acked(self) -> int:
        """Results of all numbers below this one have arrived, or nobody waits for them."""
        return self._lowest

    def take(self) -> int:
        """Give out the next number."""
        assert self.has_room
        number = self._next
        self._next += 1
        self._outstanding.add(number)
        return number

    def done(self, number: int) -> None:
        """The result has arrived, or nobody waits for it any more."""
        self._outstanding.discard(number)
        while self._lowest < self._next and self._lowest not in self._outstanding:
            self._lowest += 1
