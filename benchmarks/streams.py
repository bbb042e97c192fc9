"""The streams that all measurements append to: PHI, of one tenant, in one region."""

from veritydb.aio import AsyncClient, AsyncStream
from veritydb.types.labels import DataClass, Region

TENANT = 1
REGION = Region("au-syd")


async def open_stream(db: AsyncClient, name: str) -> AsyncStream:
    """Create a stream, or find it."""
    return await db.create_stream(name, tenant=TENANT, data_class=DataClass.PHI, placement=REGION)
