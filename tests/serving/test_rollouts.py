"""Rollouts from their start to their end through real processes, with requests all the while.

What a rollout costs callers is seen by them: no request may fail, and each answer has to be that of
the version that it names.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from drilled import report, row, second
from firedoor.adapters.clock import SystemClock
from firedoor.compose.drill_files import keep
from firedoor.drill.report import Row
from serving.client import Load, press
from serving.pressing import BIAS, give, history, last_of, picture_of, said, under_load
from serving.served import Served, Shop

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]
PRESSED = 2_200
"""Answers of the champion, from which it is known what is slow for it."""
LONG_S = 150.0
Begin = Callable[..., Served]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Serve a first version, and have it answer enough to be compared with."""
    with ExitStack() as stack:

        def serve(*, slices: str = "", **policy: Any) -> Served:
            shop = Shop(tmp_path)
            shop.add(BIAS, live=True)
            numbers = {"time_scale": 20, "steps": [0.5, 1.0], **policy}
            environment = {"LATE_POLICY": json.dumps(numbers), "LATE_SLICES": slices}
            served = stack.enter_context(
                Served(shop, "--port", "0", "--gateways", "2", environment=environment)
            )
            served.ready(1).ready(2)
            warm(served)
            return served

        yield serve


def warm(served: Served, bias: float = BIAS) -> None:
    load = asyncio.run(press(served.port, PRESSED, at_once=4, biases=(bias,)))
    assert load.failed == []


def within_s(served: Served, first: str, last: str) -> float:
    """Return the time between what was said of a rollout, with what the last one was said for."""
    at_s = {one.what: one.at_s for one in history(served)}
    because = next(one.because for one in reversed(history(served)) if one.what == last)
    print(f"{last} {at_s[last] - at_s[first]:.2f} s after {first}: {because}")
    return at_s[last] - at_s[first]


def barred(served: Served, number: int) -> bool:
    states = {one.number: one.state for one in served.shop.models.read("late").state.versions}
    return states[number] == "quarantined"


# ---- bad ones


@pytest.mark.parametrize(
    ("mode", "because"),
    [
        ("raise:10:1,4,7", "errors"),
        ("nan:10:3", "no number"),
        ("nan", "no number"),
        ("slow", "percentile"),
        ("die", "died"),
        ("die:10:1", ""),
    ],
)
def test_a_bad_version_is_rolled_back_by_evidence_and_costs_no_answer(
    begin: Begin, mode: str, because: str
) -> None:
    served = begin(shadow=False)
    number = served.shop.add(20.0, mode)
    with under_load(served, BIAS, 20.0, rate=200.0) as load:
        assert not give(served, "start").refusal
        served.until(lambda: "rollout quarantined" in said(served), within_s=LONG_S)
    assert load.failed == []
    assert not load.degraded["constant"]
    assert barred(served, number)
    within_s(served, "rollout at 50 %", "rollout quarantined")
    assert because in next(o.because for o in history(served) if o.what == "rollout quarantined")
    print(dict(load.variants), dict(load.degraded))


def test_a_version_with_a_greater_loss_is_rolled_back_by_labels(begin: Begin) -> None:
    served = begin(loss_max=400.0, loss_margin=5.0)
    number = served.shop.add(20.0)
    with under_load(served, BIAS, 20.0, rate=100.0, labels=True) as load:
        give(served, "start")
        served.until(lambda: "rollout quarantined" in said(served), within_s=LONG_S)
    assert load.failed == []
    assert barred(served, number)
    assert "loss" in next(o.because for o in history(served) if o.what == "rollout quarantined")
    within_s(served, "rollout started", "rollout quarantined")


def test_one_bad_slice_stays_with_the_champion_and_the_others_go_on(begin: Begin) -> None:
    served = begin(slices="line", shadow=False, bake_s=1_000.0)
    served.shop.add(20.0, "raise:5:3")
    with under_load(served, BIAS, 20.0, rate=200.0) as load:
        give(served, "start")
        served.until(lambda: "slice held" in said(served), within_s=LONG_S)
        within_s(served, "rollout at 50 %", "slice held")
        served.until(lambda: "rollout at 100 %" in said(served), within_s=LONG_S)
        served.until(lambda: served.ask(4.0).value == 2 * 4.0 + 20.0)
        reply = served.get("/predict/predict", [{"x": 8.0, "who": "ann", "line": "l3"}])
        assert (reply.value, reply.headers["x-firedoor-variant"]) == (2 * 8.0 + BIAS, "late@1")
        assert "x-firedoor-degraded" not in reply.headers
        route = picture_of(served).route
        assert route is not None
        assert route.held_slices == ("line=l3",)
    assert load.failed == []


