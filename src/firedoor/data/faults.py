"""Tell what an error that came out of a batch means for its zone."""

from __future__ import annotations

from typing import Literal

from firedoor.errors import (
    DependencyDown,
    FiredoorError,
    StepAtFault,
    StepUnloadable,
    WorkersUnavailable,
)
from firedoor.flow.probes import Trouble
from firedoor.wire.envelope import Damaged

DEPENDENCY = "dependency_down"


_TERMS: dict[type[Exception], tuple[Literal["halted", "paused"], str, bool]] = {
    DependencyDown: ("paused", DEPENDENCY, True),
    WorkersUnavailable: ("halted", "workers_unavailable", True),
    StepUnloadable: ("halted", "step_unloadable", False),
    Damaged: ("halted", "damaged", False),
}
"""Word, code, and whether trying again may help."""


class Leaving(Exception):
    """The zone drains and cannot finish a batch in time: its input stays as it is."""


def trouble_of(error: Exception, *, batch: str, fault: str = "") -> Trouble:
    """Return the trouble that an error is.

    Hangs and missing workers may be a dependency's or the machine's: those zones probe.

    Args:
        error: what was raised.
        batch: over which.
        fault: id of the fault of a drill that hit the batch; empty: none did.
    """
    known = [terms for kind, terms in _TERMS.items() if isinstance(error, kind)]
    word, code, probes = known[0] if known else ("halted", "error", False)
    if isinstance(error, StepAtFault):
        code, probes = error.code, _hangs(error)
    expected = isinstance(error, (FiredoorError, Damaged))
    what = str(error) if expected else f"{type(error).__name__}: {error}"
    return Trouble(
        word=word,
        code=code,
        why=f"{batch}: {what}" + (f" (injected by drill fault {fault})" if fault else ""),
        fault=fault,
        probes=probes,
        quick=code == DEPENDENCY,
        retry_after_s=getattr(error, "retry_after_s", None),
    )


def _hangs(fault: StepAtFault) -> bool:
    """Return whether rows failed by hanging: a dependency that hangs looks so."""
    return fault.signature == "hang" or fault.signature.startswith("hang ")
