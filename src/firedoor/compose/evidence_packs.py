"""What a rolled-back version failed at, kept on the disk, and replayed on its successor.

Gateways write a pack when a rollout ends: ``.firedoor/serving/packs/ROLLOUT/GATEWAY``. The
successor answers the same requests as a tester's, through a gateway, so that nothing of what stands
around a model is left out; such requests are no evidence.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import shutil
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from firedoor.compose.files import FOLDER_MODE, write_atomically
from firedoor.ports.clock import Clock
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.wire.pack import Pack, Replayable, decode_pack
from firedoor.wire.route import Arm
from firedoor.wire.serving import Form

PACKS_MAX = 20
"""Rollouts of which packs are kept, of all services."""
PACK_BYTES_MAX = 256 * 2**20
READY_S = 120.0
"""For which it is waited that the candidate is loaded."""
LOOK_S = 0.2
REQUEST_S = 10.0
GONE = (OSError, http.client.HTTPException)


class EvidencePacks:
    """The packs of one project."""

    def __init__(self, serving: Path) -> None:
        """Name the folder; nothing is made or read yet."""
        self._folder = serving / "packs"

    def keep(self, rollout: str, gateway: str, data: bytes) -> None:
        """Keep what a gateway has of a rollout; the oldest rollouts' packs make room.

        Raises:
            OSError: if it cannot be written.
        """
        folder = self._folder / rollout
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        write_atomically(folder / gateway, data, durable=True)
        with contextlib.suppress(OSError):
            kept = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime)
            for old in kept[:-PACKS_MAX]:
                shutil.rmtree(old, ignore_errors=True)

    def of(self, rollout: str) -> list[Pack]:
        """Return what gateways kept of a rollout; what cannot be read is left out."""
        packs = []
        with contextlib.suppress(OSError):
            for file in sorted((self._folder / rollout).iterdir()):
                with contextlib.suppress(OSError, ValueError), file.open("rb") as opened:
                    packs.append(decode_pack(opened.read(PACK_BYTES_MAX)))
        return packs


class GatewayReplayer:
    """Replays packs through a gateway, as a tester. See ``ports.rollouts.Replayer``."""

    def __init__(
        self,
        packs: EvidencePacks,
        service: str,
        *,
        gateways: Callable[[], list[str]],
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            packs: what was kept.
            service: whose.
            gateways: returns addresses of gateways, ``http://127.0.0.1:8080``; reads files.
            clock: the time.
        """
        self._packs, self._service, self._gateways, self._clock = packs, service, gateways, clock

    async def replay(self, pack: str, candidate: Arm) -> ReplayOutcome:
        """Replay the requests that were kept of a rollout on a candidate."""
        packs = await asyncio.to_thread(self._packs.of, pack)
        requests = [request for one in packs for request in one.requests]
        if not requests:
            return ReplayOutcome(missing=f"no request of {pack} was kept")
        address = await self._ready(candidate)
        if not address:
            why = f"no gateway has had {candidate.name} ready within {READY_S:g} s"
            return ReplayOutcome(missing=why)
        try:
            return await asyncio.to_thread(self._run, address, requests)
        except GONE as error:
            return ReplayOutcome(missing=f"the gateway at {address} went away: {error}")

    async def _ready(self, candidate: Arm) -> str:
        """Return a gateway that has the candidate ready; empty: none has in time."""
        until_s = self._clock.now_s() + READY_S
        while self._clock.now_s() < until_s:
            for address in await asyncio.to_thread(self._gateways):
                if await asyncio.to_thread(self._has, address, candidate):
                    return address
            await self._clock.wait(LOOK_S)
        return ""

    # ---- blocking

    def _has(self, address: str, candidate: Arm) -> bool:
        """Return whether a gateway has a version ready."""
        path = f"/v2/models/{self._service}/versions/{candidate.version}/ready"
        with contextlib.suppress(*GONE), contextlib.closing(_connect(address)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        return False

    def _run(self, address: str, requests: Iterable[Replayable]) -> ReplayOutcome:
        """Send every request, and count what became of them."""
        replayed, again = Counter[str](), Counter[str]()
        good = broken = 0
        with contextlib.closing(_connect(address)) as connection:
            for request in requests:
                well = self._goes_well(connection, request)
                if request.kind == "failing":
                    replayed[request.signature] += 1
                    again[request.signature] += not well
                else:
                    good += 1
                    broken += not well
        failing = {name: (count, again[name]) for name, count in replayed.items()}
        return ReplayOutcome(failing=failing, good=good, broken=broken)

    def _goes_well(self, connection: http.client.HTTPConnection, request: Replayable) -> bool:
        """Return whether the candidate itself answers."""
        headers = {"X-Firedoor-Route": "candidate", "Content-Type": "application/json"}
        path = f"/predict/{self._service}"
        if request.form != Form.ROWS:
            path = f"/v2/models/{self._service}/infer"
        if request.form == Form.V2_BINARY:
            headers["Inference-Header-Content-Length"] = str(request.json_bytes)
            headers["Content-Type"] = "application/octet-stream"
        connection.request("POST", path, request.body, headers)
        response = connection.getresponse()
        response.read()
        by_it = response.getheader("X-Firedoor-Arm") == "candidate"
        whole = not response.getheader("X-Firedoor-Degraded")
        return response.status == http.client.OK and by_it and whole


def _connect(address: str) -> http.client.HTTPConnection:
    """Return a connection that is opened when it is needed."""
    parts = urllib.parse.urlsplit(address)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=REQUEST_S)
