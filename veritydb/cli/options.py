"""Options that many commands share, and how their text is read."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from veritydb.types.ids import U64_MAX
from veritydb.types.labels import DataClass, parse_placement

DEFAULT_URL = "veritydb://127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403"
SCHEME = "veritydb://"
SECOND_NS = 1_000_000_000
# What people write after a number, in nanoseconds and in bytes.
DURATIONS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_557_600}
SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
CLASSES = {
    "phi": DataClass.PHI,
    "nonphi": DataClass.NON_PHI,
    "deidentified": DataClass.DEIDENTIFIED,
}

Function = TypeVar("Function", bound=Callable[..., Any])


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.5
    """An option whose text a function reads; its ValueError becomes a usage error."""

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        """See the class."""
        self.name = name
        self.read = read

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Read it, once."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def read_url(text: str) -> str:
    """`veritydb://HOST:PORT[,HOST:PORT...]`, with or without the scheme."""
    url = text if text.startswith(SCHEME) else SCHEME + text
    for address in url.removeprefix(SCHEME).split(","):
        host, _colon, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise ValueError(f"{address!r} is not HOST:PORT")
    return url


def read_class(text: str) -> DataClass:
    """`phi`, `nonphi` or `deidentified`."""
    found = CLASSES.get(text.lower().replace("-", "").replace("_", ""))
    if found is None:
        raise ValueError(f"{text!r} is not one of {', '.join(CLASSES)}")
    return found


def read_duration(text: str) -> int:
    """`90s`, `15m`, `36h`, `30d`, `52w` or `7y`, as nanoseconds; 0 is none."""
    match = re.fullmatch(r"(\d{1,12})([smhdwy])|0", text)
    if not match:
        raise ValueError(f"{text!r} is not a duration such as 90s, 36h, 30d or 7y")
    ns = 0 if text == "0" else int(match[1]) * DURATIONS[match[2]] * SECOND_NS
    return bounded(ns, text)


def read_size(text: str) -> int:
    """`1048576`, `64k`, `10m` or `2g`, as bytes."""
    match = re.fullmatch(r"(\d{1,20})([kmgt]?)(i?b)?", text.lower())
    if not match:
        raise ValueError(f"{text!r} is not a size such as 1048576, 64k, 10m or 2g")
    return bounded(int(match[1]) * SIZES[match[2]], text)


def read_time(text: str) -> int:
    """Nanoseconds since 1970, or ISO 8601 (UTC unless it names a zone)."""
    if text.isdecimal():
        return bounded(int(text), text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time such as 2026-03-02T09:30:00Z") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    ns = (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1_000
    if ns < 0:
        raise ValueError(f"{text!r} lies before 1970")
    return ns


def bounded(number: int, text: str) -> int:
    """Refuse what 64 bits cannot hold."""
    if number > U64_MAX:
        raise ValueError(f"{text!r} is too large")
    return number


URL = Parsed("url", read_url)
PLACEMENT = Parsed("placement", parse_placement)
CLASS = Parsed("class", read_class)
DURATION = Parsed("duration", read_duration)
SIZE = Parsed("size", read_size)
TIME = Parsed("time", read_time)
U64 = click.IntRange(0, U64_MAX)


def connected(function: Function, seconds: float = 10.0) -> Function:
    """Add the options of a command that talks to a cluster: `url` and `timeout`."""
    function = click.option(
        "--timeout",
        type=click.FloatRange(0.01, 3_600.0),
        default=seconds,
        show_default=True,
        help="Seconds one call may take.",
    )(function)
    return click.option(
        "--cluster",
        "--address",
        "url",
        type=URL,
        envvar="VERITYDB_URL",
        default=DEFAULT_URL,
        metavar="URL",
        help="Nodes of the cluster: HOST:PORT,HOST:PORT... One that answers is enough."
        f"  [env: VERITYDB_URL; default: {DEFAULT_URL.removeprefix(SCHEME)}]",
    )(function)


def formatted(function: Function) -> Function:
    """Add `-o json|table`, as `form`."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="For people, or for programs.",
    )(function)


def tenanted(function: Function) -> Function:
    """Add `--tenant`."""
    return click.option(
        "--tenant", type=U64, required=True, metavar="NUMBER", help="Whose data it is."
    )(function)


def named(function: Function) -> Function:
    """Add the options that name a stream: `tenant`, `stream` and `placement`."""
    function = click.option(
        "--placement",
        type=PLACEMENT,
        metavar="PLACE",
        help="Where the stream is: global, or region:NAME. Needed only when its name exists in"
        " several places.",
    )(function)
    function = click.option("--stream", required=True, metavar="NAME", help="The stream, by name.")(
        function
    )
    return tenanted(function)
