"""A pipeline's file, run for what it declares.

``load_plan`` runs it in a process of its own (``python -m firedoor.compose.loading FILE``);
``load_pipeline`` in this one, which must be one that is meant to run user code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from firedoor.compose.hearing import ask_child, be_child
from firedoor.compose.pipeline_file import check_file, load_pipeline
from firedoor.compose.planning import plan_of
from firedoor.compute.blame import encodable
from firedoor.errors import DeclarationError, PipelineUnloadable
from firedoor.spec.plan import Plan

__all__ = ["load_pipeline", "load_plan"]

TIMEOUT_S = 60.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the child found."""

    plan: Plan | None = None
    error: str = ""


def load_plan(path: Path, *, timeout_s: float = TIMEOUT_S, python: str = sys.executable) -> Plan:
    """Return the plan that a file declares; its code runs in a child process only.

    Args:
        path: a Python file with a ``fd.Pipeline`` at its top level.
        timeout_s: longest time that its import may take.
        python: the interpreter to import it with.

    Raises:
        PipelineUnloadable: if there is no such file, it is no Python, its import fails, hangs,
            crashes or exits, or it declares no pipeline, or a wrong one.
    """
    path = check_file(path)
    said = ask_child("firedoor.compose.loading", path, timeout_s=timeout_s, python=python)
    try:
        answer = msgspec.json.decode(said, type=Answer)
    except msgspec.DecodeError as error:
        message = f"{path}: {python} has another version of firedoor ({error}); install this one"
        raise PipelineUnloadable(message) from error
    if answer.plan is None:
        raise PipelineUnloadable(answer.error)
    return answer.plan


def answer_plan(path: Path) -> bytes:
    """Return the plan of a file, or what is wrong with it, as JSON. Runs in the child."""
    try:
        pipeline = load_pipeline(path)
        plan = plan_of(pipeline, file=path, sys_path=tuple(sys.path))
    except DeclarationError as error:
        return msgspec.json.encode(Answer(error=encodable(f"{path}: {error}")))
    except PipelineUnloadable as error:
        return msgspec.json.encode(Answer(error=encodable(str(error))))
    return msgspec.json.encode(Answer(plan=plan))


if __name__ == "__main__":
    be_child(sys.argv[1:], answer_plan)
