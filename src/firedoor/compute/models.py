"""Models in a worker: verified and loaded once, and kept while batches ask for them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.compute.formats import load_model
from firedoor.compute.signature import misfits, told
from firedoor.errors import shorten
from firedoor.wire.bundle import Field, Manifest, Unsound, decode_manifest
from firedoor.wire.messages import AtFault
from firedoor.wire.model_files import ModelFiles

if TYPE_CHECKING:
    import polars as pl

UNLOADABLE = "model_unloadable"
DAMAGED = "model_damaged"
MISFIT = "model_misfit"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model as an object."""

    value: object
    inputs: tuple[Field, ...]
    """What it takes, as its bundle says."""


class ModelFails(Exception):
    """A model cannot be used; no row is to blame."""

    def __init__(self, reply: AtFault) -> None:
        """Keep what to answer."""
        super().__init__(reply.message)
        self.reply = reply


class Models:
    """Models of one worker."""

    def __init__(self) -> None:
        """Hold none."""
        self._held: dict[ModelFiles, _Loaded] = {}
        self._fits: tuple[frozenset[ModelFiles], pl.Schema] | None = None
        """Models and columns of which the one is known to take the other."""

    def missing(self, models: Mapping[str, ModelFiles]) -> tuple[str, ...]:
        """Return the names of those that are not loaded yet."""
        return tuple({files.name: None for files in models.values() if files not in self._held})

    def objects(self, models: Mapping[str, ModelFiles]) -> dict[str, object]:
        """Return a model for each parameter; those that are not asked for any more are let go.

        Raises:
            ModelFails: if one is not what was stored, or cannot be loaded.
        """
        wanted = set(models.values())
        self._held = {files: loaded for files, loaded in self._held.items() if files in wanted}
        for files in models.values():
            if files not in self._held:
                self._held[files] = _load(files)
        return {parameter: self._held[files].value for parameter, files in models.items()}

    def check(self, models: Mapping[str, ModelFiles], schema: pl.Schema) -> None:
        """Refuse columns that are not what the models take, where their bundles say what that is.

        Raises:
            ModelFails: naming column, what is wanted and what was found.
        """
        wanted = frozenset(models.values())
        if not models or self._fits == (wanted, schema):
            return
        for files in models.values():
            bad = misfits(self._held[files].inputs, schema)
            if bad:
                message = (
                    f"model {files.name} does not take these rows: {told(bad)}; bring the zone "
                    "before in line with its signature, or roll the model back"
                )
                raise ModelFails(_at_fault(MISFIT, message, columns=tuple(bad)))
        self._fits = (wanted, schema)


def _load(files: ModelFiles) -> _Loaded:
    """Return a model, once all its files are what their manifest says.

    Raises:
        ModelFails: if it cannot be had.
    """
    try:
        manifest = verify(files)
    except (OSError, Unsound) as error:
        message = f"the files of model {files.name} are not what was stored: {error}"
        raise ModelFails(_at_fault(DAMAGED, message)) from error
    try:
        value = load_model(Path(files.folder), manifest, allow=files.allow)
    except BaseException as error:  # a loader is user code, and may raise anything
        model = files.name.partition("@")[0]
        what = str(error) or type(error).__name__
        message = (
            f"model {files.name} cannot be loaded: {shorten(what, 1000)}; put that right, or go "
            f"back with `firedoor models rollback {model}`; then restart the zone"
        )
        raise ModelFails(_at_fault(UNLOADABLE, message)) from error
    return _Loaded(value, manifest.signature.inputs)


def verify(files: ModelFiles) -> Manifest:
    """Return the manifest of a bundle, compared with its digest, and its files with the manifest.

    Raises:
        OSError: if something cannot be read.
        Unsound: if something differs.
    """
    folder = Path(files.folder)
    encoded = folder.with_name(f"{folder.name}.json").read_bytes()
    if hashlib.sha256(encoded).hexdigest() != files.digest:
        message = "its manifest differs"
        raise Unsound(message)
    manifest = decode_manifest(encoded)
    for entry in manifest.files:
        with (folder / entry.path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != entry.sha256:
            message = f"{entry.path} differs"
            raise Unsound(message)
    return manifest


def _at_fault(code: str, message: str, *, columns: tuple[str, ...] = ()) -> AtFault:
    """Return what to answer."""
    return AtFault(code=code, message=message, columns=columns)
