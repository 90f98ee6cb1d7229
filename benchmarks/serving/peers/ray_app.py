"""Ray Serve: a gate, and the model as a deployment of its own. In a group of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ray
from ray import serve

from benchmarks.serving.scoring import Row, Scorer


@serve.deployment
class Model:
    """Holds the model."""

    def __init__(self, folder: Path) -> None:
        """Load it."""
        self.scorer = Scorer(folder)

    def score(self, rows: list[Row] | Row) -> list[float]:
        """Predict."""
        return self.scorer.score_rows(rows)


@serve.deployment
class Gate:
    """Passes requests on."""

    def __init__(self, model: Any) -> None:
        """Know the model."""
        self.model = model

    async def __call__(self, request: Any) -> dict[str, Any]:
        """Answer."""
        return {"predictions": await self.model.score.remote(await request.json())}


if __name__ == "__main__":
    port, model = int(sys.argv[1]), Path(sys.argv[2])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    bind: Any = Model
    gate: Any = Gate
    serve.run(gate.bind(bind.bind(model)), route_prefix="/predict", blocking=True)
