"""etcd over gRPC. Of its messages only what a read needs is declared, with etcd's field numbers."""

from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks.load import Contents

PAGE = 10_000
MESSAGE_BYTES = 64 << 20
CALL_SECONDS = 30.0
PACKAGE = "etcdserverpb"
Field = descriptor_pb2.FieldDescriptorProto
# Message: its fields, each with number and type; a message in quotes is repeated.
MESSAGES: dict[str, dict[str, tuple[int, int | str]]] = {
    "RangeRequest": {
        "key": (1, Field.TYPE_BYTES),
        "range_end": (2, Field.TYPE_BYTES),
        "serializable": (7, Field.TYPE_BOOL),
    },
    "KeyValue": {"key": (1, Field.TYPE_BYTES), "value": (5, Field.TYPE_BYTES)},
    "RangeResponse": {"kvs": (2, "KeyValue")},
}


def messages() -> dict[str, Any]:
    """The classes of the messages."""
    file = descriptor_pb2.FileDescriptorProto(name="range.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            if isinstance(kind, str):
                message.field.add(
                    name=field,
                    number=number,
                    label=Field.LABEL_REPEATED,
                    type=Field.TYPE_MESSAGE,
                    type_name=f".{PACKAGE}.{kind}",
                )
            else:
                message.field.add(name=field, number=number, label=Field.LABEL_OPTIONAL, type=kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in MESSAGES
    }


def key(stream: str, offset: int) -> bytes:
    """The key of an event; keys sort as offsets do."""
    return b"%s/%016d" % (stream.encode(), offset)


def read(hosts: str, _way: str, stream: str, contents: Contents) -> None:
    """Read a stream from its beginning.

    Offsets are dense, so a page is a range of known keys: a limit instead would have the server
    count all that follows, once a page. They need not be the newest, so no quorum is asked.
    """
    made = messages()
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(hosts, options=options) as channel:
        call = channel.unary_unary(
            f"/{PACKAGE}.KV/Range",
            request_serializer=made["RangeRequest"].SerializeToString,
            response_deserializer=made["RangeResponse"].FromString,
        )
        expected = 0
        digits = len(stream) + 1
        while True:
            request = made["RangeRequest"](
                key=key(stream, expected),
                range_end=key(stream, expected + PAGE),
                serializable=True,
            )
            found = call(request, timeout=CALL_SECONDS).kvs
            if not found:
                return
            taken = []
            for pair in found:
                if int(pair.key[digits:]) != expected:
                    raise ValueError(f"{pair.key!r} instead of {expected}")
                value = pair.value
                end = 1 + value[0]
                _type, payload = value[1:end].decode(), value[end:]
                taken.append(payload)
                expected += 1
            contents.add(taken)
