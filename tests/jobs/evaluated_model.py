"""A model that is a file of numbers, and says how it is to misbehave. Tests copy it."""

from __future__ import annotations

import json
from pathlib import Path


def load(folder: Path) -> dict[str, object]:
    """Return the model."""
    model: dict[str, object] = json.loads((folder / "model.json").read_text())
    if model.get("how") == "unloadable":
        message = "no licence"
        raise RuntimeError(message)
    return model
