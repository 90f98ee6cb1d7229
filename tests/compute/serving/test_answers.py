"""What workers answer: the right value to each request, whatever it is batched with."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from pathlib import Path

import msgspec
import polars as pl
import pytest

from compute.serving.kit import QUICK, all_of, ask, bundle, note, opened, plan, until, value
from firedoor.compute.limits import usage
from firedoor.compute.opening import open_fallback
from firedoor.spec.service_plan import FallbackPlan
from firedoor.wire.bundle import Signature, parse_fields
from firedoor.wire.serving import Ask, Form, Outcome


def test_each_of_thousands_of_requests_gets_its_own_answer(tmp_path: Path) -> None:
    async def main() -> None:
        arm = bundle(tmp_path / "b")
        limits = msgspec.structs.replace(QUICK, replicas=2)
        async with opened(tmp_path / "b", arm, plan(limits=limits)) as variant:
            told = await all_of(variant, [ask(i / 8) for i in range(6_000)])
            assert [value(one) for one in told] == [2 * (i / 8) + 1 for i in range(6_000)]
            scores = [struct.unpack("<d", one.scores)[0] for one in told]
            assert scores == [value(one) for one in told]
            assert max(one.seconds for one in told) < 1

    asyncio.run(main())


def test_requests_of_every_form_are_answered_in_kind_in_one_batch(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "b", bundle(tmp_path / "b")) as variant:
            asks = [mixed(i) for i in range(90)]
            for i, told in enumerate(await all_of(variant, asks)):
                check(i, told.fragment, told.tail)

    def mixed(i: int) -> Ask:
        rows = [{"x": float(i), "what": None}, {"x": i + 0.5, "what": "ok"}]
        if i % 3 == 0:
            return Ask(Form.ROWS, json.dumps(rows).encode())
        x: dict[str, object]
        what: dict[str, object] = {
            "name": "what",
            "datatype": "BYTES",
            "shape": [2],
            "data": [None, "ok"],
        }
        if i % 3 == 1:
            x = {"name": "x", "datatype": "FP64", "shape": [2], "data": [i, i + 0.5]}
            return Ask(Form.V2, json.dumps({"inputs": [x, what]}).encode())
        x = {"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
        asked = {"inputs": [x, what], "parameters": {"binary_data_output": True}}
        head = json.dumps(asked).encode()
        body = head + struct.pack("<2f", i, i + 0.5)
        return Ask(Form.V2_BINARY, body, json_bytes=len(head))

    def check(i: int, fragment: bytes, tail: bytes) -> None:
        want = [2.0 * i + 1, 2.0 * i + 2]
        said = json.loads(fragment)
        if i % 3 == 0:
            assert said == [{"prediction": one} for one in want]
            return
        output: dict[str, object] = {"name": "prediction", "shape": [2], "datatype": "FP64"}
        if i % 3 == 1:
            assert said == [{**output, "data": want}]
            return
        assert said == [{**output, "parameters": {"binary_data_size": 16}}]
        assert struct.unpack("<2d", tail) == tuple(want)

    asyncio.run(main())


@pytest.mark.parametrize("takes", ["pandas", "numpy"])
def test_a_function_is_given_the_frame_that_it_takes(tmp_path: Path, takes: str) -> None:
    async def main() -> None:
        service = plan(f"of_{takes}", takes=takes)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), service) as variant:
            told = await all_of(variant, [ask(float(i)) for i in range(50)], at_once=8)
            assert [value(one) for one in told] == [2.0 * i + 1 for i in range(50)]

    asyncio.run(main())


def test_several_outputs_are_told_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        example = pl.DataFrame({"x": [0.5], "what": ["a"], "chance": [1.0]})
        arm = bundle(
            tmp_path / "b", example=example, outputs={"chance": "Float64", "label": "String"}
        )
        async with opened(tmp_path / "b", arm, plan("table")) as variant:
            told = await variant.ask(ask(3.0, "ok"))
            assert json.loads(told.fragment) == [{"chance": 6.0, "label": "ok"}]
            missing = await variant.ask(ask(3.0, None))
            assert missing.outcome is Outcome.NON_FINITE

    asyncio.run(main())


def test_looked_up_columns_are_used(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "b", bundle(tmp_path / "b")) as variant:
            extra = msgspec.msgpack.encode({"x": [21.0]})
            told = await variant.ask(Ask(Form.ROWS, b'{"what": null}', extra=extra))
            assert value(told) == 43.0

    asyncio.run(main())


def test_what_the_model_does_not_take_is_refused_and_costs_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "b", bundle(tmp_path / "b")) as variant:
            bad = Ask(Form.ROWS, b'{"x": "far", "what": null}')
            asks = [bad if i % 7 == 3 else ask(float(i)) for i in range(200)]
            for i, told in enumerate(await all_of(variant, asks)):
                if i % 7 == 3:
                    assert told.outcome is Outcome.REFUSED
                    assert told.message == "row 0: field 'x' is wanted as Float64, found text"
                else:
                    assert value(told) == 2.0 * i + 1
            assert variant.facts.deaths == 0

    asyncio.run(main())


def test_a_request_whose_deadline_has_passed_is_not_begun(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "b", bundle(tmp_path / "b")) as variant:
            told = await variant.ask(ask(1.0, deadline_s=time.monotonic() - 1))
            assert told.outcome is Outcome.EXPIRED

    asyncio.run(main())


def test_beyond_what_workers_may_hold_requests_are_refused_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, waiting_max=5)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits)) as variant:
            asked = [variant.ask(ask(float(i))) for i in range(8)]
            assert [one.done() for one in asked] == [False] * 5 + [True] * 3
            told = [await one for one in asked]
            assert [value(one) for one in told[:5]] == [1.0, 3.0, 5.0, 7.0, 9.0]
            assert {one.outcome for one in told[5:]} == {Outcome.BUSY}
            assert value(await variant.ask(ask(9.0))) == 19.0

    asyncio.run(main())


def test_a_caller_that_goes_away_disturbs_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "b", bundle(tmp_path / "b")) as variant:
            first, second = variant.ask(ask(1.0)), variant.ask(ask(2.0))
            first.cancel()
            assert value(await second) == 5.0
            await until(lambda: variant.facts.waiting == 0)

    asyncio.run(main())


def test_a_body_larger_than_every_buffer_goes_through(tmp_path: Path) -> None:
    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, attempt_s=20.0, hang_s=20.0)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits)) as variant:
            rows = [{"x": float(i), "what": None, "ballast": "b" * 60} for i in range(30_000)]
            small = [variant.ask(ask(float(i))) for i in range(3)]
            told = await variant.ask(Ask(Form.ROWS, json.dumps(rows).encode()))
            found = [row["prediction"] for row in json.loads(told.fragment)]
            assert found == [2.0 * i + 1 for i in range(30_000)]
            assert [value(await one) for one in small] == [1.0, 3.0, 5.0]

    asyncio.run(main())


def test_a_fallback_function_answers_without_a_model() -> None:
    async def main() -> None:
        fallback = FallbackPlan(function=note("constant"), takes="polars")
        service = plan(fallback=fallback, takes="numpy")  # of which it knows no height
        signature = Signature(inputs=parse_fields("inputs", {"x": "Float64"}))
        async with asyncio.TaskGroup() as tasks:
            variant = open_fallback(service, signature, tasks=tasks)
            assert await variant.ready(60), variant.facts
            assert value(await variant.ask(ask(1.0))) == 0.25
            assert variant.manifest is None
            await variant.close()

    asyncio.run(main())


def test_rows_that_change_what_others_get_are_predicted_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        example = pl.DataFrame({"x": [1.0, 2.0, 3.0], "what": [None, None, None]})
        arm = bundle(tmp_path / "b", example=example.cast({"what": pl.String}))
        async with opened(tmp_path / "b", arm, plan("by_length")) as variant:
            told = await all_of(variant, [ask(float(i)) for i in range(300)])
            assert [value(one) for one in told] == [2.0 * i + 1 for i in range(300)]
            assert "one by one" in variant.facts.because

    asyncio.run(main())


def test_closing_answers_what_is_under_way_and_leaves_no_process(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "b", bundle(tmp_path / "b")) as variant:
            await until(lambda: len(variant.facts.pids) == 2)
            pids = variant.facts.pids
            asked = [variant.ask(ask(float(i))) for i in range(50)]
            await variant.close()
            assert [value(one.result()) for one in asked] == [2.0 * i + 1 for i in range(50)]
            assert (await variant.ask(ask(1.0))).outcome is Outcome.BUSY
            assert not any(usage(pid) for pid in pids)
            assert variant.facts.state == "closed"

    asyncio.run(main())


def test_a_request_that_waited_past_its_deadline_is_not_begun(tmp_path: Path) -> None:
    async def main() -> None:
        example = pl.DataFrame({"x": [1.0], "what": ["a"]})
        arm = bundle(tmp_path / "b", example=example)
        limits = msgspec.structs.replace(QUICK, batch_rows=1)
        async with opened(tmp_path / "b", arm, plan("slow", limits=limits)) as variant:
            first = variant.ask(ask(200.0))
            await until(lambda: variant.facts.waiting == 1)
            # It reaches the worker behind a request that takes 50 ms, and is given 10.
            second = variant.ask(ask(300.0, deadline_s=time.monotonic() + 0.01))
            assert (await second).outcome in {Outcome.LATE, Outcome.EXPIRED}
            assert value(await first) == 0.0
            await until(lambda: variant.facts.waiting == 0)
            assert value(await variant.ask(ask(1.0))) == 0.0  # it has never seen 300

    asyncio.run(main())


def test_secrets_that_a_worker_was_given_are_in_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEADLY_TOKEN", "hunter2hunter2")

    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, env=("DEADLY_TOKEN",))
        service = plan("secretive", limits=limits)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), service) as variant:
            told = await variant.ask(ask(200.0))
            assert told.outcome is Outcome.RAISED
            assert "ValueError: ***" in told.message
            assert "hunter2" not in told.message

    asyncio.run(main())
