"""The log below a snapshot that was taken from a peer: fetching it all, from the highest op down.

A replica holds the whole log, whatever it was brought up from. The snapshot's header proves the ops
before it, link by link, and its outcome head proves what became of them; so whoever gives them need
not be believed. One request is on its way at a time, and the next leaves when the last was written:
history never crowds out the present. Until an op is here it is missing, which is neither rotten nor
absent: it is not served, not repaired, and no vote is about it.
"""

from veritydb.types.history import NOTHING, before
from veritydb.types.ids import Op
from veritydb.types.limits import CATCH_UP_BYTES_MAX
from veritydb.types.marks import mark
from veritydb.vsr.effects import CloseGap, HaltKind, ReadHistory, WriteHistory
from veritydb.vsr.events import HistoryRead
from veritydb.vsr.messages import HistoryPart, RequestHistory
from veritydb.vsr.progress import Backfill
from veritydb.vsr.repair import next_source
from veritydb.vsr.state import Purpose, State, Waiting


def drive(s: State) -> None:
    """Ask for the next stretch, on our own disk first if it may be there; in the end, say so."""
    work = s.backfill
    if work is None or work.writing is not None or work.closing:
        return
    assert work.floor <= work.proof.op
    if work.proof.op == work.floor:
        mark("vsr.history_complete")
        work.closing = True
        s.out.append(CloseGap(work.floor))
    elif work.own:
        if not s.reads_for(Purpose.OWN_HISTORY):
            token = s.next_token(Purpose.OWN_HISTORY)
            first = Op(work.floor + 1)
            size = s.config.part_bytes
            s.out.append(ReadHistory(token, first, work.proof.op, size, work.proof))
    elif s.peers and s.now >= work.due:
        _ask(s, work)


def _ask(s: State, work: Backfill) -> None:
    if work.due or work.source < 0:
        mark("vsr.history_from_another")
        work.source = next_source(s, work.source)
    work.due = s.now + s.config.fetch
    assert work.floor < work.proof.op
    s.send(
        work.source,
        RequestHistory(**s.common, first=Op(work.floor + 1), last=work.proof.op),
    )


def on_part(s: State, message: HistoryPart) -> None:
    """Have it proved and written, if it was asked for."""
    work = s.backfill
    if work is None or work.writing is not None or message.last != work.proof.op or work.own:
        return
    frames = message.history.frames
    if not frames or frames[0].header.op <= work.floor:
        mark("vsr.history_not_there")
        return
    work.writing = before(message.history)
    assert work.floor <= work.writing.op < work.proof.op
    s.out.append(WriteHistory(message.history, work.proof))


def on_written(s: State, first: Op) -> None:
    """Go on below what is here now, with the same peer."""
    work = s.backfill
    if work is None or work.writing is None or work.writing.op != first - 1:
        return
    assert work.writing.op < work.proof.op
    work.proof, work.writing = work.writing, None
    work.due = 0


def on_refused(s: State, first: Op) -> None:
    """It was not the log's. Ask another peer, after a while."""
    work = s.backfill
    if work is None or work.writing is None or work.writing.op != first - 1:
        return
    mark("vsr.history_refused")
    work.writing = None
    work.due = s.now + s.config.fetch
    assert work.due > 0


def on_gap_closed(s: State, after: Op, joined: bool) -> None:
    """The log is whole, unless what came does not follow what was here before."""
    work = s.backfill
    if work is None or not work.closing or work.floor != after:
        return
    assert work.proof.op == after
    if not joined:
        s.halt(HaltKind.DIVERGED, f"the history behind op {after} does not follow it")
        return
    s.backfill = None


# -- giving ours


def on_request(s: State, message: RequestHistory) -> None:
    """Have what is here read; say so if it is not here."""
    last, first = message.last, message.first
    if not 0 < first <= last <= min(s.commit, s.log.durable) or s.missing(last):
        mark("vsr.history_asked_for_in_vain")
        s.send(message.sender, HistoryPart(**s.common, last=last, history=NOTHING))
        return
    if s.backfill is not None and s.backfill.proof.op < last:
        first = max(first, Op(s.backfill.proof.op + 1))
    if not s.reads_for(Purpose.SERVE_HISTORY, message.sender):
        token = s.next_token(Purpose.SERVE_HISTORY, message.sender)
        size = min(s.config.part_bytes, CATCH_UP_BYTES_MAX)
        assert first <= last
        s.out.append(ReadHistory(token, first, last, size))


def on_read(s: State, waiting: Waiting, event: HistoryRead) -> None:
    """Pass on what was read, or skip what an earlier life had written already."""
    frames = event.history.frames
    if event.rotten and not s.missing(event.rotten) and event.rotten <= s.commit:
        mark("vsr.rotten_frame_found")
        s.log.add_faulty(event.rotten)
    if waiting.purpose == Purpose.SERVE_HISTORY:
        if frames:
            last = frames[-1].header.op
            s.send(waiting.peer, HistoryPart(**s.common, last=last, history=event.history))
        return
    work = s.backfill
    assert waiting.purpose == Purpose.OWN_HISTORY
    if work is None or not work.own:
        return
    if not frames:
        work.own = False
        return
    mark("vsr.history_was_written_before")
    assert frames[-1].header.op == work.proof.op
    work.proof = before(event.history)
