"""A control API that answers at a real socket, over streams in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from control.world import make_plan
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.api.app import control_app
from firedoor.api.server import serve_control
from firedoor.api.tokens import Tokens
from firedoor.control.changes import record
from firedoor.spec.plan import Plan
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.change import Change


def make_served() -> Plan:
    """Return a plan with one service."""
    note = StepNote(name="f", pickled=b"", main_path=None, main_module=None, where="m.py:1")
    service = ServicePlan(
        name="predict", owner="x", version="v1", step=note, model=ModelPlan(name="delays")
    )
    return msgspec.structs.replace(make_plan(), services=(service,))


class Api:
    """The API in a thread of its own, and clients of it."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self._port = port
        self.store = MemoryStore()
        self.streams = MemoryStreams(self.store, SystemClock())
        self.tokens = Tokens(folder)
        self.tokens.create()
        self.app = control_app(
            plan=make_served(), folder=folder, reach=lambda: self.streams, clock=SystemClock(),
            tokens=self.tokens,
        )  # fmt: skip
        self.url = ""
        self.code: BaseException | None = None
        self._began = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        async def main() -> None:
            def began(url: str) -> None:
                self.url = url
                self._began.set()

            self._loop = asyncio.get_running_loop()
            self._task = asyncio.current_task()
            shared = self._port != 0  # somebody holds it
            await serve_control(self.app, "127.0.0.1", self._port, shared=shared, began=began)

        try:
            asyncio.run(main())
        except asyncio.CancelledError as error:
            self.code = error

    def token(self, name: str) -> str:
        """Return the secret of a token."""
        told = msgspec.json.decode(self.tokens.path.read_bytes())
        return str(next(each["token"] for each in told["tokens"] if each["name"] == name))

    def client(self, name: str = "admin") -> httpx.Client:
        """Return a client with a token; "" has none."""
        headers = {"Authorization": f"Bearer {self.token(name)}"} if name else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10, trust_env=False)

    def value(self, key: str) -> Any:
        """Return what is kept under a key, as JSON."""
        found = self.store.values.get(key)
        return None if found is None else msgspec.json.decode(found)

    async def said(self, change: Change) -> None:
        """Have it be in the ledger that somebody changed something."""
        await record(self.streams, change)

    def start(self) -> None:
        """Answer."""
        self._thread.start()
        assert self._began.wait(20)

    def end(self) -> None:
        """Cancel it, as its process does at its end."""
        assert self._loop is not None
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(20)
        assert not self._thread.is_alive()


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Api]:
    """Answer for as long as the block is at work, at a port that somebody holds if it is named."""
    api = Api(folder, port)
    api.start()
    try:
        yield api
    finally:
        api.end()
