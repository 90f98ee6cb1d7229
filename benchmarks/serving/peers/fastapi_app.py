"""FastAPI and uvicorn: a model in the process, rows checked by pydantic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import RootModel, create_model

from benchmarks.serving.scoring import FEATURES, Scorer

FIELDS: dict[str, Any] = dict.fromkeys(FEATURES, (float, ...))
Row = create_model("Row", **FIELDS)
Rows = RootModel[list[Row] | Row]  # type: ignore[valid-type]


def app_of(folder: Path) -> FastAPI:
    """Return the application."""
    app, scorer = FastAPI(), Scorer(folder)

    @app.post("/predict")
    def predict(rows: Rows) -> dict[str, list[float]]:
        found = rows.root if isinstance(rows.root, list) else [rows.root]
        features = np.array([[getattr(row, name) for name in FEATURES] for row in found])
        return {"predictions": scorer.score(features)}

    return app


if __name__ == "__main__":
    uvicorn.run(app_of(Path(sys.argv[2])), port=int(sys.argv[1]), log_level="error")
