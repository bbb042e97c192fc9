"""What users import from `veritydb` itself."""

import subprocess
import sys

import pytest

import veritydb


def test_every_public_name_is_there() -> None:
    for name in veritydb.__all__:
        assert getattr(veritydb, name) is not None
    assert set(veritydb.__all__) == set(veritydb._PLACES) | {"aio", "errors", "trio"}


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        veritydb.Nonsense  # noqa: B018


def test_a_name_loads_its_part_alone() -> None:
    script = (
        "import sys, veritydb; veritydb.Event; "
        "print(any(name.startswith(('capnp', 'asyncio', 'trio')) for name in sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
