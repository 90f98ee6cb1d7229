"""What ``firedoor run`` says of the rules of ``firedoor check`` before it begins."""

from __future__ import annotations

import sys
from pathlib import Path

from firedoor.compose.vetting import counted, vet
from firedoor.errors import PipelineUnloadable
from firedoor.lint.telling import lines_of
from firedoor.spec.plan import Plan


def warn_or_refuse(plan: Plan, file: Path, utc_s: float) -> None:
    """Say on one line of stderr that there are warnings.

    Raises:
        PipelineUnloadable: if there are errors, with the text of ``firedoor check``.
    """
    judgement = vet(plan, utc_s)
    if judgement.errors:
        told = [line for one in judgement.errors for line in lines_of(plan, one)]
        head = f"{file}: {counted(len(judgement.errors), 'error')}; see also: firedoor check {file}"
        raise PipelineUnloadable("\n".join([head, *told]))
    if judgement.warnings:
        number = counted(len(judgement.warnings), "warning")
        print(f"{number}: firedoor check {file}", file=sys.stderr)
