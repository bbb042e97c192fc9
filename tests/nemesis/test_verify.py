"""What `verify` says is taken as damage, but for places of the index that nobody looked at."""

from nemesis.run import only_index

INDEX = b"damage: groups/0-global/index.db: a row is wrong\n"
LOG = b"damage: groups/0-global/segments/1.log byte 5: rotten\n"


def test_only_the_index_may_be_damaged() -> None:
    assert only_index(b"replica ops\n" + INDEX)
    assert not only_index(INDEX + LOG)
    assert not only_index(LOG)
    assert not only_index(b"cannot be read\n")
