"""What a drill wants of one run of a job, and the copy of what that reads with rows changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.compose.files import FOLDER_MODE
from firedoor.drill.fault import Fault
from firedoor.errors import shorten
from firedoor.ports.faults import Faults, NoFaults

PATTERN = "*.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """The fault of a run, if it has one."""

    fault: str = ""
    """Id of the one that was wanted when the run began; empty: none was."""
    faults: Faults = field(default_factory=NoFaults)
    """Asked where it would strike."""
    changes: Fault | None = None
    """The same fault, if it is one that changes what the run reads."""

    def change(self, source: Path, to: Path, tell: Callable[[str], None]) -> int:
        """Write a copy of what a run reads, with the rows changed that the fault hits.

        Args:
            source: the folder that the job would be handed.
            to: the folder that it is handed instead; what is there goes.
            tell: told how many rows of which column are changed.

        Returns:
            how many rows differ; 0: there is no copy, and the job is to read what there is.

        Raises:
            OSError: if the copy cannot be written.
        """
        fault = self.changes
        shutil.rmtree(to, ignore_errors=True)
        if fault is None or self.faults.over(fault.id):
            return 0
        shutil.copytree(source, to)
        for path in (to, *to.rglob("*")):
            path.chmod(FOLDER_MODE if path.is_dir() else 0o600)  # a snapshot may not be written
        count, why = _changed(to, fault)
        if not count:
            self.faults.unable(why)
            shutil.rmtree(to, ignore_errors=True)
            return 0
        self.faults.hit(count)
        tell(f"drill fault {fault.id} ({fault.name}) changed {count:,} rows of what it reads")
        return count


def _changed(folder: Path, fault: Fault) -> tuple[int, str]:
    """Change the rows of all files that a fault fits; return how many, or why there are none."""
    import polars as pl  # noqa: PLC0415 - for who is drilled

    from firedoor.compute.aiming import aim  # noqa: PLC0415 - polars
    from firedoor.compute.striking import Striking  # noqa: PLC0415 - polars

    count, why = 0, f"{fault.name} hits no row of what it reads: give a greater share"
    try:
        for path in sorted(folder.rglob(PATTERN)):
            frame = pl.read_parquet(path)
            aimed = aim(fault, path.name, frame, memory_bytes=0)
            why = aimed.why_not or why
            if aimed.strike is not None:
                Striking(aimed.strike, frame).changed(frame).write_parquet(path)
                count += aimed.count
    except pl.exceptions.PolarsError as error:  # whoever runs jobs must not die of a drill
        return 0, f"what it reads cannot be changed: {shorten(str(error))}"
    return count, why
