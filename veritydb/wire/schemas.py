"""Finding and loading the Cap'n Proto schemas that the package carries with it."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import capnp

# Schemas are loaded here and nowhere else; an import statement must not look for any.
capnp.remove_import_hook()

_made = capnp.KjException.__init__


def _make_readable(self: Any, *values: Any, wrapper: Any = None, **named: Any) -> None:
    """Make a KjException also of an error whose text is not UTF-8.

    The other side wrote that text. pycapnp makes the exception while C++ waits for it, and a
    UnicodeDecodeError there is a null pointer that the process dies of.
    """
    try:
        _made(self, *values, wrapper=wrapper, **named)
    except UnicodeDecodeError:
        _made(self, "an error whose text cannot be read", type=wrapper.type)


capnp.KjException.__init__ = _make_readable

# A schema with streaming calls imports `/capnp/stream.capnp`, which pycapnp brings along.
BUNDLED = Path(capnp.__file__).parent.parent


def folder() -> Path:
    """Return the folder of the schema files, in a checkout and in an installed package alike."""
    return Path(str(files("veritydb").joinpath("_schemas")))


@cache
def load(name: str) -> Any:
    """Load a schema by its file's name without `.capnp`. Its structs are attributes."""
    module: ModuleType = capnp.load(
        str(folder() / f"{name}.capnp"), imports=[str(folder()), str(BUNDLED)]
    )
    return module
