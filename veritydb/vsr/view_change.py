"""Leaving a view, and deciding on the log of the next one.

A replica leaves a view only together with a quorum, so that one that cannot hear a healthy primary
does no harm. In the new view it tells how its log ended, the same for as long as the view lasts;
the new primary merges what a quorum tells.
"""

from veritydb.types.marks import mark
from veritydb.vsr.config import HALTED, NORMAL, VIEW_CHANGE
from veritydb.vsr.install import begin
from veritydb.vsr.merge import Undecided, merge
from veritydb.vsr.messages import DoViewChange, RequestStartView, StartViewChange
from veritydb.vsr.normal import drop_requests, start_view
from veritydb.vsr.promises import denies
from veritydb.vsr.quorum import quorum, reached
from veritydb.vsr.state import RECOVERING, State, suffix

# A new primary that lacks more ops than this lets another one lead instead.
FORFEIT_OPS = 1_024


def vote(s: State) -> None:
    """Say that this view should end; say it again until it does or the primary is heard."""
    if s.status not in (NORMAL, VIEW_CHANGE):
        return
    mark("vsr.voted_to_leave")
    s.votes[s.index] = True
    s.vote_due = s.now + s.config.resend
    s.broadcast(StartViewChange(**s.common))
    _count(s)
    assert s.index not in s.peers


def on_start_view_change(s: State, message: StartViewChange) -> None:
    """Count a vote for leaving this view."""
    if s.status not in (NORMAL, VIEW_CHANGE):
        return
    if message.view > s.view:
        # A quorum has gone there. Its primary may be dead, so that only voters are left to tell.
        mark("vsr.vote_for_a_later_view")
        enter(s, message.view)
    if message.view < s.view:
        mark("vsr.vote_for_an_older_view")
        if s.leading:
            s.send(message.sender, start_view(s, 0))
    else:
        s.votes[message.sender] = True
        if message.sender == s.primary and not s.votes[s.index]:
            # The primary itself wants to leave: no reason to wait for silence.
            vote(s)
        else:
            _count(s)


def _count(s: State) -> None:
    assert len(s.votes) == s.replicas
    if sum(s.votes) >= quorum(s.replicas) and s.view_durable == s.view:
        enter(s, s.view + 1)


def enter(s: State, view: int) -> None:
    """Leave the present view for good and take part in the change to `view`."""
    assert view > s.view and s.status not in (*RECOVERING, HALTED)
    mark("vsr.view_change_entered")
    s.frozen = s.certain
    if s.log_view == s.view:
        # Our log is this view's. What it ended with is said in every later view until there is a
        # new log, whatever becomes of the log meanwhile.
        s.view_headers = suffix(s)
    dropped = leave(s)
    s.status = VIEW_CHANGE
    s.view = type(s.view)(view)
    s.change_due = s.now + s.jitter(s.config.view_change)
    s.dvc_due = s.now + s.config.resend
    s.write_view_state()
    s.role_changed(dropped)


def leave(s: State) -> bool:
    """Forget what belonged to the view that ends. Return whether requests may be lost."""
    dropped = drop_requests(s)
    s.votes = [False] * s.replicas
    s.dvcs = {}
    s.merged = None
    s.installing = None
    s.early = {}
    s.targets = {}
    s.want = s.log.head
    s.heard_round = 0
    s.primary_lost = False
    s.fetch_due = s.vote_due = s.rumour_due = 0
    assert not s.leading
    return dropped


def do_view_change(s: State) -> DoViewChange:
    """Say how our log ended, and which of those frames are here or were never acknowledged."""
    present = nacks = 0
    assert s.view_durable == s.view, "what is said here must not be forgotten"
    for at, header in enumerate(s.view_headers):
        mine = s.log.header(header.op)
        if s.log.is_faulty(header.op) or s.missing(header.op):
            mark("vsr.rotten_frame_not_nacked")
        elif mine is not None and mine.hash == header.hash and header.op <= s.log.durable:
            present |= 1 << at
        else:
            nacks |= 1 << at
    return DoViewChange(
        **s.common,
        log_view=s.log_view,
        commit=s.commit_max,
        headers=s.view_headers,
        present=present,
        nacks=nacks,
        replacements=s.replacements_durable,
    )


def tell(s: State) -> None:
    """Send our DoViewChange; the new primary counts its own."""
    s.dvc_due = s.now + s.config.resend
    if s.status is not VIEW_CHANGE or s.view_durable != s.view or s.log_view == s.view:
        return
    message = do_view_change(s)
    s.broadcast(message)
    if s.primary == s.index:
        s.dvcs[s.index] = message
        try_merge(s)
    assert s.log_view <= s.view


def on_do_view_change(s: State, message: DoViewChange) -> None:
    """Join a view that a quorum has begun, and collect what its members tell."""
    if s.status in RECOVERING:
        mark("vsr.recovering_ignores_view_change")
        return
    if message.log_view >= message.view:
        mark("vsr.impossible_view_change")
        return
    if message.view > s.log_view and denies(s, message):
        # What it denies might be given up for its word.
        return
    if message.view > s.view:
        enter(s, message.view)
    elif message.view < s.view or s.status is NORMAL:
        if s.leading:
            s.send(message.sender, start_view(s, 0))
        return
    assert s.view == message.view
    if s.primary == s.index:
        s.dvcs[message.sender] = message
        try_merge(s)


