"""The OpenAPI document, and a tester that reads it and tries what it allows and forbids."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from firedoor.gateway.exposition import ProcessFacts
from firedoor.gateway.face import Face
from firedoor.gateway.openapi import document
from firedoor.gateway.services import ServiceMetadata
from firedoor.wire.bundle import Field
from gateway.scripted import Reading, Scripted, Served, served
from gateway.wired import ask

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about its own dependencies
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        negative_data_rejection,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served([Reading()]) as running:
        yield running


def test_the_document_has_whatever_is_answered(server: Served) -> None:
    face = Face(
        [Scripted()], gateway="g", release="1", now_s=float, draining=bool,
        process=lambda: ProcessFacts(
            cpu_s=0, memory_bytes=0, started_s=0, connections=0, refusals={}
        ),
    )  # fmt: skip
    versions = face._model_pages(Scripted(), "/v2/models/delays/versions/{version}", "3")
    answered = {
        path: {method for method in ("get", "post") if getattr(page, method) is not None}
        for path, page in (face._pages | versions).items()
    }
    said: Any = ask(server.port, "GET", "/openapi.json").json["paths"]
    assert {path: set(page) for path, page in said.items()} == answered


def schema_of(field: Field) -> Any:
    class One(Scripted):
        def metadata(self, version: str = "") -> ServiceMetadata | None:  # noqa: ARG002
            return ServiceMetadata(inputs=(field,))

    said = document([One()], release="1")
    return said["components"]["schemas"]["delays.Row"]["properties"][field.name]


def test_the_document_lists_each_service_and_its_columns(server: Served) -> None:
    said = ask(server.port, "GET", "/openapi.json").json
    paths: Any = said["paths"]
    assert {"/predict", "/predict/delays", "/v2/models/delays/infer", "/labels"} <= set(paths)
    schemas: Any = said["components"]
    row = schemas["schemas"]["delays.Row"]
    assert row["required"] == ["x", "n"]
    assert row["properties"]["x"] == {"anyOf": [{"type": "number"}, {"type": "null"}]}


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("Int8", {"type": "integer", "minimum": -128, "maximum": 127}),
        ("UInt16", {"type": "integer", "minimum": 0, "maximum": 65_535}),
        ("Boolean", {"type": "boolean"}),
        ("Date", {"type": "string", "format": "date"}),
        ("Datetime('us', 'UTC')", {"type": "string", "format": "date-time"}),
        ("Categorical", {"type": "string"}),
    ],
)
def test_a_column_has_the_schema_of_its_values(dtype: str, expected: dict[str, object]) -> None:
    found = schema_of(Field(name="a", dtype=dtype))
    assert found == {"anyOf": [expected, {"type": "null"}]}


def test_a_row_names_what_is_looked_up_by_and_what_a_rollout_is_judged_by() -> None:
    class One(Scripted):
        def metadata(self, version: str = "") -> ServiceMetadata | None:  # noqa: ARG002
            fields = (Field(name="x", dtype="Float64"),)
            return ServiceMetadata(inputs=fields, keys=("origin",), about=("carrier",))

    schemas = document([One()], release="1")["components"]["schemas"]
    row = schemas["delays.Row"]
    assert set(row["properties"]) == {"x", "origin", "carrier"}
    assert row["required"] == ["x", "origin"]
    tensor = schemas["delays.InferRequest"]["properties"]["inputs"]["items"]["properties"]
    assert tensor["name"]["examples"] == ["x", "origin", "carrier"]


def test_a_value_with_a_shape_is_a_list_of_so_many() -> None:
    found = schema_of(Field(name="a", dtype="Float32", shape=(2, None)))
    inner = {"type": "array", "items": {"type": "number"}}
    assert found == {"type": "array", "items": inner, "minItems": 2, "maxItems": 2}


def conforms(server: Served, *, examples: int) -> int:
    """Try every operation, and return how many requests were made."""
    schema = schemathesis.openapi.from_dict(ask(server.port, "GET", "/openapi.json").json)
    checks = [
        not_a_server_error, status_code_conformance, content_type_conformance,
        response_headers_conformance, response_schema_conformance, negative_data_rejection,
    ]  # fmt: skip
    made = 0
    for result in schema.get_all_operations():
        operation: Any = result
        operation = operation.ok()
        tried = examples if operation.method == "post" else 3  # there is little to draw
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            made += _tried(server, operation, mode, checks, tried)
    return made


def _tried(server: Served, operation: Any, mode: Any, checks: Any, examples: int) -> int:
    made = 0

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def trying(case: Any) -> None:
        nonlocal made
        made += 1
        case.call_and_validate(base_url=f"http://127.0.0.1:{server.port}", checks=checks)

    with contextlib.suppress(Unsatisfiable):  # there is nothing to forbid: no parameter, no body
        given(case=operation.as_strategy(generation_mode=mode))(trying)()
    return made


@pytest.mark.filterwarnings("ignore")
def test_whatever_the_document_allows_or_forbids_is_answered_as_it_says(server: Served) -> None:
    assert conforms(server, examples=25) > 300


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(1_800)
def test_the_same_for_long(server: Served) -> None:
    assert conforms(server, examples=1_000) > 5_000
