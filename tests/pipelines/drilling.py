"""A drill as a process of its own, so that it can be killed: beats a fault until it is."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from firedoor.compose.reaching import reach
from firedoor.drill.fault import Fault

RENEW_S = 0.5


async def drill(folder: Path, fault: Fault) -> None:
    """Renew a fault for ever; say so once it is there."""
    async with reach(folder) as reached:
        while True:
            await reached.streams.beat(f"fault.{fault.zone}", msgspec.json.encode(fault))
            if not fault.renewal:
                print("drilling", flush=True)
            fault = msgspec.structs.replace(fault, renewal=fault.renewal + 1)
            await asyncio.sleep(RENEW_S)


if __name__ == "__main__":
    asyncio.run(drill(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Fault)))
