"""What probed source calls: each notes whether taking a gate away would have changed the answer."""

from collections.abc import Callable
from typing import Any

from simulation.mutants import sites

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Lt": lambda left, right: left < right,
    "LtE": lambda left, right: left <= right,
    "Gt": lambda left, right: left > right,
    "GtE": lambda left, right: left >= right,
}


def probes(reached: set[str]) -> dict[str, object]:
    """The functions, noting what they see in `reached`."""

    def noted(name: str, value: Any) -> Any:
        reached.add(f"{name}:{sites.NEVER if value else sites.ALWAYS}:0")
        return value

    def least(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        value = function(*arguments)
        for at in range(len(arguments)):
            left = [each for index, each in enumerate(arguments) if index != at]
            if (left[0] if len(left) == 1 else function(*left)) != value:
                reached.add(f"{name}:{sites.WITHOUT}:{at}")
        return noted(name, value)

    def meets(name: str, operator: str, left: Any, right: Any) -> Any:
        if left == right:
            reached.add(f"{name}:{sites.EDGE}:0")
        return noted(name, OPERATORS[operator](left, right))

    return {sites.NOTED: noted, sites.LEAST: least, sites.MEETS: meets}
