"""What publishers were told about each event: where it is, that it is not, or that nobody knows."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from veritydb.client.values import Appended, Token
from veritydb.types.errors import Applied

DIGEST_BYTES = 16


def digest_of(payload: bytes) -> bytes:
    """What a payload is known by. Publishers make no two payloads alike."""
    return blake2b(payload, digest_size=DIGEST_BYTES).digest()


class Ledger:
    """One stream's events, as their publishers know them."""

    def __init__(self) -> None:
        """Begin with nothing published."""
        self.acknowledged: dict[int, bytes] = {}
        """By offset."""
        self.somewhere: set[bytes] = set()
        """Acknowledged as applied before, at a place that the cluster no longer remembers."""
        self.unknown: set[bytes] = set()
        """May be in the stream, once, or not."""
        self.refused: set[bytes] = set()
        """Said not to have been applied, so they must not be there."""
        self.conflicts: list[str] = []
        self.token = Token()

    @property
    def count(self) -> int:
        """How many events were acknowledged."""
        return len(self.acknowledged) + len(self.somewhere)

    def answered(self, digests: Sequence[bytes], appended: Appended) -> None:
        """Note what an append's answer says."""
        self.token |= appended.token
        if appended.count != len(digests):
            self.conflicts.append(f"{len(digests)} events were sent, {appended.count} acknowledged")
        elif appended.base is None:
            self.somewhere.update(digests)
            self.unknown.difference_update(digests)
        else:
            self.found(appended.base, digests)

    def found(self, base: int, digests: Iterable[bytes]) -> None:
        """Note that events have these offsets."""
        for offset, digest in enumerate(digests, start=base):
            if self.acknowledged.setdefault(offset, digest) != digest:
                self.conflicts.append(f"offset {offset} was given to two events")
            self.unknown.discard(digest)

    def failed(self, digests: Iterable[bytes], applied: Applied) -> None:
        """Note what an append's failure says."""
        (self.refused if applied is Applied.NO else self.unknown).update(digests)
