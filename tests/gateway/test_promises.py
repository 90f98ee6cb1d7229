"""What a gateway counts of promises, and what it tells of single requests."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.events.metrics import BY_NAME, REQUEST_BOUNDS_S
from firedoor.events.objective import Objectives, bucket_of
from firedoor.events.trace import Place, read, write
from firedoor.events.work import BatchWorked, RequestAnswered
from firedoor.gateway.durations import GRID_S, Durations
from firedoor.gateway.exchange import ORDERED, Answer
from firedoor.gateway.exposition import metric_of
from firedoor.gateway.face_counts import ServiceCounts
from firedoor.gateway.promises import Promises
from firedoor.gateway.watching import Watch
from firedoor.spec.service_plan import FallbackPlan
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act, always
from firedoor.wire.flags import Flag, Flags
from gateway.scripted import Scripted, served
from gateway.served import CHAMPION, Stage, ask, body, plan, quickest, route, serving
from gateway.wired import Wire

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def objectives(counts: ServiceCounts, *, unjudged: bool = False) -> Objectives:
    return counts.objectives(
        "predict", process="g-1", boot="1", at_s=0.0, state="ready", unjudged=unjudged
    )


@given(st.lists(st.floats(1e-6, 1e5), max_size=60), st.floats(1e-4, 100))
def test_one_histogram_gives_every_coarser_one_exactly(took: list[float], promised: float) -> None:
    durations = Durations(promised)
    for seconds in took:
        durations.add(seconds)
    for bounds in (REQUEST_BOUNDS_S, (promised,)):
        ends = (*bounds, float("inf"))
        within = [sum(seconds <= end for seconds in took) for end in ends]
        found = durations.between(bounds)
        assert [sum(found[: number + 1]) for number in range(len(ends))] == within
    fine = durations.between(GRID_S)
    for number in {bucket_of(seconds) for seconds in took}:
        near = sum(fine[max(0, number - 1) : number + 2])  # rounding at a bound, as bucket_of says
        assert near >= sum(bucket_of(seconds) == number for seconds in took) > 0


def test_a_promise_is_kept_broken_by_itself_or_by_whom_it_needs() -> None:
    counts = ServiceCounts(0.1)
    for _ in range(7):
        counts.answered(Answer(200, "a", rows=1, arm="champion"), 0.05)
    counts.answered(Answer(200, "a", rows=1, arm="champion"), 0.11)
    counts.answered(Answer(200, "a", rows=1, arm="constant", degraded="constant"), 0.05)
    counts.answered(Answer(503, "a"), 0.2)
    counts.answered(Answer(429, "a"), 0.0)
    counts.answered(Answer(503, "a", cause="dependency:weather"), 0.2)
    counts.answered(Answer(503, "a", cause=ORDERED), 0.2)
    for status in (400, 404, 408):
        counts.answered(Answer(status, "a"), 0.0)
    told = objectives(counts)
    assert (told.availability.good, told.availability.own) == (9, 2)
    assert told.availability.inherited == {"dependency:weather": 1}
    assert (told.latency.good, told.latency.own) == (8, 1)
    assert told.degraded == 1
    assert sum(told.latency_s.values()) == 9


def test_causes_that_are_named_are_bounded() -> None:
    counts = ServiceCounts()
    for number in range(1_000):
        counts.answered(Answer(503, "a", cause=f"dependency:odd-{number}"), 0.1)
    told = objectives(counts).availability
    assert len(told.inherited) <= 21
    assert sum(told.inherited.values()) == 1_000


def test_seconds_are_counted_by_whether_it_was_ready_and_whether_anybody_wanted_that() -> None:
    async def main() -> None:
        clock, stage = VirtualClock(), Stage()
        stage.options[CHAMPION] = {"loading_s": 5.0}
        async with serving(stage, clock=clock) as path:
            counts = {path.name: ServiceCounts()}
            promises = Promises([path], counts, gateway="g-1", clock=clock)

            async def pass_(seconds: int) -> Objectives:
                for _ in range(seconds - 1):
                    await clock.wait(1.0)
                    promises.look()
                await clock.wait(1.0)
                (told,) = promises.look()
                return told

            told = await pass_(3)
            assert (told.state, told.blamed, told.freshness.units) == ("not_ready", "", 0)
            path.set_route(route())
            await pass_(6)
            told = await pass_(10)
            assert (told.state, told.freshness.own) == ("ready", 0)
            good = told.freshness.good
            assert good >= 10
            stage.of(CHAMPION).become("backing_off", "it died")
            told = await pass_(4)
            assert (told.blamed, told.freshness.own) == (path.name, 4)
            path.set_flags(Flags(flags={"kill.predict.route": Flag(value=True, share=1.0)}))
            told = await pass_(4)
            assert (told.blamed, told.freshness.own, told.freshness.good) == ("", 4, good)
            assert told.state == "switched_off"

    run(main())


def test_what_features_keep_versions_from_is_their_fault() -> None:
    from firedoor.gateway.attempt import Call  # noqa: PLC0415 - next to what it is about
    from firedoor.wire.prediction import Feature  # noqa: PLC0415 - likewise

    call = Call.__new__(Call)
    assert call.blamed == ""
    call.features = (Feature("place", "live"), Feature("weather", "missing"))
    assert call.blamed == ""
    call.abstain = "weather is missing"
    assert call.blamed == "dependency:weather"


class Listener:
    """Remembers what it is told; every trace is sampled that is not said not to be."""

    def __init__(self) -> None:
        self.told: list[RequestAnswered] = []
        self._chance = random.Random(3)

    def begin(self, parent: str = "") -> str:
        above = read(parent)
        span = self._chance.getrandbits(64) or 1
        if above is not None:
            return write(Place(above.trace, span, above.sampled))
        return write(Place(self._chance.getrandbits(128) or 1, span, sampled=True))

    def batch(self, worked: BatchWorked) -> None:
        raise AssertionError(worked)

    def request(self, answered: RequestAnswered) -> None:
        self.told.append(answered)


def post(*lines: str) -> bytes:
    rows = b'{"x": 1, "n": 1}'
    head = ["POST /predict HTTP/1.1", "Host: a", f"Content-Length: {len(rows)}", *lines, "", ""]
    return "\r\n".join(head).encode() + rows


@pytest.mark.parametrize("quick", [False, True])
def test_a_request_is_told_with_its_trace_and_one_that_is_not_sampled_is_not(quick: bool) -> None:  # noqa: FBT001
    listener = Listener()
    with served(watch=Watch(listener, lambda: 5.0)) as here, Wire(here.port) as wire:
        here.service.quick = quick
        for lines in (
            [f"traceparent: {PARENT}", "X-Firedoor-Source: flights-000123/17"],
            [f"traceparent: {PARENT[:-1]}0"],
            ["traceparent: nonsense"],
            [],
            [],
        ):
            wire.send(post(*lines))
            assert wire.read().status == 200
        traces = {request.trace for request in here.service.seen}
        heads = here.call(lambda: len(here.server.heads))
    first, nonsense, third, fourth = listener.told
    assert first.parent == PARENT
    assert first.traceparent.split("-")[1] == PARENT.split("-")[1]
    assert first.traceparent != PARENT
    assert (first.source, first.status, first.fate) == ("flights-000123/17", 200, "good")
    assert first.began_s == 5.0
    places = [read(told.traceparent) for told in (nonsense, third, fourth)]
    assert len({place.trace for place in places if place}) == 3
    assert traces == {"", *(told.traceparent for told in listener.told)}
    assert heads == 1  # a head with a trace of its own is not kept


def test_a_trace_names_the_worker_that_ran_a_request() -> None:
    async def main() -> None:
        stage = Stage()
        trace = PARENT
        async with serving(stage, route()) as path:
            quick = await quickest(path, ask(1, trace=trace))
            slow = await path.answer(ask(1, trace=trace))
            for answer in (quick, slow):
                (ran,) = answer.ran
                assert (ran.rows, ran.died_of) == (1, "")
            assert all(one.traced for one in stage.of(CHAMPION).asks)
            assert (await quickest(path, ask(1))).ran == ()

    run(main())


def test_deaths_are_among_what_ran() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("die"))
        declared = plan(fallback=FallbackPlan(constant={"score": 0.5}))
        async with serving(stage, route(), of=declared) as path:
            answer = await quickest(path, ask(1, trace=PARENT))
            assert answer.degraded == "constant"
            assert {ran.died_of for ran in answer.ran} == {"SIGSEGV"}

    run(main())


def test_every_number_that_a_service_tells_is_a_metric_that_is_written_down() -> None:
    async def main() -> None:
        stage = Stage()
        declared = plan(fallback=FallbackPlan(cached_max_s=10.0, cached_bytes=4_096))
        async with serving(stage, route(), of=declared) as path:
            await path.answer(ask(1))
            assert stage.of(CHAMPION).asks[0].body == body(1)
            told = path.facts().samples
        assert told
        for sample in told:
            metric = metric_of(sample)
            assert metric is BY_NAME.get(metric.name), sample.name
            assert metric.kind == sample.kind
            names = ("gateway", "service", *(name for name, _ in sample.labels))
            assert metric.labels == names, sample.name

    run(main())


def test_a_service_that_nobody_listens_to_is_asked_for_no_trace() -> None:
    with served() as here, Wire(here.port) as wire:
        wire.send(post(f"traceparent: {PARENT}"))
        assert wire.read().status == 200
        assert isinstance(here.service, Scripted)
        assert here.service.seen[0].trace == ""


def test_so_many_traces_begin_in_a_second_and_those_that_come_sampled_are_seen_besides() -> None:
    now_s = [100.0]
    watch = Watch(Listener(), lambda: now_s[0], own_a_s=3)
    begun = [watch.see(ask(1), "") is not None for _ in range(5)]
    assert begun == [True, True, True, False, False]
    assert watch.see(ask(1), PARENT) is not None
    assert watch.see(ask(1), f"{PARENT[:-1]}0") is None
    now_s[0] = 101.0
    assert watch.see(ask(1), "") is not None
