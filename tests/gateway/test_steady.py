"""Two ways to one answer: a request's way without a task, and a head that was read before."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.face_rows import rows_response, whole_rows
from firedoor.gateway.http_message import KEEP, encode_response
from firedoor.gateway.path import ServicePath
from firedoor.guards.shedding import PRIORITIES
from firedoor.spec.service_plan import FallbackPlan, ServiceLimits
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act
from firedoor.wire.evidence import Evidence
from firedoor.wire.flags import Flag, Flags
from firedoor.wire.prediction import PredictionRecord
from firedoor.wire.route import Cutoffs
from firedoor.wire.serving import Ask, Form
from gateway.scripted import served, until
from gateway.served import CHAMPION, OLD, Stage, ask, body, plan, quickest, route, serving
from gateway.wired import Wire

CLOCK = VirtualClock()
SEEDS = 40
KINDS = ("raise", "die", "hang", "nan", "misshape", "busy", "refuse", "break")
Came = tuple[list[Answer], Evidence, list[PredictionRecord], list[Ask], list[float]]


def requests_of(chance: random.Random) -> list[Request]:
    """Return what is asked: mostly plain rows, and whatever else a caller may say."""
    asked = []
    for _ in range(60):
        number = chance.randrange(20)
        more: dict[str, Any] = {
            "id": chance.choice(("", "", "order-7", 'odd"\n')),
            "key": chance.choice(("", "k1")),
            "priority": chance.choice(PRIORITIES),
            "timeout_s": chance.choice((None, None, 0.001, 0.05, 5.0)),
            "version": chance.choice(("",) * 9 + ("2", "9")),
            "tester": chance.choice(("",) * 9 + ("champion",)),
        }
        if chance.random() < 0.1:
            asked.append(Request(Form.V2, b'{"inputs":[{"shape":[1]}],"n":%d}' % number, **more))
        else:
            asked.append(ask(number, **more))
    return asked


async def tell(path: ServicePath, seed: int, *, quick: bool) -> tuple[list[Answer], list[float]]:
    """Ask one after the other; return the answers, and when each came."""
    chance = random.Random(seed)
    answers, times = [], []
    for request in requests_of(chance):
        if chance.random() < 0.03:
            path.set_flags(Flags(flags={"kill.predict.route": Flag(value=True, share=0.5)}))
        elif chance.random() < 0.2:
            path.set_flags(Flags())
        answers.append(await (quickest(path, request) if quick else path.answer(request)))
        times.append(CLOCK.now_s())
        await CLOCK.wait(chance.choice((0.0, 0.3)))
    return answers, times


def act_of(chance: random.Random, ill: float) -> Act:
    """Return what a version does; one that breaks its promise does so at once, either way."""
    if chance.random() >= ill:
        return Act("answer", chance.choice((0.0, 0.0, 0.02, 0.22)))
    kind: Any = chance.choice(KINDS)
    return Act(kind, 0.0 if kind == "break" else chance.choice((0.0, 0.02, 0.24)))


async def came(seed: int, *, quick: bool) -> Came:
    """Return everything that comes of a seed's requests, asked one way or the other."""
    chance, stage = random.Random(-seed - 1), Stage()
    ill = chance.choice((0.0, 0.1, 0.5))
    doings = [act_of(chance, ill) for _ in range(500)]
    for known in (CHAMPION, OLD):
        stage.scripts[known] = lambda _ask, number: doings[number % 500]
    fallback = FallbackPlan(
        constant={"score": 0.5} if chance.random() < 0.5 else None,
        cached_max_s=chance.choice((None, 1.0)), cached_bytes=4_096,
    )  # fmt: skip
    declared = plan(
        key=chance.choice(("", "x")), slices=chance.choice(((), ("x",))), fallback=fallback,
        limits=ServiceLimits(timeout_s=1.0, attempt_s=0.25),
    )  # fmt: skip
    first = route(previous=chance.choice((None, OLD)), cutoffs=Cutoffs(q95_s=0.01, q99_s=0.1))
    async with serving(stage, first, of=declared) as path:
        answers, times = await tell(path, seed, quick=quick)
        asks = [one for _, _, variant in stage.opened for one in variant.asks]
        return answers, path.evidence(0.0), stage.log.records, asks, times


@pytest.mark.parametrize("seed", range(SEEDS))
def test_with_or_without_a_task_a_request_has_the_same_answer_evidence_and_record(
    seed: int,
) -> None:
    whole: Came = run(came(seed, quick=False))
    quick: Came = run(came(seed, quick=True))
    for one, other in zip(whole, quick, strict=True):
        assert one == other


