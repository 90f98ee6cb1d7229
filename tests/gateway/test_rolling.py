"""Rollouts: leases, trips, copies, labels, and the evidence of it all."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.labels import Forward
from firedoor.gateway.path import ServicePath
from firedoor.gateway.services import Label, Labelled
from firedoor.rollout import betting
from firedoor.rollout.policy import RolloutPolicy
from firedoor.spec.service_plan import ServiceLimits
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act, always, score_of
from firedoor.wire.evidence import LATENCY_BASE_S, LATENCY_GROWTH
from firedoor.wire.flags import Flag, Flags
from firedoor.wire.pack import decode_pack
from firedoor.wire.route import Cutoffs
from gateway.served import (
    CANDIDATE,
    CHAMPION,
    NEXT,
    Stage,
    ask,
    body,
    canary,
    plan,
    route,
    serving,
    shadow,
)

CLOCK = VirtualClock()
LOSS_MAX = RolloutPolicy(loss_max=1.0)


async def many(path: ServicePath, numbers: range, **more: Any) -> list[Answer]:
    answers = []
    for number in numbers:
        answers.append(await path.answer(ask(number, **more)))
        await asyncio.sleep(0)
    return answers


async def wait_for(path: ServicePath, request: Request) -> None:
    assert (await path.answer(request)).status == 200


# ---- lease


def test_without_a_heartbeat_all_goes_back_to_the_champion_and_returns_with_it() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=1.0, lease_s=3.0)) as path:
            for beat in range(8):
                path.heartbeat(beat)
                await CLOCK.wait(1)
                assert (await path.answer(ask(beat))).arm == "candidate"
            for _ in range(10):
                path.heartbeat(7)  # left behind by somebody who is gone
                await CLOCK.wait(1)
            answer = await path.answer(ask(1))
            assert (answer.arm, answer.degraded) == ("champion", "")
            assert path.evidence(0.0).lapsed
            assert path.facts().weight == 0.0
            assert "not heard of" in path.facts().because
            path.heartbeat(8)
            assert (await path.answer(ask(1))).arm == "candidate"
            assert not path.evidence(0.0).lapsed
            assert path.facts().weight == 1.0

    run(main())


def test_without_a_heartbeat_a_candidate_is_given_no_copies_either() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, shadow(lease_s=3.0)) as path:
            await many(path, range(5))
            await CLOCK.wait(4)
            await many(path, range(5, 10))
            assert (await path.answer(ask(99, tester="candidate"))).arm == "champion"
            await CLOCK.wait(1)
            assert stage.of(CANDIDATE).number == 5

    run(main())


def test_a_gateway_that_begins_with_an_old_route_and_an_old_beat_lets_the_lease_run_out() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=1.0, lease_s=3.0)) as path:
            for _ in range(4):
                path.heartbeat("as old as can be")
                await CLOCK.wait(1)
            assert (await path.answer(ask(1))).arm == "champion"

    run(main())


def test_a_steady_route_needs_no_control_plane() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, route(lease_s=3.0)) as path:
            await CLOCK.wait(3_600)
            answer = await path.answer(ask(1))
            assert (answer.arm, answer.degraded) == ("champion", "")

    run(main())


# ---- trips


@pytest.mark.parametrize(
    ("kind", "trip"), [("nan", "non_finite"), ("misshape", "misshaped"), ("die", "crash_loop")]
)
@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_hard_faults_end_it_here_at_once(kind: Any, trip: str, mode: str) -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act(kind))
        first = shadow() if mode == "shadow" else canary(weight=1.0)
        async with serving(stage, first) as path:
            for number in range(30):
                assert (await path.answer(ask(number))).arm == "champion"
                await CLOCK.wait(0.01)
            evidence = path.evidence(0.0)
            assert set(evidence.trips) == {trip}
            given = stage.of(CANDIDATE).number
            assert given <= 6
            await CLOCK.wait(60)
            await many(path, range(100, 120))
            assert stage.of(CANDIDATE).number == given
            assert path.facts().weight == 0.0

    run(main())


def test_a_candidate_that_cannot_be_loaded_trips_and_costs_nothing() -> None:
    async def main() -> None:
        stage = Stage()
        stage.options[CANDIDATE] = {"fails": "no module named torch"}
        async with serving(stage, canary(weight=1.0)) as path:
            answers = await many(path, range(5))
            assert {(a.arm, a.degraded) for a in answers} == {("champion", "")}
            assert path.evidence(0.0).trips == {"unloadable": "no module named torch"}
            await CLOCK.wait(100)
            assert sum(known == CANDIDATE for known, _, _ in stage.opened) == 1

    run(main())


def test_what_keeps_the_champion_from_being_loaded_too_is_no_candidates_fault() -> None:
    """The service's code was changed for the worse: no version is barred for it."""

    async def main() -> None:
        stage = Stage()
        for arm in (CHAMPION, CANDIDATE):
            stage.options[arm] = {"fails": "ImportError in predict"}
        async with serving(stage, canary(weight=1.0)) as path:
            await CLOCK.wait(5)
            assert path.evidence(0.0).trips == {}
            assert "cannot be opened" in path.facts().because

    run(main())


