"""Who waits for which entry. Only a primary has waiters, and only for what it proposed itself."""

from collections import deque

import msgspec

from veritydb.types.entry import EntryHeader

Key = tuple[bytes, int, int]


class Waiting(msgspec.Struct, gc=False):
    """One proposed entry. A repeat that arrives while it is under way adds its token."""

    header: EntryHeader
    tokens: list[int]


class Waiters:
    """Entries in the order they were proposed, which is the order they commit in within a view."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._queue: deque[Waiting] = deque()
        self._by_key: dict[Key, Waiting] = {}
        assert len(self) == 0

    def __len__(self) -> int:
        """Return how many entries are under way."""
        return len(self._queue)

    def join(self, token: int, header: EntryHeader) -> bool:
        """Wait for an entry that is already under way; False if it is not."""
        waiting = self._by_key.get(_key(header)) if header.session else None
        if waiting is None:
            return False
        assert token not in waiting.tokens, "a token is answered once"
        waiting.tokens.append(token)
        return True

    def add(self, token: int | None, header: EntryHeader) -> None:
        """Note a proposed entry. Without a token nobody waits for it, but it has its turn."""
        waiting = Waiting(header, [] if token is None else [token])
        self._queue.append(waiting)
        if header.session:
            assert _key(header) not in self._by_key, "a repeat should have joined"
            self._by_key[_key(header)] = waiting

    def take(self, header: EntryHeader) -> list[int]:
        """Return the tokens that wait for the entry that commits next."""
        assert self._queue, "an entry committed that was never proposed"
        waiting = self._queue.popleft()
        assert waiting.header == header, "entries commit in the order they were proposed"
        if header.session:
            del self._by_key[_key(header)]
        return waiting.tokens

    def clear(self) -> list[int]:
        """Forget all, and return the tokens whose outcome is unknown."""
        tokens = [token for waiting in self._queue for token in waiting.tokens]
        self._queue.clear()
        self._by_key.clear()
        assert not self._by_key
        return tokens


def _key(header: EntryHeader) -> Key:
    assert header.session > 0
    return header.client, header.session, header.number
