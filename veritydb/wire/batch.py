"""Events to bytes and back: what a batch looks like is told in batch_layout.py."""

from veritydb.wire.batch_decode import (
    BadBatch,
    Columns,
    check_batch,
    decode_batch,
    decode_columns,
    decode_fields,
)
from veritydb.wire.batch_encode import Batch, encode_batch, join_batches

__all__ = [
    "BadBatch",
    "Batch",
    "Columns",
    "check_batch",
    "decode_batch",
    "decode_columns",
    "decode_fields",
    "encode_batch",
    "join_batches",
]
