"""The step as a reference that a fresh process can follow, and following it there."""

from __future__ import annotations

import functools
import importlib
import inspect
import pickle
import runpy
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from firedoor.errors import DeclarationError, StepUnloadable

if TYPE_CHECKING:
    import dataframely as dy

Step = Callable[..., object]
CARRY = "pass cloudpickle=True to have it carried by value"
MAIN_ALIAS = "__mp_main__"


@dataclass(frozen=True, slots=True)
class StepReference:
    """What a worker needs to find the step: bytes and, for scripts, where ``__main__`` is."""

    name: str
    pickled: bytes
    main_path: str | None
    main_module: str | None


def refer(
    step: Step | str,
    schema: type[dy.Schema] | None,
    out_schema: type[dy.Schema] | None,
    *,
    by_value: bool,
) -> StepReference:
    """Return a reference to the step and its schemas.

    Raises:
        DeclarationError: if a worker could not follow it, saying what to do instead.
    """
    name = _check(step, by_value=by_value)
    _check_schema("schema", schema)
    _check_schema("out_schema", out_schema)
    parcel = (step, schema, out_schema)
    try:
        pickled = _carry(parcel) if by_value else pickle.dumps(parcel)
    except DeclarationError:
        raise
    except Exception as error:
        # Whatever the pickling of a user's object raises, it is their declaration that is wrong.
        raise DeclarationError(
            "step",
            step,
            f"cannot be sent to a worker ({error})",
            f"define it in a module, or {CARRY}",
        ) from error
    path, module = _main() if b"__main__" in pickled else (None, None)
    return StepReference(name, pickled, path, module)


def follow(
    pickled: bytes, *, main_path: str | None, main_module: str | None
) -> tuple[Step, type[dy.Schema] | None, type[dy.Schema] | None]:
    """Return step and schemas, importing the user's module. Runs in a worker.

    Raises:
        StepUnloadable: if there is no such function.
    """
    if main_path or main_module:
        _load_main(main_path, main_module)
    step, schema, out_schema = pickle.loads(pickled)  # noqa: S301 - made by our own parent
    if isinstance(step, str):
        step = _find(step)
    return step, schema, out_schema


def _check(step: Step | str, *, by_value: bool) -> str:
    """Return the step's name, refusing what no worker could run."""
    if isinstance(step, str):
        module, _, function = step.partition(":")
        if not module or not function:
            raise DeclarationError(
                "step", step, "is not a reference", 'write "package.module:function"'
            )
        return function.rpartition(".")[2]
    if not callable(step):
        raise DeclarationError("step", step, "cannot be called", "pass a function of one frame")
    inner = step.func if isinstance(step, functools.partial) else step
    called = (inner, getattr(inner, "__call__", None))  # noqa: B004 - the method, not whether
    if any(inspect.iscoroutinefunction(f) or inspect.isgeneratorfunction(f) for f in called):
        raise DeclarationError(
            "step",
            step,
            "is a coroutine or generator",
            "write a plain function: frame in, frame out",
        )
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    if not by_value and ("<lambda>" in name or "<locals>" in name):
        what = "is a lambda" if "<lambda>" in name else "is defined inside a function"
        raise DeclarationError(
            "step", step, f"{what}, which no other process can import",
            f"define it at the top of a module, or {CARRY}",
        )  # fmt: skip
    return name.rpartition(".")[2].strip("<>")


def _check_schema(field: str, schema: object) -> None:
    """Refuse anything but a dataframely schema class."""
    if schema is None:
        return
    import dataframely as dy  # noqa: PLC0415 - costs 0.2 s, and many walls have no schema

    if not (isinstance(schema, type) and issubclass(schema, dy.Schema)):
        raise DeclarationError(
            field, schema, "is not a dataframely schema", "pass a subclass of dataframely.Schema"
        )


def _carry(parcel: object) -> bytes:
    """Return the parcel pickled by value."""
    try:
        import cloudpickle  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise DeclarationError(
            field="cloudpickle",
            value=True,
            why="needs the cloudpickle package",
            remedy="pip install 'firedoor[cloudpickle]'",
        ) from None
    return cast("bytes", cloudpickle.dumps(parcel))


def _main() -> tuple[str | None, str | None]:
    """Return where ``__main__`` comes from, as (path, module name)."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in {None, "__main__"}:
        return None, spec.name
    path = getattr(main, "__file__", None)
    if path and Path(path).exists():
        return str(Path(path).resolve()), None
    raise DeclarationError(
        "step", "__main__", "is typed into a prompt or notebook, which no other process can import",
        f"put it into a module, or {CARRY}",
    )  # fmt: skip


def _load_main(path: str | None, module: str | None) -> None:
    """Run the user's script under another name, as multiprocessing does, and call it __main__."""
    if module:
        names = runpy.run_module(module, run_name=MAIN_ALIAS, alter_sys=True)
    else:
        names = runpy.run_path(str(path), run_name=MAIN_ALIAS)
    main = types.ModuleType(MAIN_ALIAS)
    main.__dict__.update(names)
    sys.modules["__main__"] = sys.modules[MAIN_ALIAS] = main


def _find(reference: str) -> Step:
    """Return the function that ``"module:function"`` names."""
    module, _, path = reference.partition(":")
    found: object = importlib.import_module(module)
    for part in path.split("."):
        if not hasattr(found, part):
            message = f"module {module!r} has no {path!r}"
            raise StepUnloadable(message)
        found = getattr(found, part)
    if not callable(found):
        message = f"{reference!r} is a {type(found).__name__}, not a function"
        raise StepUnloadable(message)
    return found
