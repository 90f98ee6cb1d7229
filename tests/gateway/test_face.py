"""What the routes say."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.face_v2 import datatype_of
from firedoor.wire.serving import Form
from gateway.scripted import Scripted, Served, served
from gateway.wired import Said, ask, row


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(autouse=True)
def as_before(server: Served) -> Iterator[None]:
    server.service.seen.clear()
    yield
    server.service.reply = None
    server.service.ready = True
    server.service.because = ""


def predict(server: Served, reply: Answer) -> Said:
    server.service.reply = lambda _: reply
    return ask(server.port, "POST", "/predict", row(1, 1))


def test_one_row_and_several_are_answered_by_a_list(server: Served) -> None:
    one = ask(server.port, "POST", "/predict", row(1, 1))
    assert one.json["predictions"] == [{"score": 3.0}]
    two = ask(server.port, "POST", "/predict/delays", b"[%s,%s]" % (row(1, 1), row(2, 9)))
    assert two.json["predictions"] == [{"score": 3.0}, {"score": 13.0}]


def test_an_answer_says_what_it_is_in_its_body_and_in_headers(server: Served) -> None:
    said = ask(server.port, "POST", "/predict", row(1, 1), {"X-Request-Id": "mine"})
    rest = {name: value for name, value in said.json.items() if name != "predictions"}
    assert rest == {
        "model": "late", "version": "3", "variant": "late@3", "arm": "champion", "degraded": "",
        "id": "mine", "prediction": "p-1",
    }  # fmt: skip
    shown = {name: value for name, value in said.headers.items() if name.startswith("x-")}
    assert shown == {
        "x-request-id": "mine", "x-firedoor-prediction-id": "p-1", "x-firedoor-arm": "champion",
        "x-firedoor-variant": "late@3", "x-firedoor-model-version": "3",
    }  # fmt: skip


def test_an_answer_that_is_not_what_was_asked_for_says_so(server: Served) -> None:
    constant = Answer(
        200,
        "a",
        "p-9",
        1,
        b"[0.2]",
        arm="constant",
        degraded="constant",
        features="weather=missing",
    )
    said = predict(server, constant)
    assert said.json["degraded"] == "constant"
    assert said.json["variant"] == ""
    assert said.headers["x-firedoor-degraded"] == "constant"
    assert said.headers["x-firedoor-features"] == "weather=missing"
    assert "x-firedoor-variant" not in said.headers


OUTPUT = b'[{"name":"score","shape":[1],"datatype":"FP64","data":[0.2]}]'


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "a", "p-9", 1, OUTPUT, arm="constant", degraded="features+constant",
               features="weather=missing"),
        Answer(200, "a", "p-9", 1, OUTPUT, model="late", version="2", arm="previous",
               degraded="previous_version"),
        Answer(200, "a", "p-9", 1, OUTPUT, model="late", version="3", arm="cached",
               degraded="cached"),
    ],
    ids=lambda answer: answer.arm,
)  # fmt: skip
def test_what_headers_say_of_a_degraded_answer_tensors_have_in_their_parameters(
    server: Served, answer: Answer
) -> None:
    server.service.reply = lambda _: answer
    said = ask(server.port, "POST", "/v2/models/delays/infer", b'{"inputs":[]}')
    told = msgspec.convert(said.json["parameters"], dict[str, str])
    named = {
        "variant": "variant", "model_version": "model-version", "arm": "arm",
        "degraded": "degraded", "features": "features", "prediction_id": "prediction-id",
    }  # fmt: skip
    for name, header in named.items():
        assert told.get(name, "") == said.headers.get(f"x-firedoor-{header}", ""), name
    assert told["request_id"] == said.headers["x-request-id"] == "a"
    assert told["degraded"] == answer.degraded
    assert said.json["model_version"] == answer.version


@pytest.mark.parametrize(
    ("retry_after_s", "header"), [(None, "1"), (0.01, "1"), (1.2, "2"), (1e9, "3600")]
)
def test_a_503_says_when_to_come_again(
    server: Served, retry_after_s: float | None, header: str
) -> None:
    refused = Answer(503, "a", message="no worker: see the log", retry_after_s=retry_after_s)
    said = predict(server, refused)
    assert (said.status, said.headers["retry-after"]) == (503, header)
    assert said.error == "no worker: see the log"
    assert said.headers["x-request-id"] == "a"


def test_what_a_caller_says_reaches_whoever_answers(server: Served) -> None:
    headers = {
        "X-Request-Id": "mine", "X-Firedoor-Key": "N14228", "X-Firedoor-Priority": "batch",
        "X-Firedoor-Timeout-S": "0.5", "X-Firedoor-Route": "candidate",
        "X-Firedoor-Source": "flights-000123/17",
    }  # fmt: skip
    ask(server.port, "POST", "/predict", row(1, 1), headers)
    assert server.service.seen[0] == Request(
        Form.ROWS, row(1, 1), id="mine", key="N14228", priority="batch", timeout_s=0.5,
        tester="candidate", source="flights-000123/17",
    )  # fmt: skip


def test_labels_are_joined_one_by_one_and_each_outcome_is_told(server: Served) -> None:
    labels = [
        {"prediction": "p-1", "label": 1},
        {"prediction": "gone", "label": 0},
        {"prediction": "p-2", "label": 7},
        {"prediction": "p-2", "label": True, "row": 3},
    ]
    said = ask(server.port, "POST", "/v2/models/delays/labels", msgspec.json.encode(labels))
    assert said.status == 200
    outcomes = msgspec.convert(said.json["labels"], list[dict[str, str]])
    assert [told["outcome"] for told in outcomes] == ["joined", "unknown", "refused", "joined"]
    assert (said.json["joined"], said.json["unknown"], said.json["refused"]) == (2, 1, 1)
    alone = ask(server.port, "POST", "/labels", b'{"prediction": "gone", "label": 0}')
    assert (alone.status, "too old" in alone.error) == (404, True)


def test_labels_find_the_service_that_knows_the_prediction() -> None:
    first, second = Scripted("first"), Scripted("second")
    first.known, second.known = {"a"}, {"b"}
    with served([first, second]) as server:
        labels = msgspec.json.encode([{"prediction": name, "label": 0} for name in "bac"])
        said = ask(server.port, "POST", "/labels", labels)
        outcomes = msgspec.convert(said.json["labels"], list[dict[str, str]])
        assert [told["outcome"] for told in outcomes] == ["joined", "joined", "unknown"]


def test_with_several_services_a_bare_predict_asks_which() -> None:
    with served([Scripted("late"), Scripted("gone")]) as server:
        said = ask(server.port, "POST", "/predict", row(1, 1))
        assert (said.status, "services: gone, late" in said.error) == (404, True)
        assert ask(server.port, "POST", "/predict/gone", row(1, 1)).status == 200
        assert ask(server.port, "GET", "/v2/models").json == {"models": ["late", "gone"]}


def test_paths_may_end_with_a_slash_or_be_written_with_percent_signs(server: Served) -> None:
    for path in ("/livez/", "/v2/", "/v2/models/%64elays", "/v2/models/delays/versions/3/"):
        assert ask(server.port, "GET", path).status == 200, path
    assert ask(server.port, "GET", "http://elsewhere:80/v2/health/live?a=b").json == {"live": True}


def test_a_gateway_is_not_ready_before_each_service_was_and_says_which_is_not() -> None:
    late, gone = Scripted("late"), Scripted("gone")
    gone.ready, gone.because = False, "gone@1 is loading"
    with served([late, gone]) as server:
        said = ask(server.port, "GET", "/readyz")
        assert (said.status, said.json["because"]) == (503, "gone: gone@1 is loading")
        assert ask(server.port, "GET", "/v2/health/ready").json == {
            "ready": False, "error": "gone: gone@1 is loading"
        }  # fmt: skip
        assert ask(server.port, "GET", "/livez").status == 200
        gone.ready = True
        assert ask(server.port, "GET", "/readyz").status == 200
        gone.ready, gone.because = False, "gone@1 has no worker"
        said = ask(server.port, "GET", "/readyz")
        assert (said.status, said.json["because"]) == (200, "gone: gone@1 has no worker")
        assert ask(server.port, "GET", "/readyz/gone").status == 503
        assert ask(server.port, "GET", "/readyz/late").status == 200
        assert ask(server.port, "GET", "/v2/models/gone/ready").status == 503
        late.ready = False
        assert ask(server.port, "GET", "/readyz").status == 503


@pytest.mark.parametrize(
    ("dtype", "datatype"),
    [
        ("Int8", "INT8"), ("UInt64", "UINT64"), ("Float32", "FP32"), ("Float64", "FP64"),
        ("Boolean", "BOOL"), ("String", "BYTES"), ("Datetime('us', 'UTC')", "BYTES"),
        ("Interval", "BYTES"),
    ],
)  # fmt: skip
def test_a_column_has_a_datatype_of_the_protocol(dtype: str, datatype: str) -> None:
    assert datatype_of(dtype) == datatype


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/predict/nobody", b"{}"),
        ("GET", "/nothing", b""),
        ("DELETE", "/predict", b""),
        ("POST", "/labels", b"no"),
        ("POST", "/v2/models/delays/infer", b"no"),
    ],
)
def test_an_error_that_no_service_has_made_tells_the_id_of_the_request(
    server: Served, method: str, path: str, body: bytes
) -> None:
    said = ask(server.port, method, path, body, {"X-Request-Id": "order-7"})
    assert said.status >= 400
    assert said.headers["x-request-id"] == "order-7"
