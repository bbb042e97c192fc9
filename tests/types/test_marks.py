"""Marks: heard by whoever listens, by nobody otherwise."""

from veritydb.types.marks import listen, mark


def test_a_listener_hears_marks_until_the_next_one() -> None:
    heard: list[str] = []
    before = listen(heard.append)
    mark("a.b")
    assert listen(before) == heard.append
    mark("c.d")
    assert heard == ["a.b"]
