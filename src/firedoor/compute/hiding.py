"""Hide secrets in texts that are kept or shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from firedoor.compute.seal import looks_secret

_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
MASK = "***"
LONG_CHARACTERS_MIN = 8
"""From here on every value is hidden: a variable that has to be declared may well be a secret."""
SECRET_CHARACTERS_MIN = 4
"""A shorter one stands in every text: hiding it would leave nothing to read."""


def hide(text: str, values: Iterable[str]) -> str:
    """Return a text without these values.

    >>> hide("no user hunter2 at db", ["hunter2"])
    'no user *** at db'
    """
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def hider_of(environ: Mapping[str, str], names: Iterable[str]) -> Callable[[str], str]:
    """Return what hides the values of some variables, a line each, in a text.

    Args:
        environ: variables by name.
        names: those that user code was given besides harmless ones.
    """
    values: set[str] = set()
    for name in names:
        value = environ.get(name, "")
        least = SECRET_CHARACTERS_MIN if looks_secret(name, value) else LONG_CHARACTERS_MIN
        lines = (*value.splitlines(), *_PASSWORD.findall(value))
        values |= {line for line in lines if len(line.strip()) >= least}
    return lambda text: hide(text, values) if values else text