def test_an_answer_between_them_ends_a_row_of_wrong_ones() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = lambda _, number: Act("nan" if number % 5 else "answer")
        async with serving(stage, canary(weight=1.0)) as path:
            await many(path, range(12))
            assert path.evidence(0.0).arms["candidate"].non_finite == 9
            assert path.evidence(0.0).trips == {}

    run(main())


def test_the_next_rollout_begins_without_trips_and_at_nothing() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("nan"))
        async with serving(stage, canary(weight=1.0)) as path:
            await many(path, range(10))
            assert path.evidence(0.0).trips
            path.set_route(canary(2, 1.0, candidate=NEXT, rollout="predict-2"))
            await CLOCK.wait(0.1)
            evidence = path.evidence(0.0)
            assert (evidence.rollout, evidence.trips, evidence.arms) == ("predict-2", {}, {})
            assert (await path.answer(ask(1))).version == "4"
            assert path.evidence(0.0).arms["candidate"].n == 1

    run(main())


# ---- copies and evidence


def test_in_shadow_every_request_is_copied_and_nobody_waits_for_it() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("answer", 0.1))
        async with serving(stage, shadow()) as path:
            began_s = CLOCK.now_s()
            answers = await many(path, range(30))
            assert CLOCK.now_s() == began_s
            assert {answer.arm for answer in answers} == {"champion"}
            await CLOCK.wait(1)
            evidence = path.evidence(0.0)
            assert evidence.arms["shadow"].n == 30
            off = [
                abs(score_of(CANDIDATE, body(n)) - score_of(CHAMPION, body(n))) for n in range(30)
            ]
            assert evidence.disagree_n == 30
            assert evidence.disagree_sum == pytest.approx(math.fsum(off))
            for record in stage.log.records:
                assert record.shadow_scores == (score_of(CANDIDATE, record.body),)
                assert record.seconds == 0.0, "the copy's time is not the answer's"

    run(main())


def test_copies_are_bounded_and_those_without_room_are_counted() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("hang"))
        async with serving(stage, shadow()) as path:
            answers = [await path.answer(ask(number)) for number in range(200)]
            assert {answer.status for answer in answers} == {200}
            await CLOCK.wait(0.01)
            assert stage.of(CANDIDATE).waiting <= 64
            assert path.evidence(0.0).copies_dropped == 200 - 64
            await CLOCK.wait(1)
            assert path.evidence(0.0).arms["shadow"].error == 64
            assert len(stage.log.records) == 200, "every answer is recorded all the same"

    run(main())


def test_a_gateway_that_is_more_than_half_full_makes_no_copies() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("answer", 0.1))
        limits = ServiceLimits(concurrency=4)
        async with serving(stage, shadow(), of=plan(limits=limits)) as path:
            async with asyncio.TaskGroup() as group:
                for number in range(3):
                    request = ask(number, priority="critical")
                    group.create_task(wait_for(path, request))
            await CLOCK.wait(0.01)
            evidence = path.evidence(0.0)
            assert (evidence.arms["shadow"].n, evidence.copies_dropped) == (2, 1)

    run(main())


def test_in_a_canary_each_arm_is_given_the_other_ones_requests() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=0.5, mirror=1.0)) as path:
            answers = await many(path, range(100))
            await CLOCK.wait(1)
            evidence = path.evidence(0.0)
            ours = sum(answer.arm == "candidate" for answer in answers)
            assert evidence.arms["candidate"].n == ours
            assert evidence.arms["shadow"].n == 100 - ours
            assert evidence.arms["baseline"].n + evidence.arms["sentinel"].n == 100 - ours
            assert evidence.disagree_n == 100
            assert all(record.shadow_scores for record in stage.log.records)

    run(main())


