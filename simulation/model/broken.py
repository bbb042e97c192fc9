"""What is raised when something is found."""


class Broken(Exception):
    """An invariant does not hold: which one, and what is so instead."""

    def __init__(self, name: str, text: str) -> None:
        """Say which."""
        super().__init__(name, text)
        self.name = name
        self.text = text
