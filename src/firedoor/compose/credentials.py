"""As whom to ask a broker that is somewhere already: never on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from firedoor.compose.project import Endpoint
from firedoor.errors import DeclarationError

USER_ENV = "FIREDOOR_NATS_USER"
PASSWORD_ENV = "FIREDOOR_NATS_PASSWORD"  # noqa: S105 - a variable's name
SCHEMES = ("nats://", "tls://", "ws://", "wss://")


class _Named(msgspec.Struct):
    user: str
    password: str


def endpoint_of(url: str, credentials: Path | None, environment: Mapping[str, str]) -> Endpoint:
    """Return how to reach a broker.

    Args:
        url: ``nats://host:4222``, or several, joined by commas.
        credentials: a JSON file with ``user`` and ``password``.
        environment: has them as FIREDOOR_NATS_USER and FIREDOOR_NATS_PASSWORD otherwise.

    Raises:
        DeclarationError: if the address is none, or the file cannot be read.
    """
    for one in url.split(","):
        if not one.strip().startswith(SCHEMES):
            why, remedy = "is no address of a broker", "write nats://host:4222"
            raise DeclarationError("nats", one, why, remedy)
        if "@" in one:
            why = "has a password in it, which other users of this machine can see"
            remedy = f"set {USER_ENV} and {PASSWORD_ENV}, or name a file with --credentials"
            raise DeclarationError("nats", one.rpartition("@")[2], why, remedy)
    if credentials is None:
        return Endpoint(
            url=url, user=environment.get(USER_ENV), password=environment.get(PASSWORD_ENV)
        )
    remedy = 'write a file {"user": "...", "password": "..."} that you may read'
    try:
        named = msgspec.json.decode(credentials.read_bytes(), type=_Named)
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise DeclarationError("credentials", str(credentials), why, remedy) from error
    except msgspec.DecodeError:
        raise DeclarationError("credentials", str(credentials), "is no such file", remedy) from None
    return Endpoint(url=url, user=named.user, password=named.password)
