"""Checks of the functions that a user hands in: whether they can be called as they will be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from firedoor.errors import DeclarationError
from firedoor.names import check_name

DOC_MAX = 500


def check_transform(step: object, further: Sequence[str]) -> Callable[..., object]:
    """Return a step that takes a frame, and each lookup and model by name.

    Raises:
        DeclarationError: saying how to write it.
    """
    named = "".join(f", {name}" for name in further)
    return _check(step, list(further), f"def {_name(step)}(frame{named})")


def check_sink(step: object) -> Callable[..., object]:
    """Return a function that takes a frame, and the key under which it shall have its effect.

    Raises:
        DeclarationError: saying how to write it.
    """
    return _check(step, ["key"], f"def {_name(step)}(frame, key)")


def check_job(step: object, *, reads: bool) -> Callable[..., object]:
    """Return a function that takes a run, and the folder that it reads, if it reads one.

    Raises:
        DeclarationError: saying how to write it.
    """
    write = f"def {_name(step)}(run{', folder' if reads else ''})"
    what = f"a run{' and a folder' if reads else ''}"
    return _check_places("step", step, 2 if reads else 1, what, write)


def check_evaluation(step: object) -> Callable[..., object]:
    """Return a function that takes a model and rows.

    Raises:
        DeclarationError: saying how to write it.
    """
    return _check_places("step", step, 2, "a model and rows", f"def {_name(step)}(model, rows)")


def check_fallback(step: object) -> Callable[..., object]:
    """Return a function that takes rows: what is answered without a model.

    Raises:
        DeclarationError: saying how to write it.
    """
    return _check_places("function", step, 1, "rows", f"def {_name(step)}(rows)")


def check_change(name: str, change: object) -> Callable[..., object]:
    """Return a function that takes rows: a change of inputs.

    Raises:
        DeclarationError: saying how to write it.
    """
    write = f"def {_name(change)}(rows)"
    return _check_places(f"checks[{name!r}]", change, 1, "rows", write)


def name_of(name: str | None, step: Callable[..., object]) -> str:
    """Return the name of a zone: what was given, or what its function is called.

    Raises:
        DeclarationError: if neither can name a zone.
    """
    if name is not None:
        return check_name("name", name)
    called = getattr(step, "__name__", type(step).__name__)
    try:
        return check_name("name", called)
    except DeclarationError as error:
        remedy = f"{error.remedy}; or write name="
        raise DeclarationError("name", called, "cannot name a zone", remedy) from None


def doc_of(step: Callable[..., object]) -> str:
    """Return the first paragraph of a function's docstring, on one line."""
    text = inspect.getdoc(step) if inspect.isroutine(step) else None
    return " ".join((text or "").split("\n\n")[0].split())[:DOC_MAX]


def _check(step: object, named: list[str], write: str) -> Callable[..., object]:
    """Return a plain function that can be called with a frame and these names."""
    plain = _check_plain(step, f"write a plain function, frame in, frame out: {write}", write)
    try:
        inspect.signature(plain).bind(None, **dict.fromkeys(named))
    except TypeError as error:
        with_names = "".join(f" and {name}=" for name in named)
        why = f"cannot be called with a frame{with_names} ({error})"
        raise DeclarationError("step", step, why, f"write {write}") from None
    except ValueError:
        pass  # built in, without a signature: the worker will tell
    return plain


def _check_places(
    field: str, step: object, places: int, what: str, write: str
) -> Callable[..., object]:
    """Return a plain function that can be called with so many arguments."""
    try:
        plain = _check_plain(step, f"write a plain function: {write}", write)
    except DeclarationError as error:
        why = str(error).partition(": ")[2].partition("; ")[0]
        raise DeclarationError(field, step, why, error.remedy) from None
    try:
        inspect.signature(plain).bind(*[None] * places)
    except TypeError as error:
        why = f"cannot be called with {what} ({error})"
        raise DeclarationError(field, step, why, f"write {write}") from None
    except ValueError:
        pass  # built in, without a signature: the worker will tell
    return plain


def _check_plain(step: object, remedy: str, write: str) -> Callable[..., object]:
    """Return what is a function, and neither a coroutine nor a generator."""
    if not callable(step) or isinstance(step, type):
        raise DeclarationError("step", step, "is not a function", f"write {write}")
    called = (step, getattr(step, "__call__", None))  # noqa: B004 - the method, not whether
    if any(
        inspect.iscoroutinefunction(f)
        or inspect.isgeneratorfunction(f)
        or inspect.isasyncgenfunction(f)
        for f in called
    ):
        why = "is a coroutine or generator"
        raise DeclarationError("step", step, why, remedy)
    return step


def _name(step: object) -> str:
    """Return what a function is called, for a remedy."""
    name = getattr(step, "__name__", "step")
    return name if isinstance(name, str) and name.isidentifier() else "step"
