"""Whether a function ever looks at what it is given, told from its code."""

from __future__ import annotations

import dis
from types import CodeType


def reads_argument(function: object, name: str) -> bool | None:
    """Return whether a function's code ever reads one of its arguments; None: it cannot be told.

    >>> reads_argument(lambda frame, key: (frame, key), "key")
    True
    >>> reads_argument(lambda frame, key: frame, "key")
    False
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return None
    if name not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return None  # it goes into *args or **kwargs, or has another name
    if name in code.co_cellvars:
        return True
    return any(
        step.opname.startswith("LOAD")
        and (step.argval == name or (isinstance(step.argval, tuple) and name in step.argval))
        for step in dis.get_instructions(code)
    )
