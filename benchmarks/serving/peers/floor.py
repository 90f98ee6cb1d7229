"""The floor: the model in the very process that parses requests, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import httptools
import msgspec
import uvloop

from benchmarks.serving.scoring import Row, Scorer

decode = msgspec.json.Decoder(list[Row] | Row).decode


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, scorer: Scorer) -> None:
        """Begin."""
        self._scorer = scorer
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Collect."""
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """Answer."""
        said, self._body = decode(self._body), b""
        body = msgspec.json.encode({"predictions": self._scorer.score_rows(said)})
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )


async def main(port: int, folder: Path) -> None:
    """Serve for ever."""
    scorer = Scorer(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(scorer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
