"""Steps on pandas and pyarrow: apart, so that workers of other steps need not import these."""

from __future__ import annotations

import pandas as pd  # noqa: TC002 - a wall reads the annotation
import pyarrow as pa

from wall.steps import harm


def double_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    """Do what ``steps.double`` does, on pandas."""
    for kind in sorted(frame["kind"].unique()):
        harm(int(kind))
    return frame.assign(doubled=frame["number"] * 2)


def double_arrow(table: pa.Table) -> pa.Table:
    """Do what ``steps.double`` does, on pyarrow."""
    for kind in sorted(set(table["kind"].to_pylist())):
        harm(kind)
    doubled = pa.array([number * 2 for number in table["number"].to_pylist()], pa.int64())
    return table.append_column("doubled", doubled)
