"""LitServe: one worker process. It looks at annotations, so that they are no strings here."""

import sys
from pathlib import Path

import litserve

from benchmarks.serving.scoring import Row, Scorer

FOLDER = Path(sys.argv[-1])


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Holds the model in a process of its own."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - as it is called
        """Load it."""
        self.scorer = Scorer(FOLDER)

    # An annotation would make it a parameter of the query.
    def decode_request(self, request):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        """Take rows."""
        return request

    def predict(self, rows: list[Row] | Row) -> list[float]:
        """Predict."""
        return self.scorer.score_rows(rows)

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """Answer."""
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", restart_workers=True)
    server.run(port=int(sys.argv[1]), log_level="error", generate_client_file=False)
