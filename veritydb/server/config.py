"""The configuration of a cluster: one TOML file, the same on all of its nodes.

Every key is described in docs/operating.md. A key nobody knows is an error, because a misspelt
limit that is silently ignored is worse than a node that does not start.
"""

import ipaddress
import tomllib
from hashlib import sha256
from pathlib import Path

import msgspec

from veritydb.server.failures import ConfigError
from veritydb.types.ids import GLOBAL_GROUP, GROUP_ID_MAX, GroupId
from veritydb.types.labels import GLOBAL, Placement, Region

REPLICA_COUNTS = (1, 3, 5)
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("plain", "json")
NAME_MAX = 64
MIB = 1 << 20


class ClusterPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[cluster]`. `id` is 32 hex digits; without it, it follows from name and groups."""

    name: str
    id: str = ""


class ServerPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[server]`: what holds for each of the nodes.

    `data_dir` holds one directory per node. `disk_reserve_mib` is kept free: with less, the node
    only reads. `drain_ms` is how long a stopping node waits for the calls it has taken. After
    `snapshot_entries` a snapshot is made, which bounds what a restart replays. A replica that lags
    by more than `transfer_ops` ops takes over a peer's snapshot and fetches the rest behind it.
    """

    data_dir: str = "veritydb-data"
    allow_insecure: bool = False
    log_level: str = "info"
    log_format: str = "plain"
    disk_reserve_mib: int = 64
    drain_ms: int = 5_000
    tick_ms: int = 10
    snapshot_entries: int = 200_000
    transfer_ops: int = 20_000


class NodePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of `[[nodes]]`. `region` is where it stands.

    `client` and `peer` (`host:port`) are where clients and the other nodes reach it;
    `client_listen` and `peer_listen` where it listens, if that is elsewhere: behind NAT, say.
    """

    name: str
    client: str
    peer: str = ""
    client_listen: str = ""
    peer_listen: str = ""
    region: str


class GroupPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of `[[groups]]`. Number 0 is the global group, every other one has a `region`.

    `replicas` names its nodes; the order gives each its index and never changes.
    """

    number: int
    region: str = ""
    replicas: tuple[str, ...]

    @property
    def name(self) -> str:
        """How the group's directory is called."""
        return f"{self.number}-{self.region or 'global'}"

    @property
    def placement(self) -> Placement:
        """Where the group's bytes lie."""
        return Region(self.region) if self.region else GLOBAL


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole, checked configuration. Make one with `load`, `parse` or `one_node`."""

    cluster: ClusterPart
    server: ServerPart = ServerPart()
    nodes: tuple[NodePart, ...]
    groups: tuple[GroupPart, ...]

    @property
    def cluster_id(self) -> bytes:
        """16 bytes that every frame, directory and handshake of this cluster carries."""
        if self.cluster.id:
            return bytes.fromhex(self.cluster.id)
        layout = [[g.number, g.region, list(g.replicas)] for g in self.groups]
        return sha256(msgspec.json.encode([self.cluster.name, sorted(layout)])).digest()[:16]

    def node(self, name: str) -> NodePart:
        """The node of that name. Raises ConfigError, naming those there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise ConfigError(f"no node is called {name[:NAME_MAX]!r}; the configuration has {known}")

    def group(self, number: int) -> GroupPart:
        """The group of that number. Raises ConfigError."""
        for group in self.groups:
            if group.number == number:
                return group
        raise ConfigError(f"no group has the number {number}")

    def groups_of(self, name: str) -> tuple[GroupPart, ...]:
        """The groups of which a node holds a replica, by number."""
        return tuple(sorted((g for g in self.groups if name in g.replicas), key=group_number))

    def node_dir(self, name: str) -> Path:
        """Where a node keeps its data unless it is told otherwise."""
        return Path(self.server.data_dir) / self.node(name).name


def group_number(group: GroupPart) -> GroupId:
    """What groups are sorted by."""
    return GroupId(group.number)


def find(path: str | Path) -> Path:
    """The file meant by a path that may leave out `.toml`. Raises ConfigError."""
    for candidate in (Path(path), Path(f"{path}.toml")):
        if candidate.is_file():
            return candidate
    raise ConfigError(f"there is no configuration file {path} (or {path}.toml)")


def load(path: str | Path) -> Config:
    """Read and check a file. Raises ConfigError, naming the file and what is wrong in it."""
    file = find(path)
    try:
        return parse(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None


def parse(text: str, source: str = "configuration") -> Config:
    """Read and check the text of a file. Raises ConfigError."""
    try:
        config = msgspec.convert(tomllib.loads(text), Config)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}") from None
    try:
        check(config)
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from None
    return config


def one_node(
    cluster: bytes, region: str, client: str = "", server: ServerPart | None = None
) -> Config:
    """The configuration of a cluster that is one process: the global group and one region's."""
    name = "local"
    config = Config(
        cluster=ClusterPart(name=name, id=cluster.hex()),
        server=server or ServerPart(),
        nodes=(NodePart(name=name, client=client, region=region),),
        groups=(
            GroupPart(number=GLOBAL_GROUP, replicas=(name,)),
            GroupPart(number=1, region=region, replicas=(name,)),
        ),
    )
    try:
        check(config)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return config


