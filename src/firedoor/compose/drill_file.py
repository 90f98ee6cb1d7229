"""Read a matrix: ``drills.yaml``, the same as JSON or TOML, or Python that makes one.

A Python file holds ``matrix = Matrix(rows=(Asked(fault="kill", zone="enrich"),))``, both of
``firedoor.drill.matrix``. It is run in a process of its own, as a pipeline's file is.
"""

from __future__ import annotations

import json
import runpy
import sys
import tomllib
from pathlib import Path

import msgspec

from firedoor.compose.files import explain
from firedoor.compose.hearing import ask_child, be_child
from firedoor.compute.blame import encodable
from firedoor.drill.matrix import Matrix, read_matrix
from firedoor.errors import DeclarationError, NotKnown, PipelineUnloadable

BYTES_MAX = 2**20
TIMEOUT_S = 30.0
NAMES = ("drills.yaml", "drills.yml", "drills.toml", "drills.json", "drills.py")
"""What is looked for where no file is named."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the child found."""

    matrix: Matrix | None = None
    error: str = ""


def find_matrix(folder: Path) -> Path:
    """Return the matrix that lies in a folder.

    Raises:
        NotKnown: if there is none.
    """
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    message = (
        f"there is no {NAMES[0]} in {folder}: name one with --matrix, or drill one fault with "
        "--fault kill --zone NAME"
    )
    raise NotKnown(message)


def load_matrix(file: Path) -> Matrix:
    """Return the matrix in a file.

    Raises:
        DeclarationError: if it is none.
        NotKnown: if there is no such file, or nothing here can read it.
        PipelineUnloadable: if it is Python that fails.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except OSError as error:
        message = f"{file} cannot be read: {explain(error)}"
        raise NotKnown(message) from error
    if len(data) > BYTES_MAX:
        why = f"is larger than {BYTES_MAX:,} bytes"
        raise DeclarationError("matrix", str(file), why, "split it")
    if file.suffix == ".py":
        return _ask_python(file)
    return read_matrix(_values(file, data), str(file))


def _values(file: Path, data: bytes) -> object:
    """Return what is written in a file, as plain values."""
    try:
        match file.suffix:
            case ".yaml" | ".yml":
                return _yaml(file, data)
            case ".toml":
                return tomllib.loads(data.decode())
            case ".json":
                return json.loads(data)
            case _:
                why, remedy = "is of no known form", "name it .yaml, .toml, .json or .py"
                raise DeclarationError("matrix", str(file), why, remedy)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        why = f"cannot be read: {error}"
        raise DeclarationError("matrix", str(file), why, "correct it") from error


def _yaml(file: Path, data: bytes) -> object:
    """Return what YAML says.

    Raises:
        NotKnown: if PyYAML is not installed.
    """
    try:
        return msgspec.yaml.decode(data)
    except ImportError as error:
        message = f"{file}: YAML needs PyYAML (pip install pyyaml), or write it as TOML or JSON"
        raise NotKnown(message) from error


def _ask_python(file: Path) -> Matrix:
    """Return the matrix that Python makes, in a child."""
    said = ask_child(
        "firedoor.compose.drill_file", file.absolute(), timeout_s=TIMEOUT_S, python=sys.executable
    )
    answer = msgspec.json.decode(said, type=Answer)
    if answer.matrix is None:
        raise PipelineUnloadable(answer.error)
    return answer.matrix


def answer_matrix(path: Path) -> bytes:
    """Return the matrix of a Python file, or what is wrong with it, as JSON. Runs in the child."""
    try:
        found = runpy.run_path(str(path)).get("matrix")
    except Exception as error:  # noqa: BLE001 - user code: whatever it raises is told
        return msgspec.json.encode(Answer(error=encodable(f"{path}: {error!r}")))
    if not isinstance(found, Matrix):
        message = f"{path} makes no matrix: write matrix = Matrix(rows=(...)) at its top level"
        return msgspec.json.encode(Answer(error=message))
    return msgspec.json.encode(Answer(matrix=found))


if __name__ == "__main__":
    be_child(sys.argv[1:], answer_matrix)
