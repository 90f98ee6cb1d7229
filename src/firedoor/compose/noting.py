"""What a plan says of a user's function: how a worker finds it, and which version its code has."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.compute.limits import MEMORY_MIN_BYTES
from firedoor.compute.step import MAIN_ALIAS, refer
from firedoor.errors import DeclarationError
from firedoor.spec.referred import StepNote
from firedoor.units import format_bytes

if TYPE_CHECKING:
    import dataframely as dy

INSTALLED = ("site-packages", "dist-packages")
"""Folders of libraries, whose versions a run records."""


def note(
    whose: str,
    step: Callable[..., object],
    schema: type[dy.Schema] | None = None,
    out_schema: type[dy.Schema] | None = None,
    *,
    memory_bytes: int,
    by_value: bool,
    file: Path,
) -> StepNote:
    """Return what a worker needs to find a function.

    Raises:
        DeclarationError: if it could not.
    """
    if memory_bytes < MEMORY_MIN_BYTES:
        why = f"of {whose} is less than a worker needs to live"
        remedy = f"give at least {format_bytes(MEMORY_MIN_BYTES)}"
        raise DeclarationError("memory", memory_bytes, why, remedy)
    try:
        reference = refer(step, schema, out_schema, by_value=by_value)
    except DeclarationError as error:
        why = f"of {whose} {str(error).partition(': ')[2].partition('; ')[0]}"
        raise DeclarationError(error.field, step, why, error.remedy) from error
    of_file = MAIN_ALIAS.encode() in reference.pickled
    return StepNote(
        name=reference.name,
        pickled=reference.pickled,
        main_path=str(file) if of_file else reference.main_path,
        main_module=None if of_file else reference.main_module,
        where=_where(step),
    )


def _where(step: Callable[..., object]) -> str:
    """Return ``file:line`` of a function: of its ``def``, not of its decorators."""
    code = getattr(inner(step), "__code__", None)
    if code is None:
        return ""
    line = code.co_firstlineno
    try:
        lines, first = inspect.getsourcelines(code)
    except (OSError, TypeError):
        return f"{code.co_filename}:{line}"
    named = (n for n, text in enumerate(lines) if text.lstrip().startswith("def "))
    return f"{code.co_filename}:{first + next(named, 0)}"


def hash_of(said: bytes, sources: dict[str, bytes]) -> str:
    """Return a hash of options and of modules."""
    digest = hashlib.blake2b(said, digest_size=5)
    for name, source in sorted(sources.items()):
        digest.update(f"\n{name}\n".encode())
        digest.update(source)
    return digest.hexdigest()


def sources_of(step: Callable[..., object] | None, *schemas: object) -> dict[str, bytes]:
    """Return by module the source of what defines a function and its schemas."""
    made: list[object] = [*schemas]
    if step is not None:
        function = inner(step)
        made.append(function if hasattr(function, "__code__") else type(function))
    sources = {}
    for part in made:
        module = sys.modules.get(getattr(part, "__module__", None) or "")
        file = getattr(module, "__file__", None)
        if module is not None and file is not None and file.endswith(".py"):
            sources[module.__name__] = Path(file).read_bytes()
    return sources


def beside(file: Path) -> dict[str, bytes]:
    """Return by path the source of what a pipeline's file has imported from its own folder.

    A checkpoint is taken over only by a run of the same code, and a training is seldom one module.
    """
    folder, sources = file.resolve().parent, {}
    for module in list(sys.modules.values()):
        found = getattr(module, "__file__", None)
        path = Path(found).resolve() if isinstance(found, str) else folder
        if path.suffix == ".py" and path.is_relative_to(folder):
            inside = path.relative_to(folder)
            if not any(part.startswith(".") or part in INSTALLED for part in inside.parts):
                sources[inside.as_posix()] = path.read_bytes()
    return sources


def inner(step: object) -> object:
    """Return the function within partials and decorators."""
    while isinstance(step, functools.partial):
        step = step.func
    return inspect.unwrap(step) if callable(step) else step
