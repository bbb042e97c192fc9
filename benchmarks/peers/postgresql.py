"""PostgreSQL: a primary, two synchronous standbys, and a table of events."""

import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.appends import Workload
from benchmarks.cluster import HOST, NODES, free_ports
from benchmarks.peers import pgbench, servers
from benchmarks.peers.servers import Servers
from benchmarks.peers.system import Access, Measure
from benchmarks.peers.tools import Tools, ask_version, dotted
from benchmarks.peers.works import Work
from benchmarks.processes import Child, ChildFailed, Family
from benchmarks.tasks import Content

USER = "postgres"
COMMAND_SECONDS = 120
STANDBYS = [f"standby_{number}" for number in range(1, NODES)]
# Any one of the two has to have synced what is acknowledged: with the primary that is a quorum.
SYNCHRONOUS = f"ANY 1 ({', '.join(STANDBYS)})"
TABLE = """\
CREATE TABLE events (
    stream_id bigint,
    "offset" bigint,
    type text NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (stream_id, "offset")
)"""


class PostgreSQL:
    """Synced on the primary and one of two standbys before it is acknowledged."""

    name = "postgresql"
    title = "PostgreSQL, ANY 1 of 2"
    durable = True

    def __init__(self, tools: Tools) -> None:
        """Use what was found."""
        self._tools = tools

    @property
    def version(self) -> str:
        """Which PostgreSQL."""
        assert self._tools.postgresql is not None
        return dotted(ask_version(self._tools.postgresql / "postgres"))

    def missing(self) -> list[str]:
        """What it takes."""
        needed = {"postgres": self._tools.postgresql, "Python clients": self._tools.clients}
        return [name for name, there in needed.items() if not there]

    def start(self, directory: Path, family: Family) -> "Running":
        """Start a primary and its standbys."""
        return Running(directory, family, self._tools)


def settings(port: int, name: str) -> dict[str, str]:
    """What differs from the default: room to work, and no checkpoint while it is measured."""
    return {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "cluster_name": name,
        "max_connections": "320",
        "shared_buffers": "512MB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "30min",
        "wal_keep_size": "1GB",
        "synchronous_commit": "on",
        "fsync": "on",
    }


def lines(values: Mapping[str, str]) -> str:
    """As they stand in a configuration file."""
    return "".join(f"{name} = '{value}'\n" for name, value in values.items())


class Server(Child):
    """A server that is ended without waiting for its clients."""

    def ask_to_end(self) -> None:
        """Have it roll back what is under way and end."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGINT)


class Running(Servers):
    """A primary, its standbys, and their clients."""

    def __init__(self, directory: Path, family: Family, tools: Tools) -> None:
        """Start them, and wait until the primary waits for one of the standbys."""
        super().__init__(directory, family, tools, None)
        assert tools.postgresql is not None
        self._programs = tools.postgresql
        self._user = USER if servers.may_choose_user() else None
        self._ports = free_ports(NODES)
        self._home = directory / "postgresql"
        self._home.mkdir()
        if self._user is not None:
            # PostgreSQL refuses to be run by root, and has to get at its files.
            shutil.chown(self._home, self._user, self._user)
            directory.chmod(0o755)
        self._start_primary()
        for number, name in enumerate(STANDBYS, start=1):
            self._start_standby(number, name)
        self._sql(f"ALTER SYSTEM SET synchronous_standby_names = '{SYNCHRONOUS}'")
        self._sql("SELECT pg_reload_conf()")
        count = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"
        servers.wait_ready(lambda: self._sql(count) == str(NODES - 1), "two standbys")
        self._sql(TABLE)
        # What has been written so far need not be synced while others' work is measured.
        self._sql("CHECKPOINT")

    def _run(self, program: str, *arguments: str) -> str:
        try:
            done = subprocess.run(
                [self._programs / program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
                timeout=COMMAND_SECONDS,
                cwd=self._home,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        except subprocess.CalledProcessError as error:
            raise ChildFailed(f"{program}: {error.stderr.strip()[-500:]}") from None
        return done.stdout.strip()

    def _sql(self, text: str, port: int | None = None) -> str:
        where = ["-h", HOST, "-p", str(port or self._ports[0]), "-U", USER, "-d", "postgres"]
        return self._run("psql", *where, "-X", "-A", "-t", "-c", text)

    def _start_primary(self) -> None:
        data = self._home / "primary"
        self._run("initdb", "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale")
        self._serve(0, "primary", lines(settings(self._ports[0], "primary")))

    def _start_standby(self, number: int, name: str) -> None:
        source = f"host={HOST} port={self._ports[0]} user={USER} application_name={name}"
        data = str(self._home / name)
        self._run("pg_basebackup", "-d", source, "-D", data, "-X", "stream", "-c", "fast")
        (self._home / name / "standby.signal").touch()
        own = settings(self._ports[number], name) | {"primary_conninfo": source}
        self._serve(number, name, lines(own))

    def _serve(self, number: int, name: str, configuration: str) -> None:
        data = self._home / name
        # A copy of the primary already has the primary's settings; of several, the last counts.
        with (data / "postgresql.conf").open("a") as file:
            file.write(configuration)
        log = self.directory / f"{name}.log"
        program = str(self._programs / "postgres")
        self.serve(Server(name, ["-D", str(data)], log, program=program, user=self._user))

        def answers() -> bool:
            try:
                return self._sql("SELECT 1", self._ports[number]) == "1"
            except ChildFailed:
                return False

        servers.wait_ready(answers, f"PostgreSQL's {name}")

    def _access(self, way: str) -> Access:
        return Access(self.python, f"postgresql://{HOST}:{self._ports[0]}?{way}")

    def _pgbench(self, load: pgbench.Load) -> Measure:
        program = self._programs / "pgbench"
        return lambda seconds: pgbench.measure(program, self._ports[0], load, self, seconds)

    def writer(self) -> Access:
        """The fastest way to fill a table."""
        return self._access("copy")

    def append_ways(self, workload: Workload) -> Mapping[str, Measure]:
        """By pgbench, and batches also by psycopg: as an array of rows or as a copy."""
        ways = {"pgbench": self._pgbench(pgbench.appends_of(workload))}
        if workload.batch > 1:
            for way in ("array", "copy"):
                ways[f"psycopg, {way}"] = self.appending(self._access(way), workload)
        return ways

    def fill(self, work: Work) -> Content:
        """Write the stream, and do what is done by itself to a table that is at rest."""
        written = super().fill(work)
        self._sql("VACUUM (ANALYZE) events")
        return written

    def readers(self) -> Mapping[str, Access]:
        """Pages by the key, or one answer that is taken as it comes."""
        return {
            "psycopg, pages of 1,000": self._access("page"),
            "psycopg, one answer": self._access("flow"),
        }

    def mix_ways(self, work: Work, stream: str) -> Mapping[str, Measure]:
        """By pgbench."""
        return {"pgbench": self._pgbench(pgbench.mix_of(work, stream))}

    def followers(self) -> Mapping[str, Access]:
        """By a notification that comes with the commit, and a look at the table."""
        return {"psycopg": self._access("array")}
