"""A child process that runs user code, and a socket to it: whole messages each way.

It ends when its end of the socket does, and is ended with everything that it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Sequence

MESSAGE_BYTES_MAX = 64 * 2**20
EXIT_S = 5.0
PREFIX = struct.Struct("<IQ")
"""Bytes of a message's header and of its payload."""


class NoMessage(Exception):
    """What the child said is no message."""


def framed(header: bytes, *payload: bytes) -> list[bytes]:
    """Return the pieces of a message to write, in order."""
    return [PREFIX.pack(len(header), sum(map(len, payload))) + header, *payload]


def heard(line: socket.socket) -> tuple[bytes, bytes]:
    """Return header and payload of the next message, at the child's end. Blocks.

    Raises:
        EOFError, OSError: at the end, and for what is no message.
    """
    header, payload = PREFIX.unpack(_receive(line, PREFIX.size))
    if header + payload > MESSAGE_BYTES_MAX:
        raise EOFError
    return _receive(line, header), _receive(line, payload)


def say(line: socket.socket, pieces: Sequence[bytes]) -> None:
    """Send a message, at the child's end; where nobody listens any more, the process ends."""
    try:
        for piece in pieces:
            line.sendall(piece)
    except OSError:
        os._exit(0)


class Child:
    """One process at a time, and our end of a socket to it."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start nothing yet.

        Args:
            command: starts the process; the number of its end of a socket is added as an argument.
        """
        self._command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None
        self._stream: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        """The process, None if there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def started(self) -> bool:
        """Whether there is one to talk to."""
        return self._stream is not None

    async def start(self) -> None:
        """Start a process, and end the one before.

        Raises:
            OSError: if none can be started.
        """
        await self.close()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            self._stream, self._writer = await asyncio.open_connection(
                sock=ours, limit=MESSAGE_BYTES_MAX
            )
        except OSError:
            ours.close()
            await self.close()
            raise

    async def write(self, pieces: Sequence[bytes]) -> None:
        """Send a message.

        Raises:
            OSError: if the process is gone.
        """
        assert self._writer is not None, "it was not started"
        self._writer.writelines(pieces)
        await self._writer.drain()

    async def read(self) -> tuple[bytes, bytes]:
        """Return header and payload of the next message.

        Raises:
            asyncio.IncompleteReadError, OSError: if the process is gone.
            NoMessage: if it is larger than any is.
        """
        assert self._stream is not None, "it was not started"
        header, payload = PREFIX.unpack(await self._stream.readexactly(PREFIX.size))
        if header + payload > MESSAGE_BYTES_MAX:
            message = f"{header + payload:,} bytes are more than any has"
            raise NoMessage(message)
        return (await self._stream.readexactly(header), await self._stream.readexactly(payload))

    async def how(self) -> str:
        """Return how it ended; one that only closed its socket is killed."""
        process = self._process
        if process is None:
            return "is gone"
        try:
            async with asyncio.timeout(EXIT_S):
                code = await process.wait()
        except TimeoutError:
            _kill(process)
            return "closed its socket and went on"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    async def close(self) -> None:
        """End the process and whatever it started."""
        process, writer = self._process, self._writer
        self._process = self._stream = self._writer = None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if process is not None:
            _kill(process)
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """End a process and its group."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _receive(line: socket.socket, size: int) -> bytes:
    """Return so many bytes. Raises EOFError if they end before."""
    data = bytearray()
    while len(data) < size:
        piece = line.recv(min(size - len(data), 2**20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
