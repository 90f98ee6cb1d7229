"""Addresses at which there is no tracking server, or one that does not let us in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import firedoor as fd
from tracking.server import firedoor

TOKEN = "t0ken-of-ann"  # noqa: S105 - of nobody


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """Return the address of a server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            # What is echoed is what must not be told: some proxies do that.
            said = body.replace("AUTH", str(self.headers.get("Authorization"))).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = _answer  # noqa: N815 - the names are given

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://ann:pa55word@127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=10)


@pytest.fixture(autouse=True)
def model(project: Path) -> None:
    folder = project / "made"
    folder.mkdir()
    (folder / "m").write_text("m")
    fd.Models(project).add("late", folder)


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (200, "<html>a wiki</html>", 2, "answers, and not as a tracking server does"),
        (404, "<html>not found AUTH</html>", 2, "answers, and not as a tracking server does"),
        (401, "who are you, AUTH?", 2, "does not let us in (401"),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "AUTH may not"}', 2, "(403"),
        (503, '{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "AUTH"}', 3, "is away"),
        (500, "AUTH crashed", 1, "refuses it"),
    ],
)  # fmt: skip
def test_what_answers_at_a_wrong_address_is_told_without_credentials(
    project: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: str, code: int, says: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    with answering(status, body) as uri:
        said = firedoor(project, "mlflow", "mirror", uri=uri, code=code)
    assert says in said
    assert TOKEN not in said
    assert "pa55word" not in said
    kept = [path.read_bytes() for path in (project / ".firedoor" / "mlflow").iterdir()]
    assert not any(b"pa55word" in data or TOKEN.encode() in data for data in kept)


def test_a_port_that_nobody_listens_on_is_a_server_that_is_away(project: Path) -> None:
    said = firedoor(project, "mlflow", "mirror", uri="http://127.0.0.1:9", code=3)
    assert "the tracking server at http://127.0.0.1:9 is away" in said
