"""What keeps the control API from answering keeps nobody from driving rollouts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import firedoor as fd
from firedoor.compose.control_process import AGAIN_S, ControlOptions, ControlProcess
from firedoor.compose.project import Project
from firedoor.testing.conformance.store import make_plan
from firedoor.testing.loop import VirtualClock, run

OPEN_TO_ALL = "tokens.json can be read by others: run `chmod 600 tokens.json`"


def process(folder: Path, tries: list[float], *, supervised: bool) -> ControlProcess:
    """Return one whose API cannot begin at the first two tries."""
    clock = VirtualClock()
    began_s = clock.now_s()

    async def serve_api(*_: object) -> None:
        tries.append(clock.now_s() - began_s)
        if len(tries) <= 2:
            raise fd.StoreRefused(OPEN_TO_ALL)
        await asyncio.Event().wait()

    made = ControlProcess(ControlOptions(directory=folder, supervised=supervised), serve_api)
    made._clock = clock  # type: ignore[assignment]
    return made


def test_under_a_supervisor_an_api_that_cannot_begin_is_tried_again_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []

    async def story() -> None:
        made = process(tmp_path, tries, supervised=True)
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(made._answer_api(make_plan(), Project.at(tmp_path)))
            await made._clock.wait(10 * AGAIN_S)
            assert not answering.done(), "nothing beside it is ended"
            answering.cancel()

    run(story())
    assert tries == [0.0, AGAIN_S, 2 * AGAIN_S]
    assert caplog.text.count(OPEN_TO_ALL) == 1


def test_whoever_starts_it_by_hand_reads_why_it_cannot_begin(tmp_path: Path) -> None:
    async def story() -> None:
        made = process(tmp_path, [], supervised=False)
        with pytest.raises(fd.StoreRefused, match="chmod 600"):
            await made._answer_api(make_plan(), Project.at(tmp_path))

    run(story())
