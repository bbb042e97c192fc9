"""A counterexample: which events lead to it, with none that could be left out, and how it reads."""

from collections.abc import Iterator, Sequence

from simulation.model.broken import Broken
from simulation.model.group import Chance, Group, Move, unpack
from simulation.model.happenings import Event
from simulation.model.images import REPLICAS
from veritydb.vsr import effects as fx
from veritydb.vsr import messages as m

Trace = list[tuple[int, Event]]
"""Which replica, and what happened to it."""


class Replay:
    """The group, led through a trace event by event. It keeps to no budget."""

    def __init__(self, group: Group) -> None:
        """Begin where the search began."""
        self.group = group
        self.actors, self.agreed, _ = unpack(group.first)
        self.move: Move | None = None

    def step(self, index: int, event: Event) -> bool:
        """Let something happen. False if it cannot, here. Raises Broken."""
        chances = self.group.chances(self.actors[index])
        chance = next((each for each in chances if each.event == event), None)
        return chance is not None and self.take(index, chance)

    def take(self, index: int, chance: Chance) -> bool:
        """Let something happen, whether it would or not. False if nothing came of it."""
        group = self.group
        actor = self.actors[index]
        self.move = group.move(group.actors[actor][0], chance)
        if self.move is None:
            return False
        after = list(self.actors)
        after[index] = group.acted(actor, self.move)
        for place, sent in enumerate(self.move.sends, start=1):
            to = (index + place) % REPLICAS
            after[to] = group.post(after[to], sent)
        self.actors = after[0], after[1], after[2]
        if self.move.outcome is not None:
            sites = tuple(group.actors[each][0] for each in after)
            self.agreed = group.agreement.after(self.agreed, sites, index, self.move.outcome)
        return True


def echoes(group: Group, state: int) -> Trace:
    """What the search takes as having happened in a state, since it changes nobody."""
    actors, _, _ = unpack(state)
    found = []
    for index, actor in enumerate(actors):
        site = group.actors[actor][0]
        for chance in group.chances(actor):
            try:
                move = group.move(site, chance)
            except Broken:
                continue
            if move is not None and move.echo:
                found.append((index, chance.event))
    return found


def breaking(group: Group, state: int) -> tuple[int, Event]:
    """The event that breaks an invariant in a state."""
    actors, agreed, _ = unpack(state)
    for index, actor in enumerate(actors):
        for chance in group.chances(actor):
            replay = Replay(group)
            replay.actors, replay.agreed = actors, agreed
            try:
                replay.step(index, chance.event)
            except Broken:
                return index, chance.event
    raise AssertionError("nothing is broken here")


def breaks(group: Group, trace: Sequence[tuple[int, Event]], name: str) -> bool:
    """Whether a trace ends with that invariant broken. What cannot happen is left out."""
    replay = Replay(group)
    for index, event in trace:
        try:
            replay.step(index, event)
        except Broken as broken:
            return broken.name == name
    return False


def shortest(group: Group, trace: Trace, name: str) -> Trace:
    """Leave out whatever is not needed, until each single event is."""
    assert breaks(group, trace, name)
    shrunk = True
    while shrunk:
        shrunk = False
        at = len(trace) - 2
        while at >= 0:
            shorter = trace[:at] + trace[at + 1 :]
            if breaks(group, shorter, name):
                trace, shrunk = shorter, True
            at -= 1
    return trace


def lines(group: Group, trace: Trace) -> Iterator[str]:
    """A trace for people: a line per event, with the replica after it."""
    yield "     replica            view  log view  commit  head  what happened"
    replay = Replay(group)
    for number, (index, event) in enumerate(trace, start=1):
        text = describe(group, replay, index, event)
        broken: Broken | None = None
        try:
            replay.step(index, event)
        except Broken as found:
            broken = found
        facts = group.sites.facts[group.actors[replay.actors[index]][0]]
        role = "primary" if facts.leading else facts.status.name.lower().replace("_", "-")
        if broken is not None:
            yield f"{number:4} r{index} {'':<15} {text}"
            yield f"     BROKEN {broken.name}: {broken.text}"
            return
        sent = sends(group, replay.move, index)
        yield (
            f"{number:4} r{index} {role:<15} {facts.view:>4} {facts.log_view:>9} {facts.commit:>7}"
            f" {facts.head:>5}  {text}{sent}"
        )


def sends(group: Group, move: Move | None, index: int) -> str:
    """What was sent, to whom."""
    if move is None:
        return ""
    found = []
    for place, sent in enumerate(move.sends, start=1):
        to = (index + place) % REPLICAS
        found += [f"{type(group.sites.messages[n]).__name__}→{to}" for n in group.inboxes[sent]]
    return f"; sends {', '.join(found)}" if found else ""


def describe(group: Group, replay: Replay, index: int, event: Event) -> str:
    """What an event is, in words."""
    site = group.sites.all[group.actors[replay.actors[index]][0]]
    if event.kind == "deliver":
        return "hears " + say(group.sites.messages[event.number])
    if event.kind == "write":
        done = ", ".join(say_write(write) for write in site.queue[: event.number])
        return f"disk has written {done}"
    if event.kind == "crash":
        image = group.sites.images.all[event.number]
        state, rotten = image.state, image.recovered.faulty
        what = f"view {state.view} of log view {state.log_view}, {len(image.headers)} ops"
        if rotten:
            what += f", op {rotten[0]} rotten"
        if not image.recovered.head_certain:
            what += ", its end uncertain"
        return f"crashes, and starts with {what}"
    if event.kind == "propose":
        return f"takes request {event.number}"
    return event.kind


def say_write(write: object) -> str:
    """A write in a few words."""
    if isinstance(write, fx.WriteFrames):
        return f"op {write.frames[-1].header.op} of view {write.frames[-1].header.view}"
    if isinstance(write, fx.WriteViewState):
        return f"view {write.state.view} of log view {write.state.log_view}"
    if isinstance(write, fx.CutLog):
        return f"the cut behind op {write.after}"
    return "a repaired frame"


def say(message: m.Message) -> str:
    """A message in a few words."""
    text = f"{type(message).__name__} v{message.view} from {message.sender}"
    if isinstance(message, m.Prepare):
        text += f", op {message.frame.header.op}"
    elif isinstance(message, m.PrepareOk | m.Heartbeat | m.StartView):
        text += f", op {message.op}"
    elif isinstance(message, m.DoViewChange):
        text += f", log view {message.log_view}, op {message.op}"
    if isinstance(message, m.Prepare | m.Heartbeat | m.StartView | m.DoViewChange):
        text += f", commit {message.commit}"
    return text
