"""Everything that the nodes hold, read back from each of them alone."""

from collections.abc import Sequence

from nemesis.checks import Reading
from nemesis.history import Ending
from nemesis.ledger import digest_of
from nemesis.nodes import Nodes
from nemesis.publishers import CALL_SECONDS, TENANT, Stream
from nemesis.taint import TAINT
from veritydb.client.sync import Client
from veritydb.client.values import Token
from veritydb.types.labels import GLOBAL, Region


def readings_of(
    nodes: Nodes, published: Sequence[Stream], token: Token
) -> dict[str, dict[str, Reading]]:
    """Each published stream as each node gives it back."""
    found: dict[str, dict[str, Reading]] = {one.name: {} for one in published}
    for node in nodes.names:
        with nodes.client(timeout=CALL_SECONDS) as db:
            for one in published:
                found[one.name][node] = read(db, one, node, token)
    return found


def read(db: Client, stream: Stream, node: str, token: Token) -> Reading:
    """Read a whole stream from one node alone."""
    handle = db.stream(f"{TAINT}-{stream.name}", tenant=TENANT, placement=stream.placement)
    offsets: list[int] = []
    digests: list[bytes] = []
    floor = 0
    for batch in handle.read_batches(0, node=node, at_least=token):
        if batch.truncated:
            floor = batch.base + batch.count
        # What was erased has offsets but no payloads: that it is missing shows.
        for offset, payload in zip(batch.offsets, batch.payloads, strict=False):
            offsets.append(offset)
            digests.append(digest_of(payload))
    return Reading(offsets, digests, floor)


def endings_of(
    nodes: Nodes, names: Sequence[str], region: Region
) -> tuple[dict[str, Ending], list[str]]:
    """Each recorded stream, and those that not all nodes gave back alike."""
    endings: dict[str, Ending] = {}
    unlike: list[str] = []
    for node in nodes.names:
        with nodes.client(timeout=CALL_SECONDS) as db:
            for name in names:
                ending = read_ending(db, name, region, node)
                if endings.setdefault(name, ending) != ending:
                    unlike.append(f"{node} gave back other events of {name} than the first node")
    return endings, unlike


def read_ending(db: Client, name: str, region: Region, node: str) -> Ending:
    """One recorded stream, with its times, from one node alone."""
    placement = region if "region" in name else GLOBAL
    handle = db.stream(name, tenant=TENANT, placement=placement)
    values: list[bytes] = []
    times: list[int] = []
    for batch in handle.read_batches(0, node=node):
        values += batch.payloads
        times += [batch.timestamp] * len(batch.payloads)
    return Ending(tuple(values), tuple(times))
