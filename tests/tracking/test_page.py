"""The page about MLflow does what it says, with a real server at the address that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from architecture import pages
from tracking.server import TrackingServer

PAGE = pages.ROOT / "docs" / "guide" / "mlflow.md"
ADDRESS = "http://127.0.0.1:5000"


def test_the_page_runs_and_prints_what_it_shows(server: TrackingServer, tmp_path: Path) -> None:
    folder = tmp_path / "delays"
    folder.mkdir()
    wrong = pages.run_python(PAGE, folder)
    fences = [fence for fence in pages.fences(PAGE) if fence.language == "console"]
    assert any(ADDRESS in fence.body for fence in fences)
    for fence in fences:
        here = replace(fence, body=fence.body.replace(ADDRESS, server.uri))
        wrong += pages.run_console(here, folder)
    assert not wrong, "\n\n".join(wrong)
