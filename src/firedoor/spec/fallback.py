"""What a service answers when no version of its model can."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from firedoor.errors import DeclarationError
from firedoor.spec.checking import check_bytes, check_number, check_switch
from firedoor.spec.steps import check_fallback

OUTPUTS_MAX = 100
TEXT_MAX = 1_000
CACHED_BYTES = (2**16, 2**34)
CACHED_MAX_S = 86_400

Output = bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The ladder of answers below the version that was asked, from best to last.

    A declared version before, the answer to the very same request, a constant, a function; where
    nothing is left the answer is 503, with ``Retry-After`` and what to do. Each says so.

    Raises:
        DeclarationError: for anything that cannot work.
    """

    constant: Mapping[str, Output] | None = None
    """A value an output, for each row: ``{"chance": 0.2}``."""
    function: Callable[..., object] | None = None
    """``def usual(rows)`` returns outputs, as ``predict`` does: it is called in a worker of its
    own, which holds no model. Rows come as it annotates them, else as ``predict`` has them."""
    previous: bool = True
    """Whether the version that was live before may answer, while it is kept warm."""
    cached_s: float | None = 300.0
    """Age up to which the answer to the very same request is given again; None: never. To a day."""
    cached: int | str = "64MiB"
    """Room for those answers in each gateway. 64 KiB to 16 GiB."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.constant is not None:
            _check_constant(self.constant)
        if self.function is not None:
            check_fallback(self.function)
        check_switch("previous", self.previous)
        if self.cached_s is not None:
            check_number("cached_s", self.cached_s, 0.001, CACHED_MAX_S, "seconds")
        check_bytes("cached", self.cached, *CACHED_BYTES)


def _check_constant(given: object) -> None:
    """Refuse what is no row of outputs."""
    remedy = 'write constant={"chance": 0.2}'
    if not isinstance(given, Mapping) or not 0 < len(given) <= OUTPUTS_MAX:
        why = f"is no mapping of 1 to {OUTPUTS_MAX} outputs"
        raise DeclarationError("constant", given, why, remedy)
    for name, value in given.items():
        if not isinstance(name, str) or not name or not name.isprintable():
            raise DeclarationError("constant", name, "is no name of an output", remedy)
        if value is not None and not isinstance(value, bool | int | float | str):
            why = f"of {name} is no switch, number, text or None"
            raise DeclarationError("constant", value, why, remedy)
        if isinstance(value, float) and not math.isfinite(value):
            why = f"of {name} is not finite, which no answer may be"
            raise DeclarationError("constant", value, why, remedy)
        if isinstance(value, int) and abs(value) >= 2**63:
            why = f"of {name} does not fit into 64 bits"
            raise DeclarationError("constant", value, why, "give it as text")
        if isinstance(value, str) and len(value) > TEXT_MAX:
            why = f"of {name} is longer than {TEXT_MAX} characters"
            raise DeclarationError("constant", f"{value[:40]}...", why, "give less")