# ---- good ones


def promoted(served: Served, number: int, **more: Any) -> Load:
    """Roll a version out until it is live, and see that the registry knows."""
    with under_load(served, BIAS, 20.0, 30.0, rate=200.0) as load:
        assert not give(served, "start", **more).refusal
        served.until(
            lambda: served.shop.models.read("late").state.champion == number, within_s=LONG_S
        )
        served.until(lambda: last_of(served) == "rollout live")
    assert load.failed == []
    assert not load.degraded
    return load


def test_a_good_version_is_promoted_and_taken_back_by_a_word_within_a_second(begin: Begin) -> None:
    served = begin()
    number = served.shop.add(20.0)
    promoted(served, number)
    within_s(served, "rollout started", "rollout live")
    with under_load(served, BIAS, 20.0, rate=100.0) as load:
        served.until(lambda: load.variants[f"late@{number}"] > 30)
        ordered_s = time.monotonic()
        give(served, "rollback")
        served.until(lambda: load.began_s.get("late@1", 0.0) > ordered_s + 1.5)
    took_s = load.began_s[f"late@{number}"] - ordered_s
    print(f"the last request to it was sent {took_s:.2f} s after the order")
    assert took_s < 1.0
    assert load.failed == []
    served.until(lambda: served.shop.models.read("late").state.champion == 1)


def test_in_bake_a_version_gives_way_by_an_order_within_a_second(
    begin: Begin,
) -> None:
    served = begin(bake_s=2_000.0, shadow=False)
    number = served.shop.add(20.0)
    with under_load(served, BIAS, 20.0, rate=200.0) as load:
        give(served, "start")
        served.until(lambda: "rollout at 100 %" in said(served), within_s=LONG_S)
        served.until(lambda: load.began_s[f"late@{number}"] > load.began_s["late@1"] + 0.5)
        ordered_s = time.monotonic()
        give(served, "rollback")
        served.until(lambda: load.began_s["late@1"] > ordered_s + 1.5)
    took_s = load.began_s[f"late@{number}"] - ordered_s
    print(f"the last request to it was sent {took_s:.2f} s after the order")
    assert took_s < 1.0
    assert load.failed == []
    assert not load.degraded


def test_blue_and_green_swap_at_once_after_a_shadow(begin: Begin) -> None:
    served = begin(steps=[1.0])
    number = served.shop.add(20.0)
    load = promoted(served, number)
    within_s(served, "rollout started", "rollout at 100 %")
    assert set(load.variants) == {"late@1", f"late@{number}"}


def test_a_version_goes_live_although_control_is_killed_in_each_phase(begin: Begin) -> None:
    served = begin()
    number = served.shop.add(20.0)
    seen: set[str] = set()

    def kill_in_each_phase() -> bool:
        state = picture_of(served).state
        phase = "live" if state is None or state.current is None else state.current.phase
        if phase not in seen:
            seen.add(phase)
            served.kill("control")
        return phase == "live" and last_of(served) == "rollout live"

    with under_load(served, BIAS, 20.0, rate=200.0) as load:
        give(served, "start")
        served.until(kill_in_each_phase, within_s=LONG_S)
    assert load.failed == []
    assert not load.degraded
    assert {"qualifying", "shadow", "canary", "bake", "live"} <= seen
    assert served.shop.models.read("late").state.champion == number
    assert said(served).count("rollout live") == 1


# ---- again


def drilled(served: Served, drill: str, made: Row) -> None:
    """Keep a drill of a model that raises, as ``firedoor drill run`` keeps it."""
    one = replace(made, fault="model_raise", zone="predict", began_s=SystemClock().utc_s())
    keep(replace(report(one), drill=drill, pipeline="late"), served.shop.project.folder)


