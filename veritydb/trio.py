"""The client for Trio programs: `async with veritydb.trio.connect(url) as db`."""

from veritydb.client.trio import TrioClient, TrioStream, connect

__all__ = ["TrioClient", "TrioStream", "connect"]
