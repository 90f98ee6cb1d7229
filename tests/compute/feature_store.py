"""A store over TCP in a process of its own, that can be killed, and told how to answer."""

from __future__ import annotations

import json
import socketserver
import sys
from pathlib import Path


class Line(socketserver.StreamRequestHandler):
    """Answers with what is in the file."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(json.dumps(Path(sys.argv[2]).read_text()).encode() + b"\n")


class Store(socketserver.ThreadingTCPServer):
    """Starts again on the port that it had."""

    allow_reuse_address = True


if __name__ == "__main__":
    with Store(("127.0.0.1", int(sys.argv[1])), Line) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
