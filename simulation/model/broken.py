"""What is raised when something is found."""

from traceback import extract_tb


class Broken(Exception):
    """An invariant does not hold: which one, and what is so instead."""

    def __init__(self, name: str, text: str) -> None:
        """Say which."""
        super().__init__(name, text)
        self.name = name
        self.text = text


def noticed(error: AssertionError) -> Broken:
    """An assertion of the product failed: say which."""
    where = extract_tb(error.__traceback__)[-1]
    return Broken("assertion", f"{where.name} noticed: {where.line}")
