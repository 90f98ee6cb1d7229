"""Whatever the OpenAPI allows, and much that it does not, is answered as it says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok

from control_api.served import Api, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("api")) as api:
        yield api


def test_every_route_is_described(served: Api) -> None:
    with served.client("") as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert {path: set(verbs) for path, verbs in paths.items()} == {
        "/healthz": {"get"},
        "/rollouts": {"get"},
        "/rollouts/{service}": {"get"},
        "/rollouts/{service}/{verb}": {"post"},
        "/flags": {"get"},
        "/flags/{name}": {"put", "delete"},
        "/flags/{name}/confirm": {"post"},
        "/kill/{zone}/{capability}": {"post"},
        "/changes": {"get"},
    }


def test_what_is_drawn_is_answered_as_described(served: Api) -> None:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    headers = {"Authorization": f"Bearer {served.token('admin')}"}
    asked = 0

    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        for mode in schemathesis.GenerationMode:

            @hypothesis.settings(
                max_examples=20, deadline=None, derandomize=True, database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )  # fmt: skip
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case[Any]) -> None:
                nonlocal asked
                asked += 1
                case.call_and_validate(headers=headers, timeout=10)

            with contextlib.suppress(Unsatisfiable):  # there is nothing to forbid
                ask()
    assert asked > 150
    with served.client() as client:
        assert client.get("/healthz").status_code == 200
