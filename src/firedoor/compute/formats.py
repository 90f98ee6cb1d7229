"""Models as objects: how each format of a bundle is loaded. The libraries are imported here only.

Loading runs code: a loader is the user's, a pickle may do anything, and libraries start threads. So
a model is loaded in the process that uses it, a worker, and after the fork.
"""

from __future__ import annotations

import importlib
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from firedoor.errors import FiredoorError, ModelRefused, ModelUnloadable, shorten
from firedoor.wire.bundle import ENDINGS, Manifest, model_file

LIBRARIES = {
    "skops": ("skops.io", "skops"),
    "onnx": ("onnxruntime", "onnxruntime"),
    "lightgbm": ("lightgbm", "lightgbm"),
    "torch": ("torch", "torch"),
    "mlflow": ("mlflow.pyfunc", "mlflow"),
}
"""What a format needs: the module to import, and the package to install."""


def load_model(folder: Path, manifest: Manifest, *, allow: tuple[str, ...] = ()) -> object:
    """Return the model that a bundle's files are.

    Args:
        folder: the files, verified.
        manifest: of the bundle.
        allow: ``("pickle",)`` where a pickle, or a model of MLflow, may be loaded.

    Raises:
        ModelRefused: if it may run code that is in it, and that was not allowed by name.
        ModelUnloadable: if the library or the loader is not there, or fails.
    """
    load = _loader(folder, manifest, allow)
    try:
        return load()
    except FiredoorError:
        raise
    except Exception as error:  # whatever the user's loader or a library does ends here
        message = (
            f"the model (format {manifest.format}) cannot be loaded: {type(error).__name__}: "
            f"{shorten(str(error), 500)}"
        )
        raise ModelUnloadable(message) from error


def _loader(folder: Path, manifest: Manifest, allow: tuple[str, ...]) -> Callable[[], object]:
    """Return what loads a bundle."""
    if manifest.format == "files":
        function = _function(manifest.loader)
        return lambda: function(folder)
    if manifest.format not in ENDINGS:
        message = f"format {manifest.format!r} is not known here: use the version that stored it"
        raise ModelUnloadable(message)
    file = folder / model_file(manifest)
    if manifest.format in _RUNS_CODE and "pickle" not in allow:
        raise ModelRefused(
            f"{file.name} is {_RUNS_CODE[manifest.format]}, and loading it runs whatever code is "
            'in it: allow it by name, allow=("pickle",), or store the model in another format',
            code="pickle",
        )
    if manifest.format == "pickle":
        return lambda: _load_pickle(file)
    library = _library(manifest.format)
    return lambda: _LOADS[manifest.format](library, file)


def _function(loader: str) -> Callable[[Path], object]:
    """Return the user's function that loads files."""
    if not loader:
        message = (
            "the bundle names no loader: read its files with get(), or add it with "
            'loader="module:function"'
        )
        raise ModelUnloadable(message)
    module, _, name = loader.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module, which may raise anything
        message = (
            f"the loader {loader} cannot be imported: {type(error).__name__}: {error}; install its "
            "package where the model is used, or put its folder on PYTHONPATH"
        )
        raise ModelUnloadable(message) from error
    if not callable(found):
        message = f"the loader {loader} is no function"
        raise ModelUnloadable(message)
    return found


def _library(name: str) -> ModuleType:
    """Return the library that a format needs."""
    module, package = LIBRARIES[name]
    if name == "mlflow":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"format {name} needs {package}, which is not here: pip install {package}"
        raise ModelUnloadable(f"{message} ({error})") from error


def _warn(file: Path, what: str) -> None:
    """Say what loading a file means, where it was allowed."""
    warnings.warn(
        f"{file.name} is {what}: loading it runs the code in it, and it may not load with "
        "another version of the libraries that it was made with",
        stacklevel=2,
    )


def _load_pickle(file: Path) -> object:
    """Return what a pickle holds."""
    _warn(file, _RUNS_CODE["pickle"])
    with file.open("rb") as opened:
        return pickle.load(opened)  # noqa: S301 - allowed by name


def _load_skops(library: ModuleType, file: Path) -> object:
    """Return a scikit-learn model; types that skops does not trust are refused by it."""
    return library.load(file, trusted=[])


def _load_onnx(library: ModuleType, file: Path) -> object:
    """Return a session on the processor, which is everywhere."""
    return library.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def _load_lightgbm(library: ModuleType, file: Path) -> object:
    """Return a booster."""
    return library.Booster(model_file=str(file))


def _load_torch(library: ModuleType, file: Path) -> object:
    """Return weights by name, never an object that runs code."""
    return library.load(file, map_location="cpu", weights_only=True)


def _load_mlflow(library: ModuleType, file: Path) -> object:
    """Return a model of MLflow with ``predict``, whichever library it was made with."""
    _warn(file, _RUNS_CODE["mlflow"])
    return library.load_model(str(file.parent))


_RUNS_CODE = {"pickle": "a pickle", "mlflow": "a model of MLflow"}
"""Formats that hold code, or may. A model of MLflow names what loads it, and brings modules."""
_LOADS: dict[str, Callable[[ModuleType, Path], object]] = {
    "skops": _load_skops,
    "onnx": _load_onnx,
    "lightgbm": _load_lightgbm,
    "torch": _load_torch,
    "mlflow": _load_mlflow,
}
