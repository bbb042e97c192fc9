"""What `--print-config` shows: the whole configuration as TOML, and every limit behind it."""

import msgspec

from veritydb.server.config import Config
from veritydb.types import limits


def value(item: object) -> str:
    """One TOML value. JSON's strings, numbers and arrays are TOML's too."""
    return msgspec.json.encode(item).decode()


def table(name: str, part: msgspec.Struct) -> list[str]:
    """One table with a line per key."""
    lines = [name]
    lines += [f"{key} = {value(getattr(part, key))}" for key in part.__struct_fields__]
    return [*lines, ""]


def describe(config: Config) -> str:
    """Return TOML that reads back as this configuration, with the limits as comments."""
    cluster = msgspec.structs.replace(config.cluster, id=config.cluster_id.hex())
    lines = [*table("[cluster]", cluster), *table("[server]", config.server)]
    for node in config.nodes:
        lines += table("[[nodes]]", node)
    for group in config.groups:
        lines += table("[[groups]]", group)
    lines.append("# Limits. They are the same on every node and cannot be configured.")
    for name, limit in sorted(vars(limits).items()):
        if name.isupper() and name not in {"KIB", "MIB"}:
            lines.append(f"# {name.lower()} = {limit}")
    return "\n".join(lines) + "\n"