def test_what_a_candidate_failed_at_is_answered_once_by_the_champion_and_not_copied_to_it() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = lambda _, number: Act("answer" if number % 3 else "raise")
        async with serving(stage, canary(weight=1.0, mirror=1.0)) as path:
            await many(path, range(30))
            await CLOCK.wait(1)
            assert stage.of(CHAMPION).number == 30
            assert path.evidence(0.0).disagree_n == 20

    run(main())


def test_evidence_is_of_the_arms_own_attempts_and_a_fallback_hides_nothing() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = lambda _, number: Act("raise" if number % 4 == 0 else "answer")
        async with serving(stage, canary(weight=0.5)) as path:
            answers = await many(path, range(200))
            evidence = path.evidence(0.0)
            assert {answer.status for answer in answers} == {200}
            candidate = evidence.arms["candidate"]
            assert candidate.n == stage.of(CANDIDATE).number
            assert candidate.error == math.ceil(candidate.n / 4)
            assert sum(counts.n for counts in evidence.arms.values()) == 200
            assert evidence.arms["baseline"].n > 1.3 * evidence.arms["sentinel"].n > 0
            assert evidence.arms["baseline"].error == evidence.arms["sentinel"].error == 0

    run(main())


def test_slow_is_beyond_the_frozen_cutoffs_and_failures_are_slow() -> None:
    async def main() -> None:
        stage = Stage()
        script = [Act(), Act("answer", 0.02), Act("answer", 0.05), Act("raise"), Act("nan")]
        stage.scripts[CANDIDATE] = lambda _, number: script[number]
        cutoffs = Cutoffs(q95_s=0.01, q99_s=0.03)
        async with serving(stage, canary(weight=1.0, cutoffs=cutoffs)) as path:
            await many(path, range(5))
            counts = path.evidence(0.0).arms["candidate"]
            assert (counts.n, counts.error, counts.non_finite) == (5, 1, 1)
            assert (counts.slow95, counts.slow99) == (4, 3)

    run(main())


def test_slices_are_counted_and_a_held_one_stays_with_the_champion() -> None:
    async def main() -> None:
        stage = Stage()
        held = canary(weight=1.0, held_slices=("carrier=UA",))
        async with serving(stage, held, of=plan(slices=("carrier",))) as path:
            for number in range(40):
                carrier = ("UA", "AA", "DL", "B6")[number % 4]
                answer = await path.answer(ask(number, row={"carrier": carrier}))
                assert answer.arm == ("champion" if carrier == "UA" else "candidate")
                assert answer.degraded == ""
            for number in range(100):
                await path.answer(ask(number, row={"carrier": f"new-{number}"}))
            slices = path.evidence(0.0).slices
            assert slices["carrier=AA"]["candidate"].n == 10
            united = slices["carrier=UA"]
            assert sum(counts.n for counts in united.values()) == 10
            assert "candidate" not in united
            assert len(slices) == 50

    run(main())


def test_a_subject_sticks_to_its_arm_by_header_or_by_declared_column() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=0.5), of=plan(key="tailnum")) as path:
            arms: dict[str, set[str]] = {}
            for number in range(300):
                tail = f"N{number % 30}"
                by_row = await path.answer(ask(number, row={"tailnum": tail}))
                by_header = await path.answer(ask(number, row={"tailnum": "?"}, key=tail))
                arms.setdefault(tail, set()).update((by_row.arm, by_header.arm))
            assert all(len(seen) == 1 for seen in arms.values())
            assert {next(iter(seen)) for seen in arms.values()} == {"champion", "candidate"}

    run(main())


def test_the_champions_latency_is_told_in_the_agreed_buckets() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("answer", 0.01))
        async with serving(stage, route()) as path:
            await many(path, range(10))
            ((bucket, count),) = path.evidence(0.0).latency.items()
            assert count == 10
            top = LATENCY_BASE_S * LATENCY_GROWTH**bucket
            assert top / LATENCY_GROWTH <= 0.01 <= top * 1.0001

    run(main())


# ---- labels


def test_labels_are_joined_to_what_both_versions_predicted() -> None:
    async def main() -> None:
        stage = Stage()
        of = plan(loss="log_loss", slices=("carrier",))
        async with serving(stage, shadow(), of=of) as path:
            d = []
            for number in range(50):
                row: dict[str, object] = {"carrier": "UA" if number % 5 else "AA"}
                answer = await path.answer(ask(number, row=row))
                await CLOCK.wait(0.01)
                value = float(number % 2)
                (told,) = await path.label([Label(answer.prediction, value)])
                assert told == Labelled("joined")
                sent = body(number, **row)
                losses = [
                    -math.log(p if value else 1 - p)
                    for p in (
                        min(max(score_of(version, sent), 1e-3), 1 - 1e-3)
                        for version in (CANDIDATE, CHAMPION)
                    )
                ]
                d.append(losses[0] - losses[1])
            pairs = path.evidence(0.0).pairs
            assert pairs.n == 50
            assert pairs.loss_sum == pytest.approx(math.fsum(d) / betting.LOG_LOSS_MAX)
            wealth = betting.add(betting.log_wealth(one, margin=0.005) for one in d)
            assert pairs.log_wealth == pytest.approx(wealth)
            by_slice = path.evidence(0.0).slice_pairs
            assert (by_slice["carrier=UA"].n, by_slice["carrier=AA"].n) == (40, 10)

    run(main())


