"""A server of MLflow, asked behind a guard: MLflow's own retries, of four minutes, are off."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar
from urllib.parse import urlsplit

from firedoor.adapters.mlflow.naming import check_uri, scrub, shown
from firedoor.errors import (
    DeadlineExceeded,
    DeclarationError,
    DependencyDown,
    GuardRefused,
    StoreRefused,
    shorten,
)
from firedoor.guarding.guard import Guard
from firedoor.guards.classify import ErrorClass, classify, classify_status
from firedoor.guards.retry import PASSES, RetryPolicy

if TYPE_CHECKING:
    from mlflow import MlflowClient

P = ParamSpec("P")
T = TypeVar("T")

REQUEST_S = 20
"""How long a server may be silent, unless the environment says otherwise."""
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Of MLflow's client, in the environment: it has no other way."""
UNAUTHORISED = (401, 403)
NOT_FOUND = 404
FAILED = "too many 500 error responses"
"""How the client says that the server failed at a request."""
_SECRETS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")


class Server:
    """One server of MLflow."""

    def __init__(self, uri: str, guard: Guard | None = None) -> None:
        """Use a server; nothing is asked yet.

        Args:
            uri: its address, with a name and password if need be.
            guard: for tests.

        Raises:
            DeclarationError: if the address is none, or the extra is missing.
        """
        self._uri = check_uri(uri)
        self.at = shown(self._uri)
        """Its address, to be told."""
        parts = urlsplit(self._uri)
        told = (parts.password or "", *(os.environ.get(name, "") for name in _SECRETS))
        self._secrets = tuple(secret for secret in told if secret)
        self.client = _client(self._uri)
        retry = RetryPolicy(attempts=3, wait_min_s=0.2, wait_max_s=2.0)
        self._guard = guard or Guard("firedoor->mlflow", retry=retry, classify=_kind)

    def fetch(self, source: str, to: Path) -> Path:
        """Copy a model (``models:/late/1``, ``runs:/ID/model``) below a folder; return its own.

        Raises:
            StoreRefused: if there is none.
            DependencyDown: if the server is away.
        """
        import mlflow  # noqa: PLC0415 - an extra

        # For the whole process: what is told download_artifacts does not reach the registry.
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        found = self.ask(mlflow.artifacts.download_artifacts, artifact_uri=source, dst_path=str(to))
        return Path(found)

    def ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask the server, behind the guard; errors are ours, and hold no secret."""
        try:
            return self._guard.call(call, *args, **kwargs)
        except (StoreRefused, DependencyDown):
            raise
        except (GuardRefused, DeadlineExceeded) as error:
            after_s = error.retry_after_s if isinstance(error, GuardRefused) else None
            message = f"the tracking server at {self.at} is left alone: {error}"
            raise DependencyDown(message, retry_after_s=after_s) from None
        except Exception as error:  # noqa: BLE001 - MLflow, and what it is made of, raises anything
            self._refuse(error)

    def _refuse(self, error: Exception) -> NoReturn:
        """Raise what an error of MLflow is for us."""
        at, status = self.at, _status(error)
        said = shorten(scrub(" ".join(str(error).split()), self._secrets), 400)
        # Without the cause: it holds the address and headers, and a traceback may be logged.
        if status in UNAUTHORISED:
            why = f"does not let us in ({status}: {said})"
            remedy = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD"
            raise DeclarationError("uri", at, why, remedy) from None
        if _is_no_server(error):
            why = f"answers, and not as a tracking server does ({said})"
            remedy = "write the address that `mlflow server` shows"
            raise DeclarationError("uri", at, why, remedy) from None
        # One run at which the server fails each time must not keep the others waiting. Where it
        # fails at everything, the guard's breaker opens.
        if (_kind(error) or classify(error)) in PASSES and FAILED not in str(error):
            raise DependencyDown(f"the tracking server at {at} is away: {said}") from None
        raise StoreRefused(f"the tracking server at {self.at} refuses it: {said}") from None


def _client(uri: str) -> MlflowClient:
    """Return a client that tries once, and sends nothing to anybody else.

    Raises:
        DeclarationError: if MLflow is not installed.
    """
    os.environ.update(SETTINGS)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(REQUEST_S))
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DeclarationError(
            "uri", shown(uri), f"needs MLflow, which is not here ({error})",
            "pip install 'firedoor[mlflow]'",
        ) from error  # fmt: skip
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _status(error: BaseException) -> int | None:
    """Return the status of HTTP that an error of MLflow stands for."""
    get = getattr(error, "get_http_status_code", None)
    return int(get()) if callable(get) else None


def _is_no_server(error: BaseException) -> bool:
    """Return whether something answered that is no tracking server: a page, not JSON."""
    text = str(error)
    return "not in a valid JSON format" in text or (
        _status(error) == NOT_FOUND and "Response body:" in text
    )


def _kind(error: BaseException) -> ErrorClass | None:
    """Return of which class an error of MLflow is: what has no answer counts as 500 there."""
    status = _status(error)
    if status is None:
        return None
    return "permanent" if _is_no_server(error) else classify_status(status)
