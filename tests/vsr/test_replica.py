"""Conversations of whole replicas: one per rule of the protocol."""

from tests.vsr.harness import Group


def test_three_replicas_agree_in_order() -> None:
    group = Group()
    group.propose("a")
    group.propose("b", "c")
    group.run(100)
    assert [group.words(index) for index in range(3)] == [["a", "b", "c"]] * 3
    group.same_logs()
