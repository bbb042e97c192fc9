"""Finding and loading the Cap'n Proto schemas that the package carries with it."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import capnp

# Schemas are loaded here and nowhere else; an import statement must not look for any.
capnp.remove_import_hook()

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
