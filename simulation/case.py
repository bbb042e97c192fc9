"""A run on file: its plan and the tape of all its draws, so that it outlives the seed's meaning.

What a seed stands for changes whenever the generator of plans does. A case does not need it.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from simulation.arguments import BadInput
from simulation.choices import Tape, Taped
from simulation.plan import FAULTS, REPLICAS, Plan
from simulation.run import Result, simulate
from simulation.world import EVENTS_MAX, TIMELINE_LINES

Read = TypeVar("Read")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run follows from, and what came of it."""

    failure: str = ""
    """The key of the failure that it showed, "" for none."""
    trace: str = ""
    """The digest of all that happened. Another one means that the code has changed."""
    plan: Plan
    left_out: tuple[str, ...] = ()
    """Pieces that do not happen, such as `crash#3` (the third crash) or `client1#20`."""
    nought: tuple[str, ...] = ()
    """Labels whose draws are all nought: no fault, no delay."""
    tape: Tape = {}

    def choices(self) -> Taped:
        """The draws of the run, from the tape; and kept again, since they may turn out others."""
        return Taped(self.plan.seed, self.tape, self.left_out, self.nought)

    def text(self) -> str:
        """As JSON, with a line for each label of the tape."""
        fields = msgspec.structs.asdict(self)
        tape = fields.pop("tape")
        rows = [f"  {line(name)}: {line(value)}" for name, value in fields.items()]
        pieces = [
            f"    {line(piece)}: {{\n"
            + ",\n".join(f"      {line(label)}: {line(drawn)}" for label, drawn in labels.items())
            + "\n    }"
            for piece, labels in tape.items()
        ]
        rows.append('  "tape": {\n' + ",\n".join(pieces) + "\n  }")
        return "{\n" + ",\n".join(rows) + "\n}\n"


def line(value: object) -> str:
    """A value as JSON in one line."""
    return msgspec.json.encode(value).decode()


def read(path: Path) -> Case:
    """A case from its file. Raises BadInput."""
    found = decoded(path, Case)
    check(path, found.plan)
    return found


def read_plan(path: Path) -> Plan:
    """A printed plan from its file, changed by hand or not. Raises BadInput."""
    plan = decoded(path, Plan)
    check(path, plan)
    return plan


def decoded(path: Path, kind: type[Read]) -> Read:
    """What a file holds. Raises BadInput."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} holds no {kind.__name__.lower()}: {error}") from error


def check(path: Path, plan: Plan) -> None:
    """Look at what the types of a plan leave open. Raises BadInput."""
    if plan.shape not in REPLICAS:
        raise BadInput(f"{path}: shape {plan.shape!r} is none of {', '.join(REPLICAS)}")
    for name in (*plan.faults, *plan.nemeses):
        if name not in FAULTS:
            raise BadInput(f"{path}: {name!r} is no class of faults; see simulation/plan.py")
    for name, value in msgspec.structs.asdict(plan).items():
        if isinstance(value, int) and value < 0:
            raise BadInput(f"{path}: {name} is {value}, less than 0")


def run(
    case: Case, lines: int | None = TIMELINE_LINES, events_max: int = EVENTS_MAX
) -> tuple[Result, Case]:
    """Run a case: what came of it, and the case with the tape as it was really drawn."""
    choices = case.choices()
    result = simulate(case.plan.seed, case.plan, choices, lines, events_max)
    drawn = msgspec.structs.replace(case, tape=choices.tape, failure=result.key, trace=result.trace)
    return result, drawn
