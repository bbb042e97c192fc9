"""Sessions: a request that is sent twice is applied once, and everybody remembers the same."""

import immutables
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.ids import ClientId, Op
from veritydb.types.limits import SESSION_WINDOW, SESSIONS_MAX
from veritydb.types.outcome import Code
from veritydb.vsr import sessions as module
from veritydb.vsr.sessions import Duplicate, New, Refused, Sessions


def client(number: int) -> ClientId:
    return ClientId(number.to_bytes(16, "big"))


def request(who: int, session: int, number: int, acked: int = 0) -> EntryHeader:
    return EntryHeader(
        kind=Kind.APPEND, client=client(who), session=session, number=number, acked=acked
    )


def opened(who: int = 1, op: int = 5) -> Sessions:
    sessions, evicted = Sessions().register(client(who), Op(op))
    assert evicted is None
    return sessions


def apply(sessions: Sessions, header: EntryHeader, op: int) -> Sessions:
    assert isinstance(sessions.check(header), New)
    return sessions.record(header, Op(op), b"outcome %d" % op)


def test_a_repeated_request_gets_the_first_outcome() -> None:
    sessions = apply(opened(), request(1, 5, 1), 6)
    assert sessions.check(request(1, 5, 1)) == Duplicate(b"outcome 6")


def test_requests_may_overtake_each_other() -> None:
    sessions = apply(apply(opened(), request(1, 5, 3), 6), request(1, 5, 1), 7)
    assert sessions.check(request(1, 5, 3)) == Duplicate(b"outcome 6")
    assert isinstance(sessions.check(request(1, 5, 2)), New)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (request(2, 5, 1), Code.NO_SESSION),
        (request(1, 4, 1), Code.NO_SESSION),
        (request(1, 6, 1), Code.NO_SESSION),
        (request(1, 5, 0), Code.STALE_NUMBER),
        (request(1, 5, 3, acked=4), Code.STALE_NUMBER),
        (request(1, 5, SESSION_WINDOW), Code.WINDOW_EXCEEDED),
    ],
)
def test_refusals(header: EntryHeader, code: Code) -> None:
    assert opened().check(header) == Refused(code)


def test_what_is_acknowledged_is_forgotten_and_moves_the_window() -> None:
    sessions = opened()
    for number in range(1, 10):
        sessions = apply(sessions, request(1, 5, number), 5 + number)
    sessions = apply(sessions, request(1, 5, 10, acked=8), 20)
    known = sessions.session_of(client(1))
    assert known is not None
    assert sorted(known.results) == [8, 9, 10]
    assert sessions.results == 3
    assert sessions.check(request(1, 5, 7)) == Refused(Code.STALE_NUMBER)
    assert isinstance(sessions.check(request(1, 5, SESSION_WINDOW + 7)), New)


def test_a_jump_of_what_is_acknowledged_forgets_all() -> None:
    sessions = apply(opened(), request(1, 5, 1), 6)
    sessions = apply(sessions, request(1, 5, 1 << 60, acked=1 << 60), 7)
    assert sessions.results == 1


def test_a_new_registration_ends_the_session_before() -> None:
    sessions = apply(opened(), request(1, 5, 1), 6)
    sessions, _ = sessions.register(client(1), Op(9))
    assert sessions.check(request(1, 5, 1)) == Refused(Code.NO_SESSION)
    assert isinstance(sessions.check(request(1, 9, 1)), New)
    assert sessions.results == 0


def test_a_late_duplicate_of_a_registration_changes_nothing() -> None:
    sessions, _ = Sessions().register(client(1), Op(5), attempt=1)
    sessions, _ = sessions.register(client(1), Op(9), attempt=2)
    again, evicted = sessions.register(client(1), Op(12), attempt=1)
    assert again is sessions and evicted is None
    assert sessions.register(client(1), Op(9))[0] is sessions


