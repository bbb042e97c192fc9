"""What the simulator found once, without the simulator."""

from hashlib import sha256
from random import Random

import msgspec

from simulation.topology import CLUSTER, directory, groups
from veritydb.kernel.state import KERNEL_VERSION, genesis
from veritydb.node.applier import apply_frame
from veritydb.node.config import NodeConfig
from veritydb.node.node import Node
from veritydb.node.state import chunks, fresh
from veritydb.types import entry as entries
from veritydb.types import merkle, outcome
from veritydb.types.durable import Identity, Recovered, SnapshotRef, Superblock, ViewState
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.frame import Frame, Header, seal
from veritydb.types.ids import ClientId, Op, View
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import Code
from veritydb.vsr.config import Config
from veritydb.vsr.events import Tick
from veritydb.wire import log as commands

(GROUP,) = groups("three")
GENESIS = genesis(GROUP.number, GROUP.placement, directory("three"))


def frame_of(made: list[entries.Entry]) -> Frame:
    """Op 1 with some entries."""
    body = b"".join(entry.data for entry in made)
    header = Header(
        cluster=CLUSTER,
        group=GROUP.number,
        epoch=0,
        view=View(0),
        op=Op(1),
        commit=Op(0),
        timestamp=1,
        kernel=KERNEL_VERSION,
        segment=Op(1),
        position=0,
        entry_base=0,
        entry_count=len(made),
        body_len=len(body),
        previous=NO_HASH,
        outcomes=NO_HASH,
        root=merkle.root([entry.leaf for entry in made]),
    )
    return Frame(seal(header), body)


def test_two_processes_with_one_id_in_one_op_do_not_share_a_session() -> None:
    client = ClientId(b"one and the same")
    first, second = (
        entries.with_body(EntryHeader(kind=Kind.REGISTER, client=client, number=number), b"")
        for number in (5, 6)
    )
    done = apply_frame(fresh(GENESIS, 3), frame_of([first, second, first]), commands.decode)
    assert [each.code for each in done.outcomes] == [Code.OK, Code.NO_SESSION, Code.OK]
    assert outcome.decode(done.records).base == 1


def test_a_node_knows_at_its_start_whom_the_snapshot_names() -> None:
    frame = frame_of([entries.with_body(EntryHeader(kind=Kind.PULSE), b"")])
    state = apply_frame(fresh(GENESIS, 3), frame, commands.decode).state
    state = msgspec.structs.replace(state, members=(0, 1, 0))
    ref = SnapshotRef(
        op=Op(1), header_hash=frame.header.hash, digest=sha256().digest(), outcomes=state.outcomes
    )
    identity = Identity(
        cluster=CLUSTER, group=GROUP.number, region="au-syd", index=1, replicas=3, incarnation=1
    )
    view_state = ViewState(
        view=View(0), log_view=View(0), commit=Op(1), epoch=0, members=(0, 0, 0), headers=()
    )
    block = Superblock(
        sequence=1, parent=NO_HASH, identity=identity, view_state=view_state, snapshot=ref
    )
    recovered = Recovered(
        superblock=block, base=frame.header, headers=(), faulty=(), head_certain=True
    )
    vsr = Config(cluster=CLUSTER, group=GROUP.number, index=1, replicas=3, kernel=KERNEL_VERSION)
    config = NodeConfig(vsr=vsr, genesis=GENESIS, decode=commands.decode)
    node = Node(config, recovered, chunks(state), Random(1))
    assert node.replica.members == (0, 1, 0)
    assert node.step(Tick(1, 1)), "it says so to the disk"
