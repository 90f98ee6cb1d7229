"""The real client of KServe against our Open Inference Protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

np: Any = pytest.importorskip("numpy")
kserve: Any = pytest.importorskip("kserve", exc_type=ImportError)
X = [1.5, -2.0, 1e12]
N = [1, 2, -(2**40)]
SCORES = [2 * x + n for x, n in zip(X, N, strict=True)]


def asked(port: int, ask: Callable[[Any, str], Awaitable[Any]]) -> Any:
    """Return what a client is told."""

    async def asking() -> Any:
        config = kserve.RESTConfig(protocol="v2", timeout=10)
        async with kserve.InferenceRESTClient(config) as client:
            return await ask(client, f"http://127.0.0.1:{port}")

    return asyncio.run(asking())


def request_of(*, binary: bool, **options: Any) -> Any:
    """Return a request in the client's own words."""
    inputs = []
    for name, values, datatype in (("x", X, "FP64"), ("n", N, "INT64")):
        tensor = kserve.InferInput(name=name, shape=[len(values)], datatype=datatype)
        array: NDArray[Any] = np.array(values, dtype=np.float64 if datatype == "FP64" else np.int64)
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return kserve.InferRequest(model_name="delays", infer_inputs=inputs, **options)


@pytest.mark.parametrize("binary", [False, True])
def test_values_are_right_whichever_way_tensors_are_written(port: int, *, binary: bool) -> None:
    request = request_of(binary=binary, request_id="mine")
    got = asked(port, lambda client, url: client.infer(url, request, model_name="delays"))
    assert got.outputs[0].as_numpy().tolist() == SCORES
    assert (got.id, got.model_name) == ("mine", "delays")
    # The client reads no model_version, but it keeps parameters.
    assert (got.parameters["variant"], got.parameters["model_version"]) == ("late@3", "3")


def test_binary_answers_are_read_when_they_are_asked_for(port: int) -> None:
    request = request_of(binary=True, parameters={"binary_data_output": True})
    got = asked(port, lambda client, url: client.infer(url, request, model_name="delays"))
    assert got.outputs[0].as_numpy().tolist() == SCORES


def test_an_answer_without_an_id_of_the_caller_has_one(port: int) -> None:
    got = asked(
        port, lambda client, url: client.infer(url, request_of(binary=False), model_name="delays")
    )
    assert got.id


def test_health_is_what_the_client_expects(port: int) -> None:
    assert asked(port, lambda client, url: client.is_server_live(url))
    assert asked(port, lambda client, url: client.is_server_ready(url))
    assert asked(port, lambda client, url: client.is_model_ready(url, "delays"))
    assert not asked(port, lambda client, url: client.is_model_ready(url, "late"))


def test_what_is_wrong_reaches_the_client_with_its_reason(port: int) -> None:
    with pytest.raises(Exception, match="there is no service 'late' here"):
        asked(
            port, lambda client, url: client.infer(url, request_of(binary=True), model_name="late")
        )
