"""A service as plain values: what processes that run no user code know of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.rollout.policy import RolloutPolicy
from firedoor.spec.referred import ModelPlan, StepNote

Takes = Literal["polars", "pandas", "numpy"]
Tolerance = Literal["live", "cached", "default"]
Scalar = bool | int | float | str | None
Loss = Literal["log_loss", "squared", "absolute", ""]


class FeaturesPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A group of features that is looked up for each row."""

    name: str
    keys: tuple[str, ...]
    """Columns of the request by whose values it is looked up."""
    columns: dict[str, str]
    """What is looked up: dtype, as polars writes it, by column."""
    step: StepNote
    """``fetch(keys: pl.DataFrame) -> pl.DataFrame``: called in a worker, one row a distinct key."""
    timeout_s: float = 0.1
    fresh_s: float = 0.0
    """Age up to which a value that was fetched before is as good as live; 0: always fetch."""
    stale_max_s: float | None = None
    """Age up to which one is used while the store does not answer; None: not at all."""
    default: dict[str, Scalar] | None = None
    """By column, what stands for a value that cannot be had; None: there is none."""
    tolerates: dict[str, Tolerance] = {}
    """The worst that the model takes, by column; others: ``default``."""
    memory_bytes: int = 512 * 2**20
    """Of the worker that looks up."""
    network: bool | tuple[int, ...] = False
    """Whether it may use TCP, or the ports that it may connect to."""
    may_read: tuple[str, ...] = ()
    """Absolute paths."""
    env: tuple[str, ...] = ()


class FallbackPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is answered when no version can."""

    constant: dict[str, Scalar] | None = None
    """A row of outputs."""
    function: StepNote | None = None
    """``fallback(rows) -> outputs``: called in a worker that holds no model."""
    takes: Takes | None = None
    """In which form the function wants its rows; None: as the service's own does."""
    previous: bool = True
    """Whether the version before may answer."""
    cached_max_s: float | None = 300.0
    """Age up to which the answer to the very same request is given again; None: never."""
    cached_bytes: int = 64 * 2**20


class ServiceLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a service and its workers may use."""

    replicas: int = 1
    """Workers of a version that answer; one more is kept warm."""
    memory_bytes: int = 2**30
    """Of each worker and what it starts."""
    cpus: float = 1.0
    """Processors that one worker may keep busy, averaged over 2 s; beyond it is ended."""
    timeout_s: float = 1.0
    """Deadline of a request that names none, and the longest that one may name."""
    attempt_s: float = 0.25
    """Longest that one version may take before the next answer of the ladder is tried."""
    hang_s: float = 2.0
    """Longest that a worker may be at one batch; beyond it is ended."""
    batch_rows: int = 256
    """Rows that are predicted together at most."""
    waiting_max: int = 256
    """Requests that one worker may hold."""
    processes_max: int = 64
    files_max: int = 1_024
    may_read: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    body_bytes: int = 4 * 2**20
    header_bytes: int = 32 * 2**10
    connections: int = 1_024
    concurrency: int = 1_024
    """Requests under way in one gateway, however many the adaptive limit would allow."""
    body_s: float = 10.0
    """Longest that a request's head and body may take to arrive."""
    idle_s: float = 75.0
    """Longest that a connection may be open without a request."""
    drain_s: float = 10.0
    """Longest that requests under way are finished at the end."""


class ServicePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One service. No part of the graph: no stream leads to it."""

    name: str
    owner: str
    version: str
    """Hash of the code that makes its function, and of its options."""
    step: StepNote
    """``predict(model, rows)``."""
    model: ModelPlan
    takes: Takes = "polars"
    key: str = ""
    """Column of the subject that a split sticks to; empty: the whole request."""
    slices: tuple[str, ...] = ()
    """Columns by whose values a rollout is judged besides."""
    features: tuple[FeaturesPlan, ...] = ()
    fallback: FallbackPlan = FallbackPlan()
    limits: ServiceLimits = ServiceLimits()
    rollout: RolloutPolicy = RolloutPolicy()
    loss: Loss = ""
    """Of a prediction, once its label comes; empty: labels are not asked for."""
    nan_is_missing: bool = False
    """Whether NaN in a binary tensor stands for a missing value; else it is refused."""
    log: bool = True
    """Whether copies of answers go to the prediction log."""
    slo: dict[str, float] = {}
    doc: str = ""
    where: str = ""
    """``file:line`` of its declaration."""
    runbook: str = ""
    drills: tuple[str, ...] = ()
    """Faults that may be injected in it in production."""
