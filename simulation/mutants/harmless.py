"""Gates that nothing but speed depends on: without them the same comes about, later or dearer.

Grouped by what happens instead. A gate is known by file, function, the way it is taken away and its
text, so that it is recognised when it moves; a hunt leaves these out of what it draws from.
"""

SAME = "the same is worked out another way, or once more for nothing"
DISK = "what memory would have given is read from the disk"
FETCHED = "what was not kept, or not sent at once, is fetched a little later"
HEARD = "the next heartbeat or resend says the same"
SILENCE = "the others notice by its silence, a little later"
AGAIN = "it begins again from the start, or with another peer; nothing is lost"
NAMED = "it only chooses what is reported"

GROUPS: dict[str, tuple[str, ...]] = {
    SAME: (
        "normal.py make_frame | never | len(proposals) == 1",
        "normal.py propose | always | busy",
        "sessions.py _from | never | new == old + 1",
        "sessions.py _from | never | new - old <= len(results)",
        "sessions.py _from | always | new - old <= len(results)",
        "log.py Log.durable | always | self._cuts",
        "clock.py Clock.tick | always | self.samples and mono - self.oldest > self.sample_age",
        "replica.py _settle | always | s.installing is not None",
        "replica.py _settle | always | s.pending",
        "replica.py _settle | always | s.backfill is not None",
        "replica.py _settle | always | s.reads",
        "replica.py _settle | always | s.log.faulty",
        # Announced headers go as their frames are appended; each use looks only ahead.
        "install.py adopt | always | header.op > s.log.head",
        "state.py suffix | always | op > log.head",
        "transfer.py _take_up | always | op > ref.op",
        "repair.py _give | always | frames",
        "normal.py drain_early | always | min(s.early) <= s.log.head",
        # Whoever wants to leave takes back its vote, and gives it again at the next tick.
        "normal.py count | always | s.abdicating",
    ),
    DISK: (
        "repair.py on_request_frames | never | first in remembered",
        "install.py on_request_headers | never | "
        "all((s.log.header(op) is not None for op in range(message.first, last + 1)))",
        # A frame that is remembered is whole, whatever became of the disk's.
        "repair.py on_request_frames | never | s.log.is_faulty(op)",
        "repair.py mend | never | "
        "frame.header.op not in s.log.frames and frame.header.op > s.commit",
        "log.py Log.prune | never | over <= 0",
    ),
    FETCHED: (
        "normal.py on_prepare | never | len(s.early) < PIPELINE_OPS_MAX and "
        "header.op <= s.log.head + 2 * PIPELINE_OPS_MAX",
        "normal.py drain_early | never | min(s.early) <= s.log.head",
        "normal.py drain_early | never | op > s.log.head",
        "normal.py drain_early | always | op > s.log.head",
        "repair.py on_frames | never | s.log.head > before",
        "view_change.py try_merge | never | "
        "merged.commit - s.log.head > FORFEIT_OPS and _forfeit(s)",
        "view_change.py try_merge | never | told",
        "transfer.py worth | never | s.status is JOINING and s.log.head == 0",
    ),
    HEARD: (
        "normal.py on_prepare | never | header.op <= s.log.durable",
        "normal.py on_prepare | always | header.op <= s.log.durable",
        "install.py written | never | s.status is NORMAL",
        "view_change.py on_start_view_change | never | s.leading",
        "view_change.py on_do_view_change | never | s.leading",
        "replica.py _on_peer_reached | never | event.index == s.primary",
    ),
    SILENCE: (
        "view_change.py on_start_view_change | never | "
        "message.sender == s.primary and (not s.votes[s.index])",
        "view_change.py on_tick | never | s.primary_lost",
        "replica.py _on_peer_lost | never | event.index == s.primary",
        "replica.py _on_peer_reached | never | s.abdicating",
        "normal.py count | never | s.abdicating",
    ),
    AGAIN: (
        # A group of one whose disk stalls elects itself, and goes on.
        "view_change.py abdicate_if_stuck | never | s.replicas == 1",
        "normal.py propose | never | busy and s.pending_bytes < s.config.eager_bytes and "
        "(len(s.pending) < OP_ENTRIES_MAX)",
        "normal.py propose | always | s.peer_up[peer] and (not s.lagging[peer])",
        "transfer.py on_offer | never | ref == work.ref",
        "repair.py fetch | always | s.fetch_due",
        "install.py _request | never | work.source in s.peers",
    ),
    NAMED: (
        "merge.py merge | never | len(dvcs) < replicas",
        "merge.py merge | always | len(dvcs) < replicas",
        "transfer.py on_offer | never | work.at",
        "transfer.py on_offer | always | work.at",
    ),
}
HARMLESS = {name: reason for reason, names in GROUPS.items() for name in names}
