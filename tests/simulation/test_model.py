"""The exhaustive search: it copies exactly, it reduces soundly, it finds what is planted."""

from collections import deque
from typing import Any

import pytest

from simulation.disk import SimDisk
from simulation.model import __main__ as command
from simulation.model import runs
from simulation.model.broken import Broken
from simulation.model.group import Group, pack, unpack
from simulation.model.happenings import Event
from simulation.model.images import Images, every_crash
from simulation.model.memory import freeze, thaw
from simulation.model.promises import check_promise
from simulation.model.runs import Result, Task
from simulation.model.scopes import KINDS, Scope, left, one
from simulation.model.search import Report, Search
from simulation.model.sites import Site
from simulation.model.start import first_state
from simulation.model.traces import lines
from simulation.model.variants import one_sync
from veritydb.storage.store import Store
from veritydb.types.ids import Op, View
from veritydb.types.merkle import NO_HASH
from veritydb.vsr import messages as m
from veritydb.vsr import normal
from veritydb.vsr.log import Log


def searched(scope: Scope, promises: bool = True, reduce: bool = True) -> tuple[Search, Report]:
    search = Search(scope, promises, reduce)
    return search, search.run()


def cores(search: Search) -> set[tuple[tuple[Site, ...], int, int]]:
    """The states that were seen, without the messages that were under way."""
    found = set()
    for state in search.order:
        actors, agreed, budget = unpack(state)
        sites = tuple(search.group.sites.all[search.group.actors[each][0]] for each in actors)
        log = search.group.agreement.all[agreed]
        found.add((sites, hash(log), budget))
    return found


# -- memory


def test_memory_comes_back_as_it_was_and_shares_nothing() -> None:
    value = {2: [1, deque([3])], 1: {5: (6, 7)}}
    frozen = freeze(value)
    assert hash(frozen) == hash(freeze({1: {5: (6, 7)}, 2: [1, deque([3])]}))
    again = thaw(frozen)
    assert again == value
    again[2][1].append(4)
    assert value[2] == [1, deque([3])]


def test_what_is_not_known_is_not_copied() -> None:
    with pytest.raises(TypeError, match="set"):
        freeze({1})


def test_a_step_of_a_copy_leaves_the_site_as_it_was() -> None:
    group = Group(Scope(name="", views=2, requests=1))
    site = group.actors[unpack(first_state(group))[0][1]][0]
    before = group.sites.all[site]
    replica = group.sites.templates[1].give(before.memory)
    assert group.sites.outcome(site, Event("propose", 1)).site != site
    assert group.sites.templates[1].take(replica._s) == before.memory


# -- the disk


def test_every_crash_is_every_choice() -> None:
    disk = SimDisk()
    disk.allocate("a", 2048)
    disk.sync("a")
    disk.sync_directory("a")
    disk.write("a", 0, (b"x" * 1024,))
    found = {each.read("a", 0, 1024) for each in every_crash(disk)}
    old, new = bytes(512), b"x" * 512
    assert found == {old + old, old + new, new + old, new + new}


def test_a_torn_append_leaves_all_or_nothing_and_rot_is_told_from_it() -> None:
    group = Group(Scope(name="", views=2, requests=1))
    start = group.actors[unpack(first_state(group))[0][1]][0]
    site = group.sites.all[group.sites.outcome(start, Event("propose", 1)).site]
    images = group.sites.images
    found = [images.all[each] for each in images.crashes(site.image, site.queue)]
    assert sorted(len(image.headers) for image in found) == [0, 1]
    assert all(image.recovered.head_certain for image in found)
    written = images.write(site.image, site.queue[0])
    rotten = {what: images.all[each] for what, each in images.rotten(written)}
    assert rotten["frame of op 1"].recovered.faulty == (1,)
    assert not rotten["all of op 1"].recovered.head_certain


def test_with_one_sync_per_append_a_record_may_be_without_its_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Store, "append", Store.append)
    one_sync()
    group = Group(Scope(name="", views=2, requests=1))
    start = group.actors[unpack(first_state(group))[0][1]][0]
    site = group.sites.all[group.sites.outcome(start, Event("propose", 1)).site]
    images = group.sites.images
    found = [images.all[each] for each in images.crashes(site.image, site.queue)]
    assert {image.recovered.faulty for image in found} == {(), (1,)}


