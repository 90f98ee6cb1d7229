"""What a pipeline has declared so far, and what may still join it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firedoor.errors import DeclarationError
from firedoor.quality.grades import Demand
from firedoor.spec import graph
from firedoor.spec.dataset import Dataset
from firedoor.spec.degrade import Quality, check_demand
from firedoor.spec.job import Job
from firedoor.spec.plan import EdgePlan, WhenFull
from firedoor.spec.reads import Known, Reads, found, resolve
from firedoor.spec.service import Service
from firedoor.spec.zone import Inbox, Zone


class Declared:
    """Zones, jobs, datasets and services by name, until they are frozen."""

    def __init__(self, pipeline: str) -> None:
        """Begin with nothing."""
        self.zones: dict[str, Zone] = {}
        self.jobs: dict[str, Job] = {}
        self.datasets: dict[str, Dataset] = {}
        self.services: dict[str, Service] = {}
        self._pipeline = pipeline
        self._steps: list[tuple[Callable[..., object], Zone]] = []
        self._frozen: tuple[EdgePlan, ...] | None = None

    def known(self) -> Known:
        """Return the zones and jobs that can be meant."""
        jobs = {name: job.step for name, job in self.jobs.items()}
        return Known(zones=self.zones, steps=self._steps, jobs=jobs)

    def add(self, zone: Zone) -> Zone:
        """Take a zone in, and return it."""
        self.check_new(zone.kind, zone.name)
        graph.check_masked(zone)
        graph.check_fit(zone, self.zones)
        self.zones[zone.name] = zone
        return zone

    def add_step(self, step: Callable[..., object], zone: Zone) -> None:
        """Take in a zone that is meant by its function, too."""
        self._steps.append((step, self.add(zone)))

    def check_new(self, kind: str, name: str) -> str:
        """Return a name that is still to be had.

        Raises:
            DeclarationError: if it is not, or it is too late.
        """
        if self._frozen is not None:
            remedy = "declare every zone at the top of the file that declares the pipeline"
            names = ", ".join(self.zones) or "no zones"
            why = f"comes after <Pipeline {self._pipeline}: {names}> was frozen"
            raise DeclarationError(kind, name, why, remedy)
        if any(name in each for each in (self.zones, self.jobs, self.datasets, self.services)):
            remedy = "give each zone a name of its own: name="
            raise DeclarationError(kind, name, "is declared already", remedy)
        return name

    def freeze(self) -> tuple[EdgePlan, ...]:
        """Return the edges. After this nothing can be added."""
        if self._frozen is None:
            zones = tuple(self.zones.values())
            if zones or not (self.jobs or self.services):  # these can be all that there is
                graph.check_whole(self._pipeline, zones)
            self._frozen = graph.join(zones)
        return self._frozen

    def inboxes(
        self, reads: Reads, when_full: WhenFull | None, inbox: int | str
    ) -> tuple[Inbox, ...]:
        """Return what a zone reads, in order."""
        return resolve(reads, self.known(), when_full=when_full, inbox=inbox)

    def demand(self, quality: Quality | None, inboxes: Sequence[Inbox]) -> Demand | None:
        """Return what a zone requires of the batches that it takes."""
        known = self.known()
        return check_demand(quality, inboxes, known.zones, lambda zone: found(zone, known, "below"))
