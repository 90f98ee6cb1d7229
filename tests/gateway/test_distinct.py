"""No two requests alike, through the path itself: what is kept of them is bounded.

In canary, with labels, slices, a cache, a full prediction log, and requests that kill: whatever
remembers requests is at work.
"""

from __future__ import annotations

import gc

import psutil
import pytest

from firedoor.data.prediction_writer import PredictionWriter
from firedoor.gateway import pairing, suspicions
from firedoor.gateway.services import Label
from firedoor.rollout.policy import RolloutPolicy
from firedoor.spec.service_plan import FallbackPlan
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act
from firedoor.wire.serving import Ask
from gateway.served import CHAMPION, Stage, ask, canary, plan, serving


def rss() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def kills_sometimes(_: Ask, number: int) -> Act:
    return Act("die") if number % 50 == 49 else Act("answer")


def grown(warm: int, many: int) -> int:
    """Ask so many times, and return by how much memory has grown after the first ones."""

    async def main() -> int:
        stage, clock, before = Stage(), VirtualClock(), 0
        stage.scripts[CHAMPION] = kills_sometimes
        stage.log = PredictionWriter(clock=clock, records_max=200)  # type: ignore[assignment]
        declared = plan(
            key="who", slices=("carrier",), loss="squared", rollout=RolloutPolicy(loss_max=100.0),
            fallback=FallbackPlan(constant={"score": 0.0}, cached_bytes=64 * 2**10),
        )  # fmt: skip
        async with serving(stage, canary(mirror=1.0), of=declared, clock=clock) as path:
            for at in range(warm + many):
                if at == warm:
                    before = rss()
                name = f"{at:09d}"
                row: dict[str, object] = {"who": f"n-{name}", "carrier": f"c-{name}"}
                said = await path.answer(
                    ask(at, row=row, id=f"r-{name}", key=f"k-{name}", source=f"flights-{name}/1")
                )
                assert (said.status, said.id) == (200, f"r-{name}")
                if at % 3 == 0:
                    await path.label([Label(said.prediction, 1.0), Label(f"nobody-{name}", 1.0)])
                if at % 20 == 0:
                    await clock.wait(0.05)
            assert len(path._parts.trial.pairing) == pairing.PREDICTIONS_MAX
            assert 0 < len(path._parts.attempts.suspicions) <= suspicions.KEPT_MAX
            assert stage.log.dropped > many
            return rss() - before

    return run(main())


def test_many_requests_that_differ_leave_no_memory_behind_in_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairing, "PREDICTIONS_MAX", 500)
    monkeypatch.setattr(suspicions, "KEPT_MAX", 50)
    assert grown(2_500, 20_000) < 3 * 2**20


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_million_requests_that_differ_leave_no_memory_behind_in_the_path() -> None:
    assert grown(600_000, 1_000_000) < 32 * 2**20