def test_a_successor_has_to_do_well_what_made_the_last_one_go(begin: Begin) -> None:
    served = begin(shadow=False, time_scale=200, step_timeout_s=20_000.0)
    bad = served.shop.add(20.0, "raise:10:1,4,7")
    with under_load(served, BIAS, 20.0, 21.0, 30.0, rate=200.0) as load:
        give(served, "start")
        served.until(lambda: "rollout quarantined" in said(served), within_s=LONG_S)
        assert "quarantined" in give(served, "start", version=bad).refusal
        still = served.shop.add(21.0, "raise:10:4")
        give(served, "start", version=still)
        served.until(
            lambda: any("not requalified" in one.because for one in history(served)),
            within_s=LONG_S,
        )
        good = served.shop.add(30.0)
        drilled(served, "20261101", row({"store": [second(lost=30)] * 12}))
        order = give(served, "start", version=good)
        assert not order.refusal
        served.until(lambda: last_of(served) == "rollout held", within_s=LONG_S)
        assert "store was hurt" in history(served)[-1].because
        drilled(served, "20261102", row())
        served.until(lambda: "rollout requalified" in said(served), within_s=LONG_S)
        served.until(lambda: last_of(served) == "rollout live", within_s=LONG_S)
    print([(one.what, one.because) for one in history(served)])
    assert load.failed == []
    assert served.shop.models.read("late").state.champion == good


def test_after_two_rollbacks_a_second_person_has_to_agree(begin: Begin) -> None:
    served = begin(shadow=False)
    with under_load(served, BIAS, 21.0, 22.0, rate=100.0) as load:
        for count in (1, 2):
            # Of what comes soon: so that the second does well what the first was given.
            served.shop.add(20.0 + count, f"raise:>{load.asked + 200}")
            assert not give(served, "start").refusal
            served.until(
                lambda count=count: said(served).count("rollout quarantined") == count,  # type: ignore[misc]
                within_s=LONG_S,
            )
        number = served.shop.add(30.0)
        assert "a second person has to agree" in give(served, "start").refusal
        assert give(served, "start", second="ann").refusal, "one is not two"
        assert not give(served, "start", second="bob", version=number).refusal
    assert load.failed == []


# ---- people


def test_a_tester_is_answered_by_the_candidate_before_anybody_else(begin: Begin) -> None:
    served = begin(shadow_requests=10_000)
    number = served.shop.add(20.0)
    with under_load(served, BIAS, rate=50.0) as load:
        give(served, "start")
        served.until(lambda: "rollout at shadow" in said(served))
        reply = served.ask(4.0, X_Firedoor_Route="candidate")
        assert (reply.value, reply.headers["x-firedoor-variant"]) == (28.0, f"late@{number}")
        reply = served.ask(4.0, X_Firedoor_Route="champion")
        assert reply.headers["x-firedoor-variant"] == "late@1"
    assert load.failed == []
    assert set(load.variants) == {"late@1"}, "nobody else is"


def test_a_rollout_is_paused_resumed_superseded_and_aborted(begin: Begin) -> None:
    served = begin(shadow=False)
    first, second = served.shop.add(20.0), served.shop.add(30.0)
    with under_load(served, BIAS, 20.0, 30.0, rate=150.0) as load:
        give(served, "start", version=first)
        served.until(lambda: "rollout at 50 %" in said(served))
        give(served, "pause")
        served.until(lambda: load.variants[f"late@{first}"] > 600)
        assert "rollout at 100 %" not in said(served), "a pause freezes its share"
        assert give(served, "resume").said
        give(served, "pause")
        give(served, "start", version=second, supersede=True)
        served.until(lambda: said(served).count("rollout at 50 %") == 2)
        served.until(lambda: load.variants[f"late@{second}"] > 20)
        aborted_s = time.monotonic()
        give(served, "abort")
        served.until(lambda: load.began_s["late@1"] > aborted_s + 1.5)
    assert load.failed == []
    took_s = load.began_s[f"late@{second}"] - aborted_s
    print(f"the last request to it was sent {took_s:.2f} s after the order")
    assert took_s < 1.0
    assert not barred(served, first), "who was ended by a word may come again"
    assert not barred(served, second)
