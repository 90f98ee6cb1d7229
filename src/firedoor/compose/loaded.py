"""Bundles as folders that workers load: copied out of the store once, verified on the way.

Several zones and replicas share them. A bundle appears by one rename, whoever is first; its
manifest is beside it, by which a worker verifies it once more whenever it loads. What nobody has
used for an hour goes when the next one comes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from pathlib import Path

from firedoor.adapters.files.artifacts import FileArtifacts
from firedoor.adapters.files.writing import FOLDER_MODE, write_atomically
from firedoor.errors import DeclarationError
from firedoor.ports.clock import Clock
from firedoor.wire.bundle import Manifest, decode_manifest, encode_manifest

KEPT_S = 3_600.0
"""How long a copy stays that nobody uses."""
TOUCH_S = 300.0
"""How often who uses a copy says so."""


class LoadedBundles:
    """The copies. Thread-safe."""

    def __init__(self, folder: Path, artifacts: FileArtifacts, clock: Clock) -> None:
        """Make the folder: the workers' seal needs it to be there."""
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._folder = folder
        self._artifacts = artifacts
        self._clock = clock
        self._lock = threading.Lock()
        self._touched_s: dict[str, float] = {}
        """When this process last said that it uses a copy, by digest."""

    def have(self, digest: str) -> Path:
        """Return the copy of a bundle, made now if there is none.

        Raises:
            FiredoorError: if the bundle is damaged or gone, or there is no room.
        """
        with self._lock:
            now_s = self._clock.utc_s()
            touched_s = self._touched_s.get(digest)
            if touched_s is None or not 0 <= now_s - touched_s < TOUCH_S:
                self._make(digest, now_s)
            return self._folder / digest

    def manifest(self, digest: str) -> Manifest:
        """Return what is beside a copy.

        Raises:
            FiredoorError: if it is not what was stored, and cannot be had again.
            OSError: if it cannot be read.
        """
        encoded = self._manifest(digest).read_bytes()
        if hashlib.sha256(encoded).hexdigest() == digest:
            return decode_manifest(encoded)
        self.renew(digest)
        self.have(digest)
        return self._artifacts.manifest(digest)

    def recheck(self, digest: str) -> None:
        """Compare a copy with its manifest; one that differs is made again by who needs it next.

        Raises:
            FiredoorError, OSError: as ``manifest``.
        """
        for entry in self.manifest(digest).files:
            try:
                with (self._folder / digest / entry.path).open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                found = ""
            if found != entry.sha256:
                self.renew(digest)
                return

    def renew(self, digest: str) -> None:
        """Take a copy away that is not what was stored: the next who needs it makes another."""
        with self._lock:
            self._touched_s.pop(digest, None)
            self._remove(self._folder / digest)

    def _make(self, digest: str, now_s: float) -> None:
        """Have a copy there, and say that it is used."""
        place = self._folder / digest
        if not place.is_dir():
            self._prune(now_s)
            manifest = encode_manifest(self._artifacts.manifest(digest))
            write_atomically(self._manifest(digest), manifest)
            try:
                self._artifacts.get(digest, place)
            except DeclarationError:
                if not place.is_dir():  # else another process was faster
                    raise
        elif not self._manifest(digest).is_file():
            manifest = encode_manifest(self._artifacts.manifest(digest))
            write_atomically(self._manifest(digest), manifest)
        with contextlib.suppress(OSError):
            os.utime(place, (now_s, now_s))
        self._touched_s[digest] = now_s

    def _manifest(self, digest: str) -> Path:
        """Return where the manifest of a copy is."""
        return self._folder / f"{digest}.json"

    def _prune(self, now_s: float) -> None:
        """Take away what nobody has used lately, and what killed processes left half-made."""
        with contextlib.suppress(OSError):
            # Folders first: a manifest goes when its folder has gone.
            for place in sorted(self._folder.iterdir(), key=Path.is_file):
                with contextlib.suppress(FileNotFoundError):
                    if place.stat().st_mtime >= now_s - KEPT_S:
                        continue
                    if place.is_dir():
                        self._touched_s.pop(place.name, None)
                        self._remove(place)
                    elif not place.with_suffix("").is_dir():
                        place.unlink()

    def _remove(self, place: Path) -> None:
        """Take a copy away in one step, so that nobody sees a part of it."""
        with contextlib.suppress(OSError):
            aside = tempfile.mkdtemp(prefix=".gone-", dir=self._folder)
            try:
                place.rename(Path(aside) / "bundle")
            finally:
                shutil.rmtree(aside, ignore_errors=True)
