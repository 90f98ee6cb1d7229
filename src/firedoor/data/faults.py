"""Tell what an error that came out of a batch means for its zone."""

from __future__ import annotations

from typing import Literal

from firedoor.errors import (
    DependencyDown,
    FiredoorError,
    StepAtFault,
    StepUnloadable,
    StreamsUnavailable,
    WorkersUnavailable,
)
from firedoor.flow.blame import BROKER
from firedoor.flow.probes import Trouble
from firedoor.wire.envelope import Damaged

DEPENDENCY = "dependency_down"
UNKNOWN = "unknown"
"""A dependency of which nobody said what it is."""


_TERMS: dict[type[Exception], tuple[Literal["halted", "paused"], str, bool]] = {
    DependencyDown: ("paused", DEPENDENCY, True),
    WorkersUnavailable: ("halted", "workers_unavailable", True),
    StepUnloadable: ("halted", "step_unloadable", False),
    Damaged: ("halted", "damaged", False),
}
"""Word, code, and whether trying again may help."""


class Leaving(Exception):
    """The zone drains and cannot finish a batch in time: its input stays as it is."""


def trouble_of(
    error: Exception, *, batch: str, publisher: str = "", dependency: str = "", fault: str = ""
) -> Trouble:
    """Return the trouble that an error is.

    Hangs and missing workers may be a dependency's or the machine's: those zones probe.

    Args:
        error: what came out of the batch.
        batch: its name.
        publisher: the zone that it came from; empty at a source.
        dependency: what the zone depends on, where the error does not say it.
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
        cause=cause_of(error, publisher=publisher, dependency=dependency),
    )


def cause_of(error: Exception, *, publisher: str = "", dependency: str = "") -> str:
    """Return whose fault an error is; empty: the zone's own. See ``flow.blame``."""
    match error:
        case DependencyDown():
            return f"dependency:{error.dependency or dependency or UNKNOWN}"
        case StreamsUnavailable():
            return BROKER
        case StepAtFault(of_input=True):
            return publisher
        case _:
            return ""


def _hangs(fault: StepAtFault) -> bool:
    """Return whether rows failed by hanging: a dependency that hangs looks so."""
    return fault.signature == "hang" or fault.signature.startswith("hang ")
