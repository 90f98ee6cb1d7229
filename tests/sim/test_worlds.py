"""Runners in simulated worlds: whatever goes wrong, nothing is lost and nothing doubled."""

from __future__ import annotations

import os
from functools import partial

import pytest

from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.data import degrading
from firedoor.data.tries import Tries
from firedoor.drill.catalogue import CATALOGUE
from firedoor.flow.ladder import LadderPolicy
from firedoor.testing.drawing import draw
from firedoor.testing.loop import run
from firedoor.testing.worlds import World, play
from firedoor.wire.envelope import Envelope

SEEDS = int(os.environ.get("FIREDOOR_SEEDS", "50"))
TAKEN_AND_SHED = 1039
"""A batch was taken by its reader, came again after a death, and was shed in the books."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_world_ends_with_every_row_once_where_it_belongs(seed: int) -> None:
    assert play(seed).complaints == []


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_a_world_whose_links_are_drilled_ends_with_every_row_once(seed: int) -> None:
    assert play(seed, drilled=True).complaints == []


def test_worlds_whose_links_are_drilled_meet_every_fault_of_a_link() -> None:
    injected: set[str] = set()
    for seed in range(12):
        world = World(draw(seed), drilled=True)
        run(world.live(), seed=seed)
        assert world.links is not None
        injected |= world.links.injected
    assert injected == {name for name, kind in CATALOGUE.items() if kind.at == "link"}


@pytest.mark.parametrize("seed", sorted({*range(SEEDS), TAKEN_AND_SHED}))
def test_where_zones_degrade_what_is_left_out_and_sent_elsewhere_is_exact(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here steps are taken at the least pressure: that they are taken at all is not judged."""
    eager = partial(LadderPolicy, high=0.2, low=0.1, climb_s=0.0, patience_s=2.0)
    monkeypatch.setattr(degrading, "LadderPolicy", eager)
    assert play(seed, degrading=True).complaints == []


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_batch_is_scored_by_one_version_however_often_it_comes_again(seed: int) -> None:
    assert play(seed, scoring=True).complaints == []


def test_worlds_in_which_zones_score_use_several_versions() -> None:
    used: set[str] = set()
    for seed in range(5):
        world = World(draw(seed, scoring=True))
        run(world.live(), seed=seed)
        used |= {name for one in world.store.records.values() for name in one.models.values()}
    assert len(used) > 3


def test_versions_that_nobody_notes_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forgotten(self: Tries, models: object) -> None:
        del self, models

    monkeypatch.setattr(Tries, "scored", forgotten)
    assert any(play(seed, scoring=True).complaints for seed in range(30))


def test_worlds_in_which_zones_degrade_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    eager = partial(LadderPolicy, high=0.2, low=0.1, climb_s=0.0, patience_s=2.0)
    monkeypatch.setattr(degrading, "LadderPolicy", eager)
    sampled, elsewhere = 0, 0
    for seed in range(20):
        world = World(draw(seed, degrading=True))
        run(world.live(), seed=seed)
        records = world.store.records.values()
        sampled += sum(record.dropped.get("sampled", 0) for record in records)
        elsewhere += sum(len(record.elsewhere) for record in records)
    assert sampled > 10
    assert elsewhere > 10


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
