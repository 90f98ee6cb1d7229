"""pandas and pyarrow users get back what they handed in."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

import firedoor as fd
from wall import other_frames, steps


def test_pandas_and_pyarrow_frames_come_back_as_they_went_in() -> None:
    frame = steps.rows([steps.GOOD, steps.RAISES, steps.GOOD])
    with fd.Wall(other_frames.double_pandas) as pandas_wall:
        good, dead = pandas_wall(frame.to_pandas())
    assert isinstance(good, pd.DataFrame)
    assert good["doubled"].tolist() == [0, 4]
    assert good.index.tolist() == [0, 2]
    assert len(dead) == 1
    with fd.Wall(other_frames.double_arrow) as arrow_wall:
        table, dead = arrow_wall(frame.to_arrow())
    assert isinstance(table, pa.Table)
    assert table["doubled"].to_pylist() == [0, 4]
    assert len(dead) == 1
