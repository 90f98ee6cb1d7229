"""Runners in simulated worlds: whatever goes wrong, nothing is lost and nothing doubled."""

from __future__ import annotations

import os

import pytest

from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.testing.worlds import play
from firedoor.wire.envelope import Envelope

SEEDS = int(os.environ.get("FIREDOOR_SEEDS", "50"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_world_ends_with_every_row_once_where_it_belongs(seed: int) -> None:
    assert play(seed).complaints == []


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_gives_the_same_world_each_time(seed: int) -> None:
    first, again = play(seed), play(seed)
    assert first.trace == again.trace
    assert first.lasted_s == again.lasted_s


def test_worlds_without_faults_need_one_process_a_zone() -> None:
    calm, rough = play(1, faults=False), play(1)
    assert calm.complaints == []
    assert calm.lives <= rough.lives


def test_a_broker_that_loses_a_batch_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge has to be able to complain."""
    publish = MemoryStreams.publish
    lost: list[str] = []

    async def lossy(self: MemoryStreams, edge: str, envelope: Envelope, payload: bytes) -> bool:
        if not lost and envelope.rows:
            lost.append(envelope.batch)
            return True
        return await publish(self, edge, envelope, payload)

    monkeypatch.setattr(MemoryStreams, "publish", lossy)
    assert play(1, faults=False).complaints != []
    assert lost
