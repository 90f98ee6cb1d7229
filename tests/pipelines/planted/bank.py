"""A bank that answers one question at a time: ``python bank.py PORT``."""

from __future__ import annotations

import http.server
import sys
import threading

LARGEST = 10_000
"""Cents; more it cannot do now, it says."""
TAKES_S = 0.03


class Question(http.server.BaseHTTPRequestHandler):
    """One question, which takes its time."""

    def do_GET(self) -> None:
        """Answer."""
        threading.Event().wait(TAKES_S)
        can = int(self.path.strip("/") or 0) <= LARGEST
        self.send_response(200 if can else 503)
        self.end_headers()
        self.wfile.write(b"yes" if can else b"come again")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Bank(http.server.HTTPServer):
    """Answers in the order in which they come, with room for many to wait."""

    request_queue_size = 128


if __name__ == "__main__":
    Bank(("127.0.0.1", int(sys.argv[1])), Question).serve_forever()