def test_images_that_say_the_same_are_one() -> None:
    images = Images()
    fresh = images.fresh(0)
    assert images.fresh(0) == fresh and images.fresh(1) != fresh


# -- the search


def test_a_state_is_a_number() -> None:
    scope = Scope(name="", views=3, requests=2, crashes=1, reads=3)
    budget = scope.budget()
    assert [left(budget, kind) for kind in KINDS] == [2, 0, 1, 0, 0, 3]
    assert unpack(pack((5, 6, 7), 8, budget)) == ((5, 6, 7), 8, budget)
    assert left(budget - one("crashes"), "crashes") == 0


def test_small_scopes_are_whole_and_good() -> None:
    _, report = searched(Scope(name="", views=2, timeouts=1))
    assert report.complete and report.broken is None and report.depth > 15


def test_reduction_loses_no_state_of_the_replicas() -> None:
    scope = Scope(name="", views=1, requests=1, heartbeats=1)
    (less, _), (more, _) = searched(scope), searched(scope, reduce=False)
    assert cores(less) == cores(more)
    assert len(less.order) * 2 < len(more.order)


@pytest.mark.parametrize("born", [1, 2])
def test_in_which_view_it_begins_makes_no_difference(born: int) -> None:
    """Every view has another primary: what is found of one is so for all."""
    _, here = searched(Scope(name="", views=1, requests=1), reduce=False)
    _, there = searched(Scope(name="", views=1 + born, requests=1, born=born), reduce=False)
    assert here.complete and there.complete
    assert (here.states, here.transitions) == (there.states, there.transitions)


# -- what it finds


def test_an_acknowledgement_that_is_not_true_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(Scope(name="", views=1, requests=1), promises=False)
    monkeypatch.setattr(Log, "durable", property(lambda log: log.head))
    report = search.run()
    assert report.broken is not None and report.broken[0] == "lost"
    text = list(lines(search.group, report.trace))
    assert len(report.trace) == 4 and "takes request 1" in text[1]
    assert text[-1].lstrip().startswith("BROKEN lost")


def test_a_quorum_of_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(Scope(name="", views=1, requests=1), promises=False)
    monkeypatch.setattr(normal, "reached", max)
    report = search.run()
    assert report.broken is not None and report.broken[0] == "lost"
    assert [event.kind for _, event in report.trace] == ["propose", "write"]


def test_what_a_crash_would_take_back_may_not_be_promised() -> None:
    images = Images()
    image = images.all[images.fresh(0)]
    common: dict[str, Any] = {"cluster": bytes(16), "group": 3, "epoch": 0}
    common |= {"view": View(1), "sender": 0, "incarnation": 0}
    with pytest.raises(Broken, match="view promised"):
        check_promise(0, image, m.StartViewChange(**common))
    common["view"] = View(0)
    check_promise(0, image, m.StartViewChange(**common))
    with pytest.raises(Broken, match="acknowledges op 1"):
        check_promise(0, image, m.PrepareOk(**common, op=Op(1), hash=NO_HASH, round=0))


# -- the command


def outcome(
    kind: str, states: int, broken: tuple[str, str] | None = None, stuck: int = 0
) -> Result:
    task = Task(kind, "x", Scope(name="x", views=1, crashes=1))
    return Result(task, states, 1, 1, True, 1.0, 1.0, 1, broken, 1, stuck, ())


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([outcome("scope", 10)], 0),
        ([outcome("scope", 9)], command.EMPTY),
        ([outcome("scope", 10, ("lost", ""))], command.FAILED),
        ([outcome("scope", 10, stuck=1)], command.FAILED),
        ([outcome("scope", 10), outcome("planted", 1)], command.SURVIVED),
        ([outcome("scope", 10), outcome("planted", 1, ("lost", ""))], 0),
        ([outcome("scope", 10), outcome("variant", 1, ("lost", ""))], 0),
    ],
)
def test_the_exit_status_says_what_came_of_it(results: list[Result], status: int) -> None:
    assert command.status(results, 10) == status
    assert list(command.table(results, 1.0))


def test_a_task_runs_and_the_group_can_go_on() -> None:
    result = runs.run(Task("scope", "crash", Scope(name="", views=2, crashes=1, states=500)))
    assert result.broken is None and result.tried and not result.stuck
    assert command.summary(result).startswith("scope 'crash': nothing found")
