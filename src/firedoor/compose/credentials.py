"""As whom to ask a broker that is somewhere already: never on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from firedoor.compose.project import Endpoint
from firedoor.errors import DeclarationError

USER_ENV = "FIREDOOR_NATS_USER"
PASSWORD_ENV = "FIREDOOR_NATS_PASSWORD"  # noqa: S105 - a variable's name
CA_ENV = "FIREDOOR_NATS_CA"
CERTIFICATE_ENV = "FIREDOOR_NATS_CERTIFICATE"
KEY_ENV = "FIREDOOR_NATS_KEY"
SCHEMES = ("nats", "tls")


class _Named(msgspec.Struct):
    user: str
    password: str


def endpoint_of(url: str, credentials: Path | None, environment: Mapping[str, str]) -> Endpoint:
    """Return how to reach a broker.

    Args:
        url: ``nats://host:4222`` or ``tls://host:4222``; several of one cluster are joined by
            commas, and the first may say for all whether it is nats or tls.
        credentials: a JSON file with ``user`` and ``password``.
        environment: has them as FIREDOOR_NATS_USER and FIREDOOR_NATS_PASSWORD otherwise; and files
            for TLS as FIREDOOR_NATS_CA, FIREDOOR_NATS_CERTIFICATE and FIREDOOR_NATS_KEY.

    Raises:
        DeclarationError: if the address is none, or a file cannot be read.
    """
    first = url.partition("://")[0].strip()
    named = [one.strip() for one in url.split(",")]
    addresses = [_address(one if "://" in one else f"{first}://{one}") for one in named]
    if len({one.partition("://")[0] for one in addresses}) > 1:
        why = "insists on TLS for some servers and not for others"
        raise DeclarationError("nats", url, why, "write nats:// for all of them, or tls://")
    user, password = environment.get(USER_ENV), environment.get(PASSWORD_ENV)
    if credentials is not None:
        who = _read(credentials)
        user, password = who.user, who.password
    files = {name: _file(environment, name) for name in (CA_ENV, CERTIFICATE_ENV, KEY_ENV)}
    if files[KEY_ENV] is not None and files[CERTIFICATE_ENV] is None:
        remedy = f"name its certificate in {CERTIFICATE_ENV}"
        raise DeclarationError(KEY_ENV, files[KEY_ENV], "is a key to nothing", remedy)
    return Endpoint(
        url=",".join(addresses),
        user=user,
        password=password,
        ca=files[CA_ENV],
        certificate=files[CERTIFICATE_ENV],
        key=files[KEY_ENV],
        external=True,
    )


def _address(one: str) -> str:
    """Return the address of one server.

    Raises:
        DeclarationError: if it is none, or has a password in it.
    """
    if "@" in one:
        why = "has a password in it, which other users of this machine can see"
        remedy = f"set {USER_ENV} and {PASSWORD_ENV}, or name a file with --credentials"
        raise DeclarationError("nats", one.rpartition("@")[2], why, remedy)
    if not _plain(one):
        why, remedy = "is no address of a broker", "write nats://host:4222, or tls://host:4222"
        raise DeclarationError("nats", one, why, remedy)
    return one.rstrip("/")


def _plain(one: str) -> bool:
    """Return whether an address has a scheme that is known, a host, perhaps a port, and no more."""
    try:
        parts = urlsplit(one)
        port = parts.port
    except ValueError:  # its port is no number, or too large
        return False
    more = parts.path.strip("/") or parts.query or parts.fragment
    return parts.scheme in SCHEMES and bool(parts.hostname) and port != 0 and not more


def _read(credentials: Path) -> _Named:
    """Return the user and password in a file."""
    remedy = 'write a file {"user": "...", "password": "..."} that you may read'
    try:
        return msgspec.json.decode(credentials.read_bytes(), type=_Named)
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise DeclarationError("credentials", str(credentials), why, remedy) from error
    except msgspec.DecodeError:
        raise DeclarationError("credentials", str(credentials), "is no such file", remedy) from None


def _file(environment: Mapping[str, str], name: str) -> str | None:
    """Return the file that a variable names, absolute: zones are started elsewhere."""
    named = environment.get(name)
    if not named:
        return None
    path = Path(named).absolute()
    if not path.is_file():
        remedy = "name a file (PEM) that you may read, or unset the variable"
        raise DeclarationError(name, named, "is no file", remedy)
    return str(path)
