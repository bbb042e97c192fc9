"""The pytest plugin, as installed with the package."""

import subprocess
import sys

from veritydb import NO_STREAM, Client, DataClass, Region, testing


def test_the_real_client_over_real_files(verity_client: Client) -> None:
    stream = verity_client.create_stream(
        "notes", tenant=1, data_class=DataClass.PHI, placement=Region("local")
    )
    stream.append([testing.event("NoteCreated")], expected=NO_STREAM)
    assert stream.info().next_offset == 1


def test_the_plugin_loads_nothing_of_the_database() -> None:
    code = (
        "import sys, veritydb.testing.plugin as _;"
        "sys.exit(any(name in sys.modules for name in ('capnp', 'trio', 'veritydb.server')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
