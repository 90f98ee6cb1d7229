"""The real ``promtool``, where there is one: ``make promtool`` fetches it from Debian.

In continuous integration (``CI``) its tests are not skipped: there it is promised that it was
asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

FETCHED = Path(__file__).parents[2] / ".cache" / "prometheus" / "usr" / "bin" / "promtool"


def found() -> str | None:
    """Return where it is: named by the environment, on the path, or fetched."""
    given = os.environ.get("FIREDOOR_PROMTOOL") or shutil.which("promtool")
    return given or (str(FETCHED) if FETCHED.exists() else None)


def left_out(tool: str | None, environ: Mapping[str, str]) -> bool:
    """Return whether its tests are skipped."""
    return tool is None and not environ.get("CI")


MISSING = "promtool is not here: make promtool fetches it where there is apt"
needs_promtool = pytest.mark.skipif(left_out(found(), os.environ), reason=MISSING)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    tool = found()
    assert tool is not None, MISSING
    return subprocess.run(
        [tool, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
