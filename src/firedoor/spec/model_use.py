"""A model that a step uses: the version that an alias names in the registry, read a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from firedoor.errors import DeclarationError
from firedoor.names import check_name
from firedoor.registry.model import ALIASES
from firedoor.spec.checking import check_choice, check_columns
from firedoor.spec.referred import ModelPlan
from firedoor.spec.zone import Zone

ALLOWED = ("pickle",)
MODELS_MAX = 16
OURS = "fd_"
"""How columns begin that sinks add by themselves."""


def model(
    name: str, *, alias: str = "champion", allow: Sequence[str] = (), column: str = ""
) -> ModelPlan:
    """Declare a model that a step uses, for ``models=`` of a transform.

    Args:
        name: of the model, in the project's registry.
        alias: which version: ``champion``, ``challenger`` or ``previous``, as the registry says
            when a batch is first handled.
        allow: ``("pickle",)`` to load a pickle, which runs whatever code is in it, and warns.
        column: sinks behind the zone write the version into a column of this name, as
            ``delays@3``; default: none.

    Raises:
        DeclarationError: for anything that cannot work. That there is such a version is asked when
            batches come: until then they wait.
    """
    check_name("model", name)
    check_choice("alias", alias, ALIASES)
    for what in check_columns("allow", allow):
        check_choice("allow", what, ALLOWED)
    if column:
        check_columns("column", [column])
        if column.startswith(OURS):
            why = f"begins with {OURS}, as what sinks add by themselves"
            raise DeclarationError("column", column, why, 'write column="model_version"')
    elif column != "":
        raise DeclarationError("column", column, "is no text", 'write column="model_version"')
    return ModelPlan(name=name, alias=alias, allow=tuple(allow), column=column)


def check_models(
    models: object, lookups: Mapping[str, object], zones: Iterable[Zone]
) -> dict[str, ModelPlan]:
    """Return the models that a step uses, by parameter.

    Args:
        models: as the user wrote it; None for none.
        lookups: what it joins to, by parameter.
        zones: those that are declared already.

    Raises:
        DeclarationError: for what is no mapping of parameters to models, or would leave open
            which model a column tells of.
    """
    remedy = 'write models={"parameter": fd.model("name")}'
    if models is None:
        return {}
    if not isinstance(models, Mapping):
        raise DeclarationError("models", models, "is no mapping", remedy)
    if len(models) > MODELS_MAX:
        why = f"are more than {MODELS_MAX}, all of which each worker would hold"
        raise DeclarationError("models", f"{len(models)} models", why, "use them in several zones")
    told = {used.column: used.key for zone in zones for used in zone.models.values() if used.column}
    for parameter, used in models.items():
        if not isinstance(parameter, str) or not parameter.isidentifier():
            raise DeclarationError("models", parameter, "is no parameter", remedy)
        if not isinstance(used, ModelPlan):
            raise DeclarationError("models", used, "is no model", remedy)
        if parameter in lookups:
            why = "is a lookup already"
            raise DeclarationError("models", parameter, why, "give it a parameter of its own")
        if used.column and told.setdefault(used.column, used.key) != used.key:
            why = f"tells the version of {told[used.column]} already"
            raise DeclarationError("column", used.column, why, "give each model one of its own")
    return dict(models)