def check(config: Config) -> None:
    """Raise ConfigError or ValueError unless the parts fit together."""
    check_cluster(config.cluster)
    check_server(config.server)
    if not config.nodes or not config.groups:
        raise ConfigError("a cluster needs [[nodes]] and [[groups]]")
    check_once("node name", [node.name for node in config.nodes])
    check_once("group number", [group.number for group in config.groups])
    check_once("group region", [group.region for group in config.groups])
    check_once("address", [a for node in config.nodes for a in (node.client, node.peer) if a])
    for node in config.nodes:
        check_node(node, config)
    for group in config.groups:
        check_group(group, config)
    if GLOBAL_GROUP not in {group.number for group in config.groups}:
        raise ConfigError("there is no global group: one of [[groups]] needs number = 0")


def check_cluster(part: ClusterPart) -> None:
    """Raise ConfigError for a name or id that cannot be."""
    if not 0 < len(part.name) <= NAME_MAX:
        raise ConfigError(f"cluster.name needs 1 to {NAME_MAX} characters")
    if part.id and (len(part.id) != 32 or not set(part.id) <= set("0123456789abcdef")):
        raise ConfigError("cluster.id needs 32 lower-case hex digits")


def check_server(part: ServerPart) -> None:
    """Raise ConfigError for a setting out of its range."""
    if part.log_level not in LOG_LEVELS:
        raise ConfigError(f"server.log_level is one of {', '.join(LOG_LEVELS)}")
    if part.log_format not in LOG_FORMATS:
        raise ConfigError(f"server.log_format is one of {', '.join(LOG_FORMATS)}")
    if not 1 <= part.tick_ms <= 100:
        raise ConfigError("server.tick_ms lies between 1 and 100")
    if not 0 <= part.drain_ms <= 600_000:
        raise ConfigError("server.drain_ms lies between 0 and 600000")
    if not 0 <= part.disk_reserve_mib <= 1 << 20:
        raise ConfigError("server.disk_reserve_mib lies between 0 and 1048576")
    if not 100 <= part.snapshot_entries <= 10_000_000:
        raise ConfigError("server.snapshot_entries lies between 100 and 10000000")
    if not 100 <= part.transfer_ops <= 10_000_000:
        raise ConfigError("server.transfer_ops lies between 100 and 10000000")


def check_node(node: NodePart, config: Config) -> None:
    """Raise ConfigError or ValueError for a node that cannot be."""
    if not 0 < len(node.name) <= NAME_MAX or not node.name.replace("-", "").isalnum():
        raise ConfigError(f"node name {node.name[:NAME_MAX]!r}: letters, digits and hyphens")
    Region(node.region)
    groups = config.groups_of(node.name)
    if not groups:
        raise ConfigError(f"node {node.name} holds no replica of any group")
    if not node.peer and any(len(group.replicas) > 1 for group in groups):
        raise ConfigError(f"node {node.name} shares a group with others and needs a peer address")
    for key in ("client", "peer", "client_listen", "peer_listen"):
        address = getattr(node, key)
        if not address:
            continue
        host, _port = split_address(address, f"node {node.name}: {key}")
        if not config.server.allow_insecure and not is_loopback(host):
            raise ConfigError(
                f"node {node.name}: {key} = {address!r} is not a loopback address, and nothing on "
                "the wire is encrypted; [server] allow_insecure = true permits it all the same"
            )


def check_group(group: GroupPart, config: Config) -> None:
    """Raise ConfigError or ValueError for a group that cannot be."""
    if not 0 <= group.number <= GROUP_ID_MAX:
        raise ConfigError(f"group number {group.number} lies outside 0 to {GROUP_ID_MAX}")
    if (group.number == GLOBAL_GROUP) != (not group.region):
        raise ConfigError(
            f"group {group.number}: number 0 is the global group, the others name a region"
        )
    if group.region:
        Region(group.region)
    if len(group.replicas) not in REPLICA_COUNTS:
        raise ConfigError(f"group {group.number} has {len(group.replicas)} replicas, not 1, 3 or 5")
    check_once(f"replica of group {group.number}", list(group.replicas))
    for name in group.replicas:
        node = config.node(name)
        if group.region and node.region != group.region:
            raise ConfigError(
                f"group {group.number} belongs to region {group.region}, but node {name} stands in "
                f"{node.region}: its bytes must not leave the region"
            )


def check_once(what: str, values: list[str] | list[int]) -> None:
    """Raise ConfigError if a value stands there twice."""
    seen = set()
    for value in values:
        if value in seen:
            raise ConfigError(f"{what} {value!r} appears twice")
        seen.add(value)


def split_address(address: str, what: str = "address") -> tuple[str, int]:
    """Read `host:port` or `[v6]:port`. Raises ConfigError."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"{what}: {address[:80]!r} is not host:port")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
