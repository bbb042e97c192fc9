"""Event factories: the same events every time, and told apart by their ids."""

import json

from veritydb.testing import EventFactory, event, events


def test_two_factories_of_one_name_make_the_same() -> None:
    one, two = EventFactory("notes", actor="dr"), EventFactory("notes", actor="dr")
    assert one.events(3) == two.events(3)
    assert one.event().id != two.event("Other").id or one.made == two.made
    assert EventFactory("a").event().id != EventFactory("b").event().id
    assert len({made.id for made in one.events(100)}) == 100


def test_payloads_are_json_unless_they_are_bytes() -> None:
    assert json.loads(event("T", {"a": [1, None]}).payload) == {"a": [1, None]}
    assert event("T", b"\0").payload == b"\0"
    assert [len(made.payload) for made in events(2, size=256)] == [256, 256]


def test_a_history_hangs_together() -> None:
    admitted, moved, gone = EventFactory().history(("Admitted", "Moved", "Left"), "subject-1")
    assert (admitted.type, gone.type) == ("Admitted", "Left")
    assert admitted.causation_id == b""
    assert (moved.causation_id, gone.causation_id) == (admitted.id, moved.id)
    assert moved.correlation_id == gone.correlation_id == admitted.id
    assert json.loads(gone.payload)["subject"] == "subject-1"
