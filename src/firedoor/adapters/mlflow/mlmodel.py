"""Models of MLflow as what a bundle is made of: files, a signature, an environment.

Only the file ``MLmodel`` is read, as plain values: nothing of the model is loaded.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.errors import DeclarationError, shorten

FILE = "MLmodel"
BYTES_MAX = 4 * 2**20
FIELDS_MAX = 10_000
OBJECT = "Object"
"""The dtype of what has no other here: maps, objects, anything."""

_DTYPES = {
    "boolean": "Boolean", "integer": "Int32", "long": "Int64", "float": "Float32",
    "double": "Float64", "string": "String", "binary": "Binary", "datetime": "Datetime",
    "bool": "Boolean", "str": "String", "object": "String", "datetime64[ns]": "Datetime",
    "int8": "Int8", "int16": "Int16", "int32": "Int32", "int64": "Int64", "uint8": "UInt8",
    "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64", "float16": "Float16",
    "float32": "Float32", "float64": "Float64",
}  # fmt: skip
"""Ours by MLflow's, of columns and of tensors."""
_PINNED = re.compile(r"([A-Za-z0-9][\w.\-]*)==([\w.+!\-]+)", re.ASCII)
_SOURCE = re.compile(r"(?:models|runs|mlflow-artifacts):/.+")


@dataclass(frozen=True, slots=True)
class Described:
    """What a model of MLflow says of itself."""

    inputs: dict[str, str] = field(default_factory=dict)
    """dtype by name, as ``Models.add`` takes it."""
    outputs: dict[str, str] = field(default_factory=dict)
    example: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    run: str = ""
    """MLflow's run that made it."""


def is_address(source: str) -> bool:
    """Return whether a source is on a server: ``models:/late/1``, ``runs:/ID/model``."""
    return _SOURCE.fullmatch(source) is not None


def described(folder: Path) -> Described:
    """Return what a folder's ``MLmodel`` says.

    Raises:
        DeclarationError: if there is none, or it is not what MLflow writes.
    """
    said = _read(folder)
    signature = said.get("signature")
    signature = signature if isinstance(signature, Mapping) else {}
    example = said.get("saved_input_example_info")
    name = example.get("artifact_path") if isinstance(example, Mapping) else None
    there = isinstance(name, str) and (folder / name).is_file()
    run = said.get("run_id")
    return Described(
        inputs=_fields("inputs", signature.get("inputs")),
        outputs=_fields("outputs", signature.get("outputs")),
        example=str(name) if there else "",
        environment=_environment(folder, said),
        run=f"mlflow {run}" if isinstance(run, str) and run else "",
    )


def _read(folder: Path) -> Mapping[str, object]:
    """Return the file as plain values."""
    file, remedy = folder / FILE, "name a folder that MLflow wrote, by save_model for example"
    try:
        yaml = importlib.import_module("yaml")  # MLflow brings it
    except ImportError as error:
        raise DeclarationError(
            "from_mlflow", str(folder), f"needs MLflow, which is not here ({error})",
            "pip install 'firedoor[mlflow]'",
        ) from error  # fmt: skip
    try:
        with file.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except OSError as error:
        why = f"holds no {FILE} that can be read ({error.strerror})"
        raise DeclarationError("from_mlflow", str(folder), why, remedy) from error
    try:
        said = yaml.safe_load(data) if len(data) <= BYTES_MAX else None
    except yaml.YAMLError as error:
        why = f"has an {FILE} that is damaged ({shorten(' '.join(str(error).split()))})"
        raise DeclarationError("from_mlflow", str(folder), why, remedy) from error
    if not isinstance(said, Mapping) or not isinstance(said.get("flavors"), Mapping):
        why = f"has an {FILE} that names no flavors"
        raise DeclarationError("from_mlflow", str(folder), why, remedy)
    if "python_function" not in said["flavors"]:
        why = "has no flavor python_function, by which it could be loaded"
        raise DeclarationError("from_mlflow", str(folder), why, "save it with one")
    return said


def _fields(field_name: str, text: object) -> dict[str, str]:
    """Return dtype by name from MLflow's JSON of one side of a signature."""
    if text is None:
        return {}
    try:
        listed = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        listed = None
    sound = isinstance(listed, list) and all(isinstance(one, Mapping) for one in listed)
    if not isinstance(listed, list) or not sound or len(listed) > FIELDS_MAX:
        raise DeclarationError(
            field_name, shorten(str(text)), "is no side of a signature that MLflow writes",
            "save the model again, with signature=infer_signature(...)",
        )  # fmt: skip
    alone = field_name.removesuffix("s")
    return {
        str(one.get("name") or (alone if len(listed) == 1 else f"{alone}_{number}")): _dtype(one)
        for number, one in enumerate(listed)
    }


def _dtype(spec: Mapping[str, object]) -> str:
    """Return our dtype, with the shape of one row, of a column or tensor."""
    tensor, items = spec.get("tensor-spec"), spec.get("items")
    if isinstance(tensor, Mapping):
        shape = tensor.get("shape")
        sizes = list(shape)[1:] if isinstance(shape, list) else []  # the first counts rows
        inner = ", ".join("?" if size == -1 else str(size) for size in sizes)
        dtype = _DTYPES.get(str(tensor.get("dtype")), OBJECT)
        return f"{dtype}[{inner}]" if sizes else dtype
    if spec.get("type") == "array" and isinstance(items, Mapping):
        return f"{_DTYPES.get(str(items.get('type')), OBJECT)}[?]"
    return _DTYPES.get(str(spec.get("type")), OBJECT)


def _environment(folder: Path, said: Mapping[str, object]) -> dict[str, str]:
    """Return the versions that the model was saved with."""
    found = {}
    try:
        lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines[:FIELDS_MAX]:
        pinned = _PINNED.match(line.strip())
        if pinned:
            found[pinned[1]] = pinned[2]
    version = said.get("mlflow_version")
    if isinstance(version, str):
        found.setdefault("mlflow", version)
    return found
