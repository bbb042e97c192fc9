"""What a program may say about the memory that its client uses."""

from veritydb.wire.memory import keep_large_buffers

__all__ = ["keep_large_buffers"]
