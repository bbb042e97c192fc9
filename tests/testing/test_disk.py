"""The disk in memory against a plain model: contents, and what a power cut leaves."""

from hypothesis import given, settings
from hypothesis import strategies as st

from veritydb.storage.disk import NoSuchFile
from veritydb.testing.disk import MemoryDisk

SIZE = 64
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, SIZE), st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("punch"), st.integers(0, SIZE), st.integers(1, 20)),
        st.tuples(st.sampled_from(("sync", "crash")), st.just(0), st.just(b"")),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_contents_are_what_was_synced_last(todo: list[tuple[str, int, bytes | int]]) -> None:
    disk = MemoryDisk()
    disk.allocate("f", SIZE)
    disk.sync("f")
    disk.sync_directory("f")
    now = durable = bytes(SIZE)
    for what, at, value in todo:
        if what == "write":
            assert isinstance(value, bytes)
            disk.write("f", at, (value[:3], value[3:]))
            now = now[:at].ljust(at, b"\0") + value + now[at + len(value) :]
        elif what == "punch":
            assert isinstance(value, int)
            end = min(at + value, len(now))
            disk.punch("f", at, value)
            now = now[:at] + bytes(max(0, end - at)) + now[max(at, end) :]
        elif what == "sync":
            disk.sync("f")
            durable = now
        else:
            disk.crash()
            now = durable
        assert disk.read("f", 0, 2 * SIZE) == now
        assert disk.size("f") == len(now)
        data = disk.next_data("f", 0)
        assert not any(now if data is None else now[:data])


def test_a_name_lasts_once_its_folder_is_synced() -> None:
    disk = MemoryDisk()
    disk.write("a/one", 0, (b"x",))
    disk.sync("a/one")
    disk.crash()
    assert disk.names("") == []
    disk.write("a/one", 0, (b"x",))
    disk.sync("a/one")
    disk.sync_directory("a/one")
    disk.rename("a/one", "a/two")
    disk.crash()
    assert disk.names("a/") == ["a/one"]
    disk.rename("a/one", "a/two")
    disk.sync_directory("a/two")
    disk.remove("a/two")
    disk.crash()
    assert disk.read("a/two", 0, 1) == b"x"
    try:
        disk.read("a/one", 0, 1)
    except NoSuchFile:
        return
    raise AssertionError("the old name is still there")
