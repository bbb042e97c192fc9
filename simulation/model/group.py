"""Three sites and the network between them, as numbers; and every next state of a state.

The network never forgets: each message that was ever sent may arrive at any time, any number of
times, or never. So loss, duplication and reordering are without bounds, and a state is the three
sites and the set of all that was sent. Messages that can have no effect any more are left out.

An *actor* is a site together with all messages that were sent to it, by number. What an actor can
do is worked out once. A state is one number: three actors, what was agreed on, and the budget.
"""

from collections.abc import Iterator
from typing import NamedTuple

from simulation.model.agreement import Agreement
from simulation.model.broken import Broken
from simulation.model.happenings import Event
from simulation.model.images import REPLICAS, Write
from simulation.model.scopes import BITS, Scope, left, one
from simulation.model.sites import Outcome, Site, Sites
from veritydb.vsr import effects as fx
from veritydb.vsr import messages as m
from veritydb.vsr.config import Status

FLOORED = m.PrepareOk | m.Prepare | m.Heartbeat | m.StartView
"""Whoever is in a later view, durably, does nothing about these."""
IMPATIENT = {Status.NORMAL: "suspect", Status.VIEW_CHANGE: "overdue"}
"""Which timer ends the patience of a replica that does not lead."""
MASK = (1 << BITS) - 1
ACTOR_BITS = 28
AGREED_BITS = 16
ACTOR = (1 << ACTOR_BITS) - 1
AGREED = (1 << AGREED_BITS) - 1


class Chance(NamedTuple):
    """Something that can happen to an actor, and what it takes off the budget.

    Some can only be done while so many requests are `left`, or ops `agreed` on; -1 is any number.
    """

    event: Event
    takes: tuple[str, ...] = ()
    left: int = -1
    agreed: int = -1


class Move(NamedTuple):
    """A chance that was taken: the site after it, and what else is different then.

    `takes` comes off the budget, and there has to be something left in each of its `needs`.
    `sends` are the sets of messages for the next replica and the one after it. `floor`, if not 0,
    is the view that no crash can take back any more. `echo`: it costs nothing, and nobody but those
    who hear of it can tell that it was. `outcome` only if there is more to say than all that.
    """

    site: int
    takes: int
    needs: tuple[int, ...]
    left: int
    agreed: int
    sends: tuple[int, int]
    floor: int
    echo: bool
    outcome: Outcome | None
    event: Event


def pack(actors: tuple[int, int, int], agreed: int, budget: int) -> int:
    """A state as a number."""
    a, b, c = actors
    return (((budget << AGREED_BITS | agreed) << ACTOR_BITS | c) << ACTOR_BITS | b) << (
        ACTOR_BITS
    ) | a


def unpack(state: int) -> tuple[tuple[int, int, int], int, int]:
    """The actors, what was agreed on, and the budget."""
    a, b, c = state & ACTOR, state >> ACTOR_BITS & ACTOR, state >> 2 * ACTOR_BITS & ACTOR
    return (a, b, c), state >> 3 * ACTOR_BITS & AGREED, state >> 3 * ACTOR_BITS + AGREED_BITS


