"""Services as processes: answers under kills, without broker and control, and new versions.

One ``firedoor serve`` serves the tests of this file, in their order, where they do not say else.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from architecture import pages
from firedoor.compose.serving_folder import ServingFolder
from firedoor.wire.route import Arm, Route
from serving.client import press
from serving.pressing import BIAS, asked_for, last_of, under_load
from serving.served import READY_S, Served, Shop

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about its own dependencies
    import tritonclient.http as triton


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("shop"))
    made.add(BIAS, live=True)
    return made


@pytest.fixture(scope="module")
def served(shop: Shop) -> Iterator[Served]:
    """Two gateways. That nothing is left behind when it is killed is seen at its end."""
    fast = {"LATE_POLICY": json.dumps({"time_scale": 20})}
    with Served(shop, "--port", "0", "--gateways", "2", environment=fast) as serving:
        yield serving.ready(1).ready(2)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


# ---- answers

MANY = 12
"""Requests that hardly all meet the same of two gateways."""
ANEW = itertools.count(10)
"""What no request asked before: a switch leaves what was cached."""


def test_an_answer_says_which_version_gave_it_and_under_which_id(served: Served) -> None:
    reply = served.ask(4.0, X_Request_Id="order-7")
    assert (reply.status, reply.value) == (200, 2 * 4.0 + BIAS)
    assert reply.headers["x-firedoor-variant"] == "late@1"
    assert reply.headers["x-request-id"] == "order-7"
    assert reply.headers["x-firedoor-prediction-id"]
    assert served.get("/readyz").status == 200


@pytest.mark.parametrize("binary", [False, True])
def test_the_real_client_of_triton_gets_what_the_model_says_and_hears_of_a_fallback(
    served: Served, *, binary: bool
) -> None:
    x = np.array([4.0, 5.5, 1e6]) + next(ANEW)
    said = inferred(served, x, binary=binary)
    np.testing.assert_array_equal(said.as_numpy("minutes"), 2 * x + BIAS)
    told = said.get_response()["parameters"]
    assert (told["variant"], told["arm"], told["degraded"]) == ("late@1", "champion", "")
    served.shop.run("kill", "predict.route", "--because", "it is tried")
    try:
        served.until(
            lambda: arms(inferred(served, x + next(ANEW), binary=binary) for _ in range(MANY))
        )
        said = inferred(served, x + next(ANEW), binary=binary)
        np.testing.assert_array_equal(said.as_numpy("minutes"), [-1.0] * 3)
        told = said.get_response()["parameters"]
        assert (told["variant"], told["arm"], told["degraded"]) == ("", "constant", "constant")
    finally:
        served.shop.run("kill", "predict.route", "--off", "--because", "it was seen")
    served.until(lambda: {arm_of(served, next(ANEW)) for _ in range(MANY)} == {"champion"})


def arm_of(served: Served, x: float) -> str:
    return str(served.ask(x).headers["x-firedoor-arm"])


def inferred(served: Served, x: Any, *, binary: bool) -> Any:
    tensor = triton.InferInput("x", list(x.shape), "FP64")
    tensor.set_data_from_numpy(x, binary_data=binary)
    wanted = [triton.InferRequestedOutput("minutes", binary_data=binary)]
    with triton.InferenceServerClient(f"127.0.0.1:{served.port}", network_timeout=10) as client:
        return client.infer("predict", [tensor], outputs=wanted)


def arms(said: Iterable[Any]) -> bool:
    """Return whether nobody was answered by a version: every gateway has heard of it."""
    return {one.get_response()["parameters"]["arm"] for one in said} == {"constant"}


def test_the_commands_that_cannot_begin_say_why_and_end_with_two(served: Served) -> None:
    shop = served.shop
    again = shop.run("serve", str(shop.file), "--port", "0", code=2)
    assert "are served already" in again
    absent = shop.run("rollout", "start", "prognose", code=1)
    assert "has no service 'prognose': it has predict" in absent
    refused = shop.run("rollout", "start", "predict", "--version", "9", code=4)
    assert "version 9" in refused


def test_a_label_finds_the_gateway_that_made_its_prediction(served: Served) -> None:
    first, second = served.state(1), served.state(2)
    assert first is not None
    assert second is not None
    made = served.ask(4.0, port=port_of(first.own)).headers["x-firedoor-prediction-id"]
    label = {"prediction": made, "label": 17.0}
    answers = [
        served.get("/labels/predict", label, port=port_of(one.own)) for one in (first, second)
    ]
    assert answers[0].body == answers[1].body
    assert "cannot be reached" not in answers[1].body.decode()


# ---- what is killed


@pytest.mark.parametrize("kind", ["nats", "control", "worker"])
def test_under_load_no_request_fails_when_a_process_is_killed(served: Served, kind: str) -> None:
    with under_load(served) as load:
        asked_for(served, load, 20)
        killed = served.kill(kind)
        asked_for(served, load, 60)
        served.until(lambda: any(each.pid != killed for each in served.processes(kind)))
        asked_for(served, load, 20)
    assert load.failed == []
    assert load.variants == {"late@1": load.asked}
    assert not load.degraded


def test_ten_seconds_without_broker_and_control_fail_no_request_nor_does_a_worker_that_dies(
    served: Served,
) -> None:
    (broker,) = served.processes("nats")
    with under_load(served) as load:
        broker.suspend()
        try:
            served.kill("control")
            served.kill("worker")
            asked_for(served, load, int(10 * load.rate))
        finally:
            broker.resume()
    assert load.failed == []
    assert load.variants == {"late@1": load.asked}


def test_a_gateway_that_is_killed_costs_what_it_had_not_answered_and_is_there_again(
    served: Served,
) -> None:
    with under_load(served, rate=150.0) as load:
        asked_for(served, load, 50)
        killed = served.kill("gateway")
        asked_for(served, load, 100)
        served.until(lambda: len({e.pid for e in served.processes("gateway")} - {killed}) == 2)
        served.until(
            lambda: all(
                (state := served.state(number)) is not None and state.pid != killed and state.ready
                for number in (1, 2)
            )
        )
        asked_for(served, load, 50)
    assert len(load.failed) <= load.rate / 2, load.failed
    assert all("Incomplete" in each or "Reset" in each for each in load.failed), load.failed
    assert load.variants == {"late@1": load.asked - len(load.failed)}
    assert not load.degraded


def test_the_control_api_is_where_it_was_said_to_be_also_after_its_process_was_killed(
    served: Served,
) -> None:
    (line,) = [line for line in served.said if line.startswith("control API: ")]
    port, tokens = int(re.findall(r":(\d+),", line)[0]), Path(line.split(" tokens in ")[1].strip())
    killed = served.kill("control")
    served.until(lambda: {each.pid for each in served.processes("control")} - {killed})
    served.until(lambda: answers(served, port))
    told = json.loads(tokens.read_text())["tokens"]
    (secret,) = [each["token"] for each in told if each["role"] == "read"]
    headers = {"Authorization": f"Bearer {secret}"}
    path = "/rollouts/predict"  # the broker, which it asks for this, is connected to a little later
    served.until(lambda: served.get(path, headers=headers, port=port).status == 200)
    assert served.get(path, port=port).status == 401


def answers(served: Served, port: int) -> bool:
    """Return whether anybody does at a port."""
    try:
        return served.get("/healthz", port=port).status == 200
    except OSError:
        return False


# ---- new versions


def test_a_version_goes_live_by_a_persons_word_and_back_by_hand_within_a_second(
    served: Served,
) -> None:
    number = served.shop.add(20.0)
    assert asyncio.run(press(served.port, 2_200, at_once=16, biases=(BIAS,))).failed == []
    served.shop.run("rollout", "start", "predict")
    with under_load(served, BIAS, 20.0) as load:
        served.until(lambda: last_of(served) == "rollout at shadow")
        served.shop.run("rollout", "promote", "predict", "--because", "ann has looked at it")
        served.until(lambda: served.ask(7.0).value == 2 * 7.0 + 20.0, within_s=5.0)
        served.until(lambda: served.shop.models.read("late").state.champion == number)
        served.shop.run("models", "rollback", "late", "--because", "it is wrong about SFO")
        served.until(lambda: served.ask(7.0).value == 2 * 7.0 + BIAS, within_s=1.5)
    assert load.failed == []
    refused = served.shop.run("rollout", "pause", "predict", "--because", "nothing", code=4)
    assert "no rollout is under way" in refused


def test_a_version_that_fails_is_rolled_back_and_barred_and_costs_no_answer(
    served: Served,
) -> None:
    number = served.shop.add(99.0, "raise")
    assert asyncio.run(press(served.port, 2_200, at_once=16, biases=(BIAS,))).failed == []
    assert "rollout started" in served.shop.run("rollout", "start", "predict")
    with under_load(served, rate=200.0) as load:
        served.until(lambda: last_of(served) == "rollout quarantined")
    assert load.failed == []
    assert served.ask(6.0).headers["x-firedoor-variant"] == "late@1"
    assert served.shop.models.read("late").state.versions[-1].state == "quarantined"
    shown = served.shop.run("rollout", "status", "predict")
    assert "late@1 answers everything" in shown
    packs = list((served.shop.project.folder / "serving" / "packs").glob("*/*"))
    assert packs, f"what late@{number} failed at is kept for its successor"


def test_a_version_that_cannot_be_loaded_is_barred_and_rollouts_go_on(served: Served) -> None:
    """Why it cannot is a traceback, of several lines."""
    number = served.shop.add(55.0, "unloadable")
    with under_load(served) as load:
        served.shop.run("rollout", "start", "predict", "--because", "it is\nnew")
        served.until(lambda: last_of(served) == "rollout quarantined")
        version = served.shop.models.read("late").state.versions[-1]
        assert (version.number, version.state) == (number, "quarantined")
        again = served.shop.run("rollout", "start", "predict", "--version", str(number), code=4)
        assert "is quarantined (it cannot be loaded: " in again, "orders are seen to"
    assert load.failed == []
    assert not load.degraded


# ---- without anybody


def test_without_a_broker_it_begins_with_what_was_said_last(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    first, second = shop.add(BIAS, live=True), shop.add(20.0, live=True)
    folder = ServingFolder(shop.project, print)
    folder.create()
    arms = [
        Arm(model="late", version=each.number, digest=each.digest)
        for each in shop.models.read("late").state.versions
    ]
    # The registry says the second; the control plane said the first, later.
    route = Route(service="predict", generation=3, champion=arms[first - 1], at_s=4e9)
    folder.keep_routes([route])
    absent = {"FIREDOOR_NATS_SERVER": str(tmp_path / "absent")}
    with Served(shop, "--port", "0", environment=absent) as serving:
        serving.await_line("there is no broker")
        assert serving.ready().ask(3.0).value == 2 * 3.0 + BIAS
        assert arms[second - 1].name == "late@2"


def test_a_gateway_alone_answers_drains_and_imports_no_library_of_models(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.add(BIAS, live=True)
    code = (
        "import sys, atexit\n"
        "heavy = {'polars', 'numpy', 'pandas', 'lightgbm', 'dataframely', 'pyarrow', 'late'}\n"
        "atexit.register(lambda: print('heavy:', sorted(heavy & set(sys.modules)), flush=True))\n"
        "from firedoor.cli.main import main\n"
        "sys.argv = ['firedoor', *sys.argv[1:]]\n"
        "main()\n"
    )
    command = ["gateway", "--pipeline", str(shop.file), "--port", "0", "--project", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            said = ""
            while not re.search(r"answers at http://[0-9.]+:\d+", said):
                line = running.stdout.readline()
                assert line, said
                said += line
            folder = ServingFolder(shop.project, print)
            psutil.Process(running.pid)
            event = threading.Event()
            while (state := folder.said(0)) is None or not state.ready:
                assert not event.wait(0.05)
                assert running.poll() is None, said
            running.terminate()
            rest, _ = running.communicate(timeout=READY_S)
        finally:
            running.kill()
    assert running.returncode == 0, said + rest
    assert "heavy: []" in rest, said + rest
    assert os.getpid() != running.pid


# ---- as the guide says


def test_the_service_of_the_guide_answers_what_the_page_shows(tmp_path: Path) -> None:
    shop, page = Shop(tmp_path), pages.ROOT / "docs" / "guide" / "first-service.md"
    assert pages.run_python(page, tmp_path) == []
    shop.file = tmp_path / "delays.py"
    shown = re.findall(r"^    (\{\"predictions\".*)$", page.read_text(), re.MULTILINE)
    with Served(shop, "--port", "0") as serving:
        reply = serving.ready().get("/predict", {"tail": "N14228", "dep_delay": 12.5})
    assert pages.agrees(shown[0], reply.body.decode()), reply.body
