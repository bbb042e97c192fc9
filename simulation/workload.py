"""What clients ask for: requests of mixed kinds, built as a client library builds them."""

import msgspec

from simulation.checkers.base import TOKEN_MARK
from simulation.checkers.placement import SECRET_NAME
from simulation.choices import Choices
from simulation.topology import REGION_A, Group
from veritydb.policy.commands import SetPolicy
from veritydb.policy.state import FIRST_VERSION, Rules
from veritydb.streams.commands import CreateStream, Seal, SetRetention, TruncateBefore
from veritydb.types import entry as entries
from veritydb.types import multi
from veritydb.types.entry import (
    EXPECT_ANY,
    EXPECT_EXISTS,
    EXPECT_NO_STREAM,
    Entry,
    EntryHeader,
    Kind,
    PartInfo,
)
from veritydb.types.event import Event
from veritydb.types.ids import GLOBAL_GROUP, ClientId, StreamId, TenantId
from veritydb.types.labels import DataClass
from veritydb.types.retention import Retention
from veritydb.wire import log as commands
from veritydb.wire.batch import encode_batch

TENANT = TenantId(1)
STRANGER = TenantId(2)
"""Owns nothing."""
NOBODY = TenantId(0)
"""Whoever sets the rules acts for no tenant."""

WEIGHTS = (
    ("append", 40),
    ("exact", 12),
    ("first", 3),
    ("exists", 4),
    ("origin", 12),
    ("batch", 8),
    ("many", 5),
    ("create", 8),
    ("seal", 1),
    ("truncate", 5),
    ("retain", 2),
    ("read", 24),
    ("misplaced", 2),
    ("stranger", 2),
    ("rules", 2),
)
KINDS = tuple(name for name, weight in WEIGHTS for _ in range(weight))


class Known:
    """A stream as its users know it, not always up to date."""

    def __init__(self, number: StreamId, group: Group) -> None:
        """Nothing is in it."""
        self.number = number
        self.group = group
        self.home = group.number
        """The group whose nodes may hold its payloads: this one, unless a refusal failed."""
        self.next = 0
        self.sealed = False


class Draft(msgspec.Struct, frozen=True):
    """A request before it has a session and a number."""

    what: str
    entry: Entry
    tokens: tuple[bytes, ...]
    streams: tuple[StreamId, ...]
    retention: Retention | None = None


