"""The exception tree is the one that is drawn, and every exception travels between processes."""

from __future__ import annotations

import copy
import pickle
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor import errors
from firedoor.errors import (
    ArtifactsFull,
    BundleDamaged,
    ChangedMeanwhile,
    DeadLettersFull,
    DeadlineExceeded,
    DeadlineSpent,
    DeclarationError,
    DependencyDown,
    DrillRefused,
    FiredoorError,
    FrameRefused,
    Full,
    GuardOpen,
    GuardRefused,
    LedgerFull,
    ModelRefused,
    ModelsUnavailable,
    ModelUnloadable,
    NestedWall,
    NotKnown,
    Overloaded,
    PipelineUnloadable,
    ProjectBusy,
    RateExceeded,
    Refused,
    SnapshotDamaged,
    StepAtFault,
    StepUnloadable,
    StoreRefused,
    StreamFull,
    StreamsUnavailable,
    WallClosed,
    WorkersUnavailable,
    shorten,
)

EXAMPLES: list[FiredoorError] = [
    FiredoorError("base"),
    Refused("refused"),
    DeclarationError("workers", 0, "is out of range", "give 1 to 256 workers"),
    FrameRefused("an object column"),
    WallClosed("closed"),
    NestedWall("inside"),
    StepAtFault(
        "fails on 9,000 rows",
        code="contrast",
        signature="KeyError at steps.py:12",
        rule="distance|min",
        line="steps.py:12",
        columns=("distance", "air_time"),
        failed_rows=9_000,
    ),
    StepUnloadable("cannot be imported", "ImportError: no module named 'lookup'"),
    WorkersUnavailable("none"),
    PipelineUnloadable("no pipeline"),
    ProjectBusy("busy"),
    StoreRefused("another version"),
    NotKnown("no such batch"),
    GuardRefused("serve->features", 1.5),
    GuardOpen("serve->features", 1.5),
    Overloaded("serve->features", 0.05, "20 of 20 calls are under way"),
    RateExceeded("serve->features", 0.2, "more than 5 calls a second"),
    DeadlineSpent("serve->features", None, "0.01 s are left"),
    DeadlineExceeded("serve->features", 0.3),
    DependencyDown("away"),
    StreamsUnavailable("away"),
    Full("full"),
    StreamFull("full"),
    DeadLettersFull("full"),
    ArtifactsFull("full"),
    LedgerFull("full"),
    ModelRefused("it is a candidate", code="not_qualified"),
    ChangedMeanwhile("somebody was faster", expected=3, found=4),
    DrillRefused("production"),
    ModelsUnavailable("away"),
    ModelUnloadable("format onnx needs onnxruntime"),
    BundleDamaged("has another content", digest="0" * 64, file="model.txt"),
    SnapshotDamaged("another content"),
]


def tree(kind: type[FiredoorError], depth: int = 0) -> list[tuple[int, str]]:
    """Return the classes below ``kind``, depth first, as they are defined."""
    below = [entry for child in kind.__subclasses__() for entry in tree(child, depth + 1)]
    return [(depth, kind.__name__), *below]


def test_the_tree_is_as_it_is_drawn() -> None:
    assert errors.__doc__ is not None
    drawn = [
        (len(match[1]) // 4, match[2])
        for match in re.finditer(r"^((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)(?:\s{2,}.*)?$",
                                 errors.__doc__, re.MULTILINE)
    ]  # fmt: skip
    ours = [entry for entry in tree(FiredoorError) if hasattr(errors, entry[1])]
    assert sorted(drawn) == sorted(ours)
    assert {name for _, name in drawn} == {type(error).__name__ for error in EXAMPLES}
    parents = {}
    path: list[str] = []
    for depth, name in drawn:
        path[depth:] = [name]
        parents[name] = path[depth - 1] if depth else "Exception"
    assert parents == {name: getattr(errors, name).__bases__[0].__name__ for _, name in drawn}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_pickles_whole(error: FiredoorError, protocol: int) -> None:
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):  # noqa: S301
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


def test_a_fault_pickles_with_the_frames_it_hands_back() -> None:
    fault = StepAtFault("m", code="contrast", signature="s")
    fault.frame = pl.DataFrame({"a": [1, 2]})
    fault.undelivered = (fault.frame,)
    again = pickle.loads(pickle.dumps(fault))  # noqa: S301
    assert again.frame.equals(fault.frame)
    assert len(again.undelivered) == 1


def test_a_declaration_says_field_value_reason_and_remedy() -> None:
    error = DeclarationError("workers", 0, "is out of range", "give 1 to 256 workers")
    assert str(error) == "workers=0: is out of range; give 1 to 256 workers"
    assert (error.field, error.value, error.remedy) == ("workers", "0", "give 1 to 256 workers")


def test_a_value_as_large_as_a_frame_does_not_flood_the_message() -> None:
    error = DeclarationError("schema", list(range(100_000)), "is none", "pass one")
    assert len(str(error)) < 300


def test_a_step_that_cannot_be_loaded_says_what_the_worker_said() -> None:
    assert str(StepUnloadable("cannot be imported", "ImportError: x")) == (
        "cannot be imported\nImportError: x"
    )
    assert str(StepUnloadable("cannot be imported")) == "cannot be imported"


def test_what_is_refused_is_no_fault_of_the_step() -> None:
    for error in EXAMPLES:
        assert (
            isinstance(error, Refused)
            != isinstance(
                error,
                StepAtFault
                | StepUnloadable
                | WorkersUnavailable
                | DeadlineExceeded
                | DependencyDown
                | StreamsUnavailable
                | ModelsUnavailable
                | BundleDamaged
                | SnapshotDamaged
                | ModelUnloadable
                | Full,
            )
            or type(error) is FiredoorError
        )


@given(st.text(max_size=400), st.integers(20, 300))
def test_a_shortened_text_is_never_longer_and_keeps_both_ends(text: str, length: int) -> None:
    short = shorten(text, length)
    assert len(short) <= length
    if len(text) <= length:
        assert short == text
    else:
        head, _, tail = short.partition(" ... ")
        assert text.startswith(head)
        assert text.endswith(short[-7:])
        assert tail
