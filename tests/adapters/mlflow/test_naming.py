"""Names and addresses as MLflow takes them."""

from __future__ import annotations

import posixpath
import re

import pytest

from firedoor.adapters.mlflow.naming import (
    KEY_MAX,
    check_name,
    check_uri,
    key_of,
    scrub,
    shown,
)
from firedoor.errors import DeclarationError

ODD = ["F1 (JFK)", "../x", ".", "..", "/a", "a//b", "a/", " x", "x ", "é", "a" * 300, "a/../b", "/"]
TAKEN = re.compile(r"[/\w.\- :]+", re.ASCII)


@pytest.mark.parametrize("name", ["auc", "val/auc-2.x", "loss at 10", "a:b", "ECE_15"])
def test_a_name_that_mlflow_takes_stays_as_it_is(name: str) -> None:
    assert key_of(name) == name


@pytest.mark.parametrize("name", ODD)
def test_any_other_name_is_made_one_that_mlflow_takes(name: str) -> None:
    key = key_of(name)
    assert TAKEN.fullmatch(key)
    assert len(key) <= KEY_MAX
    assert posixpath.normpath(key) == key
    assert not key.startswith(("..", "/"))
    assert key != "."


def test_names_that_differ_have_keys_that_differ() -> None:
    names = [*ODD, "F1 [JFK]", "F1 _JFK_", "a" * 301, "_", "a/b", "b"]
    assert len({key_of(name) for name in names}) == len(names)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000/", "https://ann:pw@mlflow.example.com/x"])
def test_an_address_of_a_server_is_taken(uri: str) -> None:
    assert check_uri(uri) == uri.rstrip("/")


@pytest.mark.parametrize(
    "uri",
    ["", "mlruns", "file:///mlruns", "sqlite:///m.db", "databricks", "http://", "http://a:port",
     "http://a\n", "http://[1", "ftp://ann:pa55@a", None, 5],
)  # fmt: skip
def test_what_is_no_address_of_a_server_is_refused_without_its_password(uri: object) -> None:
    with pytest.raises(DeclarationError, match="is no address of a server") as refused:
        check_uri(uri)
    assert refused.value.field == "uri"
    assert "pa55" not in str(refused.value)


def test_an_address_is_shown_without_name_password_and_query() -> None:
    assert shown("http://ann:pa55@a:1/x?token=pa55#pa55") == "http://a:1/x"


def test_secrets_are_taken_out_of_a_text_and_an_empty_one_changes_nothing() -> None:
    assert scrub("Bearer t0 of t0", ("t0", "")) == "Bearer *** of ***"


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "-x", "é", "x" * 101, None])
def test_a_name_that_cannot_name_models_is_refused(name: object) -> None:
    with pytest.raises(DeclarationError, match="cannot name experiments and models"):
        check_name(name)
    assert check_name("flights-2.x_Y") == "flights-2.x_Y"