class Workload:
    """Draws requests. What the clients of a run know of streams is shared between them."""

    def __init__(self, choices: Choices) -> None:
        """No streams are known yet."""
        self._choices = choices
        self.streams: dict[int, list[Known]] = {}
        self.rules: dict[int, int] = {}
        """The newest version of the rules that anybody has heard of, by group."""
        self._names = 0
        self._tokens = 0

    def token(self, group: int) -> bytes:
        """A payload's first bytes: like no other's, and telling which group may hold them."""
        self._tokens += 1
        unique = self._tokens.to_bytes(4, "big") + self._choices.bytes("load.token", 4)
        return TOKEN_MARK + group.to_bytes(4, "big") + unique

    def kind(self, group: Group) -> str:
        """Draw what to do next in a group."""
        if not self.open_streams(group):
            return "create"
        kind = self._choices.pick("load.kind", KINDS)
        # Only where there is another group can anything be in the wrong one.
        return "append" if kind == "misplaced" and group.number != GLOBAL_GROUP else kind

    def open_streams(self, group: Group) -> list[Known]:
        """The streams that are worth appending to."""
        return [known for known in self.streams.get(group.number, []) if not known.sealed]

    def pick(self, group: Group) -> Known:
        """Draw a stream, the first ones more often than the later ones."""
        known = self.open_streams(group)
        return known[min(self._choices.choose("load.stream", 2 * len(known)), len(known) - 1)]

    def home(self, group: int, stream: int) -> int:
        """Which group's nodes may hold what is appended to a stream."""
        known = self.streams.get(group, [])
        return next((each.home for each in known if each.number == stream), group)

    def events(self, group: int) -> tuple[list[Event], tuple[bytes, ...]]:
        """Draw some events, most batches being small."""
        c = self._choices
        count = c.pick("load.events", (1, 1, 1, 1, 2, 3, 10))
        tokens = tuple(self.token(group) for _ in range(count))
        size = c.pick("load.size", (0, 20, 200, 200, 1500))
        return [Event("Noted", token + bytes(size)) for token in tokens], tokens

    def append(self, header: EntryHeader, group: int, expected: int, what: str) -> Draft:
        """An append to the header's stream."""
        events, tokens = self.events(self.home(group, header.stream))
        batch = encode_batch(events, ids(tokens))
        header = msgspec.structs.replace(
            header,
            kind=Kind.APPEND,
            expected=expected,
            parts=batch.parts,
            events=batch.events,
            body_len=len(batch.body),
            crc=batch.crc,
        )
        return Draft(what, entries.make(header, batch.body), tokens, (header.stream,))

    def again(self, draft: Draft, header: EntryHeader) -> Draft:
        """The same batch of the same origin, in another session."""
        header = msgspec.structs.replace(
            draft.entry.header,
            client=header.client,
            session=header.session,
            number=header.number,
            acked=header.acked,
        )
        body = draft.entry.data[entries.HEADER_BYTES :]
        return msgspec.structs.replace(draft, entry=entries.make(header, body))

    def draft(self, kind: str, group: Group, header: EntryHeader) -> Draft:
        """Build a request of a kind; client, session and number are in the header."""
        c = self._choices
        if kind == "create":
            return self.create(group, header)
        if kind == "misplaced":
            # Clinical data of a region, for a group that is spread over all of them.
            self._names += 1
            command = CreateStream(f"notes-{self._names}", DataClass.PHI, REGION_A)
            return self._command(header, kind, command)
        if kind == "rules":
            return self._rules(group, header)
        known = self.pick(group)
        header = msgspec.structs.replace(header, stream=known.number)
        if kind == "stranger":
            header = msgspec.structs.replace(header, tenant=STRANGER)
        if kind == "many":
            return self._many(group, header)
        if kind == "seal":
            return self._command(header, kind, Seal())
        if kind == "truncate":
            return self._command(header, kind, TruncateBefore(c.choose("load.cut", known.next + 2)))
        if kind == "retain":
            keep = Retention(
                max_events=c.pick("load.keep", (0, 5, 50)),
                max_age_ns=c.pick("load.age", (0, 2_000_000_000)),
            )
            draft = self._command(header, kind, SetRetention(keep))
            return msgspec.structs.replace(draft, retention=keep)
        expected = {"exact": known.next, "first": EXPECT_NO_STREAM, "exists": EXPECT_EXISTS}
        return self.append(header, group.number, expected.get(kind, EXPECT_ANY), kind)

    def create(self, group: Group, header: EntryHeader) -> Draft:
        """Make a stream whose name nobody else uses, except that some do."""
        if not self._choices.chance("load.same-name", 100_000):
            self._names += 1
        name = f"{SECRET_NAME}{group.number}-{self._names}" if group.region else f"n-{self._names}"
        command = CreateStream(name, group.data_class, group.placement)
        return self._command(header, "create", command)

    def _rules(self, group: Group, header: EntryHeader) -> Draft:
        """New rules, which allow all that is done here, in place of those last heard of."""
        tenants = self._choices.pick("load.rules", ((), (TENANT,), (TENANT, STRANGER)))
        command = SetPolicy(self.rules.get(group.number, FIRST_VERSION), Rules(tenants=tenants))
        return self._command(msgspec.structs.replace(header, tenant=NOBODY), "rules", command)

    def _command(
        self,
        header: EntryHeader,
        what: str,
        command: CreateStream | Seal | TruncateBefore | SetRetention | SetPolicy,
    ) -> Draft:
        header = msgspec.structs.replace(header, kind=Kind.COMMAND)
        streams = (header.stream,) if header.stream else ()
        return Draft(what, entries.with_body(header, commands.encode(command)), (), streams)

    def _many(self, group: Group, header: EntryHeader) -> Draft:
        """Append to a few streams at once."""
        chosen: dict[int, Known] = {}
        for _ in range(self._choices.between("load.many", 1, 3)):
            known = self.pick(group)
            chosen[known.number] = known
        rows: list[bytes] = []
        bodies: list[bytes] = []
        shares: list[multi.Share] = []
        tokens: tuple[bytes, ...] = ()
        for known in chosen.values():
            events, mine = self.events(known.home)
            batch = encode_batch(events, ids(mine))
            table = batch.parts * entries.PART_BYTES
            rows.append(batch.body[:table])
            bodies.append(batch.body[table:])
            shares.append(multi.Share(known.number, known.next, batch.parts, batch.events))
            tokens += mine
        last = multi.pack(shares)
        info: PartInfo = multi.last_part(last)
        body = b"".join((*rows, entries.pack_part(info), *bodies, last))
        header = msgspec.structs.replace(
            header,
            kind=Kind.APPEND_MANY,
            stream=shares[0].stream,
            parts=sum(share.parts for share in shares) + 1,
            events=sum(share.events for share in shares),
        )
        streams = tuple(share.stream for share in shares)
        return Draft("many", entries.with_body(header, body), tokens, streams)


def ids(tokens: tuple[bytes, ...]) -> bytes:
    """Ids for as many events: like the payloads' tokens, but never found in their place."""
    return b"".join(token[4:] + b"\0\0id" for token in tokens)


def register(client: ClientId, attempt: int) -> Entry:
    """The request that opens a session; later attempts have higher numbers."""
    header = EntryHeader(kind=Kind.REGISTER, client=client, number=attempt, tenant=TENANT)
    return entries.with_body(header, b"")
