"""Many small disasters decided by a seed; then peace, in which all must come to the same log."""

from random import Random

import pytest

from tests.vsr.harness import Disk, Group, Site, proposal
from veritydb.types.limits import MS_NS
from veritydb.vsr import events as ev
from veritydb.vsr.config import Status


class Storm:
    """One run: whatever a replica committed must be in the log that the group ends with."""

    def __init__(self, seed: int, replicas: int) -> None:
        self.prng = Random(seed)
        self.group = Group(replicas, seed)
        self.count = 0
        self.replacing: dict[int, int] = {}
        self.loss = self.prng.choice([0.0, 0.02, 0.2])
        self.dice = self.prng.choice([100, 200, 600])
        self.group.filter = lambda _from, _to, _message: self.prng.random() >= self.loss

    def step(self) -> None:
        group, prng = self.group, self.prng
        dice = prng.randrange(self.dice)
        site = prng.choice(group.sites)
        down = [other for other in group.sites if other.replica is None]
        if dice < 6 and site.replica is not None and len(down) < (group.replicas + 1) // 2:
            site.crash()
        elif dice < 16 and down:
            prng.choice(down).start()
        elif dice < 20:
            group.partition(*prng.sample(range(group.replicas), prng.randrange(group.replicas)))
        elif dice < 24:
            a, b = prng.sample(range(group.replicas), 2)
            group.cut_links.add((a, b))
        elif dice < 30:
            group.cut_links.clear()
        elif dice < 36:
            site.held = not site.held
        elif dice < 38 and site.disk.frames:
            self.rot(prng.choice(sorted(site.disk.frames)))
        elif dice < 39 and site.replica is not None:
            site.step(ev.StepDown())
        elif dice < 42 and self.spared(site):
            self.forget(site)
        elif dice < 44 and self.spared(site):
            self.replace(site)
        elif dice % 100 < 75:
            self.propose()
        if prng.random() < 0.5 and group.wire:
            self.shuffle()
        self.some_time()

    def rot(self, op: int) -> None:
        """One copy of a frame rots, but never the last good one of an op."""
        holders = [site for site in self.group.sites if op in site.disk.frames]
        good = [site for site in holders if op not in site.disk.rotten]
        if len(good) == len(self.group.sites):
            self.prng.choice(good).disk.rotten.add(op)

    def spared(self, site: Site) -> bool:
        """Whether all others have their memory: no group survives two that forgot."""
        return all(
            other.disk.head_certain
            and not other.disk.state.recovering
            and other.disk.state.members[other.index] == other.disk.identity.incarnation
            for other in self.group.sites
            if other is not site
        )

    def forget(self, site: Site) -> None:
        """A replica crashes and loses the end of its log, and knows only that it may have."""
        site.crash()
        for op in sorted(site.disk.frames)[-self.prng.randrange(1, 6) :]:
            del site.disk.frames[op]
            site.disk.rotten.discard(op)
        site.disk.head_certain = False

    def replace(self, site: Site) -> None:
        """A disk is lost for good; the operator gives its index to an empty one."""
        incarnation = site.disk.identity.incarnation + 1
        site.crash()
        site.disk = Disk(site.index, self.group.replicas, incarnation)
        self.replacing[site.index] = incarnation
        site.start()

    def propose(self) -> None:
        for site in self.group.sites:
            if site.replica is not None and site.live.can_accept(100):
                for index, incarnation in self.replacing.items():
                    if site.live.members[index] < incarnation:
                        command = f"replace {index} {incarnation}"
                        site.step(ev.Proposed((proposal(command),)))
                words = [f"w{self.count + at}" for at in range(self.prng.randrange(1, 4))]
                self.count += len(words)
                site.step(ev.Proposed(tuple(proposal(word) for word in words)))

    def shuffle(self) -> None:
        wire = list(self.group.wire)
        self.prng.shuffle(wire)
        if self.prng.random() < 0.3:
            wire.append(self.prng.choice(wire))
        self.group.wire.clear()
        self.group.wire.extend(wire)

    def some_time(self) -> None:
        """Deliver and write a few things, in any order, and now and then let time pass."""
        group, prng = self.group, self.prng
        for _ in range(prng.randrange(60)):
            site = prng.choice(group.sites)
            if site.replica is None:
                continue
            if site.inbox and prng.random() < 0.7:
                site.step(site.inbox.popleft())
            elif site.writes and not site.held:
                site.write_one()
            if group.wire:
                _, to, message = group.wire.popleft()
                group.sites[to].step(ev.Received(message))
        if prng.random() < 0.7:
            group.now += 10 * MS_NS * prng.choice([1, 1, 2, 5, 12])
            for site in group.sites:
                site.tick()

    def peace(self) -> None:
        """Everything works from now on."""
        group = self.group
        group.heal()
        for site in group.sites:
            site.held = False
            if site.replica is None:
                site.start()
        group.settle()
        for _ in range(50):
            self.propose()
            group.run(100)
        group.until(lambda: set(group.statuses()) == {Status.NORMAL}, 20_000)
        for attempt in range(9):
            # A view change that the storm had begun may still lose a request.
            word = f"last{attempt}"
            group.propose(word)
            group.run(3_000)
            if all(word in group.words(site.index) for site in group.sites):
                break
        else:
            raise AssertionError("nothing is agreed on in times of peace")
        group.run(200)
        group.same_logs()
        logs = [group.words(site.index) for site in group.sites]
        assert all(log == logs[0] for log in logs)
        asked = [word for word in logs[0] if not word.startswith("replace")]
        assert len(set(asked)) == len(asked)
        assert [f.header.hash for f in group.sites[0].committed] == group.canon


def weather(seed: int, replicas: int, steps: int) -> Storm:
    storm = Storm(seed, replicas)
    for _ in range(steps):
        storm.step()
    storm.peace()
    assert not any(site.halted for site in storm.group.sites)
    return storm


@pytest.mark.parametrize("seed", range(20))
def test_three_replicas_survive_a_storm(seed: int) -> None:
    weather(seed, 3, 150)


@pytest.mark.parametrize("seed", range(4))
def test_five_replicas_survive_a_storm(seed: int) -> None:
    weather(seed, 5, 100)
