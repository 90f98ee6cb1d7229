"""What a rolled-back version failed at, kept on the disk for its successor.

Gateways write a pack when a rollout ends: ``.firedoor/serving/packs/ROLLOUT/GATEWAY``.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from firedoor.compose.files import FOLDER_MODE, write_atomically
from firedoor.wire.pack import Pack, decode_pack

PACKS_MAX = 20
"""Rollouts of which packs are kept, of all services."""
PACK_BYTES_MAX = 256 * 2**20


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
