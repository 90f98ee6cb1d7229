"""Print the public API of firedoor: every name, signature, field and error attribute.

`tests/architecture/api.txt` holds what was accepted last; `make api` accepts what is there now.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType

import firedoor
from firedoor.spec.wall import WallOptions


def describe() -> str:
    """Return the public API as text, one line a fact, in alphabetical order."""
    lines = [line for name in sorted(firedoor.__all__) for line in _name(name)]
    lines += ["", "options of Wall"]
    lines += [f"    {line}" for line in _fields(WallOptions)]
    return "\n".join(lines) + "\n"


def public_members(kind: type) -> dict[str, object]:
    """Return what a class defines under a public name, functions and properties only.

    What it has of a class that has no public name counts as its own.
    """
    named = {"__call__", "__iter__", "__len__", "__enter__", "__exit__"}
    found: dict[str, object] = {}
    inner = [base for base in kind.__mro__[1:] if base.__module__.startswith("firedoor.")]
    hidden = [base for base in inner if not _counts(base)]
    for name, member in [item for one in (kind, *hidden) for item in vars(one).items()]:
        plain = inspect.isfunction(member) or isinstance(member, property | classmethod)
        if plain and (name in named or not name.startswith("_")):
            found.setdefault(name, member)
    return found


def functions_of(module: ModuleType) -> dict[str, Callable[..., object]]:
    """Return the functions that a module defines under a public name."""
    return {
        name: member
        for name, member in sorted(vars(module).items())
        if inspect.isfunction(member)
        and member.__module__ == module.__name__
        and not name.startswith("_")
    }


def documented_attributes(kind: type) -> dict[str, str]:
    """Return names and meanings in the ``Attributes:`` section of a class's docstring."""
    doc = inspect.getdoc(kind) if kind.__doc__ else None
    found = re.search(r"Attributes:\n((?:    .*\n?|\n)+)", (doc or "") + "\n")
    if found is None:
        return {}
    entries = re.findall(r"^    (\w+): ((?:.|\n(?!    \w+: ))*)", found[1], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _name(name: str) -> Iterator[str]:
    """Describe one public name."""
    value = getattr(firedoor, name)
    yield ""
    if inspect.ismodule(value):
        yield f"module {name}"
        yield from (
            f"    {called}{_bare(inspect.signature(function))}"
            for called, function in functions_of(value).items()
        )
        return
    if not isinstance(value, type):
        yield f"{name}{_bare(inspect.signature(value))}" if callable(value) else name
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if _counts(base))
    yield f"class {name}({bases})" if bases else f"class {name}"
    if dataclasses.is_dataclass(value):
        yield from (f"    {line}" for line in _fields(value))
    elif "__init__" in vars(value):
        yield f"    __init__{_signature(vars(value)['__init__'])}"
    for attribute in documented_attributes(value):
        if not dataclasses.is_dataclass(value):
            yield f"    .{attribute}"
    for member_name, member in sorted(public_members(value).items()):
        if isinstance(member, property):
            yield f"    .{member_name} -> {_returns(member.fget)}"
        else:
            kind = "async " if inspect.iscoroutinefunction(member) else ""
            yield f"    {kind}{member_name}{_signature(member)}"


def _counts(base: type) -> bool:
    """Return whether a class means something to who reads of one that is made of it."""
    ours = base.__module__.startswith("firedoor.")
    return base is not object and (not ours or base.__name__ in firedoor.__all__)


def _fields(kind: type) -> Iterator[str]:
    """Describe the fields of a dataclass with their defaults."""
    for field in dataclasses.fields(kind):
        default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        yield f"{field.name}: {field.type}{default}"


def _signature(member: object) -> str:
    """Return a method's signature without ``self``."""
    function = member.__func__ if isinstance(member, classmethod) else member
    assert callable(function)
    signature = inspect.signature(function)
    return _bare(signature.replace(parameters=list(signature.parameters.values())[1:]))


def _bare(signature: inspect.Signature) -> str:
    """Return a signature without the quotes around its annotations."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature))


def _returns(function: object) -> str:
    """Return the annotation of what a property gives."""
    assert callable(function)
    return str(inspect.signature(function).return_annotation)


if __name__ == "__main__":
    print(describe(), end="")
