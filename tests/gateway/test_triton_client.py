"""The real client of Triton against our Open Inference Protocol, both ways of writing tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from firedoor.wire.serving import Form
from gateway.scripted import Served, served

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about its own dependencies
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

X = np.array([1.5, -2.0, 1e12])
N = np.array([1, 2, -(2**40)], dtype=np.int64)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[Any]:
    server.service.seen.clear()
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", network_timeout=10) as connected:
        yield connected


def tensors(*, binary: bool, x: Any = X, n: Any = N) -> list[Any]:
    inputs = []
    for name, values, datatype in (("x", x, "FP64"), ("n", n, "INT64")):
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    return inputs


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True, None])
def test_values_are_right_whichever_way_tensors_are_written(
    server: Served, client: Any, *, binary_in: bool, binary_out: bool | None
) -> None:
    wanted = None
    if binary_out is not None:
        wanted = [triton.InferRequestedOutput("score", binary_data=binary_out)]
    got = client.infer("delays", tensors(binary=binary_in), outputs=wanted)
    np.testing.assert_array_equal(got.as_numpy("score"), 2 * X + N)
    seen = server.service.seen[0]
    assert seen.form is (Form.V2_BINARY if binary_in else Form.V2)


def test_each_of_many_requests_gets_its_own_answer(client: Any) -> None:
    for number in range(200):
        x, n = np.array([float(number)]), np.array([number], dtype=np.int64)
        got = client.infer("delays", tensors(binary=number % 2 == 0, x=x, n=n))
        assert got.as_numpy("score").tolist() == [3.0 * number]


def test_an_answer_says_what_it_is_in_parameters_and_headers(client: Any) -> None:
    got = client.infer("delays", tensors(binary=True), request_id="mine-7", model_version="3")
    said = got.get_response()
    assert (said["id"], said["model_name"], said["model_version"]) == ("mine-7", "delays", "3")
    assert said["parameters"] == {
        "variant": "late@3",
        "model_version": "3",
        "arm": "champion",
        "degraded": "",
        "request_id": "mine-7",
        "prediction_id": "p-1",
    }


def test_what_the_client_says_besides_reaches_whoever_answers(server: Served, client: Any) -> None:
    headers = {"X-Firedoor-Key": "N14228", "X-Firedoor-Priority": "critical"}
    client.infer(
        "delays", tensors(binary=True), request_id="a", model_version="3", timeout=250_000,
        headers=headers,
    )  # fmt: skip
    seen = server.service.seen[0]
    assert (seen.id, seen.version, seen.key, seen.priority) == ("a", "3", "N14228", "critical")
    assert seen.timeout_s == 0.25


@pytest.mark.parametrize(("microseconds", "seconds"), [(0, None), (1, 1e-6), (10**9, 1.0)])
def test_a_timeout_is_no_longer_than_the_service_allows(
    server: Served, client: Any, microseconds: int, seconds: float | None
) -> None:
    client.infer("delays", tensors(binary=False), timeout=microseconds)
    assert server.service.seen[0].timeout_s == seconds


def test_the_shorter_of_two_timeouts_counts(server: Served, client: Any) -> None:
    headers = {"X-Firedoor-Timeout-S": "0.125"}
    client.infer("delays", tensors(binary=False), timeout=500_000, headers=headers)
    assert server.service.seen[0].timeout_s == 0.125


def test_an_id_that_no_header_could_carry_is_told_again_in_the_body(
    server: Served, client: Any
) -> None:
    odd = "ein Flug\r\nX-Other: 1 ✈"
    got = client.infer("delays", tensors(binary=False), request_id=odd)
    assert got.get_response()["id"] == odd
    assert server.service.seen[0].id == ""


def test_metadata_and_health_are_what_the_client_expects(server: Served, client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("delays")
    assert client.is_model_ready("delays", "3")
    assert not client.is_model_ready("delays", "9")
    assert not client.is_model_ready("late")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client.get_model_metadata("delays", "3") == {
        "name": "delays",
        "versions": ["3"],
        "platform": "firedoor",
        "inputs": [
            {"name": "x", "datatype": "FP64", "shape": [-1]},
            {"name": "n", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [-1]}],
    }
    server.service.ready = False
    server.service.because = "no worker is alive"
    try:
        assert not client.is_model_ready("delays")
    finally:
        server.service.ready = True


def test_what_is_wrong_reaches_the_client_with_its_reason(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="there is no service 'late' here") as raised:
        client.infer("late", tensors(binary=True))
    assert raised.value.status() == "404"
    with pytest.raises(InferenceServerException, match="the inputs are x and n") as raised:
        client.infer("delays", tensors(binary=True)[:1])
    assert raised.value.status() == "400"
    with pytest.raises(InferenceServerException, match="between 0 and 3600"):
        client.infer("delays", tensors(binary=True), timeout=-1)


def test_a_service_that_cannot_answer_says_when_to_come_again(server: Served, client: Any) -> None:
    server.service.reply = lambda asked: server.service.arithmetic(asked)._replace(
        status=503, message="delays has no worker: see its log", retry_after_s=2.2
    )
    try:
        with pytest.raises(InferenceServerException, match="see its log") as raised:
            client.infer("delays", tensors(binary=True))
        assert raised.value.status() == "503"
    finally:
        server.service.reply = None