def test_the_quietest_session_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 3)
    sessions = Sessions()
    for who in (1, 2, 3):
        sessions, _ = sessions.register(client(who), Op(who))
    sessions = apply(sessions, request(1, 1, 1), 4)
    sessions, evicted = sessions.register(client(4), Op(5))
    assert evicted == client(2)
    assert sessions.check(request(2, 2, 1)) == Refused(Code.NO_SESSION)
    # A client that registers again needs no new place.
    assert sessions.register(client(1), Op(6))[1] is None


def test_room_is_made_for_many_at_once() -> None:
    """Looking for the quietest of ten thousand takes long; thousands may register in one op."""
    sessions = Sessions()
    for who in range(1, SESSIONS_MAX + 1):
        sessions, evicted = sessions.register(client(who), Op(who))
        assert evicted is None
    sessions, evicted = sessions.register(client(SESSIONS_MAX + 1), Op(SESSIONS_MAX + 1))
    assert evicted == client(1)
    gone = SESSIONS_MAX + 1 - len(sessions.table)
    assert 1 < gone <= SESSIONS_MAX // 50
    assert sessions.session_of(client(gone)) is None
    assert sessions.session_of(client(gone + 1)) is not None


def test_results_are_bounded_over_all_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESULTS_MAX", 10)
    sessions = Sessions()
    for who in range(1, 5):
        sessions, _ = sessions.register(client(who), Op(who))
    for number in range(1, 7):
        sessions = apply(sessions, request(1, 1, number), 10 + number)
    for number in range(1, 6):
        sessions = apply(sessions, request(2, 2, number), 20 + number)
    assert sessions.results <= 10
    assert sessions.session_of(client(1)) is None
    assert sessions.session_of(client(2)) is not None


Steps = list[tuple[int, int, int, bool]]
STEPS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(0, 4), st.booleans()), max_size=60
)


def play(steps: Steps) -> tuple[Sessions, dict[tuple[int, int, int], int]]:
    """Apply requests as a log would; count how often each was applied."""
    sessions = Sessions()
    current: dict[int, int] = {}
    applied: dict[tuple[int, int, int], int] = {}
    for op, (who, number, acked, register) in enumerate(steps, start=1):
        if register or who not in current:
            sessions, _ = sessions.register(client(who), Op(op))
            current[who] = op
            continue
        header = request(who, current[who], number, min(acked, number))
        if isinstance(sessions.check(header), New):
            sessions = sessions.record(header, Op(op), b"%d" % op)
            key = (who, current[who], number)
            applied[key] = applied.get(key, 0) + 1
    return sessions, applied


@settings(max_examples=150)
@given(STEPS)
def test_nothing_is_applied_twice(steps: Steps) -> None:
    sessions, applied = play(steps)
    assert set(applied.values()) <= {1}
    total = sum(len(session.results) for session in sessions.table.values())
    assert sessions.results == total


@settings(max_examples=100)
@given(STEPS)
def test_a_snapshot_brings_back_the_same(steps: Steps) -> None:
    sessions, _ = play(steps)
    chunks = list(sessions.encode())
    again = Sessions.decode(chunks)
    assert again == sessions
    assert list(again.encode()) == chunks


def test_a_snapshot_does_not_tell_the_order_of_history() -> None:
    one, _ = Sessions().register(client(1), Op(1))
    one, _ = one.register(client(2), Op(2))
    other = Sessions(immutables.Map(reversed(list(one.table.items()))), one.results)
    assert list(one.encode()) == list(other.encode())


def test_large_snapshots_come_in_chunks() -> None:
    sessions = Sessions()
    for who in range(1, 601):
        sessions, _ = sessions.register(client(who), Op(who))
    chunks = list(sessions.encode())
    assert len(chunks) == 3
    assert Sessions.decode(chunks) == sessions
    assert SESSIONS_MAX > 600


@pytest.mark.parametrize("chunks", [[b"\x93\x01"], [b"\xc0"], [b"\x91\x97\xc4\x01a\0\0\0\0\0\x90"]])
def test_a_damaged_snapshot_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        Sessions.decode(chunks)


def test_a_client_that_comes_twice_is_refused() -> None:
    chunks = list(opened().encode())
    with pytest.raises(ValueError, match="twice"):
        Sessions.decode(chunks * 2)
