"""The records that a run left in its project folder."""

import asyncio
from pathlib import Path

from firedoor.compose.reaching import reach
from firedoor.wire.records import BatchRecord


def read_records(folder: Path, *zones: str) -> dict[str, list[BatchRecord]]:
    """Return the records of zones, in the order in which they were written."""

    async def work() -> dict[str, list[BatchRecord]]:
        async with reach(folder) as reached:
            return {
                zone: [record async for record in reached.streams.records(zone)] for zone in zones
            }

    return asyncio.run(work())
