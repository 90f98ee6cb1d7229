"""A tracking server of MLflow. See ``ports.tracking``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.adapters.mlflow.naming import (
    FIGURES_MAX,
    PARAMETER_MAX,
    PARAMETERS_MAX,
    TAG_EVENTS,
    TAG_MAX,
    TAG_PROJECT,
    TAG_RUN,
    TAG_VERSION,
    key_of,
)
from firedoor.adapters.mlflow.server import Server
from firedoor.errors import DependencyDown, StoreRefused, shorten
from firedoor.ports.tracking import Figure, Status, Tracked, TrackedModel, TrackedVersion

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

VERSIONS_MAX = 10_000


class MlflowTracking:
    """A tracking server, for one project: what others have there is left alone."""

    def __init__(self, server: Server, project: str) -> None:
        """Use a server; nothing is asked yet.

        Args:
            server: it.
            project: by what the project is known there.
        """
        self._server, self._project = server, project
        self._experiments: dict[str, str] = {}
        self._artifacts: dict[str, str] = {}
        """Where a run's files are, by the server's id of the run."""

    # ---- runs

    def run(self, experiment: str, key: str, *, start_ms: int, tags: Mapping[str, str]) -> Tracked:
        """Return the run of a key, made if it is not there."""
        where = self._experiment(experiment)
        ours = {TAG_RUN: key, TAG_PROJECT: self._project, TAG_EVENTS: "0"}
        cut = {name: shorten(text, TAG_MAX) for name, text in tags.items()}

        def find_or_create() -> Tracked:
            wanted = f"tags.`{TAG_RUN}` = '{key}' AND tags.`{TAG_PROJECT}` = '{self._project}'"
            order = ["attributes.start_time ASC"]
            found = list(
                self._server.client.search_runs([where], wanted, max_results=1, order_by=order)
            )
            if not found:
                # The server sets the name that is given as a tag, too.
                made = self._server.client.create_run(
                    where, start_ms, {**cut, **ours}, run_name=key
                )
                found = [made]
            run = found[0]
            self._artifacts[run.info.run_id] = run.info.artifact_uri
            told = run.data.tags.get(TAG_EVENTS, "0")
            return Tracked(
                id=run.info.run_id,
                events=int(told) if told.isdigit() else 0,
                ended=run.info.status in {"FINISHED", "FAILED", "KILLED"},
            )

        return self._server.ask(find_or_create)

    def tell(
        self,
        run: str,
        *,
        events: int,
        figures: Sequence[Figure] = (),
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add to a run, in one request with the number of events that were told by it.

        The server keeps a figure of one name, step and instant once, so that a request of which
        the answer was lost may be made again.
        """
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - an extra

        given = [
            Param(key_of(name), shorten(text, PARAMETER_MAX))
            for name, text in (parameters or {}).items()
        ]
        for at in range(0, len(given), PARAMETERS_MAX):
            self._server.ask(
                self._server.client.log_batch, run, params=given[at : at + PARAMETERS_MAX]
            )
        metrics = [Metric(key_of(one.name), one.value, one.at_ms, one.step) for one in figures]
        told = {**(tags or {}), TAG_EVENTS: str(events)}
        marks = [RunTag(name, shorten(text, TAG_MAX)) for name, text in told.items()]
        for at in range(0, len(metrics) or 1, FIGURES_MAX):
            is_last = at + FIGURES_MAX >= len(metrics)
            self._server.ask(
                self._server.client.log_batch,
                run,
                metrics=metrics[at : at + FIGURES_MAX],
                tags=marks if is_last else [],
            )

    def keep(self, run: str, folder: Path) -> None:
        """Have the files of a folder with a run, in place of those of the same names."""
        self._server.ask(self._server.client.log_artifacts, run, str(folder))

    def end(self, run: str, status: Status, *, ended_ms: int) -> None:
        """Have a run ended."""
        self._server.ask(self._server.client.set_terminated, run, status, ended_ms)

    # ---- models

    def model(self, name: str) -> TrackedModel:
        """Return a model, made if it is not there; one of somebody else is refused."""
        registered = self._server.ask(self._registered, name)
        if registered.tags.get(TAG_PROJECT) != self._project:
            message = (
                f"{self._server.at} has a model {name} that is not of this project: give another "
                "--name, with --again if some of it is there already"
            )
            raise StoreRefused(message)
        found = self._server.ask(
            self._server.client.search_model_versions, f"name='{name}'", max_results=VERSIONS_MAX
        )
        versions: dict[int, TrackedVersion] = {}
        for one in found:
            number = one.tags.get(TAG_VERSION, "")
            if number.isdigit():
                versions.setdefault(int(number), _version(one))
        aliases = {alias: str(number) for alias, number in registered.aliases.items()}
        return TrackedModel(versions=versions, aliases=aliases)

    def add_version(
        self, model: str, number: int, *, run: str, path: str, tags: Mapping[str, str]
    ) -> TrackedVersion:
        """Add a version, whose files are in a folder that is kept with a run."""
        ours = {**tags, TAG_VERSION: str(number), TAG_PROJECT: self._project}

        def find_or_create() -> TrackedVersion:
            of = f"name='{model}' AND tags.`{TAG_VERSION}` = '{number}'"
            for one in self._server.client.search_model_versions(of, max_results=1):
                return _version(one)
            if run not in self._artifacts:
                self._artifacts[run] = self._server.client.get_run(run).info.artifact_uri
            source = f"{self._artifacts[run]}/{path}"
            return _version(
                self._server.client.create_model_version(
                    model, source, run, ours, await_creation_for=0
                )
            )

        return self._server.ask(find_or_create)

    def tag_version(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version, given the server's number."""
        for name, text in tags.items():
            self._server.ask(self._server.client.set_model_version_tag, model, version, name, text)

    def alias(self, model: str, alias: str, version: str | None) -> None:
        """Have an alias mean a version, given the server's number; None: nothing."""
        if version is None:
            self._server.ask(self._server.client.delete_registered_model_alias, model, alias)
        else:
            self._server.ask(self._server.client.set_registered_model_alias, model, alias, version)

    def describe(self, model: str, text: str) -> None:
        """Have a text beside a model, in place of the one before."""
        self._server.ask(self._server.client.update_registered_model, model, text)

    # ---- finding

    def _experiment(self, name: str) -> str:
        """Return the id of an experiment, made if it is not there; it may be shared."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an extra

        def find_or_create() -> str:
            found = self._server.client.get_experiment_by_name(name)
            if found is None:
                try:
                    return str(self._server.client.create_experiment(name))
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                found = self._server.client.get_experiment_by_name(name)
                assert found is not None, "somebody else has just made it"
            if found.lifecycle_stage != "active":
                message = f"{self._server.at}: experiment {name} was deleted there: restore it"
                raise StoreRefused(message)
            return str(found.experiment_id)

        if name not in self._experiments:
            self._experiments[name] = self._server.ask(find_or_create)
        return self._experiments[name]

    def _registered(self, name: str) -> RegisteredModel:
        """Return a registered model, made if it is not there."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an extra

        for _ in range(2):
            try:
                return self._server.client.get_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            try:
                return self._server.client.create_registered_model(
                    name, {TAG_PROJECT: self._project}
                )
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        raise DependencyDown(f"{self._server.at}: model {name} comes and goes")


def _version(one: ModelVersion) -> TrackedVersion:
    """Return a version of a model."""
    return TrackedVersion(number=str(one.version), tags=dict(one.tags))