def test_a_label_that_cannot_be_joined_is_kept_or_told_why_not() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, shadow(), of=plan(loss="log_loss")) as path:
            answer = await path.answer(ask(1))
            await CLOCK.wait(0.01)
            ours = answer.prediction
            other = ours.replace("-host1-", "-host2-")
            told = await path.label(
                [
                    Label(ours, 0.5), Label(ours, math.nan), Label(ours, 1.0, row=1),
                    Label(ours, 1.0), Label(ours, 0.0), Label("nonsense", 1.0), Label(other, 1.0),
                    Label(ours[:-1] + "0", 1.0),
                ]
            )  # fmt: skip
            outcomes = [one.outcome for one in told]
            assert outcomes[:4] == ["refused", "refused", "refused", "joined"]
            assert outcomes[4:] == ["kept", "unknown", "kept", "kept"]
            assert "had its label" in told[4].message
            assert path.evidence(0.0).pairs.n == 1
            kept = [(one.id, one.label) for one in stage.log.records if one.arm == "label"]
            assert kept == [(ours, 1.0), (other, 1.0), (ours[:-1] + "0", 1.0)]

    run(main())


def test_without_a_loss_or_a_rollout_labels_are_kept_in_the_log_where_there_is_one() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, route()) as path:
            answer = await path.answer(ask(1))
            told = await path.label(
                [Label(answer.prediction, 17.5), Label(answer.prediction, 1.0, row=3)]
            )
            assert [one.outcome for one in told] == ["kept", "unknown"]
            path.set_flags(Flags(flags={"kill.predict.log": Flag(value=True)}))
            (unknown,) = await path.label([Label(answer.prediction, 17.5)])
            assert unknown.outcome == "unknown"
        (prediction, label) = stage.log.records
        assert (label.id, label.arm, label.label) == (prediction.id, "label", 17.5)
        assert prediction.code == "v1"

    run(main())


def test_a_label_of_another_gateways_prediction_is_forwarded_to_it() -> None:
    async def main() -> None:
        asked: list[tuple[str, int]] = []

        async def take(tag: str, labels: Any) -> list[Labelled] | None:
            asked.append((tag, len(labels)))
            return None if tag == "gone" else [Labelled("joined")] * len(labels)

        forward: Forward = take
        async with serving(
            Stage(), route(), of=plan(loss="squared", rollout=LOSS_MAX), forward=forward
        ) as path:
            ids = [f"0123456789ab-{tag}-0123456789ab" for tag in ("host2", "gone", "host2")]
            told = await path.label([Label(one, 1.0) for one in ids])
        assert [one.outcome for one in told] == ["joined", "kept", "joined"]
        assert asked == [("host2", 2), ("gone", 1)]

    run(main())


# ---- the pack


def test_failing_and_good_requests_are_kept_as_they_were_used() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = lambda _, number: Act("answer" if number % 3 else "raise")
        async with serving(stage, canary(weight=0.5), of=plan(slices=("carrier",))) as path:
            for number in range(200):
                await path.answer(ask(number, row={"carrier": "UA" if number % 2 else "AA"}))
            kept = path.evidence(0.0).pack
            path.set_route(route(2))
            pack = decode_pack(path.pack("predict-1"))
            assert path.pack("predict-0") == b""
        assert (pack.rollout, pack.candidate, pack.digest) == ("predict-1", 3, "digest-3")
        failing = [request for request in pack.requests if request.kind == "failing"]
        good = [request for request in pack.requests if request.kind == "good"]
        assert len(failing) == kept == sum(pack.seen.values()) > 10
        assert {request.signature for request in failing} == {"ValueError model.py:1"}
        assert {name for request in good for name in request.slices} == {"carrier=UA", "carrier=AA"}
        bodies = [request.body for request in pack.requests]
        assert len(set(bodies)) == len(bodies)

    run(main())
