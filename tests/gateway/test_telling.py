"""What a service says of itself, features on its way, and requests that are asked again."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from firedoor.gateway.exchange import Answer
from firedoor.gateway.features import FeatureLookups, LookedUp
from firedoor.gateway.order import ORDER
from firedoor.gateway.services import Failing
from firedoor.ports.variants import VariantFacts
from firedoor.spec.service_plan import FallbackPlan, FeaturesPlan
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act, Kind, Script, ScriptedVariant, always, score_of
from firedoor.wire.bundle import Field, FileEntry, Manifest, Signature
from firedoor.wire.flags import Flag, Flags
from firedoor.wire.pack import Pack, Replayable, decode_pack
from firedoor.wire.prediction import Feature, PredictionRecord
from firedoor.wire.route import Arm
from firedoor.wire.serving import Ask
from gateway.served import (
    CANDIDATE,
    CHAMPION,
    NEXT,
    OLD,
    Stage,
    ask,
    body,
    canary,
    plan,
    route,
    score,
    serving,
    shadow,
)

CLOCK = VirtualClock()
NOTHING = FallbackPlan(cached_max_s=None)
MANIFEST = Manifest(
    format="files", loader="delays:load", files=(FileEntry(path="m", bytes=1, sha256="0" * 64),),
    signature=Signature(inputs=(Field(name="x", dtype="Int64"),), outputs=()),
)  # fmt: skip


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        (("score",), ""),
        ((), ""),
        (("chance", "minutes"), "constant says score, where delays@2 says chance, minutes"),
    ],
)
def test_a_constant_that_is_no_answer_of_the_model_is_told_before_it_is_needed(
    outputs: tuple[str, ...], told: str
) -> None:
    signature = Signature(outputs=tuple(Field(name=name, dtype="Float64") for name in outputs))
    manifest = msgspec.structs.replace(MANIFEST, signature=signature)

    async def main() -> None:
        stage = Stage()
        stage.options[CHAMPION] = {"manifest": manifest}
        declared = plan(fallback=FallbackPlan(constant={"score": 0.2}))
        async with serving(stage, route(), of=declared) as path:
            facts = path.facts()
            assert facts.ready
            assert told in facts.because
            assert bool(told) == bool(facts.because)

    run(main())


def test_facts_tell_each_version_once_and_what_is_wrong() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, canary(weight=0.25, previous=OLD, lease_s=60.0)) as path:
            facts = path.facts()
            assert facts.ready
            assert facts.because == ""
            arms = {shown.name: shown.arm for shown in facts.variants}
            assert arms == {
                "delays@1": "previous", "delays@2": "champion", "delays@3": "candidate",
            }  # fmt: skip
            assert (facts.mode, facts.weight, facts.generation) == ("canary", 0.25, 1)
            assert facts.lease_age_s is None
            stage.of(CANDIDATE).become("backing_off", "3 deaths in 30 s")
            assert "candidate delays@3 is backing_off: 3 deaths in 30 s" in path.facts().because
            stage.options[CANDIDATE] = {"loading_s": 5.0}
            path.set_route(route(2, champion=CANDIDATE, previous=CHAMPION))
            assert [shown.name for shown in path.facts().variants].count("delays@3") == 1
            names = [(sample.name, sample.labels) for sample in path.facts().samples]
            assert len(names) == len(set(names))

    run(main())


def test_a_service_is_ready_only_if_a_version_of_its_model_answers() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage) as path:
            assert not path.facts().ready
            stage.options[CHAMPION] = {"loading_s": 5.0}
            path.set_route(route())
            assert not path.facts().ready
            answer = await path.answer(ask(1))
            assert answer.status == 503
            assert "loading" in answer.message
            await CLOCK.wait(5.1)
            assert path.facts().ready
            stage.of(CHAMPION).become("backing_off", "it dies")
            assert not path.facts().ready
            stage.of(CHAMPION).become("ready")
            path.set_flags(Flags(flags={"kill.predict.model": Flag(value=True, by="ann")}))
            assert not path.facts().ready
            assert "ann killed model" in path.facts().because

    run(main())


def test_metadata_is_of_the_version_that_is_named() -> None:
    async def main() -> None:
        stage = Stage()
        stage.options[CHAMPION] = {"manifest": MANIFEST}
        async with serving(stage, canary()) as path:
            told = path.metadata()
            assert told is not None
            assert (told.versions, told.ready) == (("2", "3"), True)
            assert told.inputs == MANIFEST.signature.inputs
            named = path.metadata("3")
            assert named is not None
            assert named.inputs == ()
            assert path.metadata("7") is None
        async with serving(Stage()) as path:
            told = path.metadata()
            assert told is not None
            assert not told.ready
            assert path.metadata("2") is None

    run(main())


def test_metadata_names_what_features_are_looked_up_by() -> None:
    async def main() -> None:
        step = plan().step
        group = FeaturesPlan(
            name="weather", keys=("x", "origin"), columns={"temp": "Float64"}, step=step
        )
        of = msgspec.structs.replace(plan(key="origin", slices=("carrier",)), features=(group,))
        stage = Stage()
        stage.options[CHAMPION] = {"manifest": MANIFEST}
        async with serving(stage, route(), of=of) as path:
            told = path.metadata()
            assert told is not None
            assert (told.keys, told.about) == (("origin",), ("carrier",))

    run(main())


def test_evidence_says_which_generation_answers_and_not_which_one_is_wanted() -> None:
    async def main() -> None:
        stage = Stage()
        stage.options[NEXT] = {"loading_s": 5.0}
        async with serving(stage, route()) as path:
            path.set_route(route(2, champion=NEXT))
            assert path.evidence(0.0).generation == path.facts().generation == 1
            assert path.evidence(0.0).variants["delays@4"] == "loading"
            await CLOCK.wait(5.1)
            assert path.evidence(0.0).generation == path.facts().generation == 2

    run(main())


def test_what_breaks_beside_requests_is_told_and_breaks_none() -> None:
    class Odd(ScriptedVariant):
        broken = False

        @property
        def facts(self) -> VariantFacts:
            if self.broken:
                message = "no facts"
                raise RuntimeError(message)
            return super().facts

        async def close(self, grace_s: float = 5.0) -> None:
            message = f"cannot be closed within {grace_s} s"
            raise OSError(message)

    async def main() -> None:
        stage = Stage()

        def open_odd(arm: Arm, *, nice: int) -> Odd:
            assert nice == 0
            return Odd(arm)

        stage.open = open_odd  # type: ignore[method-assign]
        async with serving(stage, route()) as path:
            Odd.broken = True
            await CLOCK.wait(3)
            assert (await path.answer(ask(1))).status == 200
            Odd.broken = False
            assert "beside requests: RuntimeError: no facts" in path.facts().because
            path.set_route(route(2, champion=NEXT))
            await CLOCK.wait(1)
            assert "cannot be closed" in path.facts().because
            assert (await path.answer(ask(1))).version == "4"

    run(main())


# ---- features


class Lookups:
    """Look-ups that find what they are told to."""

    keys = ("origin",)

    def __init__(self, found: LookedUp, wait_s: float = 0.0) -> None:
        self.found, self.wait_s = found, wait_s
        self.asked: list[tuple[dict[str, Any], int, float]] = []
        self.killed: Callable[[str], bool] = lambda _: False

    async def look_up(self, columns: dict[str, Any], rows: int, deadline_s: float) -> LookedUp:
        self.asked.append((columns, rows, deadline_s))
        await CLOCK.wait(self.wait_s)
        return self.found

    async def close(self) -> None:
        """Nothing to end."""

    def made(self, killed: Callable[[str], bool]) -> FeatureLookups:
        self.killed = killed
        return self  # type: ignore[return-value] # it has what the path uses


STALE = LookedUp(
    extra=b"\x81\xa4temp\x91\x01", features=(Feature("weather", "cached", 42.0),), degraded=True,
    said="weather=cached:42s",
)  # fmt: skip


def test_features_are_looked_up_before_the_split_and_their_quality_is_told() -> None:
    async def main() -> None:
        stage, lookups = Stage(), Lookups(STALE, wait_s=0.05)
        async with serving(stage, canary(weight=1.0), lookups=lookups.made) as path:
            answer = await path.answer(ask(1, row={"origin": "JFK"}))
            counts = path.evidence(0.0).arms["candidate"]
        ((columns, rows, deadline_s),) = lookups.asked
        assert (columns, rows) == ({"origin": ["JFK"]}, 1)
        assert deadline_s == pytest.approx(1.01)
        assert (answer.degraded, answer.features) == ("features", "weather=cached:42s")
        sent = body(1, origin="JFK")
        assert score(answer) == score_of(CANDIDATE, sent, STALE.extra)
        (asked,) = stage.of(CANDIDATE).asks
        assert asked.extra == STALE.extra
        assert (counts.n, counts.fallback) == (1, 1)
        (record,) = stage.log.records
        assert (record.extra, record.features) == (STALE.extra, STALE.features)

    run(main())


def test_an_answer_is_cached_with_the_features_that_it_was_made_of() -> None:
    async def main() -> None:
        stage, lookups = Stage(), Lookups(LookedUp(extra=b"\x80"))
        async with serving(stage, route(), lookups=lookups.made) as path:
            await path.answer(ask(1, row={"origin": "JFK"}))
            stage.scripts[CHAMPION] = always(Act("raise"))
            same = await path.answer(ask(1, row={"origin": "JFK"}))
            lookups.found = STALE
            other = await path.answer(ask(1, row={"origin": "JFK"}))
        assert (same.arm, other.status) == ("cached", 503)

    run(main())


def test_beyond_what_the_model_takes_a_fallback_answers_and_says_so() -> None:
    async def main(fallback: FallbackPlan) -> Answer:
        stage = Stage()
        lookups = Lookups(LookedUp(abstain="weather is missing", said="weather=missing"))
        served = plan(fallback=fallback)
        async with serving(stage, route(), of=served, lookups=lookups.made) as path:
            answer = await path.answer(ask(1, row={"origin": "JFK"}))
            assert path.evidence(0.0).arms == {}, "no version made an attempt"
            assert not stage.of(CHAMPION).asks
        return answer

    answer = run(main(FallbackPlan(constant={"score": 0.125})))
    assert (answer.arm, answer.degraded) == ("constant", "features+constant")
    assert (answer.features, json.loads(answer.fragment)) == ("weather=missing", [{"score": 0.125}])
    refused = run(main(NOTHING))
    assert refused.status == 503
    assert "weather is missing" in refused.message


def test_rows_that_cannot_be_looked_up_are_the_callers_fault() -> None:
    async def main() -> None:
        stage, lookups = Stage(), Lookups(LookedUp(refused="there is no column 'origin'"))
        async with serving(stage, route(), lookups=lookups.made) as path:
            assert (await path.answer(ask(1))).status == 400
            nonsense = ask(1)._replace(body=b"{nonsense")
            assert (await path.answer(nonsense)).status == 400

    run(main())


def test_look_ups_hear_of_kill_switches_whole_and_by_group() -> None:
    async def main() -> None:
        lookups = Lookups(LookedUp())
        async with serving(Stage(), route(), lookups=lookups.made) as path:
            assert not lookups.killed("features.weather")
            path.set_flags(Flags(flags={"kill.predict.features.weather": Flag(value=True)}))
            assert lookups.killed("features.weather")
            assert not lookups.killed("features.airports")
            path.set_flags(Flags(flags={"kill.predict.features": Flag(value=True)}))
            assert lookups.killed("features.airports")

    run(main())


def test_a_request_goes_the_way_that_is_written_down() -> None:
    async def main() -> None:
        way: list[str] = []
        stage, lookups = Stage(), Lookups(LookedUp(extra=b"\x80"))

        def does(step: str, kind: Kind) -> Script:
            def act(_ask: Ask, _number: int) -> Act:
                way.append(step)
                return Act(kind)

            return act

        def look(columns: dict[str, Any], rows: int, deadline_s: float) -> Any:
            way.append("features")
            return Lookups.look_up(lookups, columns, rows, deadline_s)

        lookups.look_up = look  # type: ignore[method-assign]
        stage.scripts[CHAMPION] = does("champion", "die")
        stage.scripts[OLD] = does("other version", "raise")

        def put(_record: PredictionRecord) -> None:
            way.append("record")

        stage.log.put = put  # type: ignore[method-assign, assignment]
        of = plan(fallback=FallbackPlan(constant={"score": 0.125}))
        async with serving(stage, route(previous=OLD), of=of, lookups=lookups.made) as path:
            answer = await path.answer(ask(1, row={"origin": "JFK"}))
            seen = path.evidence(0.0).arms
        assert answer.arm == "constant"
        assert way == ["features", "champion", "champion", "other version", "record"]
        assert [counts.n for counts in seen.values()] == [1]
        names = [position.name for position in ORDER]
        steps = ["features", "attempt", "same version again", "other version", "record"]
        assert sorted(names.index(step) for step in steps) == [names.index(s) for s in steps]

    run(main())


# ---- replay


def test_a_pack_is_asked_again_of_the_next_version_and_is_no_evidence() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = lambda _, number: Act("answer" if number % 3 else "raise")
        async with serving(stage, canary(weight=0.5)) as path:
            for number in range(100):
                await path.answer(ask(number))
            path.set_route(shadow(2, candidate=NEXT, rollout="predict-2", mirror=0.0))
            await CLOCK.wait(0.1)
            pack = decode_pack(path.pack("predict-1"))
            mended = await path.replay(pack, NEXT.digest)
            failing = sum(one.kind == "failing" for one in pack.requests)
            assert mended.failing == {"ValueError model.py:1": (failing, 0)}
            assert (mended.good, mended.broken) == (len(pack.requests) - failing, 0)
            assert mended.missing == ""
            stage.scripts[NEXT] = always(Act("raise"))
            broken = await path.replay(pack, NEXT.digest)
            assert broken.failing == {"ValueError model.py:1": (failing, failing)}
            assert broken.broken == broken.good > 0
            assert path.evidence(0.0).arms == {}

    run(main())


def test_what_could_not_be_asked_again_is_no_good_sign() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("busy"))
        one = Replayable(kind="good", form=1, body=body(1))
        pack = Pack(service="predict", gateway="g", rollout="r", requests=(one,))
        async with serving(stage, shadow()) as path:
            assert "no room for 1 of 1" in (await path.replay(pack, CANDIDATE.digest)).missing
            assert "not ready" in (await path.replay(pack, NEXT.digest)).missing
            empty = Pack(service="predict", gateway="g", rollout="r")
            assert "empty" in (await path.replay(empty, CANDIDATE.digest)).missing

    run(main())


def test_two_worlds_of_one_seed_are_the_same() -> None:
    async def main() -> list[str]:
        stage = Stage()
        async with serving(stage, canary(weight=0.5, mirror=0.5)) as path:
            chance = random.Random(3)
            return [(await path.answer(ask(chance.randrange(99)))).prediction for _ in range(50)]

    assert run(main(), seed=1) == run(main(), seed=1)


def test_what_a_version_fails_at_is_told_for_a_minute_and_counted_and_noted_in_the_log() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = lambda _, number: Act("answer" if number else "raise")
        fallback = FallbackPlan(constant={"score": 0.5}, cached_max_s=None)
        async with serving(stage, route(previous=OLD), of=plan(fallback=fallback)) as path:
            answer = await path.answer(ask(1))
            assert answer.degraded == "previous_version"
            first_id = answer.id
            await path.answer(ask(2))
            facts = path.facts()
            assert facts.ready
            assert facts.because == "delays@2 fails at requests: raised, ValueError model.py:1"
            counted = {
                (sample.labels, sample.value)
                for sample in facts.samples
                if sample.name == "attempts"
            }
            of = ("variant", "delays@2")
            assert ((of, ("outcome", "raised")), 1.0) in counted
            assert ((of, ("outcome", "ok")), 1.0) in counted
            kind = "raised, ValueError model.py:1"
            assert facts.failing == (Failing("delays@2", kind, "ValueError: no", first_id),)
            await CLOCK.wait(61.0)
            assert (path.facts().because, path.facts().failing) == ("", ())
        first, second = stage.log.records
        assert first.because == "raised, ValueError model.py:1: ValueError: no"
        assert second.because == ""

    run(main())


@pytest.mark.parametrize(
    ("kind", "shown", "text"),
    [
        ("raise", "raised, ValueError", "ValueError: no"),
        ("die", "died, SIGSEGV", "its worker died"),
        ("nan", "non-finite, NaN", "row 0 is NaN"),
        ("misshape", "misshaped, 2 for 1", "2 for 1 row"),
        ("break", "raised, RuntimeError", "RuntimeError: "),
    ],
)
def test_no_answer_tells_what_the_code_of_a_model_said_and_who_runs_it_is_told_all(
    kind: Kind, shown: str, text: str
) -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act(kind))
        async with serving(stage, route(), of=plan(fallback=NOTHING)) as path:
            answers = [await path.answer(ask(number)) for number in (1, 2, 3)]
            facts = path.facts()
        for answer in answers:
            assert answer.status in (500, 503)
            assert text not in answer.message
            assert "delays@2" in answer.message
            assert shown in answer.message
            assert f"request {answer.id}: `firedoor events --zone predict`" in answer.message
        assert text not in facts.because
        (failing,) = facts.failing
        assert failing.text.startswith(text)
        assert (failing.about, failing.request) == ("delays@2", answers[0].id)

    run(main())


def test_no_answer_tells_why_a_version_cannot_be_loaded_or_what_a_store_said() -> None:
    async def main() -> None:
        stage, said = Stage(), "weather is missing, and the model takes cached at worst"
        stage.refuses[CHAMPION] = "KeyError: Jane Doe"
        async with serving(stage, route(), of=plan(fallback=NOTHING)) as path:
            answer = await path.answer(ask(1))
            assert "it cannot be loaded, and `firedoor status` says why" in answer.message
            assert "Jane Doe" in path.facts().because
        del stage.refuses[CHAMPION]
        async with serving(stage, route(), of=plan(fallback=NOTHING)) as path:
            stage.of(CHAMPION).become("failed", "KeyError: Jane Doe")
            answer = await path.answer(ask(1))
            assert "delays@2 is failed, and `firedoor status` says why" in answer.message
        found = LookedUp(abstain=f"{said}: KeyError: Jane Doe", abstain_told=said)
        async with serving(Stage(), route(), of=plan(fallback=NOTHING),
                           lookups=Lookups(found).made) as path:  # fmt: skip
            answer = await path.answer(ask(1, row={"origin": "JFK"}))
            assert said in answer.message
            assert "Jane" not in answer.message

    run(main())


def test_a_fallback_function_that_cannot_run_is_told_of() -> None:
    async def main() -> None:
        stage = Stage()
        stage.function = ScriptedVariant(CHAMPION)
        stage.function.become("failed", "ValueError at steps.py:3")
        async with serving(stage, route()) as path:
            said = path.facts().because
            assert said == "the fallback function is failed: ValueError at steps.py:3"

    run(main())


def test_a_fallback_function_that_does_not_answer_is_told_of_until_it_does() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("raise"))
        stage.function = ScriptedVariant(
            CHAMPION, lambda _, number: Act("answer" if number else "misshape")
        )
        async with serving(stage, route(), of=plan(fallback=NOTHING)) as path:
            answer = await path.answer(ask(1))
            assert answer.status == 503
            assert "nor did the fallback function (misshaped" in answer.message
            facts = path.facts()
            assert "the fallback function did not answer: misshaped" in facts.because
            assert "2 for 1" in next(one.text for one in facts.failing if one.about == "fallback")
            assert (await path.answer(ask(2))).degraded == "function"
            assert "fallback function" not in path.facts().because

    run(main())
