"""Bugs that real systems had, and which canary stands for each. Makes docs/canaries.md."""

from collections.abc import Sequence

from simulation import canaries
from simulation.canaries.hunt import Found, problem, summary

PITFALLS = {
    1: "a message of a view that is not durable yet",
    2: "the log view goes back over a crash",
    3: "an acknowledgement before the frame is durable; a flush taken for a sync",
    4: "a restart with an empty log",
    5: "a recovering replica votes",
    6: "recovery believes those who do not know the newest view",
    7: "a cluster that restarts as a whole waits for ever",
    8: "a DoViewChange without the end of the log",
    9: "the chosen log is cut where one's own stale log contradicts it",
    10: "an uncommitted end of the log is taken for committed",
    11: "what has rotted is called never acknowledged",
    12: "a replica in doubt believes an old StartView",
    13: "an op that nobody can decide on blocks every view change",
    14: "a replacement denies what its predecessor acknowledged",
    15: "a primary proposes before its view's log is durable",
    16: "a lone replica uses a view before it is durable",
    17: "a write of the view is lost beside one of the snapshot",
    18: "a DoViewChange changes within a view",
    19: "an op is acknowledged without a look at its hash",
    20: "a log that is longer than the view's is not cut",
    21: "a snapshot stands for frames that are not here, and is counted as them",
    22: "a StartView without ops brings given-up ones back",
    23: "one replica alone ends a view",
    24: "a primary that cannot replicate goes on to send heartbeats",
    25: "an old heartbeat counts as a new one",
    26: "a client believes a replica that is cut off",
    27: "sessions change when a request is proposed, or do not survive",
    28: "a late registration puts an end to a later session",
    29: "an answer leaves before what it says is durable",
    30: "no acknowledgement of ops that are committed already",
    31: "a torn end of the log is taken for rot",
    32: "a lost or misdirected write is taken for an older log",
    33: "headers that a view change needs are left out, or outlive it",
    34: "a read that began before a view change is used after it",
    35: "replicas that depose each other for ever",
    36: "a snapshot is freed before the next one is durable",
    37: "a replica that catches up vouches for what it does not have",
    38: "a checksum that is never set: all are equal",
    39: "an op is applied when it is replicated",
    40: "ids that can be guessed let one client be another",
    41: "a limit that is applied after what it limits was restored",
    42: "a commit goes on over a hole",
    43: "a state machine that is not a function of the log",
    44: "a system whose sync does not sync",
    45: "the simulator restarts by another way than the product",
    46: "an op that is taken over gets a new header",
    47: "a message of an earlier incarnation is counted",
}
ELSEWHERE = {
    16: "a lone replica begins a new view with every start, which is written before all else",
    26: "a client that hears nothing asks the next node; there is no view that it believes",
    30: "every heartbeat is answered with an acknowledgement; costs time only",
    33: "a cut is written before the view that asks for it; recovery's table is tested as a whole",
    34: "the hash is compared once more; `tests/vsr` has the scenario",
    38: "a hash is part of the header that is read; `tests/types` has golden bytes",
    40: "the edge's business; not simulated",
    41: "limits are constants of the program",
    45: "both go through `Store.open` and `Node(...)`",
    47: "what is late from before is of an old view or of ops long decided; `tests/vsr` has it",
}


def page(results: Sequence[Found]) -> str:
    """The document, from what was found just now."""
    found = {one.name: one for one in results}
    lines = [HEADING, "| planted bug | what | must trip | tripped | seeds | starts |", "| - |" * 6]
    lines[-1] = "| --- | --- | --- | --- | --- | --- |"
    for canary in canaries.CANARIES:
        one = found.get(canary.name)
        told = (
            ("", "", "")
            if one is None
            else (problem(one) or ", ".join(one.checkers), str(one.seeds), str(len(one.tripped)))
        )
        must = ", ".join(canary.finders)
        lines.append(f"| {canary.name} | {canary.what} | {must} | {' | '.join(told)} |")
    lines += ["", summary(results) + ".", "", PITFALL_HEADING, ""]
    lines += ["| | bug | canary |", "| --- | --- | --- |"]
    for number, bug in PITFALLS.items():
        names = [one.name for one in canaries.CANARIES if number in one.pitfalls]
        stands = ", ".join(names) if names else f"none: {ELSEWHERE[number]}"
        lines.append(f"| {number} | {bug} | {stands} |")
    return "\n".join(lines) + "\n"


HEADING = """# Canaries

Written by `make canaries WRITE=docs/canaries.md`. Each bug is planted in a process of its own, and
seeds of the standard mix are run until a checker fails; that has to be one of those named. *Seeds*
is how many it took, the median over the starts, which are disjoint; a bug that is found quickly is
hunted from more of them. `raised-...` means that the code noticed by itself.
"""
PITFALL_HEADING = "## Bugs that real systems had"
