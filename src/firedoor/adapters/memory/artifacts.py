"""Bundles in memory: the reference of ``ports.artifacts``."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.files.packing import copy_hashed, files_of, opened
from firedoor.errors import (
    ArtifactsFull,
    BundleDamaged,
    DeclarationError,
    ModelsUnavailable,
    NotKnown,
)
from firedoor.ports.artifacts import Listed, Swept
from firedoor.ports.clock import Clock
from firedoor.units import format_bytes
from firedoor.wire.bundle import (
    FileEntry,
    Manifest,
    check_digest,
    check_manifest,
    check_paths,
    check_size,
    check_whole,
    decode_manifest,
    digest_of,
    encode_manifest,
)

BYTES_MAX = 2**30


@dataclass(slots=True)
class MemoryArtifacts:
    """A store that is gone with its process. Threads may share it."""

    bytes_max: int = BYTES_MAX
    """Of all files together."""
    clock: Clock = field(default_factory=SystemClock)
    away: bool = False
    """Whether it is to look as if it was out of reach."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Content by SHA-256: whoever changes one here damages it."""
    _bundles: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    """Manifest, and when it was stored, by digest."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, folder: Path, manifest: Manifest) -> str:
        """Store a folder, whole or not at all; return the digest."""
        self._check_there()
        check_manifest(manifest)
        entries: list[FileEntry] = []
        contents: dict[str, bytes] = {}
        room = self.bytes_max
        with opened(folder) as source:
            for found in files_of(source):
                room -= found.bytes
                if room < 0:  # refused before it is read
                    raise self._full()
                piece = io.BytesIO()
                sha256, count = copy_hashed(found.descriptor, piece.write, found.bytes)
                contents[sha256] = piece.getvalue()
                entries.append(FileEntry(path=found.path, bytes=count, sha256=sha256))
        check_paths(entry.path for entry in entries)
        whole = msgspec.structs.replace(manifest, files=tuple(entries))
        check_whole(whole)
        encoded = encode_manifest(whole)
        check_size(encoded)
        with self._lock:
            together = {**self.files, **contents}
            if sum(map(len, together.values())) > self.bytes_max:
                raise self._full()
            self.files.update(contents)
            self._bundles[digest_of(encoded)] = encoded, self.clock.utc_s()
        return digest_of(encoded)

    def manifest(self, digest: str) -> Manifest:
        """Return what a bundle says it is."""
        self._check_there()
        kept = self._bundles.get(check_digest(digest))
        if kept is None:
            message = f"there is no bundle {digest}: it was never stored whole, or was pruned"
            raise NotKnown(message)
        return decode_manifest(kept[0])

    def get(self, digest: str, to: Path) -> Manifest:
        """Copy a bundle into a new folder, verified before it is written; whole or not there."""
        manifest = self.verify(digest)
        if to.is_symlink() or to.exists():
            raise DeclarationError("to", str(to), "is there already", "name a new folder")
        try:
            beside = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.absolute().parent))
        except OSError as error:
            why = f"cannot be made: {error.strerror}"
            raise DeclarationError("to", str(to), why, "name another folder") from error
        try:
            for entry in manifest.files:
                file = beside / entry.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self._content(digest, entry))
            beside.rename(to)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return manifest

    def open(self, digest: str, path: str) -> BinaryIO:
        """Open one file of a bundle to read."""
        for entry in self.manifest(digest).files:
            if entry.path == path:
                return io.BytesIO(self._content(digest, entry))
        message = f"bundle {digest} holds no file {path!r}"
        raise NotKnown(message)

    def verify(self, digest: str) -> Manifest:
        """Hash all of a bundle and compare."""
        manifest = self.manifest(digest)
        for entry in manifest.files:
            self._content(digest, entry)
        return manifest

    def listed(self) -> Iterator[Listed]:
        """Go through what is there, in no order."""
        self._check_there()
        for digest, (_, stored_s) in list(self._bundles.items()):
            yield Listed(digest, stored_s)

    def delete(self, digest: str, *, stored_before_s: float | None = None) -> bool:
        """Take a bundle away, unless it was stored again since then."""
        self._check_there()
        check_digest(digest)
        with self._lock:
            kept = self._bundles.get(digest)
            if kept is None or (stored_before_s is not None and kept[1] >= stored_before_s):
                return False
            del self._bundles[digest]
        return True

    def sweep(self) -> Swept:
        """Take away what no bundle needs."""
        self._check_there()
        with self._lock:
            manifests = [decode_manifest(encoded) for encoded, _ in self._bundles.values()]
            needed = {entry.sha256 for manifest in manifests for entry in manifest.files}
            loose = {name: len(content) for name, content in self.files.items()}
            loose = {name: size for name, size in loose.items() if name not in needed}
            for name in loose:
                del self.files[name]
        return Swept(files=len(loose), bytes=sum(loose.values()))

    def _content(self, digest: str, entry: FileEntry) -> bytes:
        """Return a file of a bundle, compared with what was stored."""
        content = self.files.get(entry.sha256)
        if content is None or hashlib.sha256(content).hexdigest() != entry.sha256:
            message = f"{entry.path} of bundle {digest} is not what was stored: it is not loaded"
            raise BundleDamaged(message, digest=digest, file=entry.path)
        return content

    def _full(self) -> ArtifactsFull:
        """Return what to say where there is no room."""
        return ArtifactsFull(f"there is no room: {format_bytes(self.bytes_max)} are all there is")

    def _check_there(self) -> None:
        """Refuse where it is to look as if it was away."""
        if self.away:
            message = "the store of bundles is away"
            raise ModelsUnavailable(message)
