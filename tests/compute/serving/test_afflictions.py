"""What a drill has workers do to themselves: met as if the model did it, and nothing is left."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest

from compute.serving.kit import QUICK, all_of, ask, bundle, opened, plan, until, value
from firedoor.compute.affliction import Affliction
from firedoor.compute.variant import WorkerVariant
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault
from firedoor.wire.serving import Outcome, Told

FOREVER_S = 600.0
LIMITS = msgspec.structs.replace(QUICK, attempt_s=20.0)
COUNT = 60


def fault(name: str, *, share: float | None = None, intensity: float | None = None) -> Fault:
    return make_fault(
        name,
        zone="deadly",
        zone_kind="service",
        drill="d",
        share=share,
        intensity=intensity,
        seed=3,
    )


def begin(affliction: Affliction, one: Fault, for_s: float = FOREVER_S) -> None:
    affliction.begin(one, time.monotonic() + for_s)


async def press(variant: WorkerVariant, count: int = COUNT) -> list[Told]:
    until_s = time.monotonic() + 30
    return await all_of(variant, [ask(float(x), deadline_s=until_s) for x in range(count)], 8)


def right(told: list[Told]) -> list[int]:
    """Return which requests were answered as the model does."""
    return [
        x for x, one in enumerate(told) if one.outcome is Outcome.OK and value(one) == 2.0 * x + 1
    ]


def values(told: list[Told]) -> list[float]:
    return [json.loads(one.fragment)[0]["prediction"] for one in told]


def test_predictions_that_a_drill_wants_wrong_are_wrong_for_the_same_rows_until_it_ends(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        affliction = Affliction()
        async with opened(
            tmp_path / "b", bundle(tmp_path / "b"), plan(limits=LIMITS), affliction=affliction
        ) as variant:
            assert right(await press(variant)) == list(range(COUNT)), "nothing is done as yet"

            begin(affliction, fault("model_nan", share=0.5))
            told = await press(variant)
            bad = [x for x, one in enumerate(told) if one.outcome is Outcome.NON_FINITE]
            assert sorted(bad + right(told)) == list(range(COUNT))
            assert 0.25 * COUNT < len(bad) < 0.75 * COUNT
            assert affliction.hits >= len(bad)
            again = await press(variant)
            assert [one.outcome for one in again] == [one.outcome for one in told]

            begin(affliction, fault("model_raise", share=0.5))
            told = await press(variant)
            assert {one.outcome for one in told} == {Outcome.OK, Outcome.RAISED}
            assert bad == [x for x, one in enumerate(told) if one.outcome is Outcome.RAISED], (
                "the same rows for the same seed"
            )
            assert "a drill has the model raise (d-1)" in told[bad[0]].message

            begin(affliction, fault("model_constant", intensity=0.25))
            assert values(await press(variant)) == [0.25] * COUNT

            begin(affliction, fault("model_worse", share=1.0))
            wrong = values(await press(variant))
            assert wrong != [2.0 * x + 1 for x in range(COUNT)]
            assert set(wrong) <= {2.0 * x + 1 for x in range(COUNT)}, "it is another row's answer"

            affliction.end()
            assert right(await press(variant)) == list(range(COUNT))
            assert variant.facts.deaths == 0

    asyncio.run(main())


def test_a_lease_that_nobody_renews_ends_in_the_worker_itself(tmp_path: Path) -> None:
    async def main() -> None:
        affliction = Affliction()
        async with opened(
            tmp_path / "b", bundle(tmp_path / "b"), plan(limits=LIMITS), affliction=affliction
        ) as variant:
            begin(affliction, fault("model_constant"), for_s=0.5)
            assert values(await press(variant, 3)) == [0.5] * 3
            affliction.renew(time.monotonic() + FOREVER_S)
            assert values(await press(variant, 3)) == [0.5] * 3
            affliction.renew(time.monotonic() - 0.001)
            assert right(await press(variant)) == list(range(COUNT))

    asyncio.run(main())


def test_a_slow_model_is_slow_for_its_share_and_well_at_once_when_it_ends(tmp_path: Path) -> None:
    async def main() -> None:
        affliction = Affliction()
        async with opened(
            tmp_path / "b", bundle(tmp_path / "b"), plan(limits=LIMITS), affliction=affliction
        ) as variant:
            begin(affliction, fault("model_slow", intensity=0.2))
            began_s = time.monotonic()
            assert value(await variant.ask(ask(1.0))) == 3.0
            assert time.monotonic() - began_s >= 0.2
            begin(affliction, fault("model_slow", intensity=0.5))
            asking = asyncio.ensure_future(variant.ask(ask(2.0)))
            await until(lambda: affliction.hits)
            affliction.end()
            assert value(await asking) == 5.0

    asyncio.run(main())


@pytest.mark.parametrize("name", ["model_segfault", "model_hang", "model_memory"])
def test_deaths_are_blamed_on_the_requests_that_are_hit_and_forgotten_with_the_drill(
    tmp_path: Path, name: str
) -> None:
    # What is no hang is not to be taken for one on a machine that is slow.
    limits = msgspec.structs.replace(LIMITS, hang_s=0.6 if name == "model_hang" else 20.0)

    async def main() -> None:
        affliction = Affliction()
        async with opened(
            tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits), affliction=affliction
        ) as variant:
            begin(affliction, fault(name, share=0.05))
            told = await press(variant)
            bad = [x for x in range(COUNT) if x not in right(told)]
            assert 1 <= len(bad) <= 8, "the others were answered, by other workers"
            died = {Outcome.DIED} if name != "model_memory" else {Outcome.DIED, Outcome.RAISED}
            assert {told[x].outcome for x in bad} <= died
            assert affliction.hits >= len(bad)
            assert variant.facts.deaths >= 2 or name == "model_memory"
            affliction.end()
            assert right(await press(variant)) == list(range(COUNT)), "nobody is guilty any more"

    asyncio.run(main())


def test_a_model_that_burns_processors_is_ended_for_it_and_its_successor_does_not(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        limits = msgspec.structs.replace(LIMITS, cpus=0.1)
        affliction = Affliction()
        async with opened(
            tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits), affliction=affliction
        ) as variant:
            begin(affliction, fault("model_cpu", intensity=2.0))
            assert value(await variant.ask(ask(1.0))) == 3.0, "it answers all the while"
            await until(lambda: variant.facts.deaths_by.get("cpu"))
            affliction.end()
            assert right(await press(variant)) == list(range(COUNT))

    asyncio.run(main())


def test_workers_that_find_another_version_refuse_to_load_it(tmp_path: Path) -> None:
    async def main() -> None:
        affliction = Affliction()
        arm = bundle(tmp_path / "b")
        begin(affliction, fault("model_wrong_version"))
        async with opened(tmp_path / "b", arm, wait=False, affliction=affliction) as variant:
            assert not await variant.ready(60)
            assert variant.facts.state == "failed"
            assert "not what was stored" in variant.facts.because
            assert affliction.hits >= 1
        affliction.end()
        async with opened(tmp_path / "b", arm, affliction=affliction) as variant:
            assert value(await variant.ask(ask(1.0))) == 3.0

    asyncio.run(main())


def test_a_fault_whose_texts_have_no_room_is_refused_and_nothing_is_done() -> None:
    affliction = Affliction()
    long = msgspec.structs.replace(fault("model_nan"), drill="d" * 5_000)
    with pytest.raises(ValueError, match="shorter names"):
        begin(affliction, long)
    assert affliction.fault is None
