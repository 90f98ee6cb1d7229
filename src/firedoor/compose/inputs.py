"""Whether what a pipeline reads is there, before anything is started."""

from __future__ import annotations

import glob
from pathlib import Path

from firedoor.spec.plan import Plan


def missing_inputs(plan: Plan) -> tuple[str, ...]:
    """Return what sources and lookups name that is not there, in words; empty if all is there.

    A source that follows may begin without files.
    """
    problems = []
    for zone in plan.zones:
        if zone.source is None or zone.source.follow:
            continue
        for pattern in zone.source.patterns:
            found = Path(pattern).exists() or glob.glob(pattern, recursive=True)  # noqa: PTH207
            if not found:
                problems.append(
                    f"source {zone.name}: {pattern} matches no file; correct the path, which is "
                    "relative to the pipeline's file, or write follow=True to wait for one"
                )
    problems += [
        f"lookup {lookup.name}: there is no file {lookup.path}; make it, or correct the path"
        for lookup in plan.lookups
        if lookup.path and not Path(lookup.path).is_file()
    ]
    return tuple(problems)
