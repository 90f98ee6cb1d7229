"""MLServer: a runtime for the model, in one parallel worker."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.serving.scoring import Scorer


class Delays(MLModel):  # type: ignore[misc]
    """Holds the model."""

    async def load(self) -> bool:
        """Load it."""
        assert self.settings.parameters is not None
        self._scorer = Scorer(Path(self.settings.parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict."""
        tensor = payload.inputs[0]
        features = np.array(tensor.data.root, dtype=np.float64).reshape(tensor.shape)
        told = self._scorer.score(features)
        output = ResponseOutput(name="chance", shape=[len(told)], datatype="FP64", data=told)
        return InferenceResponse(model_name=self.name, outputs=[output])


def main(port: int, folder: Path) -> int:
    """Write its settings, and serve."""
    with tempfile.TemporaryDirectory() as home:
        settings = {
            "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2,
            "host": "127.0.0.1", "parallel_workers": 1, "debug": False,
        }  # fmt: skip
        Path(home, "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        model = {
            "name": "predict", "implementation": "benchmarks.serving.peers.mlserver_app.Delays",
            "parameters": {"uri": str(folder)},
        }  # fmt: skip
        Path(home, "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
        program = Path(sys.executable).with_name("mlserver")
        return subprocess.run([program, "start", home], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
