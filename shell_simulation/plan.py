"""What a seed makes of a run: which kinds of faults there are, and how often they strike."""

import msgspec

from simulation.choices import Choices
from simulation.world import MS

KINDS = (
    "kill",
    "power",
    "blackout",
    "moment",
    "stop",
    "stop-alone",
    "cut",
    "reset",
    "slow-net",
    "flip",
    "eio",
    "eio-read",
    "full",
    "slow-disk",
    "stall",
)
CALM_PPM = 100_000
BURST_PPM = 80_000
CALM_BURST_PPM = 800_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Of the kinds in `faults` one strikes every `every` ns, `strikes` times in all."""

    seed: int
    requests: int
    clients: int
    faults: tuple[str, ...]
    every: int
    strikes: int
    bursts: bool
    """Whether somebody asks for more than may wait."""
    skew: int
    """By how much wall clocks may be off, ns."""

    def text(self) -> str:
        """For people."""
        return msgspec.json.encode(self).decode()


def make(seed: int) -> Plan:
    """Expand a seed. Half of all kinds of faults are absent, in a tenth of the runs all."""
    choices = Choices(seed)
    calm = choices.chance("plan.calm", CALM_PPM)
    faults = () if calm else tuple(kind for kind in KINDS if choices.chance("plan.kind", 500_000))
    return Plan(
        seed=seed,
        requests=choices.between("plan.requests", 150, 250),
        clients=choices.between("plan.clients", 3, 6),
        faults=faults,
        every=choices.log_uniform("plan.every", 80 * MS, 500 * MS),
        strikes=choices.between("plan.strikes", 5, 20),
        bursts=choices.chance("plan.bursts", CALM_BURST_PPM if calm else BURST_PPM),
        skew=choices.pick("plan.skew", (0, 2 * MS, 5 * MS, 50 * MS)),
    )