class Group:
    """All actors that were met so far, and how states follow each other."""

    def __init__(self, scope: Scope, promises: bool = True, reduce: bool = True) -> None:
        """Begin with nothing. `reduce` is for those who want to see what reduction is worth."""
        self.scope = scope
        self.first = 0
        """The state that the search begins with."""
        self._reduce = reduce
        self.sites = Sites(promises)
        self.agreement = Agreement(self.sites.facts)
        self.actors: list[tuple[int, int]] = []
        self._actor_numbers: dict[tuple[int, int], int] = {}
        self.inboxes: list[tuple[int, ...]] = [()]
        self._inbox_numbers: dict[tuple[int, ...], int] = {(): 0}
        self._posted: dict[tuple[int, int], int] = {}
        self._moves: dict[int, tuple[Move, ...]] = {}
        self._own: dict[int, tuple[Move, ...]] = {}
        self._heard: dict[int, dict[int, Move | None]] = {}
        self._purged: dict[tuple[int, int], int] = {}
        self._echoes: dict[int, tuple[int, int]] = {}
        self.bits: list[int] = [0]
        """Each inbox as a set of bits, to compare them fast."""

    # -- actors

    def actor(self, site: int, inbox: int) -> int:
        """The number of a site with an inbox."""
        key = site, inbox
        number = self._actor_numbers.get(key)
        if number is None:
            number = self._actor_numbers[key] = len(self.actors)
            self.actors.append(key)
            assert number < ACTOR
        return number

    def inbox(self, numbers: tuple[int, ...]) -> int:
        """The number of a set of messages, in ascending order."""
        known = self._inbox_numbers.get(numbers)
        if known is None:
            known = self._inbox_numbers[numbers] = len(self.inboxes)
            self.inboxes.append(numbers)
            self.bits.append(sum(1 << number for number in numbers))
        return known

    def post(self, actor: int, sent: int) -> int:
        """The actor when messages have been sent to it."""
        key = actor, sent
        known = self._posted.get(key)
        if known is None:
            site, inbox = self.actors[actor]
            floor = self.sites.facts[site].floor
            both = {*self.inboxes[inbox], *self._alive(self.inboxes[sent], floor)}
            known = self._posted[key] = self.actor(site, self.inbox(tuple(sorted(both))))
        return known

    def _alive(self, numbers: tuple[int, ...], floor: int) -> list[int]:
        """Those messages that may still have an effect on whoever cannot go back behind `floor`."""
        found = []
        for number in numbers:
            message = self.sites.messages[number]
            if message.view >= floor or not isinstance(message, FLOORED):
                found.append(number)
        return found

    def acted(self, actor: int, move: Move) -> int:
        """The actor after a move of its own."""
        inbox = self.actors[actor][1]
        if move.floor:
            key = inbox, move.floor
            known = self._purged.get(key)
            if known is None:
                known = self.inbox(tuple(self._alive(self.inboxes[inbox], move.floor)))
                self._purged[key] = known
            inbox = known
        return self.actor(move.site, inbox)

    # -- what an actor can do

    def moves(self, actor: int) -> tuple[Move, ...]:
        """Everything that an actor can do next, if the budget lets it. Raises Broken."""
        known = self._moves.get(actor)
        if known is None:
            site, inbox = self.actors[actor]
            heard = self._heard.setdefault(site, {})
            found = []
            for number in self.inboxes[inbox]:
                if number not in heard:
                    heard[number] = self.move(site, Chance(Event("deliver", number)))
                move = heard[number]
                if move is not None:
                    found.append(move)
            known = self._moves[actor] = (*found, *self._own_moves(site))
        return known

    def _own_moves(self, site: int) -> tuple[Move, ...]:
        known = self._own.get(site)
        if known is None:
            moves = (self.move(site, chance) for chance in self._own_chances(site))
            known = self._own[site] = tuple([move for move in moves if move is not None])
        return known

    def chances(self, actor: int) -> Iterator[Chance]:
        """Everything that can happen to an actor next; maybe nothing comes of it."""
        site, inbox = self.actors[actor]
        for number in self.inboxes[inbox]:
            yield Chance(Event("deliver", number))
        yield from self._own_chances(site)

    def _own_chances(self, number: int) -> Iterator[Chance]:
        """What can happen to a site beside messages."""
        site, facts, scope = self.sites.all[number], self.sites.facts[number], self.scope
        for count in appends(site.queue):
            yield Chance(Event("write", count))
        for answer in range(2 * len(site.reads)):
            yield Chance(Event("read", answer))
        if facts.status == Status.VIEW_CHANGE:
            yield Chance(Event("tell again"))
        if facts.voting:
            yield Chance(Event("vote again"))
        yield Chance(Event("ask again"))
        if facts.status in IMPATIENT:
            kind = "abdicate" if facts.leading else IMPATIENT[facts.status]
            yield Chance(Event(kind), ("timeouts",))
        if facts.proposing:
            for used in range(scope.requests):
                yield Chance(Event("propose", used + 1), ("requests",), left=scope.requests - used)
            for agreed in range(scope.requests + 1 if scope.reads else 0):
                yield Chance(Event("read index", agreed), ("reads",), agreed=agreed)
        if facts.leading and scope.heartbeats:
            yield Chance(Event("heartbeat"), ("heartbeats",))
        if scope.crashes:
            yield from self._crashes(site)

    def _crashes(self, site: Site) -> Iterator[Chance]:
        """Crash now and start from whatever is left; some of it may have rotted meanwhile."""
        images = self.sites.images
        for image in sorted(images.crashes(site.image, site.queue)):
            yield Chance(Event("crash", image), ("crashes",))
            for _, rotten in images.rotten(image) if self.scope.rots else ():
                yield Chance(Event("crash", rotten), ("crashes", "rots"))

    def move(self, site: int, chance: Chance) -> Move | None:
        """Work out one move. None if nothing comes of it or it leads out of the scope."""
        outcome = self.sites.outcome(site, chance.event)
        if outcome.site == site and not outcome.sends and not outcome.points:
            return None
        before, after = self.sites.facts[site], self.sites.facts[outcome.site]
        if after.view > self.scope.views:
            return None
        sends = []
        for step in (1, 2):
            to = (after.replica + step) % REPLICAS
            sends.append(self.inbox(tuple(n for n in outcome.sends if self.sites.targets[n] == to)))
        told = outcome.commits or outcome.points or outcome.leads
        quiet = not told and (after.story, after.kept) == (before.story, before.kept)
        return Move(
            site=outcome.site,
            takes=sum(map(one, chance.takes)),
            needs=tuple(one(kind) * MASK for kind in chance.takes),
            left=chance.left,
            agreed=chance.agreed,
            sends=(sends[0], sends[1]),
            floor=after.floor if after.floor > before.floor else 0,
            echo=quiet and not chance.takes and outcome.site == site,
            outcome=None if quiet else outcome,
            event=chance.event,
        )

    def echo(self, actor: int) -> tuple[int, int]:
        """All that an actor can send, to the next and to the one after it, and be as it was."""
        known = self._echoes.get(actor)
        if known is None:
            sent: tuple[set[int], set[int]] = (set(), set())
            try:
                moves = self.moves(actor)
            except Broken:
                # Found when it is this state's turn.
                return 0, 0
            for move in moves:
                if move.echo:
                    sent[0].update(self.inboxes[move.sends[0]])
                    sent[1].update(self.inboxes[move.sends[1]])
            known = self.inbox(tuple(sorted(sent[0]))), self.inbox(tuple(sorted(sent[1])))
            self._echoes[actor] = known
        return known

    # -- states

    def settled(self, actors: list[int]) -> None:
        """Let everybody send what costs nothing and changes nobody, until there is no more of it.

        More messages only mean more that can happen: what could follow before still can.
        """
        again = True
        while again:
            again = False
            for index in range(REPLICAS):
                for step, sent in enumerate(self.echo(actors[index]), start=1):
                    if sent:
                        to = (index + step) % REPLICAS
                        more = self.post(actors[to], sent)
                        if more != actors[to]:
                            actors[to] = more
                            again = True

    def next(self, state: int) -> Iterator[tuple[int, Move, int]]:
        """Every state that can follow, by which move of which replica. Raises Broken."""
        actors, agreed, budget = unpack(state)
        for index in range(REPLICAS):
            second, third = (index + 1) % REPLICAS, (index + 2) % REPLICAS
            for move in self.moves(actors[index]):
                if move.takes and not self._affordable(move, agreed, budget):
                    continue
                after = list(actors)
                after[index] = self.acted(actors[index], move)
                one_more, another = move.sends
                if one_more:
                    after[second] = self.post(actors[second], one_more)
                if another:
                    after[third] = self.post(actors[third], another)
                known = agreed
                if move.outcome is not None:
                    sites = tuple([self.actors[each][0] for each in after])
                    known = self.agreement.after(agreed, sites, index, move.outcome)
                if self._reduce:
                    self.settled(after)
                yield pack((after[0], after[1], after[2]), known, budget - move.takes), move, index

    def _affordable(self, move: Move, agreed: int, budget: int) -> bool:
        """Whether the budget lets a move be made, and it is of this moment."""
        if move.left >= 0 and left(budget, "requests") != move.left:
            return False
        if move.agreed >= 0 and self.agreement.length(agreed) != move.agreed:
            return False
        return all(budget & mask for mask in move.needs)


def appends(queue: tuple[Write, ...]) -> Iterator[int]:
    """How many writes from the head of a queue the writer may end at once: one, or appends."""
    for count, write in enumerate(queue, start=1):
        if count > 1 and not isinstance(write, fx.WriteFrames):
            return
        yield count
        if not isinstance(write, fx.WriteFrames):
            return
