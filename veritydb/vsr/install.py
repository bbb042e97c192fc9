"""Making our log a part of the new view's log, and then the view ours.

First the log is compared from its end down to what is certainly committed; only what
differs is cut. Headers that are needed for it and not known are asked for. A backup is then done:
what it lacks it fetches as it goes. A new primary fetches all of the log first. Only then the view
is written down.
"""

from collections.abc import Mapping

from veritydb.types.frame import Header
from veritydb.types.ids import Op, View
from veritydb.types.limits import PIPELINE_OPS_MAX
from veritydb.types.marks import mark
from veritydb.vsr.config import HALTED, NORMAL, VIEW_CHANGE
from veritydb.vsr.effects import HaltKind, ReadHeaders
from veritydb.vsr.messages import HEADERS_MAX, Headers, RequestHeaders, StartView
from veritydb.vsr.normal import acknowledge, count, drop_requests, heartbeat, start_view
from veritydb.vsr.state import RECOVERING, Installation, Purpose, State, Waiting, suffix


def begin(
    s: State, view: View, op: Op, commit: Op, headers: Mapping[int, Header], leading: bool
) -> None:
    """Note how the log of `view` ends; `drive` does the rest."""
    assert op >= commit or not leading
    s.fetch_due = 0
    s.installing = Installation(
        view=view, op=op, commit=commit, known=dict(headers), leading=leading
    )


def on_start_view(s: State, message: StartView) -> None:
    """Follow the primary of a view that is new to us."""
    if message.sender != s.primary_of(message.view) or message.view < s.view:
        mark("vsr.start_view_of_an_older_view")
        return
    if message.op < message.commit:
        mark("vsr.impossible_start_view")
        return
    if s.status in RECOVERING:
        if message.nonce != s.nonce or (s.installed and message.view == s.view):
            # It may be older than what we acknowledged and forgot.
            mark("vsr.start_view_not_asked_for")
            return
    elif message.view == s.view and s.status is NORMAL:
        return
    pending = s.installing
    if pending is not None and pending.view >= message.view:
        return
    assert s.primary_of(message.view) != s.index
    headers: dict[int, Header] = {header.op: header for header in message.headers}
    begin(s, message.view, message.op, message.commit, headers, leading=False)


def certain_here(s: State) -> Op:
    """Return up to where our own log is certainly committed, and so part of every later one."""
    top = s.log.header(s.log.head)
    assert (top is None) == (s.log.head == 0)
    # Whoever made our head had applied the op it names, which stands in the same chain.
    return max(s.certain, s.commit, top.commit if top is not None else Op(0))


def drive(s: State) -> None:
    """Take the next step of the installation, as far as it goes without waiting."""
    work = s.installing
    if work is None or work.written:
        return
    if not work.reconciled:
        common = reconcile(s, work)
        if common is None or s.status is HALTED:
            return
        if common < s.log.head:
            s.cut(common)
        work.reconciled = True
    assert s.log.head <= work.op, "nothing is left that the new log does not have"
    if not work.leading:
        adopt(s, work)
        return
    assert s.status is VIEW_CHANGE and s.view == work.view
    if s.log.head < work.op or any(op > work.commit for op in s.log.faulty):
        # Fetching and repair go on beside this.
        return
    assert work.reconciled and s.log.head == work.op
    work.written = True
    s.log_view = s.view
    s.view_headers = suffix(s)
    s.write_view_state()


def reconcile(s: State, work: Installation) -> Op | None:
    """Return the last op that our log shares with the new one; None while headers are missing."""
    certain = certain_here(s)
    if work.op < certain:
        s.halt(HaltKind.DIVERGED, f"view {work.view} ends with op {work.op} before {certain}")
        return None
    top = min(s.log.head, work.op)
    assert top - certain <= PIPELINE_OPS_MAX, "what a header names bounds what is in doubt"
    for op in range(top, certain, -1):
        mine = s.log.headers[op]
        theirs = work.known.get(op)
        after = work.known.get(op + 1)
        if theirs is not None:
            if theirs.hash == mine.hash:
                return Op(op)
        elif after is not None:
            if after.previous == mine.hash:
                return Op(op)
        else:
            _request(s, work, Op(certain + 1), Op(op))
            return None
    assert s.commit <= certain <= top
    return certain


def _request(s: State, work: Installation, first: Op, last: Op) -> None:
    """Ask for the new log's headers: its primary, then whoever is normal in the view.

    The primary's disk may hang while its heartbeats go on. Its own it asks of all in turn, for what
    they are certain of.
    """
    assert 0 < first <= last
    if s.now < work.request_due:
        return
    mark("vsr.headers_requested")
    work.request_due = s.now + s.config.resend
    if work.source in s.peers:
        work.source = s.peers[(s.peers.index(work.source) + 1) % len(s.peers)]
    elif work.leading:
        work.source = s.peers[s.prng.randrange(len(s.peers))]
    else:
        work.source = s.primary_of(work.view)
    assert work.source != s.index
    s.send(work.source, RequestHeaders(**s.common, first=first, last=last))


