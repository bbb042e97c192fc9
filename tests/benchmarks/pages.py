"""What holds of every page that a benchmark writes."""


def check_tables(page: str) -> None:
    """All lines of a table have as many cells."""
    for block in page.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
