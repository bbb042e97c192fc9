"""What was damaged on the way must be noticed by whoever receives it."""

from typing import ClassVar

from simulation.checkers.base import Checker, Replica


class Damage(Checker):
    """No replica takes bytes for a message that were changed on their way."""

    name: ClassVar[str] = "damage"

    def misread(self, replica: Replica, kind: str) -> None:
        """Somebody did."""
        self.fail(f"{replica} takes damaged bytes for a {kind}")
