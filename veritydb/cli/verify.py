"""`veritydb verify`: every byte of a node that is not running."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from veritydb.cli.exits import Exit, Failure
from veritydb.cli.options import formatted
from veritydb.cli.output import Output
from veritydb.cli.supervisor import MARKER, read_marker
from veritydb.cli.verify_index import check_index
from veritydb.server.datadir import BORN, GROUPS, lock_dir, read_stamp
from veritydb.server.failures import UnknownFormat
from veritydb.server.files import FileDisk
from veritydb.server.peer_memory import FILE as PEERS
from veritydb.server.peer_memory import PeerMemory
from veritydb.storage.disk import DiskError
from veritydb.storage.findings import DAMAGE, Finding, Tally
from veritydb.storage.verify import verify as check_replica

COLUMNS = ("replica", "ops", "entries", "events", "bytes", "erased", "missing", "damage", "notes")


@click.command()
@click.argument("data_dir", type=click.Path(path_type=Path, exists=True, file_okay=False))
@formatted
def verify(data_dir: Path, form: str) -> int:
    """Check every byte of a stopped node: frames, entries, chains, outcomes and index.

    DATA_DIR is a node's directory, or the one of a whole cluster that `veritydb cluster up` was
    given. Nothing is changed. What is wrong is named with its file and first bad byte; a note is
    what a crash may leave and the next start puts right. Exit code 6 if there is damage.
    """
    found: list[dict[str, Any]] = []
    replicas: list[dict[str, Any]] = []
    for node in node_dirs(data_dir):
        for record, findings in check_node(node, data_dir):
            replicas.append(record)
            found += findings
        found += check_peers(node, data_dir)
    damaged = any(finding["severity"] == DAMAGE for finding in found)
    output = Output(form)
    output.document(
        {"intact": not damaged, "replicas": replicas, "findings": found}, replicas, COLUMNS
    )
    for finding in found:
        op = "" if finding["op"] is None else f" (op {finding['op']})"
        output.say(
            f"{finding['severity']}: {finding['file']} byte {finding['at']}{op}:"
            f" {finding['problem']}"
        )
    output.say("damaged" if damaged else "intact")
    return Exit.DAMAGED if damaged else Exit.DONE


def node_dirs(data_dir: Path) -> list[Path]:
    """The node's directory itself, or those of all nodes of a cluster's."""
    if not (data_dir / MARKER).exists():
        return [data_dir]
    birth = read_marker(data_dir)
    assert birth is not None
    return [data_dir / name for name in birth.born]


def check_node(
    directory: Path, base: Path
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Check each replica of a node; yields its line and what is wrong with it."""
    # Raises the server's own errors for what is no node's directory, or one in use.
    try:
        stamp = read_stamp(directory)
    except UnknownFormat as error:
        raise Failure(Exit.DAMAGED, str(error)) from None
    lock = lock_dir(directory)
    try:
        groups = directory / GROUPS
        folders = sorted(path for path in groups.glob("*") if path.is_dir())
        there = {folder.name.partition("-")[0] for folder in folders}
        # A directory with a stamp is complete: the stamp comes last.
        if not folders or not there.issuperset(stamp.incarnations):
            gone = ", ".join(sorted(set(stamp.incarnations) - there))
            raise Failure(Exit.DAMAGED, f"{groups} lacks a replica: of group {gone or '0'}")
        for folder in folders:
            try:
                yield check_folder(folder, base)
            except DiskError as error:
                raise DiskError(f"{folder}: {error}") from error.__cause__
    finally:
        os.close(lock)


def check_peers(directory: Path, base: Path) -> list[dict[str, Any]]:
    """Check what a node remembers of its peers' directories."""
    if not PeerMemory(directory).damaged:
        return []
    problem = "its checksum does not hold; a start forgets it, and learns it again"
    return [as_record(Finding(file=PEERS, at=0, problem=problem), directory, base)]


def check_folder(folder: Path, base: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Check one replica."""
    disk = FileDisk(folder)
    tally = Tally()
    try:
        # What storage does not know the server does.
        found = [one for one in check_replica(disk, tally) if one.file != BORN]
        if not any(one.severity == DAMAGE for one in found):
            found += check_index(folder, disk)
        findings = [as_record(one, folder, base) for one in found]
    finally:
        disk.close()
    damage = sum(finding["severity"] == DAMAGE for finding in findings)
    record = {
        "replica": str(folder.relative_to(base)),
        "ops": tally.ops,
        "entries": tally.entries,
        "events": tally.events,
        "bytes": tally.bytes,
        "erased": tally.erased,
        "missing": tally.missing,
        "damage": damage,
        "notes": len(findings) - damage,
    }
    return record, findings


def as_record(finding: Finding, folder: Path, base: Path) -> dict[str, Any]:
    """One finding for programs."""
    return {
        "severity": finding.severity,
        "file": str((folder / finding.file).relative_to(base)),
        "at": finding.at,
        "op": finding.op,
        "problem": finding.problem,
    }
