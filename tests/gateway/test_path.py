"""One request, and everything that can become of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.order import ORDER
from firedoor.spec.service_plan import FallbackPlan, ServiceLimits
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act, ScriptedVariant, always, score_of
from firedoor.wire.flags import Flag, Flags
from firedoor.wire.serving import Form
from gateway.served import (
    CANDIDATE,
    CHAMPION,
    NEXT,
    OLD,
    Stage,
    arm,
    ask,
    body,
    canary,
    plan,
    route,
    score,
    serving,
    shadow,
)

CONSTANT = FallbackPlan(constant={"score": 0.125}, cached_max_s=300.0)
NOTHING = FallbackPlan(cached_max_s=None)
CLOCK = VirtualClock()


def test_a_champion_answers_and_the_answer_says_so() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, route()) as path:
            answer = await path.answer(ask(1, id="order-7", source="flights-000123/17"))
        assert (answer.status, answer.arm, answer.degraded) == (200, "champion", "")
        assert (answer.model, answer.version, answer.id) == ("delays", "2", "order-7")
        assert score(answer) == score_of(CHAMPION, body(1))
        (record,) = stage.log.records
        assert record.id == answer.prediction
        assert record.scores == (score(answer),)
        assert (record.arm, record.version, record.source) == ("champion", 2, "flights-000123/17")

    run(main())


def test_before_there_is_a_route_the_answer_says_what_is_missing() -> None:
    async def main() -> Answer:
        async with serving(Stage()) as path:
            return await path.answer(ask(1))

    answer = run(main())
    assert answer.status == 503
    assert "no route yet" in answer.message
    assert answer.retry_after_s


@pytest.mark.parametrize("kind", ["raise", "die", "hang", "nan", "misshape", "busy", "break"])
def test_whatever_a_candidate_does_the_champion_answers(kind: Any) -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act(kind, 0.001))
        async with serving(stage, canary(weight=1.0)) as path:
            began_s = CLOCK.now_s()
            answer = await path.answer(ask(1))
            assert CLOCK.now_s() - began_s <= 1.0
        assert (answer.status, answer.arm, answer.version) == (200, "champion", "2")
        assert answer.degraded == "previous_version"
        assert score(answer) == score_of(CHAMPION, body(1))

    run(main())


@pytest.mark.parametrize("kind", ["raise", "die", "hang", "nan", "misshape", "busy", "break"])
def test_whatever_a_champion_does_the_version_before_it_answers(kind: Any) -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act(kind, 0.001))
        async with serving(stage, route(previous=OLD)) as path:
            answer = await path.answer(ask(1))
        assert (answer.status, answer.arm, answer.degraded) == (200, "previous", "previous_version")
        assert score(answer) == score_of(OLD, body(1))

    run(main())


def test_a_worker_that_died_or_was_late_is_made_up_for_by_another_of_the_same_version() -> None:
    async def main(kind: Any) -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = lambda _, number: Act(kind if number == 0 else "answer", 0.001)
        async with serving(stage, route()) as path:
            answer = await path.answer(ask(1))
            first, second = stage.of(CHAMPION).asks
            await path.answer(ask(1))
            assert not stage.of(CHAMPION).asks[-1].suspect, "an answer clears it"
        assert (answer.status, answer.arm, answer.degraded) == (200, "champion", "")
        assert not first.suspect
        assert second.suspect == (kind == "die"), "what a worker died of is run alone"

    for kind in ("die", "hang"):
        run(main(kind))


def test_the_ladder_ends_with_cached_then_constant_then_a_clear_refusal() -> None:
    async def main(fallback: FallbackPlan) -> list[Answer]:
        stage = Stage()
        stage.scripts[CHAMPION] = lambda _, number: Act("answer" if number == 0 else "raise")
        async with serving(stage, route(), of=plan(fallback=fallback)) as path:
            return [await path.answer(ask(number)) for number in (1, 1, 2)]

    well, same, other = run(main(CONSTANT))
    assert (same.arm, same.degraded, same.version) == ("cached", "cached", "2")
    assert same.fragment == well.fragment
    assert (other.arm, other.degraded, other.version) == ("constant", "constant", "")
    assert json.loads(other.fragment) == [{"score": 0.125}]
    _, same, other = run(main(NOTHING))
    for answer in (same, other):
        assert (answer.status, answer.arm) == (503, "none")
        assert answer.retry_after_s
        assert "ValueError" in answer.message
        assert "declare fallback" in answer.message
        assert answer.prediction == ""


def test_a_declared_function_answers_last() -> None:
    async def main() -> tuple[Answer, Answer]:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("raise"))
        stage.function = ScriptedVariant(arm(99))
        async with serving(stage, route(), of=plan(fallback=NOTHING)) as path:
            well = await path.answer(ask(1))
            stage.function.script = always(Act("raise"))
            return well, await path.answer(ask(1))

    well, ill = run(main())
    assert (well.arm, well.degraded, well.version) == ("function", "function", "")
    assert score(well) == score_of(arm(99), body(1))
    assert ill.status == 503


def test_a_constant_is_given_to_each_row_in_each_form() -> None:
    tensors = {"inputs": [{"name": "x", "shape": [3, 1], "datatype": "INT64", "data": [1, 2, 3]}]}
    v2 = json.dumps(tensors).encode()

    async def main() -> list[Answer]:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("raise"))
        asked = [
            Request(Form.ROWS, b'[{"x": 1}, {"x": 2}]'),
            Request(Form.ROWS, b' {"x": 1}'),
            Request(Form.V2, v2),
            Request(Form.V2_BINARY, v2 + b"\0\1\2", json_bytes=len(v2)),
            Request(Form.ROWS, b"[]"),
            Request(Form.V2, b"{nonsense"),
        ]
        async with serving(stage, route(), of=plan(fallback=CONSTANT)) as path:
            return [await path.answer(request) for request in asked]

    rows, one, tensor, binary, empty, nonsense = run(main())
    assert json.loads(rows.fragment) == [{"score": 0.125}] * 2
    assert json.loads(one.fragment) == [{"score": 0.125}]
    for answer in (tensor, binary):
        (output,) = json.loads(answer.fragment)
        assert (output["name"], output["shape"]) == ("score", [3])
        assert (output["datatype"], output["data"]) == ("FP64", [0.125] * 3)
    assert (empty.status, nonsense.status) == (400, 400)


def test_a_request_that_the_model_refuses_is_the_callers_fault_and_nobodys_evidence() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("refuse"))
        stage.scripts[CHAMPION] = always(Act("refuse"))
        async with serving(stage, canary(weight=1.0), of=plan(fallback=CONSTANT)) as path:
            answer = await path.answer(ask(1))
            assert path.evidence(0.0).arms == {}
        assert answer.status == 400
        assert "wanted as Float64" in answer.message

    run(main())


def test_a_deadline_bounds_everything_and_cached_answers_need_no_time() -> None:
    async def main(fallback: FallbackPlan) -> Answer:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("hang"))
        stage.scripts[OLD] = always(Act("hang"))
        async with serving(stage, route(previous=OLD), of=plan(fallback=fallback)) as path:
            began_s = CLOCK.now_s()
            answer = await path.answer(ask(1, timeout_s=0.3))
            assert CLOCK.now_s() - began_s <= 0.301
            for variant in (stage.of(CHAMPION), stage.of(OLD)):
                assert all(asked.deadline_s <= began_s + 0.3 for asked in variant.asks)
            return answer

    answer = run(main(NOTHING))
    assert answer.status == 504
    assert "within 0.3 s" in answer.message
    assert run(main(CONSTANT)).arm == "constant"


def test_nobody_waits_longer_than_the_service_declares() -> None:
    async def main() -> float:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("hang"))
        limits = ServiceLimits(timeout_s=0.2, attempt_s=0.25)
        async with serving(stage, route(), of=plan(limits=limits, fallback=NOTHING)) as path:
            began_s = CLOCK.now_s()
            await path.answer(ask(1, timeout_s=3_600.0))
            return CLOCK.now_s() - began_s

    assert run(main()) <= 0.201


def test_a_request_that_kills_is_run_alone_and_counts_once_however_often_it_is_sent() -> None:
    async def main() -> None:
        stage = Stage()
        poison = body(13)
        stage.scripts[CHAMPION] = lambda asked, _: (
            Act("die", 0.001) if asked.body == poison else Act()
        )
        async with serving(stage, route(), of=plan(fallback=CONSTANT)) as path:
            answers = [await path.answer(ask(13)) for _ in range(20)]
            variant = stage.of(CHAMPION)
            given = [asked for asked in variant.asks if asked.body == poison]
            assert all(asked.suspect for asked in given[1:]), "alone after the first death"
            counts = path.evidence(0.0).arms
            assert [(c.n, c.error) for c in counts.values()] == [(1, 1)], "counted once"
            assert "breaker" not in path.facts().because
            assert {answer.arm for answer in answers} == {"constant"}
            others = [await path.answer(ask(number)) for number in range(10)]
            assert {answer.arm for answer in others} == {"champion"}
            assert not any(asked.suspect for asked in variant.asks if asked.body != poison)

    run(main())


def test_without_a_fallback_a_caller_hears_that_its_request_kills_and_that_is_forgotten() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("die", 0.001))
        async with serving(stage, route(), of=plan(fallback=NOTHING)) as path:
            answer = [await path.answer(ask(13)) for _ in range(3)][-1]
            assert answer.status == 500
            assert "do not send it again" in answer.message
            await CLOCK.wait(700)
            stage.scripts.clear()
            assert (await path.answer(ask(13))).status == 200
            assert not stage.of(CHAMPION).asks[-1].suspect

    run(main())


def test_a_poison_that_kills_the_candidate_is_run_alone_in_the_champion() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("die", 0.001))
        async with serving(stage, canary(weight=1.0)) as path:
            answer = await path.answer(ask(1))
            assert answer.arm == "champion"
            (asked,) = stage.of(CHAMPION).asks
            assert asked.suspect

    run(main())


def test_kill_switches_do_what_they_say_at_once() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=1.0), of=plan(fallback=CONSTANT)) as path:

            async def with_killed(*names: str) -> Answer:
                flags = {
                    f"kill.{name}": Flag(value=True, by="ann", because="drill") for name in names
                }
                path.set_flags(Flags(flags=flags))
                return await path.answer(ask(len(stage.log.records)))

            assert (await with_killed()).arm == "candidate"
            assert (await with_killed("predict.candidate")).arm == "champion"
            assert (await with_killed("predict.model")).arm == "constant"
            assert (await with_killed("other.route", "predicted.route")).arm == "candidate"
            assert (await with_killed("predict.route")).arm == "constant"
            assert not path.facts().ready
            assert "ann killed route: drill" in path.facts().because
            before = len(stage.log.records)
            assert (await with_killed("predict.log")).status == 200
            assert len(stage.log.records) == before

    run(main())


def test_a_flag_that_is_not_true_kills_nothing_and_a_share_kills_a_share() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=1.0)) as path:
            path.set_flags(Flags(flags={"kill.predict.candidate": Flag(value=False)}))
            assert (await path.answer(ask(1))).arm == "candidate"
            half = Flag(value=True, share=0.5)
            path.set_flags(Flags(flags={"kill.predict.candidate": half}))
            arms = [(await path.answer(ask(1, key=f"n{n}"))).arm for n in range(400)]
            again = [(await path.answer(ask(2, key=f"n{n}"))).arm for n in range(400)]
            assert 150 < arms.count("champion") < 250
            assert arms == again, "a subject stays killed or not"

    run(main())


def test_a_named_version_is_asked_by_name_and_an_unknown_one_refused() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=0.01, previous=OLD)) as path:
            for held in (OLD, CHAMPION, CANDIDATE):
                answer = await path.answer(ask(1, version=str(held.version)))
                assert score(answer) == score_of(held, body(1))
            unknown = await path.answer(ask(1, version="7"))
            assert unknown.status == 404
            assert "2, 3, 1" in unknown.message
            assert path.evidence(0.0).arms == {}

    run(main())


def test_testers_choose_their_arm_and_are_no_evidence() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=1.0)) as path:
            assert (await path.answer(ask(1, tester="champion"))).arm == "champion"
            path.set_route(shadow(2, mirror=0.0))
            assert (await path.answer(ask(1, tester="candidate"))).arm == "candidate"
            path.set_route(route(3))
            assert (await path.answer(ask(1, tester="candidate"))).arm == "champion"
            assert path.evidence(0.0).arms == {}

    run(main())


def test_a_version_that_breaks_its_promise_is_a_failure_like_any_other() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("break"))
        async with serving(stage, route(), of=plan(fallback=NOTHING)) as path:
            answer = await path.answer(ask(1))
        assert answer.status == 503
        assert "RuntimeError" in answer.message

    run(main())


def test_ids_of_requests_are_cleaned_and_ids_of_predictions_sort_by_time() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, route()) as path:
            dirty = await path.answer(ask(1, id="a\r\nX-Evil: 1" + "z" * 500))
            assert dirty.id.startswith("aX-Evil: 1zz")
            assert len(dirty.id) <= 128
            made = []
            for number in range(50):
                await CLOCK.wait(0.002)
                answer = await path.answer(ask(number))
                assert answer.id == answer.prediction
                made.append(answer.prediction)
            assert made == sorted(made)
            assert len(set(made)) == 50

    run(main())


def test_the_order_is_written_down_once_with_reasons() -> None:
    names = [position.name for position in ORDER]
    assert names.index("place") < names.index("features") < names.index("split")
    assert names.index("split") < names.index("kill switch") < names.index("breaker")
    assert all(len(position.why) > 20 for position in ORDER)


def test_a_killed_route_leaves_the_function_and_a_killed_model_no_worker_at_all() -> None:
    async def main() -> None:
        stage = Stage()
        stage.function = ScriptedVariant(arm(99))
        async with serving(stage, route(), of=plan(fallback=NOTHING)) as path:
            path.set_flags(Flags(flags={"kill.predict.route": Flag(value=True, by="ann")}))
            assert (await path.answer(ask(1))).arm == "function"
            path.set_flags(Flags(flags={"kill.predict.model": Flag(value=True, by="ann")}))
            refused = await path.answer(ask(1))
            assert (refused.status, refused.arm) == (503, "none")
            assert "ann killed model" in refused.message
            assert stage.of(CHAMPION).number == 0

    run(main())


def test_nothing_is_waited_for_but_versions() -> None:
    """A champion that answers at once is answered in the same turn of the loop."""

    async def main() -> None:
        stage = Stage()
        async with serving(stage, route()) as path:
            coroutine: Any = path.answer(ask(1))
            with pytest.raises(StopIteration) as ended:
                coroutine.send(None)
            assert ended.value.value.status == 200

    run(main())


def test_next_is_not_opened_before_a_route_names_it() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(previous=OLD)):
            assert {known for known, _, _ in stage.opened} == {OLD, CHAMPION, CANDIDATE}
            assert NEXT not in {known for known, _, _ in stage.opened}
            nices = {known: nice for known, nice, _ in stage.opened}
            assert nices[CANDIDATE] > nices[CHAMPION] == nices[OLD] == 0

    run(main())


def test_the_log_has_what_a_constant_said_row_by_row() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("raise"))
        async with serving(stage, route(), of=plan(fallback=CONSTANT)) as path:
            two = Request(Form.ROWS, b'[{"x": 1}, {"x": 2}]')
            assert (await path.answer(two)).degraded == "constant"
        (record,) = stage.log.records
        assert record.scores == (0.125, 0.125)

    run(main())


def test_before_there_is_a_version_what_is_declared_is_the_answer() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, of=plan(fallback=CONSTANT)) as path:
            answer = await path.answer(ask(1, id="order-7"))
            assert (answer.status, answer.id, answer.degraded) == (200, "order-7", "constant")
            assert (answer.arm, answer.version, score(answer)) == ("constant", "", 0.125)
            assert not path.facts().ready
            refused = await path.answer(Request(Form.ROWS, b"[]"))
            assert refused.status == 400
        (record,) = stage.log.records
        assert (record.id, record.scores) == (answer.prediction, (0.125,))
        assert "no route yet" in record.because

    run(main())
