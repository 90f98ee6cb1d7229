"""BentoML: a gate, and the model as a service of its own. It looks at annotations, as they are."""

import os
import subprocess
import sys
from pathlib import Path

import bentoml

from benchmarks.serving.scoring import Row, Scorer


@bentoml.service(workers=1)
class Model:
    """Holds the model, in a process of its own."""

    def __init__(self) -> None:
        """Load it."""
        self.scorer = Scorer(Path(os.environ["BENCH_FOLDER"]))

    @bentoml.api  # type: ignore[untyped-decorator]
    def score(self, rows: list[Row]) -> list[float]:
        """Predict."""
        return self.scorer.score_rows(rows)


@bentoml.service(workers=1)
class Gate:
    """Passes requests on."""

    model = bentoml.depends(Model)

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict(self, rows: list[Row]) -> dict[str, list[float]]:
        """Answer."""
        return {"predictions": await self.model.to_async.score(rows)}


if __name__ == "__main__":
    program = Path(sys.executable).with_name("bentoml")
    environ = {
        **os.environ, "BENCH_FOLDER": sys.argv[2], "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_CONFIG_OPTIONS": "services.logging.access.enabled=false",
    }  # fmt: skip
    address = ["--host", "127.0.0.1", "--port", sys.argv[1]]
    target = "benchmarks.serving.peers.bento_app:Gate"
    ended = subprocess.run([program, "serve", target, *address], env=environ, check=False)
    sys.exit(ended.returncode)
