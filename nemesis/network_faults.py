"""Faults of links: slow, narrow, cut, one way, half open, and carrying something else."""

import random

from nemesis.proxy import CLIENTS, Ends, Weather
from nemesis.site import Fault, Heal, Site

DELAY_SECONDS = (0.005, 0.1)
NARROW_BYTES = (50_000, 500_000)
STORM_SECONDS = (0.02, 0.3)
CUT_CHANCE = (0.01, 0.2)
BENT_CHANCE = (0.005, 0.1)


def slow(site: Site, victim: str, dice: random.Random) -> Heal:
    """Delay what goes to and from a node, unevenly."""
    delay, jitter = dice.uniform(*DELAY_SECONDS), dice.uniform(*DELAY_SECONDS)
    site.say(
        f"delayed the links of {victim} by {delay * 1000:.0f} to {(delay + jitter) * 1000:.0f} ms"
    )
    site.network.become(site.network.links(victim), Weather(delay=delay, jitter=jitter))
    return site.network.heal


def narrow(site: Site, victim: str, dice: random.Random) -> Heal:
    """Leave little bandwidth."""
    rate = dice.uniform(*NARROW_BYTES)
    site.say(f"made the links of {victim} carry {rate / 1000:.0f} kB/s")
    site.network.become(site.network.links(victim), Weather(rate=rate))
    return site.network.heal


def reset(site: Site, victim: str, dice: random.Random) -> Heal:
    """Reset all connections once: whatever was on its way is lost."""
    site.say(f"reset the connections of {victim}")
    site.network.reset(site.network.links(victim))
    return site.network.heal


def storm(site: Site, victim: str, dice: random.Random) -> Heal:
    """Reset all connections again and again, as soon as they are made."""
    every = dice.uniform(*STORM_SECONDS)
    site.say(f"reset the connections of {victim} every {every * 1000:.0f} ms")
    return site.network.storm(site.network.links(victim), every)


def one_way(site: Site, victim: str, dice: random.Random) -> Heal:
    """Let a node hear and not be heard, or be heard and not hear; by all peers or by one."""
    peers = site.others(victim)
    heard_by = peers if dice.random() < 0.5 else [dice.choice(peers)]
    mute = dice.random() < 0.5
    what = "is not heard by" if mute else "does not hear"
    site.say(f"{victim} {what} {', '.join(heard_by)}")
    site.network.partition([Ends(victim, one) if mute else Ends(one, victim) for one in heard_by])
    return site.network.heal


def bridge(site: Site, victim: str, dice: random.Random) -> Heal:
    """Keep the two others apart; both reach this one."""
    a, b = site.others(victim)
    site.say(f"only {victim} reaches both {a} and {b}")
    site.network.partition(both(a, b))
    return site.network.heal


def island(site: Site, victim: str, dice: random.Random) -> Heal:
    """Cut a node off from its peers, sometimes also from its clients."""
    cut_off = site.others(victim)
    if dice.random() < 0.5:
        cut_off.append(CLIENTS)
    site.say(f"cut {victim} off from {', '.join(cut_off)}")
    site.network.partition([pair for one in cut_off for pair in both(victim, one)])
    return site.network.heal


def unreachable(site: Site, victim: str, dice: random.Random) -> Heal:
    """Cut a node off from its clients alone."""
    site.say(f"cut {victim} off from its clients")
    site.network.partition(both(CLIENTS, victim))
    return site.network.heal


def half_open(site: Site, victim: str, dice: random.Random) -> Heal:
    """Leave connections half open: who made them is not told that their other end is gone."""
    site.say(f"left the connections of {victim} half open")
    site.network.swallow(site.network.links(victim))
    return site.network.heal


def cut_short(site: Site, victim: str, dice: random.Random) -> Heal:
    """End connections in the midst of what they carry."""
    chance = dice.uniform(*CUT_CHANCE)
    site.say(f"cut one of {1 / chance:.0f} pieces of {victim}'s links short")
    site.network.become(site.network.links(victim), Weather(cut=chance))
    return site.network.heal


def bent(site: Site, victim: str, dice: random.Random) -> Heal:
    """Flip bits of what nodes send each other. Clients' answers carry no checksum before TLS."""
    chance = dice.uniform(*BENT_CHANCE)
    links = [ends for ends in site.network.links(victim) if ends.near != CLIENTS]
    site.say(f"flipped a bit in one of {1 / chance:.0f} pieces between {victim} and its peers")
    site.network.become(links, Weather(bent=chance))
    return site.network.heal


KINDS: dict[str, Fault] = {
    "slow": slow,
    "narrow": narrow,
    "reset": reset,
    "storm": storm,
    "one-way": one_way,
    "bridge": bridge,
    "island": island,
    "unreachable": unreachable,
    "half-open": half_open,
    "cut-short": cut_short,
    "bent": bent,
}


def both(a: str, b: str) -> list[Ends]:
    """From the one to the other, and back."""
    return [Ends(a, b), Ends(b, a)]
