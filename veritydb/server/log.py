"""The log of a node: one line per event, a name and fields.

Fields are ids, numbers, addresses and the names of our own errors. Nothing a client sent may be
among them; that is why there is no free text here.
"""

import json
import os
import sys
import threading
from datetime import UTC, datetime
from typing import TextIO

from veritydb.server.config import LOG_LEVELS

Field = int | str | bool | None
ENVIRONMENT = "VERITYDB_LOG_LEVEL"


class Log:
    """Writes lines of at least one level, plain or as JSON. Any thread may use it."""

    def __init__(
        self, level: str = "info", form: str = "plain", out: TextIO | None = None, **always: Field
    ) -> None:
        """`always` are fields that every line carries."""
        assert level in LOG_LEVELS
        self._level = LOG_LEVELS.index(level)
        self._form = form
        self._out = out or sys.stderr
        self._always = always
        self._lock = threading.Lock()

    def child(self, **fields: Field) -> "Log":
        """The same log with more fields on every line."""
        return Log(LOG_LEVELS[self._level], self._form, self._out, **self._always, **fields)

    def debug(self, event: str, **fields: Field) -> None:
        """For developers."""
        self._write(0, event, fields)

    def info(self, event: str, **fields: Field) -> None:
        """What an operator may want to know."""
        self._write(1, event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """What an operator should look at some time."""
        self._write(2, event, fields)

    def error(self, event: str, **fields: Field) -> None:
        """What an operator must look at."""
        self._write(3, event, fields)

    def _write(self, level: int, event: str, fields: dict[str, Field]) -> None:
        if level < self._level:
            return
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        every = {**self._always, **fields}
        if self._form == "json":
            record = {"time": stamp, "level": LOG_LEVELS[level], "event": event, **every}
            line = json.dumps(record, separators=(",", ":"))
        else:
            words = " ".join(f"{key}={value}" for key, value in every.items())
            line = f"{stamp} {LOG_LEVELS[level]:<7} {event} {words}".rstrip()
        with self._lock:
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except (OSError, ValueError):
                # Whoever read the lines is gone. That is no reason to stop serving.
                return


def level_from(configured: str) -> str:
    """The level of the environment, if it names one, or else the configured one."""
    wanted = os.environ.get(ENVIRONMENT, "").lower()
    return wanted if wanted in LOG_LEVELS else configured
