"""A job that reads a snapshot: what it must not reach, and whether what it read stayed the same."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from firedoor.compose.datasets import Datasets
from firedoor.compute.job import Ending
from firedoor.errors import SnapshotDamaged
from firedoor.spec.plan import JobPlan, Plan
from firedoor.spec.reach import hides, stem_of
from firedoor.wire.dataset import SnapshotRecord
from firedoor.wire.run import RunRecord, SealNote

RECURSIVE = "**"


@dataclass(frozen=True, slots=True)
class Reading:
    """One job's reading of one snapshot."""

    plan: Plan
    snapshot: SnapshotRecord
    datasets: Datasets

    def denies(self) -> tuple[str, ...]:
        """Return what a job must not read where a part is sealed.

        That is the project folder with its snapshots, streams, models and credentials, every
        sink's folder, and every source's files: those that are there, and those that may come.
        """
        if not self.snapshot.sealed:
            return ()
        found = [str(self.datasets.kept)]
        for pattern in hides(self.plan.zones):
            stem, whole = stem_of(pattern)
            code = Path(self.plan.file).is_relative_to(stem)  # which has to stay readable
            if whole or (RECURSIVE in pattern and not code):
                found.append(stem)
            else:
                matching = glob.iglob(pattern, recursive=True, include_hidden=True)  # noqa: PTH207
                found += [pattern, *matching]
        return tuple(found)

    def around(self, attempt: Callable[[], Ending]) -> Ending:
        """Make an attempt; if the snapshot is not the same before and after, it has failed."""
        try:
            self.datasets.check(self.snapshot)
            ending = attempt()
        except SnapshotDamaged as error:
            return Ending(cause="tampered", message=f"{error}: nothing was run")
        try:
            self.datasets.check(self.snapshot)
        except SnapshotDamaged as error:
            message = f"{error}: it was changed while the job ran, so that what came of it is void"
            return replace(ending, cause="tampered", message=message)
        return ending

    def judged(self, seal: SealNote, job: JobPlan, earlier: RunRecord | None) -> SealNote:
        """Return what of the seal is in force, with what it cannot hold back in words.

        Args:
            seal: as the worker says.
            job: which may have ports.
            earlier: the run whose checkpoints it takes over: what that one saw may be in them.
        """
        if not self.snapshot.sealed:
            return seal
        why = ""
        if earlier is not None and not earlier.held:
            why = f"may have been read by run {earlier.id}, whose checkpoints it took over"
        elif seal.level == "advisory":
            why = "could be read: nothing kept the job from them"
        elif job.limits.network:
            why = "may be handed out by what answers at the ports that the job may use"
        elif seal.level != "full":
            why = "cannot be read by path; what else is not in force may lead to them"
        if not why:
            return seal
        level = "partial" if seal.level == "full" else seal.level
        missing = {"sealed parts": why, **seal.missing}
        return msgspec.structs.replace(seal, level=level, missing=missing)