def on_headers(s: State, message: Headers) -> None:
    """Take what was asked for, as far as the sender can know it."""
    work = s.installing
    if work is None or work.reconciled or message.view != work.view:
        return
    # A log that is normal in this view is the beginning of its primary's.
    if not work.leading and not message.normal:
        return
    for header in message.headers:
        if header.op <= message.certain or message.normal:
            work.known.setdefault(header.op, header)
    work.request_due = s.now
    assert work is s.installing


def on_request_headers(s: State, message: RequestHeaders) -> None:
    """Answer out of memory, or out of the journal."""
    last = Op(min(message.last, s.log.durable, message.first + HEADERS_MAX - 1))
    if not 0 < message.first <= last:
        return
    if all(s.log.header(op) is not None for op in range(message.first, last + 1)):
        headers = [s.log.headers[op] for op in range(message.first, last + 1)]
        _answer(s, message.sender, tuple(headers))
    elif not s.reads_for(Purpose.SERVE_HEADERS, message.sender):
        token = s.next_token(Purpose.SERVE_HEADERS, message.sender)
        s.out.append(ReadHeaders(token, message.first, last))
    assert last <= s.log.head


def on_headers_read(s: State, waiting: Waiting, headers: tuple[Header, ...]) -> None:
    """Pass on what was read, unless the log is another one by now."""
    assert waiting.purpose == Purpose.SERVE_HEADERS
    if waiting.cuts == s.cuts and headers:
        _answer(s, waiting.peer, headers[:HEADERS_MAX])


def _answer(s: State, peer: int, headers: tuple[Header, ...]) -> None:
    assert len(headers) <= HEADERS_MAX
    normal = s.status is NORMAL and s.log_view_durable == s.view
    s.send(peer, Headers(**s.common, certain=s.certain, normal=normal, headers=headers))


def adopt(s: State, work: Installation) -> None:
    """As a backup: our log is a part of the view's now. Say so durably and follow its primary."""
    assert s.log.head <= work.op and work.reconciled
    assert work.view >= s.view and s.primary_of(work.view) != s.index
    mark("vsr.view_adopted")
    dropped = drop_requests(s)
    s.installing = None
    s.merged = None
    s.dvcs = {}
    s.early = {}
    s.votes = [False] * s.replicas
    s.view = s.log_view = work.view
    s.view_headers = tuple(
        work.known[op] for op in sorted(work.known) if work.commit <= op <= work.op
    )
    s.targets = {header.op: header for header in s.view_headers if header.op > s.log.head}
    s.commit_max = max(s.commit_max, work.commit)
    s.want = work.op
    s.heard_at = s.now
    s.heard_round = 0
    s.primary_lost = False
    s.fetch_due = s.vote_due = 0
    if s.status in RECOVERING:
        s.installed = True
        s.recovering = work.op
    else:
        s.status = NORMAL
    assert s.following and not s.leading
    s.write_view_state()
    s.role_changed(dropped)


def written(s: State) -> None:
    """The view is durable as ours: lead it, or acknowledge what we hold of it."""
    if s.log_view_durable != s.view or s.log_view != s.view:
        return
    if s.primary == s.index:
        if s.status is VIEW_CHANGE:
            assert not s.leading
            lead(s)
    elif s.status is NORMAL:
        acknowledge(s)
    assert s.view_durable == s.view


def lead(s: State) -> None:
    """Begin the view as its primary. Ops that are not committed yet keep their original headers."""
    assert s.log.durable == s.log.head, "the view was written after all frames"
    assert s.log_view == s.view and s.primary == s.index
    mark("vsr.view_led")
    s.status = NORMAL
    s.leading = True
    s.installing = None
    s.merged = None
    s.dvcs = {}
    s.votes = [False] * s.replicas
    s.acked = [0] * s.replicas
    s.rounds = [0] * s.replicas
    s.answered = [s.now] * s.replicas
    s.replacements = [0] * s.replicas
    s.lagging = [False] * s.replicas
    s.round = 0
    s.view_start = s.log.head
    s.progress_at = s.time_agreed_at = s.emitted_at = s.now
    s.emitted = s.commit
    s.abdicating = s.stepping_down = False
    assert s.log_view_durable == s.view
    s.broadcast(start_view(s, 0))
    heartbeat(s)
    count(s)
    s.role_changed(dropped=False)


def finish_recovery(s: State) -> None:
    """Vote again, once all that may have been acknowledged here before is here again."""
    assert s.status in RECOVERING and s.installed
    if s.log.durable < s.recovering or s.members[s.index] != s.incarnation:
        return
    mark("vsr.recovered")
    assert not s.leading and s.log_view == s.view
    s.recovering = Op(0)
    s.installed = False
    s.status = NORMAL
    s.write_view_state()
    s.role_changed(dropped=False)
