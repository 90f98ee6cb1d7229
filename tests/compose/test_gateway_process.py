"""What fails beside requests in a gateway ends no gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.compose.gateway_process import AGAIN_S, GatewayOptions, GatewayProcess
from firedoor.data.prediction_writer import PredictionWriter
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.prediction import Chunk, PredictionRecord

if TYPE_CHECKING:
    import pytest


class Broken:
    """A log that fails as nobody meant, the first times."""

    def __init__(self, times: int) -> None:
        self.left, self.kept = times, 0

    async def log_predictions(self, chunk: Chunk) -> bool:
        if self.left:
            self.left -= 1
            raise RuntimeError("can't start new thread")
        self.kept += chunk.records
        return True


def test_a_prediction_log_that_fails_as_nobody_meant_ends_no_gateway_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def at_once(work: object, *args: object) -> object:
        assert callable(work)
        return work(*args)

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    clock, log = VirtualClock(), Broken(2)

    async def story() -> None:
        gateway = GatewayProcess(GatewayOptions(directory=tmp_path))
        gateway._clock = clock  # type: ignore[assignment]
        writer = PredictionWriter(log, clock=clock)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(gateway._beside("the prediction log", writer.run))
            for number in range(10):
                writer.put(
                    PredictionRecord(
                        id=f"{number:012x}-g", at_s=1.0, service="s", gateway="g", arm="none"
                    )
                )
            await clock.wait(10 * AGAIN_S)
            assert not running.done()
            assert (log.kept, writer.written, writer.dropped) == (10, 10, 0)
            await writer.close()
        assert running.done()

    run(story())
    assert caplog.text.count("the prediction log failed, and is begun anew") == 2