def try_merge(s: State) -> None:
    """As the new primary, decide on the log once enough have told and our own word is durable."""
    if s.merged is not None or s.index not in s.dvcs:
        return
    assert s.status is VIEW_CHANGE and s.view_durable == s.view
    if any(dvc.replacements > sum(s.members) for dvc in s.dvcs.values()):
        # One of those who told may have been replaced, and its successor be part of a quorum that
        # has no other member in common with these. Whoever knows which one has to lead.
        mark("vsr.merge_knows_too_little")
        return
    merged = merge([s.dvcs[at] for at in sorted(s.dvcs)], s.replicas)
    if isinstance(merged, Undecided):
        match merged:
            case Undecided.AWAIT_QUORUM:
                mark("vsr.merge_await_quorum")
            case Undecided.AWAIT_REPAIR:
                mark("vsr.merge_await_repair")
            case Undecided.DEADLOCK:
                mark("vsr.merge_deadlock")
        return
    if merged.commit - s.log.head > FORFEIT_OPS and _forfeit(s):
        return
    s.merged = merged
    s.commit_max = max(s.commit_max, merged.commit)
    told = [dvc for peer, dvc in sorted(s.dvcs.items()) if peer != s.index]
    if told:
        s.fetch_source = max(told, key=lambda dvc: (dvc.log_view, dvc.op)).sender
    begin(s, s.view, merged.head, merged.commit, merged.headers, leading=True)


def _forfeit(s: State) -> bool:
    """Let the next replica that has what we lack be the primary, if there is one."""
    assert s.primary == s.index
    for view in range(s.view + 1, s.view + s.replicas):
        dvc = s.dvcs.get(s.primary_of(view))
        if dvc is not None and dvc.headers and dvc.present >> (len(dvc.headers) - 1) & 1:
            mark("vsr.view_forfeited")
            enter(s, view)
            return True
    return False


def on_request_start_view(s: State, message: RequestStartView) -> None:
    """Answer as the view's primary. A replacement is answered once it is safe for it to vote."""
    if not s.leading:
        return
    replaced = message.incarnation == s.members[message.sender]
    if not replaced or (message.joining and not may_join(s, message.sender)):
        mark("vsr.start_view_for_a_stranger")
        return
    if message.nonce and message.view > s.view:
        # It had gone ahead of us before it forgot, may not come back, and has no voice to call us.
        mark("vsr.recovering_is_ahead")
        enter(s, message.view)
        return
    assert message.sender != s.index
    s.send(message.sender, start_view(s, message.nonce))


def may_join(s: State, index: int) -> bool:
    """Whether a replacement may get a voice: its predecessor, should it live, can do no harm.

    The predecessor and those who do not know of the replacement must be no quorum: it and one that
    the replacement is part of need not share a member, and each could commit something.
    """
    s.replacements[s.index] = s.replacements_durable
    knowing = [s.replacements[at] >= sum(s.members) for at in range(s.replicas) if at != index]
    assert len(knowing) == s.replicas - 1
    return sum(knowing) >= quorum(s.replicas)


def on_tick(s: State) -> None:
    """Suspect a silent primary, and a view change that does not end."""
    if s.now >= s.window_due:
        s.window_due = s.now + s.config.suspect
        own = s.votes[s.index]
        s.votes = [False] * s.replicas
        s.votes[s.index] = own
    if s.votes[s.index]:
        if s.now >= s.vote_due:
            vote(s)
    elif s.status is NORMAL and not s.leading:
        patience = s.suspect_after
        if s.primary_lost:
            patience = min(patience, s.config.suspect_lost)
        if s.now - s.heard_at >= patience:
            mark("vsr.primary_suspected")
            s.suspect_after = s.jitter(s.config.suspect)
            vote(s)
    elif s.status is NORMAL:
        abdicate_if_stuck(s)
    elif s.status is VIEW_CHANGE and s.now >= s.change_due:
        mark("vsr.view_change_timed_out")
        s.change_due = s.now + s.jitter(s.config.view_change)
        vote(s)
    if s.status is VIEW_CHANGE and s.now >= s.dvc_due:
        tell(s)
    assert s.window_due > s.now


def abdicate_if_stuck(s: State) -> None:
    """As a primary that no quorum answers, fall silent and let the others choose another.

    Also with nothing to agree on: one that hears nobody gets no time either, so never proposes.
    """
    assert s.leading
    if s.replicas == 1:
        return
    s.answered[s.index] = s.now
    stuck = s.log.head > s.commit_max and s.now - s.progress_at >= s.config.abdicate
    unheard = s.now - reached(s.answered) >= s.config.abdicate
    if s.commit > s.emitted or s.commit == s.commit_max:
        s.emitted, s.emitted_at = s.commit, s.now
    # The others agree, and nothing comes of it here: this disk hangs, or a frame is not mended.
    hangs = s.now - s.emitted_at >= s.config.abdicate
    if (stuck or unheard or hangs) and not s.abdicating:
        mark("vsr.abdicated")
        s.abdicating = True
    if s.clock.synchronised or s.clock.interval is None:
        s.time_agreed_at = s.now
    elif s.now - s.time_agreed_at >= s.config.abdicate and not s.stepping_down:
        # The others agree on a time, only not with us: one of them can lead.
        mark("vsr.stepped_down_for_its_clock")
        s.stepping_down = True
    if s.abdicating or s.stepping_down:
        vote(s)


def step_down(s: State) -> None:
    """Ask the others to choose another primary. Without effect where there is no other."""
    if not s.leading or s.replicas == 1:
        mark("vsr.nothing_to_step_down_from")
        return
    s.stepping_down = True
    vote(s)
    assert not s.is_primary
