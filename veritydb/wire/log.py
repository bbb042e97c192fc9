"""The bodies of logged commands: structs of log.capnp, and the table of a multi-stream append.

What is stored is hashed as it is stored, so it is encoded once, by whoever asks, and afterwards
only ever decoded. Decoding is total: bytes that mean nothing are None.
"""

from typing import Any

import capnp

from veritydb.policy.commands import SetPolicy
from veritydb.policy.state import ClassRetention, Rules
from veritydb.streams.commands import (
    AppendMany,
    CreateStream,
    Seal,
    SetRetention,
    StreamCommand,
    TruncateBefore,
)
from veritydb.types import multi
from veritydb.types.entry import BODY_BYTES_MAX, BadEntry, Kind
from veritydb.types.labels import DataClass, Global, Placement, Region
from veritydb.types.limits import COMMAND_BYTES_MAX, POLICY_REGIONS_MAX, POLICY_TENANTS_MAX
from veritydb.types.retention import Retention
from veritydb.wire.schemas import load

Command = StreamCommand | SetPolicy

SCHEMA = load("log")
# No honest command visits a word twice; a dishonest one gets little further.
TRAVERSAL_WORDS_MAX = 2 * COMMAND_BYTES_MAX // 8
NESTING_MAX = 8
CLASSES = {int(data_class): data_class for data_class in DataClass}


class BadCommand(Exception):
    """A command that cannot be stored: too large, or of a kind that has no struct."""


def encode(command: Command) -> bytes:
    """Return the body of a command's entry. Raises BadCommand if it is over COMMAND_BYTES_MAX."""
    message = SCHEMA.Command.new_message()
    match command:
        case CreateStream():
            _put_create(message.init("createStream"), command)
        case Seal():
            message.seal = None
        case TruncateBefore():
            message.truncateBefore = command.offset
        case SetRetention():
            _put_retention(message.init("setRetention"), command.retention)
        case SetPolicy():
            policy = message.init("setPolicy")
            policy.expected = command.expected
            _put_rules(policy.init("rules"), command.rules)
        case AppendMany():
            raise BadCommand("the body of an append to several streams is made of its parts")
    body: bytes = message.to_bytes()
    if len(body) > COMMAND_BYTES_MAX:
        raise BadCommand(f"command of {len(body)} bytes; the limit is {COMMAND_BYTES_MAX}")
    return body


def decode(kind: Kind, body: bytes | memoryview) -> Command | None:
    """Read the body of an entry. None for bytes that are no command, and for kinds without one."""
    if kind is Kind.APPEND_MANY:
        try:
            return AppendMany(multi.parse(body)) if len(body) <= BODY_BYTES_MAX else None
        except BadEntry:
            return None
    if kind is not Kind.COMMAND or not 0 < len(body) <= COMMAND_BYTES_MAX:
        return None
    try:
        # A copy of its own, because the reader wants its words aligned.
        with SCHEMA.Command.from_bytes(
            bytes(body), traversal_limit_in_words=TRAVERSAL_WORDS_MAX, nesting_limit=NESTING_MAX
        ) as message:
            return _get(message)
    except (capnp.KjException, ValueError):
        # Not a message, text that is not UTF-8, a region with an impossible name.
        return None


def _get(message: Any) -> Command | None:
    match str(message.which()):
        case "createStream":
            return _get_create(message.createStream)
        case "seal":
            return Seal()
        case "truncateBefore":
            return TruncateBefore(message.truncateBefore)
        case "setRetention":
            return SetRetention(_get_retention(message.setRetention))
        case "setPolicy":
            rules = _get_rules(message.setPolicy.rules)
            return None if rules is None else SetPolicy(message.setPolicy.expected, rules)
    return None


def _put_create(to: Any, command: CreateStream) -> None:
    to.name = command.name
    to.dataClass = int(command.data_class)
    if isinstance(command.placement, Global):
        setattr(to.placement, "global", None)
    else:
        to.placement.init("regions", 1)[0] = command.placement.name
    if command.retention is not None:
        _put_retention(to.init("retention"), command.retention)


def _get_create(message: Any) -> CreateStream | None:
    data_class = CLASSES.get(message.dataClass)
    placement: Placement = Global()
    if str(message.placement.which()) == "regions":
        regions = message.placement.regions
        if len(regions) != 1:
            return None
        placement = Region(regions[0])
    if data_class is None:
        return None
    retention = _get_retention(message.retention) if message._has("retention") else None
    return CreateStream(message.name, data_class, placement, retention)


def _put_retention(to: Any, retention: Retention) -> None:
    to.maxAgeNs = retention.max_age_ns
    to.maxBytes = retention.max_bytes
    to.maxEvents = retention.max_events


def _get_retention(message: Any) -> Retention:
    return Retention(message.maxAgeNs, message.maxBytes, message.maxEvents)


def _put_rules(to: Any, rules: Rules) -> None:
    to.deidentifiedGlobal = rules.deidentified_global
    to.nonPhiGlobal = rules.non_phi_global
    to.regions = list(rules.regions)
    to.tenants = list(rules.tenants)
    rows = to.init("retention", len(rules.retention))
    for row, default in zip(rows, rules.retention, strict=True):
        row.dataClass = int(default.data_class)
        _put_retention(row.init("retention"), default.retention)


def _get_rules(message: Any) -> Rules | None:
    if (
        len(message.regions) > POLICY_REGIONS_MAX
        or len(message.tenants) > POLICY_TENANTS_MAX
        or len(message.retention) > len(CLASSES)
    ):
        return None
    retention = []
    for row in message.retention:
        data_class = CLASSES.get(row.dataClass)
        if data_class is None:
            return None
        retention.append(ClassRetention(data_class, _get_retention(row.retention)))
    return Rules(
        deidentified_global=message.deidentifiedGlobal,
        non_phi_global=message.nonPhiGlobal,
        regions=tuple(message.regions),
        tenants=tuple(message.tenants),
        retention=tuple(retention),
    )
