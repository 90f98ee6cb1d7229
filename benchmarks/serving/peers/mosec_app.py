"""mosec: one worker process behind a server in Rust."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from mosec import Server, Worker

from benchmarks.serving.scoring import Scorer


class Model(Worker):  # type: ignore[misc]
    """Holds the model in a process of its own."""

    def __init__(self) -> None:
        """Load it."""
        self.scorer = Scorer(Path(os.environ["BENCH_FOLDER"]))

    def forward(self, data: Any) -> Any:
        """Predict."""
        return {"predictions": self.scorer.score_rows(data)}


if __name__ == "__main__":
    port, os.environ["BENCH_FOLDER"] = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        sys.argv[1:] = ["--port", port, "--address", "127.0.0.1", "--path", f"{home}/mosec"]
        server = Server()
        server.append_worker(Model, num=1, max_wait_time=1)
        server.run()
