"""Which seeds a gate matters in, and whether one of them fails without it."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from simulation import run
from simulation.mutants import sites
from simulation.mutants.harmless import HARMLESS
from simulation.mutants.planting import planted, sources
from simulation.mutants.probes import probes
from simulation.mutants.sites import EDGE, Site
from simulation.run import simulate
from simulation.workers import Lost, share

BLOCK = 50
"""So many seeds are looked at together; who is caught early costs no more."""
SHARE = 5
CPU_SECONDS_MAX = 12
"""Of a run; without a gate some go on for ever."""


class Verdict(NamedTuple):
    """What became of a protocol without a gate."""

    site: Site
    caught: str
    """The checker that failed, or `empty`; nothing if it survived."""
    why: str
    seeds: int
    """Up to this seed of the standard mix."""
    runs: int
    """Of those, the ones in which the gate makes a difference to begin with."""


class Seen(NamedTuple):
    """What came of one seed."""

    seed: int
    verdict: str
    why: str
    trace: str
    reached: frozenset[str]


class Job(NamedTuple):
    """Some seeds for one process: without a gate until one fails, or with all, watching some."""

    site: Site | None
    seeds: tuple[int, ...]
    watched: tuple[Site, ...] = ()


def everything() -> list[Site]:
    """Every gate that something depends on, down to the edges between < and <=."""
    found = [site for file, source in sources().items() for site in sites.sites(file, source)]
    return [each for each in found if each.name not in HARMLESS]


def main_ones() -> list[Site]:
    """Every condition, and what is about durability in them."""
    return [each for each in everything() if each.main and each.kind != EDGE]


def draw(picks: int, seed: int) -> list[Site]:
    """So many of the main ones, by chance. A gate that comes or goes changes no other pick."""

    def lot(site: Site) -> bytes:
        return sha256(f"{seed} {site.name}".encode()).digest()

    return sorted(main_ones(), key=lot)[:picks]


def hunt(chosen: Sequence[Site], seeds: int, processes: int, runs: int = 0) -> Iterator[Verdict]:
    """Run block after block of seeds until each is caught or the seeds are used up.

    With `runs`, one that survives so many seeds in which it makes a difference is given up.
    """
    alive = dict.fromkeys(chosen, 0)
    for first in range(1, seeds + 1, BLOCK):
        block = baseline(range(first, min(first + BLOCK, seeds + 1)), tuple(alive), processes)
        jobs = (Job(site, _mattering(site, block, runs and runs - alive[site])) for site in alive)
        for job, done in share(iter(list(jobs)), work, processes):
            assert job.site is not None
            verdict = _verdict(job.site, job.seeds, done, alive[job.site], block[-1].seed)
            alive[job.site] = verdict.runs
            if verdict.caught or 0 < runs <= verdict.runs:
                del alive[job.site]
                yield verdict
        if not alive:
            return
    for site, ran in alive.items():
        yield Verdict(site, "", "", seeds, ran)


def _mattering(site: Site, block: Sequence[Seen], most: int) -> tuple[int, ...]:
    """The seeds of a block in which the gate makes a difference; with `most`, the first of them."""
    found = tuple(each.seed for each in block if site.reach in each.reached and not each.verdict)
    return found[:most] if most else found


def _verdict(
    site: Site, tried: Sequence[int], done: list[Seen] | Lost, before: int, last: int
) -> Verdict:
    if isinstance(done, Lost):
        return Verdict(site, "process-died", f"exit status {done.status}", last, before + 1)
    for ran, seen in enumerate(done, start=before + 1):
        if seen.verdict:
            return Verdict(site, seen.verdict, seen.why, seen.seed, ran)
    assert len(done) == len(tried)
    return Verdict(site, "", "", last, before + len(done))


def baseline(seeds: range, watched: tuple[Site, ...], processes: int) -> list[Seen]:
    """What these seeds do with every gate in place."""
    starts = range(0, len(seeds), SHARE)
    jobs = [Job(None, tuple(seeds[at : at + SHARE]), watched) for at in starts]
    found: list[Seen] = []
    for _, done in share(iter(jobs), work, processes):
        assert not isinstance(done, Lost), "a run ended its process"
        found += done
    return sorted(found, key=lambda seen: seen.seed)


def work(job: Job) -> list[Seen]:
    """Run seeds in this process."""
    run.CPU_SECONDS_MAX = CPU_SECONDS_MAX
    reached: set[str] = set()
    found: list[Seen] = []
    if job.site is None:
        trees = {
            file: sites.probed(
                file, source, {each.node for each in job.watched if each.file == file}
            )
            for file, source in sources().items()
        }
    else:
        trees = {job.site.file: sites.planted(sources()[job.site.file], job.site)}
    with planted(trees, probes(reached)) as changed:
        assert changed, "the gate is in no function"
        for seed in job.seeds:
            reached.clear()
            result = simulate(seed)
            verdict = result.failure[0] if result.failure else "empty" if result.empty else ""
            why = result.failure[1].strip() if result.failure else result.empty
            line = why.splitlines()[-1 if verdict.startswith("raised") else 0] if why else ""
            found.append(Seen(seed, verdict, line[:300], result.trace, frozenset(reached)))
            if verdict and job.site is not None:
                break
    return found
