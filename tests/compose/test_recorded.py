"""What commands record on the disk is in the ledger, once, whoever tells it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.files.bundles import make_folder
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.compose.models import Models
from firedoor.compose.recorded import Recorded, of_run
from firedoor.errors import StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.wire.run import Code, RunRecord


async def acts(streams: MemoryStreams) -> list[Happened]:
    return [entry.happened async for entry in streams.entries("acts")]


def make_models(project: Path) -> Models:
    """Return models of which one went live and back."""
    models = Models(project, by="ann")
    for number in range(2):
        folder = make_folder(project / f"bundle{number}", model=f"{number}".encode())
        models.add("delays", folder)
        models.qualify(f"delays@{number + 1}", "promote", because="better", against=None)
        models.promote(f"delays@{number + 1}", because=f"reason {number}", anyway=True)
    models.rollback("delays", because="it lies")
    return models


def test_every_change_of_a_model_is_told_once_with_who_and_why(tmp_path: Path) -> None:
    make_models(tmp_path)

    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), SystemClock())
        recorded = Recorded(project=tmp_path, clock=SystemClock(), retention_days=30)
        assert await recorded.tell(streams) == 7
        assert await recorded.tell(streams) == 0
        another = Recorded(project=tmp_path, clock=SystemClock(), retention_days=30)
        assert await another.tell(streams) == 0
        found = await acts(streams)
        assert [one.code for one in found] == [
            "registered", "qualified", "promoted", "registered", "qualified", "promoted",
            "rolled_back",
        ]  # fmt: skip
        back = found[-1]
        assert (back.kind, back.by, back.because) == ("model", "ann", "it lies")
        assert back.about == "delays@2"
        assert back.text == "delays@2 was rolled back"
        Models(tmp_path, by="bob").quarantine("delays@2", because="bad")
        assert await recorded.tell(streams) == 1
        assert (await acts(streams))[-1].by == "bob"

    asyncio.run(work())


def test_a_broker_that_goes_away_in_the_middle_leaves_nothing_out(tmp_path: Path) -> None:
    make_models(tmp_path)

    async def work() -> None:
        store = MemoryStore()
        streams = MemoryStreams(store, SystemClock())
        recorded = Recorded(project=tmp_path, clock=SystemClock(), retention_days=30)
        for done in (True, False):
            store.lose("enter", done=done)
            with pytest.raises(StreamsUnavailable):
                await recorded.tell(streams)
        store.lose("put", done=False)
        with pytest.raises(StreamsUnavailable):
            await recorded.tell(streams)
        await recorded.tell(streams)
        assert len(await acts(streams)) == 7

    asyncio.run(work())


def test_a_registry_that_somebody_began_anew_is_told_from_its_beginning(tmp_path: Path) -> None:
    make_models(tmp_path / "a")
    one = Models(tmp_path / "b")
    one.add("delays", make_folder(tmp_path / "other", model=b"x"))

    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), SystemClock())
        for project, count in (("a", 7), ("b", 1)):
            recorded = Recorded(project=tmp_path / project, clock=SystemClock(), retention_days=30)
            assert await recorded.tell(streams) == count

    asyncio.run(work())


def test_a_run_is_told_when_it_begins_and_when_it_has_ended() -> None:
    record = RunRecord(
        id="train-3", job="train", pipeline="flights", file="f.py", by="ann", key="k",
        code=Code(version="v1"), parameters={}, seed=1, started_s=10.0,
    )  # fmt: skip
    (began,) = of_run(record)
    assert (began.kind, began.zone, began.code, began.by) == ("job", "train", "began", "ann")
    done = RunRecord(
        id="train-3", job="train", pipeline="flights", file="f.py", by="ann", key="k",
        code=Code(version="v1"), parameters={}, seed=1, started_s=10.0, ended_s=25.0,
        outcome="failed", cause="memory", message="it took 3 GiB",
    )  # fmt: skip
    again, ended = of_run(done)
    assert again == began
    assert (ended.process, ended.sequence, ended.code) == (began.process, 2, "failed")
    assert ended.text == "run train-3 ended: failed: it took 3 GiB"
    assert ended.facts == {"seconds": 15.0, "cause": "memory"}


def test_a_project_without_models_and_runs_has_nothing_to_tell(tmp_path: Path) -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), SystemClock())
        recorded = Recorded(project=tmp_path, clock=SystemClock(), retention_days=30)
        assert await recorded.tell(streams) == 0

    asyncio.run(work())
