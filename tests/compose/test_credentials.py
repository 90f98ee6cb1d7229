from __future__ import annotations

import json
from pathlib import Path

import pytest

from firedoor.compose.credentials import endpoint_of
from firedoor.compose.project import Endpoint, Project
from firedoor.errors import DeclarationError

LOGIN = {"FIREDOOR_NATS_USER": "flights-admin", "FIREDOOR_NATS_PASSWORD": "hunter2"}


@pytest.mark.parametrize(
    ("named", "means"),
    [
        ("nats://a:4222", "nats://a:4222"),
        ("nats://a:4222/", "nats://a:4222"),
        ("nats://a:4222,b:4222,c", "nats://a:4222,nats://b:4222,nats://c"),
        ("nats://a, nats://b:4223", "nats://a,nats://b:4223"),
        ("tls://a.example.com,10.0.0.1:4222", "tls://a.example.com,tls://10.0.0.1:4222"),
        ("tls://[::1]:4222", "tls://[::1]:4222"),
    ],
)
def test_addresses_are_taken(named: str, means: str) -> None:
    endpoint = endpoint_of(named, None, LOGIN)
    assert (endpoint.url, endpoint.user, endpoint.password) == (means, "flights-admin", "hunter2")
    assert endpoint.external


@pytest.mark.parametrize(
    "named",
    [
        "", "a:4222", "http://a:4222", "nats://", "nats://a:b", "nats://a:99999", "nats://a:0",
        "nats://a/b", "nats://a?tls=1", "nats://a,", "nats://a,,b", "nats://a,ws://b", "ws://a",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(named: str) -> None:
    with pytest.raises(DeclarationError, match="write nats://") as caught:
        endpoint_of(named, None, {})
    assert "nats" in str(caught.value)


def test_servers_with_and_without_tls_are_not_mixed() -> None:
    with pytest.raises(DeclarationError, match="TLS for some servers and not for others"):
        endpoint_of("nats://a,tls://b", None, {})


@pytest.mark.parametrize(
    "named", ["nats://u:hunter2@a", "nats://a,nats://u:hunter2@b", "nats://a,u@b"]
)
def test_a_password_in_an_address_is_refused_and_not_repeated(named: str) -> None:
    with pytest.raises(DeclarationError, match="has a password in it") as caught:
        endpoint_of(named, None, {})
    assert "hunter2" not in str(caught.value)


def test_a_file_of_credentials_is_taken_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "zone-clean.json"
    file.write_text(json.dumps({"user": "flights-zone-clean", "password": "s3cret"}))
    endpoint = endpoint_of("nats://a", file, LOGIN)
    assert (endpoint.user, endpoint.password) == ("flights-zone-clean", "s3cret")
    assert "s3cret" not in repr(endpoint)
    file.write_text("user: clean")
    with pytest.raises(DeclarationError, match="is no such file"):
        endpoint_of("nats://a", file, {})
    with pytest.raises(DeclarationError, match="cannot be read"):
        endpoint_of("nats://a", tmp_path / "nothing.json", {})


def test_files_for_tls_are_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ca.pem", "me.pem", "me.key"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    named = {
        "FIREDOOR_NATS_CA": "ca.pem",
        "FIREDOOR_NATS_CERTIFICATE": "me.pem",
        "FIREDOOR_NATS_KEY": "me.key",
    }
    endpoint = endpoint_of("tls://a", None, named)
    # Zones are started in other folders.
    files = (endpoint.ca, endpoint.certificate, endpoint.key)
    assert files == tuple(str(tmp_path / name) for name in ("ca.pem", "me.pem", "me.key"))
    with pytest.raises(DeclarationError, match="FIREDOOR_NATS_CA"):
        endpoint_of("tls://a", None, {"FIREDOOR_NATS_CA": "nothing.pem"})
    with pytest.raises(DeclarationError, match="is a key to nothing"):
        endpoint_of("tls://a", None, {"FIREDOOR_NATS_KEY": "me.key"})


def test_an_endpoint_is_kept_for_zones_and_commands(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.create()
    assert not project.elsewhere()
    (tmp_path / "ca.pem").touch()
    files = {"FIREDOOR_NATS_CA": str(tmp_path / "ca.pem")}
    endpoint = endpoint_of("tls://a,b", None, LOGIN | files)
    for zone in (None, "clean"):
        project.write_endpoint(endpoint, zone=zone)
        assert project.endpoint(zone) == endpoint
    assert project.elsewhere()
    project.write_endpoint(Endpoint(url="nats://127.0.0.1:1", user="admin", password="x"))  # noqa: S106 - of nobody
    assert not project.elsewhere()
