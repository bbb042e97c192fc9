"""A word in all that clients send: nodes' logs, and what else they print, must never hold it."""

TAINT = "PhiTaint"
FORMS = (TAINT.encode(), TAINT.encode().hex().encode(), TAINT.encode().hex().upper().encode())
# What Python prints where an error was not expected.
SURPRISES = (b"Traceback (most recent call last)", b"Exception ignored in", b"was never awaited")
# What nodes log where they have a bug.
BUGS = (b" crashed ", b" handler.failed ", b" peer.hello_failed ", b" step ")
SHOWN = 300


def found_in(printed: bytes, name: str) -> list[str]:
    """What must not be in what a process printed, with the line of the first of each."""
    problems = []
    for what, words in (("PHI", FORMS), ("an error", SURPRISES), ("a bug", BUGS)):
        lines = [line for line in printed.splitlines() if any(word in line for word in words)]
        if lines:
            # A line with PHI is not shown: this is printed, too.
            shown = b"" if what == "PHI" else lines[0][:SHOWN]
            said = shown.decode(errors="replace")
            problems.append(f"{name} printed {what}, {len(lines)} times: {said}")
    return problems