def test_steady_requests_go_without_a_task_and_no_others() -> None:
    async def main() -> None:
        stage, taken = Stage(), list[Answer]()
        async with serving(stage, route()) as path:
            assert path.begin(ask(1), taken.append)
            assert [answer.arm for answer in taken] == ["champion"]
            assert not path.begin(ask(2, version="2"), taken.append)
            assert not path.begin(ask(2, tester="champion"), taken.append)
            path.set_flags(Flags(flags={"kill.predict.log": Flag(value=True, share=1.0)}))
            assert not path.begin(ask(2), taken.append)
            path.set_flags(Flags())
            path.set_route(route(2, candidate=OLD, mode="shadow", rollout="r"))
            assert not path.begin(ask(2), taken.append)
            assert len(taken) == 1
            assert stage.of(CHAMPION).asks[0].body == body(1)

    run(main())


def rows(*numbers: int) -> list[bytes]:
    return [b'{"x": %d, "n": 1}' % number for number in numbers]


def post(rows: bytes, *lines: str) -> bytes:
    head = ["POST /predict HTTP/1.1", "Host: a", f"Content-Length: {len(rows)}", *lines, "", ""]
    return "\r\n".join(head).encode() + rows


@pytest.mark.parametrize("quick", [False, True])
def test_a_head_that_was_read_before_means_the_same_with_another_body(quick: bool) -> None:  # noqa: FBT001
    with served() as here:
        here.service.quick = quick
        with Wire(here.port) as wire:
            for number, said in zip((1, 2, 3, 14), rows(1, 2, 3, 4), strict=True):
                lines = ["X-Request-Id: a"] if number == 14 else []
                wire.send(post(said, *lines))
                answer = wire.read()
                x = int(said[6:7])
                assert answer.json["predictions"] == [{"score": 2.0 * x + 1}]
                assert (answer.json["id"] == "a") == (number == 14)
            first, second = rows(5, 6)
            wire.send(post(first) + post(second)[:50])  # sent ahead, and in pieces
            assert wire.read().json["predictions"] == [{"score": 11.0}]
            wire.send(post(second)[50:])
            assert wire.read().json["predictions"] == [{"score": 13.0}]
        assert 1 <= here.call(lambda: len(here.server.heads)) <= 2


def test_only_plain_heads_are_kept_and_not_without_end() -> None:
    said = rows(1)[0]
    odd = [
        post(said, "Connection: close"),
        post(said, "Expect: 100-continue"),
        post(said, "Transfer-Encoding: chunked"),
        b"\r\n" + post(said),
        post(said).replace(b"\r\n", b"\n", 2),
        post(said, "X-Folded: a\r\n b"),
        post(said, f"X-Long: {'a' * 3_000}"),
        b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
    ]
    with served() as here:
        for data in odd:
            with Wire(here.port) as wire:
                wire.send(data)
                wire.more()
        assert here.call(lambda: len(here.server.heads)) == 0
        with Wire(here.port) as wire:
            for number in range(600):
                wire.send(post(said, f"X-Trace: {number}"))
                assert wire.read().status == 200
        assert 0 < here.call(lambda: len(here.server.heads)) <= 256


@given(
    model=st.text("abz-%_", min_size=1, max_size=8),
    version=st.integers(1, 10**6).map(str),
    degraded=st.sampled_from(("", "cached", "features+constant")),
    fragment=st.binary(max_size=50),
    known=st.sampled_from(("", "order-7", "100%")),
    features=st.sampled_from(("", "weather=cached:42s")),
)
def test_an_answer_that_is_made_whole_is_the_one_that_is_made_of_parts(
    *, model: str, version: str, degraded: str, fragment: bytes, known: str, features: str
) -> None:
    made = "018f-host1-0123456789ab"
    answer = Answer(
        200, known or made, made, 1, fragment, b"", model, version, "champion", degraded, features
    )
    date = b"Date: Sun, 29 Nov 2026 04:00:00 GMT\r\n"
    parts = encode_response(rows_response(answer), date=date, connection=KEEP)
    assert whole_rows(answer, date + KEEP) == parts


def test_an_answer_under_way_at_the_end_closes_its_connection() -> None:
    with served() as here, Wire(here.port) as wire:
        here.service.quick = True
        wire.send(post(rows(1)[0]))  # so that the head is known
        assert wire.read().headers["connection"] == "keep-alive"
        here.service.late = True
        wire.send(post(rows(2)[0]))
        until(lambda: len(here.service.held) == 1)
        assert here.call(lambda: here.server.under_way) == 1
        here.loop.call_soon_threadsafe(here.ending.set)
        until(lambda: here.server.draining)
        here.call(here.service.held.popleft())
        answer = wire.read()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
