"""The real ``promtool``, where there is one: ``make promtool`` fetches it from Debian."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FETCHED = Path(__file__).parents[2] / ".cache" / "prometheus" / "usr" / "bin" / "promtool"


def found() -> str | None:
    """Return where it is: named by the environment, on the path, or fetched."""
    given = os.environ.get("FIREDOOR_PROMTOOL") or shutil.which("promtool")
    return given or (str(FETCHED) if FETCHED.exists() else None)


needs_promtool = pytest.mark.skipif(
    found() is None, reason="promtool is not here: make promtool fetches it where there is apt"
)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    tool = found()
    assert tool is not None
    return subprocess.run(
        [tool, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
