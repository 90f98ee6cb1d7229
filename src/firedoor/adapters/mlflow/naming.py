"""Names, values and addresses as MLflow takes them. Pure; MLflow itself is not needed.

Its limits are those of MLflow 3 (``mlflow.utils.validation``).
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from urllib.parse import urlsplit, urlunsplit

from firedoor.errors import DeclarationError

KEY_MAX = 250
PARAMETER_MAX = 6_000
TAG_MAX = 5_000
NAME_MAX = 100
FIGURES_MAX = 700
"""In one request, beside which tags have room."""
PARAMETERS_MAX = 100
"""In one request."""
TAG_EVENTS = "firedoor.events"
TAG_PROJECT = "firedoor.project"
TAG_RUN = "firedoor.run"
TAG_VERSION = "firedoor.version"

_KEY = re.compile(r"[^/\w.\- :]", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][\w.\-]*", re.ASCII)


def key_of(name: str) -> str:
    """Return the key of a figure or parameter: as it is, or made fit, and then with a hash.

    >>> key_of("auc/JFK"), key_of("F1 (JFK)")
    ('auc/JFK', 'F1 _JFK_.32f1123f')
    """
    key = _KEY.sub("_", name)[: KEY_MAX - 9]
    plain = key == name and posixpath.normpath(key) == key and key[0] not in "./"
    if plain and not key.endswith(" ") and not key.startswith(" "):
        return key
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{posixpath.normpath('_' + key if key[0] in './ ' else key)}.{digest}"


def check_name(name: object) -> str:
    """Return a name under which a project can be on a server.

    Raises:
        DeclarationError: if it cannot.
    """
    if not isinstance(name, str) or len(name) > NAME_MAX or not _NAME.fullmatch(name):
        raise DeclarationError(
            "name", name, "cannot name experiments and models",
            f"give --name letters, digits, - . and _, at most {NAME_MAX}, a letter or digit first",
        )  # fmt: skip
    return name


def check_uri(uri: object) -> str:
    """Return the address of a tracking server.

    Raises:
        DeclarationError: if it is none; what it holds of credentials is not told.
    """
    parts = None
    if isinstance(uri, str) and uri.isprintable():
        try:
            parts = urlsplit(uri)
            _ = parts.port
        except ValueError:
            parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise DeclarationError(
            "uri", shown(uri) if isinstance(uri, str) else uri, "is no address of a server",
            "write --uri http://127.0.0.1:5000, as `mlflow server` shows it",
        )  # fmt: skip
    assert isinstance(uri, str), "it was taken apart"
    return uri.rstrip("/")


def shown(uri: str) -> str:
    """Return an address without the name and password that may be in it.

    >>> shown("http://ann:secret@mlflow:5000/x")
    'http://mlflow:5000/x'
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri.rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def scrub(text: str, secrets: tuple[str, ...]) -> str:
    """Return a text without any of the secrets."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return text
