"""Datasets: what a sink has written, parted once, with parts that no training may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

import msgspec

from firedoor.errors import DeclarationError
from firedoor.names import check_name
from firedoor.spec.checking import check_bytes, check_known
from firedoor.spec.dataset_plan import DatasetPlan, LeakPlan, SplitPlan
from firedoor.spec.reads import Known, found
from firedoor.spec.upkeep import declared_at
from firedoor.spec.zone import Zone

if TYPE_CHECKING:  # both import polars, which a file that only declares need not wait for
    from firedoor.evaluation.leakage import LeakPolicy
    from firedoor.evaluation.splits import ByKey, ByTime

MEMORY_BYTES = (2**26, 2**50)
COLUMN_MAX = 200


class DatasetOptions(TypedDict, total=False):
    """Further keyword arguments of a dataset."""

    sealed: Sequence[str]
    """Parts that no job reading it may see: what models are judged by. Default: none."""
    label: str
    """The column that is kept from models under evaluation; needed where a part is sealed."""
    leakage: LeakPolicy | None
    """What parts must not share. None: nothing is compared, and the record says so."""
    memory: int | str
    """Memory of the worker that takes snapshots. Default: 1 GiB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A declared dataset. It is its own handle: ``reads=`` of a job takes it."""

    name: str
    pipeline: str
    sink: str
    """The sink whose files it is made of."""
    split: SplitPlan
    sealed: tuple[str, ...] = ()
    label: str = ""
    leakage: LeakPlan | None = None
    memory_bytes: int = 2**30
    where: str = ""
    """``file:line`` of its declaration."""


def declare_dataset(
    name: object,
    known: Known,
    *,
    pipeline: str,
    reads: Zone | str,
    split: ByKey | ByTime,
    more: DatasetOptions,
) -> Dataset:
    """Return a dataset.

    Args:
        name: as the user wrote it, as is all that follows.
        known: zones that can be read.
        pipeline: its name.
        reads: the sink.
        split: how rows are parted.
        more: options.

    Raises:
        DeclarationError: for anything that cannot work.
    """
    check_known(more.items(), tuple(DatasetOptions.__annotations__), "a dataset")
    called = check_name("dataset", name)
    sink = check_sink_read(reads, known)
    parting = _split(split)
    sealed, label = _sealed(more.get("sealed", ()), parting), more.get("label", "")
    if not isinstance(label, str) or len(label) > COLUMN_MAX:
        raise DeclarationError("label", label, "is no name of a column", 'write label="late"')
    if sealed and not label:
        why = "is missing, and a part is sealed"
        raise DeclarationError("label", label, why, "name the column that models are to predict")
    if label and label in (*parting.key, parting.column):
        why = "parts the rows as well, so that each part would tell of it"
        raise DeclarationError("label", label, why, "split by another column")
    return Dataset(
        name=called, pipeline=pipeline, sink=sink.name, split=parting, sealed=sealed, label=label,
        leakage=_leakage(more.get("leakage")),
        memory_bytes=check_bytes("memory", more.get("memory", "1GiB"), *MEMORY_BYTES),
        where=declared_at(),
    )  # fmt: skip


def check_sink_read(reads: object, known: Known) -> Zone:
    """Return the sink that a job or a dataset reads.

    Raises:
        DeclarationError: if it is none that writes Parquet files.
    """
    sinks = [zone.name for zone in known.zones.values() if zone.folder]
    remedy = f"read one of: {', '.join(sinks)}" if sinks else "declare a sink to fd.parquet first"
    try:
        zone = found(reads, known)
    except DeclarationError as error:
        why = str(error).partition(": ")[2].partition("; ")[0]
        raise DeclarationError("reads", reads, why, remedy) from None
    if not zone.folder:
        why = "is no sink that writes Parquet files, which is what a job can read"
        raise DeclarationError("reads", zone.name, why, remedy)
    return zone


def policy_of(split: SplitPlan) -> ByKey | ByTime:
    """Return how rows are parted, as ``evaluation.splits`` takes it. Imports polars."""
    from firedoor.evaluation.splits import ByKey, ByTime  # noqa: PLC0415

    if split.key:
        shares = {name: float(share) for name, share in split.parts if share is not None}
        return ByKey(key=split.key, shares=shares, salt=split.salt)
    until = {
        name: None if end is None else datetime.fromisoformat(str(end)) for name, end in split.parts
    }
    return ByTime(column=split.column, until=until)


def leak_policy_of(leakage: LeakPlan) -> LeakPolicy:
    """Return what is compared, as ``evaluation.leakage`` takes it. Imports polars."""
    from firedoor.evaluation.leakage import LeakPolicy  # noqa: PLC0415

    return LeakPolicy(**msgspec.structs.asdict(leakage))


def split_told(split: SplitPlan | None) -> str:
    """Return how rows are parted, as a person reads it; empty: they are not."""
    if split is None:
        return ""
    if split.key:
        salt = f" with salt {split.salt}" if split.salt else ""
        shares = ", ".join(f"{name} {share:g}" for name, share in split.parts)
        return f"by key {', '.join(split.key)}{salt}: {shares}"
    ends = [f"{name} {'from there on' if end is None else end}" for name, end in split.parts]
    return f"by time {split.column} until: {', '.join(ends)}"


def leakage_told(leakage: LeakPlan | None) -> str:
    """Return what is compared, as a person reads it; empty: nothing is."""
    if leakage is None:
        return ""
    keys = [f"keys {', '.join(leakage.key)}"] if leakage.key else []
    near = f"near-duplicates to within {leakage.near:g} in {', '.join(leakage.features)}"
    share = f"at most {leakage.near_share_max:.2%} of a part"
    return "; ".join([*keys, *([f"{near}, {share}"] if leakage.features else [])])


def plan_dataset(dataset: Dataset, folder: str) -> DatasetPlan:
    """Return a dataset as a plain value; ``folder`` is the absolute one of its sink."""
    return DatasetPlan(
        name=dataset.name, sink=dataset.sink, folder=folder, split=dataset.split,
        sealed=dataset.sealed, label=dataset.label, leakage=dataset.leakage,
        memory_bytes=dataset.memory_bytes, where=dataset.where,
    )  # fmt: skip


def _split(split: object) -> SplitPlan:
    """Return how rows are parted as a plain value: instants in UTC, so that one is written once."""
    from firedoor.evaluation.splits import ByKey, ByTime  # noqa: PLC0415 - see above

    if isinstance(split, ByKey):
        parts: list[tuple[str, float | str | None]] = [*split.shares.items()]
        made = SplitPlan(key=split.key, parts=tuple(parts), salt=split.salt)
    elif isinstance(split, ByTime):
        ends = [(name, None if end is None else _instant(end)) for name, end in split.until.items()]
        made = SplitPlan(column=split.column, parts=tuple(ends))
    else:
        remedy = 'write split=fd.ByKey(key=("tailnum",), shares={...}) or fd.ByTime(...)'
        raise DeclarationError("split", split, "parts no rows", remedy)
    for name in made.names:
        check_name("split", name)
    return made


def _instant(end: datetime) -> str:
    """Return a moment as text."""
    return (end if end.tzinfo is None else end.astimezone(UTC)).isoformat()


def _sealed(sealed: object, split: SplitPlan) -> tuple[str, ...]:
    """Return the parts that are sealed."""
    remedy = f'write sealed=["{split.names[-1]}"]'
    if isinstance(sealed, str) or not isinstance(sealed, Sequence):
        raise DeclarationError("sealed", sealed, "is no list of parts", remedy)
    for name in sealed:
        if name not in split.names:
            known = ", ".join(split.names)
            raise DeclarationError("sealed", name, "is no part", f"name one of: {known}")
    if len(set(sealed)) < len(sealed):
        raise DeclarationError("sealed", sealed, "names a part twice", "name each once")
    if len(sealed) == len(split.names):
        why = "are all parts, so that a job would be given nothing"
        raise DeclarationError("sealed", sealed, why, "leave one open")
    return tuple(sealed)


def _leakage(policy: object) -> LeakPlan | None:
    """Return what is compared as a plain value."""
    from firedoor.evaluation.leakage import LeakPolicy  # noqa: PLC0415 - see above

    if policy is None:
        return None
    if not isinstance(policy, LeakPolicy):
        remedy = 'write leakage=fd.LeakPolicy(key=("tailnum",)), or None'
        raise DeclarationError("leakage", policy, "is no policy", remedy)
    return LeakPlan(
        key=policy.key, features=policy.features, near=policy.near,
        near_share_max=policy.near_share_max, examples=policy.examples,
    )  # fmt: skip
