"""Who may use the local server, and the files that tell them how: passwords stay in files 0600."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from firedoor.adapters.nats.configs import PAYLOAD_BYTES
from firedoor.adapters.nats.naming import (
    Names,
    account_user,
    may_publish,
    replies_of,
    user_of,
)
from firedoor.spec.plan import Plan

ENDPOINT = "endpoint.json"
CREDENTIALS = "credentials"
LOG_BYTES = 4 * 2**20
LOGS_MAX = 3
MEMORY_BYTES = 64 * 2**20
FILE_BYTES = 2**50
"""No bound: every stream has its own, and what is there must open on a disk that is nearly full."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a process reaches the broker, and as whom."""

    url: str
    user: str = ""
    password: str = ""
    """Both empty: the broker asks nobody who it is, or looks at certificates."""
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    external: bool = False
    """Whether the broker is one that firedoor has not started."""

    def __repr__(self) -> str:
        """Leave the password out: this lands in logs and tracebacks."""
        return f"Endpoint(url={self.url!r}, user={self.user!r})"


class _Known(msgspec.Struct, frozen=True):
    """Of an endpoint, or of a user, what is kept."""

    password: str = ""
    external: bool = False


def read_endpoint(path: Path) -> Endpoint:
    """Return what a file says.

    Raises:
        OSError, msgspec.DecodeError: if there is none, or it says something else.
    """
    return msgspec.json.decode(path.read_bytes(), type=Endpoint)


def endpoint_path(folder: Path, zone: str | None) -> Path:
    """Return the file that tells a zone (None: the commands) how to reach the broker."""
    return folder / ENDPOINT if zone is None else folder / CREDENTIALS / f"{zone}.json"


def passwords(folder: Path, plan: Plan | None) -> dict[str | None, str]:
    """Return a password for the commands (None) and each zone: the ones in the files, or new."""
    users: list[str | None] = [None]
    if plan is not None:
        users += [zone.name for zone in plan.zones]
    return {user: _password(endpoint_path(folder, user)) for user in users}


def _password(path: Path) -> str:
    """Return the password in a file, a new one if there is none, or one of another broker."""
    try:
        known = msgspec.json.decode(path.read_bytes(), type=_Known)
    except (OSError, msgspec.DecodeError):
        known = _Known()
    return secrets.token_urlsafe(32) if known.external or not known.password else known.password


def write_endpoints(folder: Path, url: str, known: dict[str | None, str]) -> None:
    """Tell everybody where the broker is."""
    make_private(folder / CREDENTIALS)
    for zone, password in known.items():
        endpoint = Endpoint(url=url, user=user_of(zone), password=password)
        write_private(endpoint_path(folder, zone), msgspec.json.encode(endpoint))


def server_config(nats: Path, plan: Plan | None, known: dict[str | None, str], port: int) -> str:
    """Return the server's settings. Every string in them is quoted as JSON quotes it."""
    lines = [
        'server_name: "firedoor"',
        'host: "127.0.0.1"',
        f"port: {port}",
        f"max_payload: {PAYLOAD_BYTES}",
        f"pid_file: {json.dumps(str(nats / 'pid'))}",
        f"ports_file_dir: {json.dumps(str(nats / 'ports'))}",
        f"log_file: {json.dumps(str(nats / 'server.log'))}",
        f"logfile_size_limit: {LOG_BYTES}",
        f"logfile_max_num: {LOGS_MAX}",
        "jetstream {",
        f"  store_dir: {json.dumps(str(nats / 'store'))}",
        "  sync_interval: always",
        f"  max_memory_store: {MEMORY_BYTES}",
        f"  max_file_store: {FILE_BYTES}",
        "}",
        users_config(plan, known),
    ]
    return "\n".join(lines)


def users_config(
    plan: Plan | None, known: Mapping[str | None, str], *, clustered: bool = False
) -> str:
    """Return the part of a server's settings that says who may do what.

    Args:
        plan: whose zones they are.
        known: the password of each zone, and of commands (None).
        clustered: whether the server is of a cluster.
    """
    users = [
        _user(user_of(zone), password, zone, plan, clustered=clustered)
        for zone, password in known.items()
    ]
    return "\n".join(["authorization { users: [", *users, "] }", ""])


def write_account(folder: Path, plan: Plan) -> list[Path]:
    """Write an account of a pipeline for the settings of a broker that others run, and its users.

    ``<pipeline>.conf`` is for ``accounts { include ... }``; of the others each has the user and
    password of a zone, or of commands. Passwords that are there already stay. Returns the files.
    """
    make_private(folder)
    zones: list[str | None] = [None, *(zone.name for zone in plan.zones)]
    lines: list[str] = []
    written = [folder / f"{plan.pipeline}.conf"]
    for zone in zones:
        path = folder / f"{user_of(zone)}.json"
        name, password = account_user(plan.pipeline, zone), _password(path)
        write_private(path, msgspec.json.encode({"user": name, "password": password}))
        lines.append(_user(name, password, zone, plan, clustered=True))
        written.append(path)
    head = [f"{json.dumps(plan.pipeline)} {{", "jetstream: enabled", "users: ["]
    write_private(written[0], "\n".join([*head, *lines, "]", "}", ""]).encode())
    return written


def _user(name: str, password: str, zone: str | None, plan: Plan | None, *, clustered: bool) -> str:
    """Return one user's line."""
    who = {"user": name, "password": password}
    if zone is None or plan is None:
        permissions: dict[str, object] = {"publish": [">"], "subscribe": [">"]}
    else:
        allowed = may_publish(Names(plan.pipeline), zone, plan.edges, clustered=clustered)
        permissions = {
            "publish": {"allow": allowed},
            "subscribe": {"allow": [f"{replies_of(zone)}.>"]},
        }
    return "  " + json.dumps(who | {"permissions": permissions})


def make_private(folder: Path) -> None:
    """Make a folder that nobody else can look into."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that nobody else can read, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
