"""What is declared beside the zones of a pipeline: datasets, jobs, evaluations, services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack

from firedoor.rollout.policy import RolloutPolicy
from firedoor.spec import steps
from firedoor.spec.checking import check_text
from firedoor.spec.dataset import Dataset, DatasetOptions, declare_dataset
from firedoor.spec.declared import Declared
from firedoor.spec.evaluation import EvaluationOptions, declare_evaluation
from firedoor.spec.fallback import Fallback
from firedoor.spec.features import Features
from firedoor.spec.job import Job, JobOptions, declare_job
from firedoor.spec.referred import ModelPlan
from firedoor.spec.service import Service, ServiceOptions, declare_service
from firedoor.spec.trigger import Trigger, manual
from firedoor.spec.zone import Zone

if TYPE_CHECKING:
    from firedoor.evaluation.rules import Rule
    from firedoor.evaluation.splits import ByKey, ByTime

Function = TypeVar("Function", bound=Callable[..., object])


class Beside:
    """The part of ``Pipeline`` that is no zone."""

    def __init__(
        self,
        name: str,
        owner: str,
        folder: Path,
        *,
        runbook: str = "",
        drills: tuple[str, ...] = (),
    ) -> None:
        """Begin with nothing.

        Args:
            name: of the pipeline.
            owner: likewise.
            folder: what relative paths are relative to.
            runbook: for zones and services that name no other.
            drills: faults that may be injected in production, for those that name none.
        """
        self.name = name
        self.owner = owner
        self.folder = folder
        """What relative paths are relative to."""
        self.runbook = runbook
        self.drills = drills
        self._declared = Declared(name)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs, in the order of their declaration."""
        return tuple(self._declared.jobs.values())

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets, in the order of their declaration."""
        return tuple(self._declared.datasets.values())

    @property
    def services(self) -> tuple[Service, ...]:
        """The services, in the order of their declaration."""
        return tuple(self._declared.services.values())

    def dataset(
        self,
        name: str,
        *,
        reads: Zone | str,
        split: ByKey | ByTime,
        **more: Unpack[DatasetOptions],
    ) -> Dataset:
        """Declare what jobs learn from, and what models are judged by; return the handle.

        A job that reads it is handed an immutable snapshot, parted once and for all.

        Args:
            name: also names the snapshots: ``delays-0f3a...``.
            reads: a sink that writes Parquet.
            split: which row is in which part: ``fd.ByTime`` or ``fd.ByKey``.
            more: ``sealed``, ``label``, ``leakage`` and ``memory``, see ``DatasetOptions``.

        Raises:
            DeclarationError: for anything that cannot work.
        """
        dataset = declare_dataset(
            name, self._declared.known(), pipeline=self.name, reads=reads, split=split, more=more
        )
        self._declared.datasets[self._declared.check_new("dataset", dataset.name)] = dataset
        return dataset

    def job(
        self,
        *,
        reads: Zone | Dataset | str | None = None,
        trigger: Trigger = manual,
        name: str | None = None,
        **more: Unpack[JobOptions],
    ) -> Callable[[Function], Function]:
        """Declare a function that runs to completion, such as a training. Decorates and returns it.

        ``def train(run)``; with ``reads``, ``def train(run, folder)``. See ``fd.Run``.

        Args:
            reads: a dataset, or a sink that writes Parquet: the function is given the folder of a
                snapshot, in which a dataset has a folder a part.
            trigger: when it runs: ``fd.manual``, ``fd.every("1d")``, ``fd.on(store, other_job)``.
            name: default: the function's.
            more: its limits and manners, see ``JobOptions``.

        Raises:
            DeclarationError: for anything that cannot work.
        """
        make = declare_job(
            self._declared.known(), self._declared.datasets, self.folder,
            reads=reads, trigger=trigger, more=more,
        )  # fmt: skip
        told = self._owner(more.get("owner"))

        def declare(step: Function) -> Function:
            called = self._declared.check_new("job", steps.name_of(name, step))
            self._declared.jobs[called] = make(called, step, told)
            return step

        return declare

    def evaluation(
        self,
        *,
        reads: Dataset | str,
        part: str,
        model: str,
        rules: Sequence[Rule],
        metrics: Sequence[str] = (),
        slices: Sequence[str] = (),
        clusters: str | None = None,
        checks: Mapping[str, Callable[..., object]] | None = None,
        allow: Sequence[str] = (),
        trigger: Trigger = manual,
        seed: int = 0,
        name: str | None = None,
        **more: Unpack[EvaluationOptions],
    ) -> Callable[[Function], Function]:
        """Declare by which rules a model is judged. Decorates a function, and returns it.

        ``def evaluate(model, rows)`` returns a prediction a row. It is called in a worker that
        knows no label, with the columns that the model's bundle names as its inputs. It runs as
        jobs do: ``firedoor job run NAME``.

        Args:
            reads: a dataset.
            part: the part of it, a sealed one, that models are judged by.
            model: its name in the registry.
            rules: what has to hold of a version, see ``fd.rules``.
            metrics: figures to tell besides those that rules are about.
            slices: columns by whose values figures are told as well.
            clusters: the column of what belongs together, such as the day; None: rows are
                independent, which makes intervals too narrow where they are not.
            checks: by name, changes of inputs that ``fd.rules.invariant`` and ``directional`` are
                about: functions of rows that return as many rows.
            allow: ``("pickle",)`` where a model may be one.
            trigger: when it runs: ``fd.manual``, ``fd.every("1d")``, ``fd.on(train)``.
            seed: chance.
            name: default: the function's.
            more: least numbers of rows, and limits of its workers, see ``EvaluationOptions``.

        Raises:
            DeclarationError: for anything that cannot work.
        """
        make = declare_evaluation(
            self._declared.known(), self._declared.datasets, self.folder, reads=reads,
            part=part, model=model, rules=rules,
            metrics=metrics, slices=slices, clusters=clusters, checks=checks or {}, allow=allow,
            trigger=trigger, seed=seed, more=more,
        )  # fmt: skip
        told = self._owner(more.get("owner"))

        def declare(step: Function) -> Function:
            called = self._declared.check_new("evaluation", steps.name_of(name, step))
            self._declared.jobs[called] = make(called, step, told)
            return step

        return declare

    def service(
        self,
        *,
        model: ModelPlan,
        key: str | None = None,
        slices: Sequence[str] = (),
        features: Sequence[Features] = (),
        fallback: Fallback | None = None,
        rollout: RolloutPolicy | None = None,
        name: str | None = None,
        **more: Unpack[ServiceOptions],
    ) -> Callable[[Function], Function]:
        """Declare a function that answers requests by a model. Decorates and returns it.

        ``def predict(model, rows)`` returns a prediction a row: a column, a frame, or an array. It
        is called in workers, with ``rows`` as it annotates them: ``pl.DataFrame``,
        ``pd.DataFrame`` or ``np.ndarray``. Requests in one batch are handed over together.
        ``firedoor serve`` answers by it.

        Args:
            model: ``fd.model("delays")``; its champion answers, a rollout's candidate besides.
            key: the column of what a split sticks to, such as the customer; None: the whole
                request, so that the same rows get the same version.
            slices: columns by whose values a rollout is judged besides, at most 8.
            features: groups of features that are looked up for each row.
            fallback: what is answered when no version can; default: ``fd.Fallback()``.
            rollout: when a new version is given more requests; default: ``fd.RolloutPolicy()``.
            name: default: the function's.
            more: its limits and manners, see ``ServiceOptions``.

        Raises:
            DeclarationError: for anything that cannot work.
        """
        make = declare_service(
            self.folder, model=model, key=key, slices=slices, features=features,
            fallback=fallback, rollout=rollout, runbook=self.runbook, drills=self.drills, more=more,
        )  # fmt: skip
        told = self._owner(more.get("owner"))

        def declare(step: Function) -> Function:
            called = self._declared.check_new("service", steps.name_of(name, step))
            self._declared.services[called] = make(called, step, told)
            return step

        return declare

    def _owner(self, owner: str | None) -> str:
        """Return who is told about a zone."""
        return self.owner if owner is None else check_text("owner", owner)
