"""`veritydb audit`: what became of a tenant's commands, and the proof that it is all there."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import click

from veritydb.cli.connection import connect
from veritydb.cli.exits import Exit, Failure
from veritydb.cli.options import PLACEMENT, connected, formatted, tenanted
from veritydb.cli.output import Output, moment, print_json, print_table
from veritydb.client.audit import AuditItem, AuditOp, AuditProof, link
from veritydb.kernel.apply import NUMBERS
from veritydb.types.entry import Kind
from veritydb.types.errors import code_name
from veritydb.types.ids import U64_MAX
from veritydb.types.labels import Placement
from veritydb.types.merkle import HASH_BYTES, NO_HASH
from veritydb.types.outcome import Outcome

COLUMNS = ("time", "group", "op", "command", "outcome", "stream", "base", "count", "policy")
TABLE_ROWS = 200
COMMANDS = {number: kind.__name__ for kind, number in NUMBERS.items()}


@click.group()
def audit() -> None:
    """What became of every command, and the proof of it."""


def placed(function: Any) -> Any:
    """Add `--placement`."""
    return click.option(
        "--placement",
        type=PLACEMENT,
        metavar="PLACE",
        help="Only the group of this place: global, or region:NAME.",
    )(function)


@audit.command("list")
@tenanted
@placed
@click.option(
    "--from-op",
    type=click.IntRange(1, U64_MAX),
    default=1,
    metavar="N",
    help="Begin at this op.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="So many lines at most.")
@connected
@formatted
def list_entries(
    tenant: int,
    placement: Placement | None,
    from_op: int,
    limit: int | None,
    url: str,
    timeout: float,
    form: str,
) -> None:
    """List what became of a tenant's commands, refusals included, group after group.

    Every line names the policy version that decided. Of a refusal at the edge, COUNT says how many
    like it the line stands for. -o json prints one object per line.
    """
    with connect(url, timeout) as db:
        ops = db.audit(tenant, placement=placement, from_op=from_op)
        records = islice(own_records(ops), limit)
        if form == "json":
            for record in records:
                print_json(record, indent=-1)
            return
        head = True
        while piece := list(islice(records, TABLE_ROWS)):
            rows = [record | {"time": moment(record["time"])} for record in piece]
            print_table(rows, COLUMNS, head=head)
            head = False


@audit.command()
@tenanted
@placed
@click.option(
    "--known",
    "heads",
    multiple=True,
    metavar="GROUP:OP:HEAD",
    help="A head that an earlier run printed: the history up to there must still lead to it."
    " May be repeated.",
)
@connected
@formatted
def verify(
    tenant: int,
    placement: Placement | None,
    heads: tuple[str, ...],
    url: str,
    timeout: float,
    form: str,
) -> None:
    """Recompute the chain of all outcomes from the first op on.

    The tenant's own outcomes are checked in full; of all others the server shows only hashes. Keep
    the heads that are printed: given to a later run as --known, they prove that nothing before them
    was changed, left out or put in since. Exit code 6 says where the chain does not hold.
    """
    known = dict(read_head(text) for text in heads)
    with connect(url, timeout) as db:
        proofs = check_chains(db.audit_export(tenant, placement=placement), tenant, known)
    reached = {proof.group: proof.op for proof in proofs}
    for (group, op), head in known.items():
        if op > reached.get(group, 0):
            raise broken(group, op, f"the log ends before it, and {head.hex()} was its head")
    rows = [
        {
            "group": proof.group,
            "op": proof.op,
            "records": proof.records,
            "head": proof.head.hex(),
            "known": f"{proof.group}:{proof.op}:{proof.head.hex()}",
        }
        for proof in proofs
    ]
    output = Output(form)
    output.document({"verified": rows}, rows, ("group", "op", "records", "head"))


def check_chains(
    ops: Iterable[AuditOp], tenant: int, known: dict[tuple[int, int], bytes]
) -> list[AuditProof]:
    """Follow the chain of each group from its beginning. Raises Failure where one does not hold."""
    proofs: dict[int, AuditProof] = {}
    for op in ops:
        last = proofs.get(op.group, AuditProof(op.group, 0, 0, NO_HASH))
        if op.op != last.op + 1:
            raise broken(op.group, last.op + 1, "it is missing")
        head = link(last.head, op.items)
        if head != op.head:
            raise broken(op.group, op.op, "its outcomes do not lead to its head")
        if known.get((op.group, op.op), head) != head:
            raise broken(op.group, op.op, "its head is not the one that is known")
        own = [item.outcome for item in op.items if item.outcome is not None]
        if any((one.op, one.tenant) != (op.op, tenant) for one in own):
            raise broken(op.group, op.op, "an outcome stands where it does not belong")
        proofs[op.group] = AuditProof(op.group, op.op, last.records + len(own), head)
    return list(proofs.values())


def broken(group: int, op: int, why: str) -> Failure:
    """The chain does not hold."""
    return Failure(Exit.DAMAGED, f"group {group}, op {op}: {why}", name="AUDIT_BROKEN")


def read_head(text: str) -> tuple[tuple[int, int], bytes]:
    """Read `GROUP:OP:HEAD`."""
    try:
        group, op, head = text.split(":")
        found = (int(group), int(op)), bytes.fromhex(head)
    except ValueError:
        raise click.UsageError(f"--known: {text!r} is not GROUP:OP:HEAD") from None
    if found[0][0] < 0 or found[0][1] < 1:
        # Such a head would never be met, so it would seem to hold.
        raise click.UsageError("--known: a group is 0 or more, and an op 1 or more")
    if len(found[1]) != HASH_BYTES:
        raise click.UsageError(f"--known: a head has {2 * HASH_BYTES} hex digits")
    return found


def own_records(ops: Iterable[AuditOp]) -> Iterator[dict[str, Any]]:
    """The tenant's own outcomes for programs."""
    for op in ops:
        for item in op.items:
            outcome = item.outcome
            if outcome is not None:
                yield as_record(op, item, outcome)


def as_record(op: AuditOp, item: AuditItem, outcome: Outcome) -> dict[str, Any]:
    """One outcome."""
    return {
        "time": op.timestamp,
        "group": op.group,
        "op": op.op,
        "entry": outcome.entry,
        "command": command_name(outcome.kind),
        "outcome": code_name(outcome.code),
        "stream": outcome.stream,
        "base": outcome.base,
        "count": outcome.count,
        "policy": outcome.policy,
        "client": item.client.hex(),
        "actor": item.actor,
    }


def command_name(kind: int) -> str:
    """What was asked for: the entry's kind, or which command it was."""
    command = COMMANDS.get(kind >> 8)
    return command or Kind(kind & 0xFF).name.title().replace("_", "")
