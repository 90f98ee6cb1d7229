"""Whether parts share what they must not: keys, and rows that are all but the same.

*Keys* are compared exactly, as ``splits`` writes them; no key is a key too.

*Near-duplicates* agree in every feature: text but for its case and spaces, fractions to within
``near`` of the spread of their column, everything else exactly. The spread is a standard deviation,
were the column normal: it is taken in the first part, from the distance to the median within which
90 % of the values are that differ from it, so that neither an outlier nor a column of mostly zeros
upsets it. Each row is rounded to the cells of a grid that is ``near`` wide, hashed (64 bits), and
looked up among the hashes of the other part; four times, with the grid moved by a quarter of a
cell. So

* what is found does agree: two rows in one cell differ by less than ``near`` in every fraction;
* what agrees to within a quarter of that is found always where there are up to three columns of
  fractions, and else missed with a chance of about (columns x difference / ``near``) ** 4;
* time and memory grow with the number of rows, and not of pairs.

Where features are few and coarse, rows agree by chance: ``near_share_max`` says how many may. (A
timetable repeats itself: 8 to 18 % of real flights agree with one of earlier months, where no
feature is the day.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import polars as pl

from firedoor.bounds import columns, share_between, text, within
from firedoor.errors import DeclarationError
from firedoor.evaluation.splits import PARTS_MAX, key_texts

ROWS_MAX = 100_000_000
_GRIDS = 4
_CELL_MAX = 2.0**62
_NORMAL_90 = 1.645


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakPolicy:
    """What is compared, and how much of it may be shared."""

    key: tuple[str, ...] = ()
    """Columns that name what may be in one part only; (): keys are not compared."""
    features: tuple[str, ...] = ()
    """Columns in which near-duplicates agree; (): they are not looked for."""
    near: float = 0.01
    """Difference within which fractions agree, as a share of the spread of their column.
    0.000001 to 1, both excluded."""
    near_share_max: float = 0.001
    """Share of the later part's rows that may be near-duplicates of the earlier one's. 0 to 1."""
    examples: int = 5
    """Pairs of rows that are named. 1 to 100."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        columns("key", self.key)
        columns("features", self.features)
        if not self.key and not self.features:
            remedy = 'write key=("tailnum",), features=("distance", ...), or both'
            raise DeclarationError("key", self.key, "and features are empty", remedy)
        share_between("near", self.near, 0.000_001, 1)
        within("near_share_max", self.near_share_max, 0, 1, "as a share of rows")
        within("examples", self.examples, 1, 100, "pairs", whole=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """What the rows of a part share with an earlier one."""

    kind: Literal["key", "near"]
    earlier: str
    later: str
    rows: int
    """Of the later part."""
    share: float
    """Of the later part's rows."""
    examples: tuple[tuple[int, int], ...]
    """Rows that share it: of the earlier part, of the later."""
    refused: bool

    @property
    def sentence(self) -> str:
        """What was found, as a person reads it."""
        what = "keys that are in" if self.kind == "key" else "near-duplicates in"
        pairs = ", ".join(f"{later} (as {earlier} there)" for earlier, later in self.examples)
        share = f"{self.rows:,} rows of {self.later!r} ({self.share:.2%})"
        return f"{share} have {what} {self.earlier!r} too, for example row {pairs}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakReport:
    """What was compared, and what is shared."""

    leaks: tuple[Leak, ...]
    """Also those that are few enough."""
    rows: Mapping[str, int]
    empty: tuple[str, ...]
    """Parts without rows: of those nothing is known."""

    @property
    def refused(self) -> bool:
        """Whether the parts must not be used: something is shared, or a part is empty."""
        return bool(self.empty) or any(leak.refused for leak in self.leaks)

    @property
    def why(self) -> str:
        """Why they must not be used; empty: they may."""
        said = [f"part {name!r} has no rows" for name in self.empty]
        said += [leak.sentence for leak in self.leaks if leak.refused]
        return "; ".join(said)


def leakage(parts: Mapping[str, pl.DataFrame], policy: LeakPolicy) -> LeakReport:
    """Return what parts share, each with each that comes before it.

    Args:
        parts: 2 to 10 frames by name, the one trained on first.
        policy: what is compared.

    Raises:
        DeclarationError: if parts are too few or too many, or a column is not in each of them.

    >>> train = pl.DataFrame({"tailnum": ["N1", "N2"], "distance": [1400.0, 719.0]})
    >>> test = pl.DataFrame({"tailnum": ["N3", "N2"], "distance": [1065.0, 719.0]})
    >>> leakage({"train": train, "test": test}, LeakPolicy(key=("tailnum",))).why
    "1 rows of 'test' (50.00%) have keys that are in 'train' too, for example row 1 (as 1 there)"
    """
    _check(parts, policy)
    marks: list[tuple[Literal["key", "near"], dict[str, pl.DataFrame]]] = []
    if policy.key:
        texts = {name: key_texts(frame, policy.key) for name, frame in parts.items()}
        marks.append(("key", {name: own.to_frame("0") for name, own in texts.items()}))
    if policy.features:
        marks.append(("near", _cells(parts, policy)))
    found = []
    for kind, of in marks:
        for earlier, later in combinations(parts, 2):
            leak = _shared(kind, earlier, of[earlier], later, of[later], policy)
            if leak is not None:
                found.append(leak)
    return LeakReport(
        leaks=tuple(found),
        rows={name: frame.height for name, frame in parts.items()},
        empty=tuple(name for name, frame in parts.items() if not frame.height),
    )


def _shared(
    kind: Literal["key", "near"],
    earlier: str,
    there: pl.DataFrame,
    later: str,
    here: pl.DataFrame,
    policy: LeakPolicy,
) -> Leak | None:
    """Return the rows of a part of which a mark is in the earlier one; None: there are none."""
    pairs = []
    for mark in there.columns:
        first = there.select(pl.col(mark)).with_row_index("there").unique(mark, keep="first")
        own = here.select(pl.col(mark)).with_row_index("here")
        pairs.append(own.join(first, on=mark, how="inner").select("here", "there"))
    rows = pl.concat(pairs).unique("here", keep="first", maintain_order=False).sort("here")
    if not rows.height:
        return None
    share = rows.height / here.height
    named = rows.head(policy.examples).select("there", "here").rows()
    return Leak(
        kind=kind,
        earlier=earlier,
        later=later,
        rows=rows.height,
        share=share,
        examples=tuple((int(there), int(here)) for there, here in named),
        refused=kind == "key" or share > policy.near_share_max,
    )


def _cells(parts: Mapping[str, pl.DataFrame], policy: LeakPolicy) -> dict[str, pl.DataFrame]:
    """Return the hashes of each row's cells, one column a grid."""
    spreads = _spreads(next(iter(parts.values())), policy)
    found = {}
    for name, frame in parts.items():
        fixed = [_alike(frame, feature) for feature in policy.features if feature not in spreads]
        plain = frame.select(fixed)
        grids = {}
        for grid in range(_GRIDS):
            moved = [
                _cell(pl.col(feature), policy.near * spread, grid / _GRIDS).alias(feature)
                for feature, spread in spreads.items()
            ]
            cells = pl.concat([plain, frame.select(moved)], how="horizontal")
            grids[str(grid)] = cells.hash_rows(seed=grid)
            if not moved:
                break
        found[name] = pl.DataFrame(grids)
    return found


def _cell(column: pl.Expr, width: float, moved: float) -> pl.Expr:
    """Return the number of the cell that each value is in; what is no number is in none."""
    finite = pl.when(column.is_finite()).then(column)
    cell = (finite.cast(pl.Float64) / width + moved).floor().clip(-_CELL_MAX, _CELL_MAX)
    return cell.cast(pl.Int64)


def _alike(frame: pl.DataFrame, feature: str) -> pl.Expr:
    """Return a column in which what agrees is equal."""
    column, dtype = pl.col(feature), frame.schema[feature]
    if isinstance(dtype, pl.Categorical | pl.Enum):
        column, dtype = column.cast(pl.String), pl.String()
    if dtype == pl.String:
        return column.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    if isinstance(dtype, pl.Datetime):
        return column.dt.epoch("us").alias(feature)
    if dtype == pl.UInt64:
        return column.reinterpret(signed=True)
    return column.cast(pl.Int64) if dtype.is_integer() else column


def _spreads(first: pl.DataFrame, policy: LeakPolicy) -> dict[str, float]:
    """Return the spread of each column of fractions; 1 where nothing differs."""
    found = {}
    for feature in policy.features:
        if not first.schema[feature].is_float():
            continue
        finite = first[feature].cast(pl.Float64).filter(first[feature].is_finite())
        middle = finite.median()
        off = (finite - middle).abs() if isinstance(middle, float) else finite
        far = off.filter(off > 0).quantile(0.9)
        found[feature] = far / _NORMAL_90 if far is not None and far > 0 else 1.0
    return found


def _kind(dtype: pl.DataType) -> str:
    """Return what values of a dtype can agree with."""
    if dtype.is_float():
        return "fractions"
    if dtype.is_integer():
        return "whole numbers"
    text_like = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
    return "text" if text_like else str(dtype.base_type())


def _check(parts: Mapping[str, pl.DataFrame], policy: LeakPolicy) -> None:
    """Refuse parts that cannot be compared."""
    if not 2 <= len(parts) <= PARTS_MAX:  # noqa: PLR2004
        remedy = f"give 2 to {PARTS_MAX} frames by name"
        raise DeclarationError("parts", list(parts), "are not enough, or too many", remedy)
    kinds: dict[str, str] = {}
    for name, frame in parts.items():
        text("parts", name)
        if frame.height > ROWS_MAX:
            remedy = f"give at most {ROWS_MAX:,}"
            raise DeclarationError("parts", name, f"has {frame.height:,} rows", remedy)
        for column in (*policy.key, *policy.features):
            if column not in frame.columns:
                remedy = f"name columns that each part has: {', '.join(frame.columns[:20])}"
                raise DeclarationError("columns", column, f"is not in part {name!r}", remedy)
        for column in policy.features:
            dtype = frame.schema[column]
            kind = _kind(dtype)
            if dtype.is_nested() or kinds.setdefault(column, kind) != kind:
                remedy = "give it one dtype in every part, and none of lists"
                raise DeclarationError("features", column, f"is {dtype} in {name!r}", remedy)
