"""Bundles on a folder, also on one that several machines share. See ``ports.artifacts``.

| In it | What |
|---|---|
| ``bundles/DIGEST.json`` | manifests: a bundle is there as soon as its manifest is |
| ``files/SHA256`` | the files of all bundles, each content once |
| ``incoming/`` | what is being written |
| ``lock`` | shared by who stores, alone for who takes away |
| ``version`` | of this layout; written last, so that an empty mount is not taken for a store |

Files are copied into ``incoming``, synced, renamed to their content's name, and the manifest last:
that rename is the step in which the bundle appears. Who is killed before it leaves files that no
manifest names. They are swept by who holds the lock alone: then nobody is storing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from firedoor.adapters.files.locking import Taken, locked
from firedoor.adapters.files.packing import PLAIN, Found, Write, copy_hashed, files_of, opened
from firedoor.adapters.files.telling import Busy, check_layout, make_layout, target_told, told
from firedoor.adapters.files.writing import FILE_MODE, FOLDER_MODE, sync_folder
from firedoor.errors import BundleDamaged, DeclarationError, ModelsUnavailable, NotKnown
from firedoor.ports.artifacts import Listed, Swept
from firedoor.units import format_bytes
from firedoor.wire.bundle import (
    MANIFEST_BYTES_MAX,
    FileEntry,
    Manifest,
    Unsound,
    check_digest,
    check_manifest,
    check_paths,
    check_size,
    check_whole,
    decode_manifest,
    digest_of,
    encode_manifest,
    is_digest,
)

BUNDLE_BYTES_MAX = 64 * 2**30
LOCK_WAIT_S = 10.0
KEPT_MODE = 0o400
SHORT = 12
"""Digits by which a digest is told in messages."""


class FileArtifacts:
    """A store of bundles on a folder."""

    def __init__(
        self, folder: Path, *, bytes_max: int = BUNDLE_BYTES_MAX, lock_wait_s: float = LOCK_WAIT_S
    ) -> None:
        """Use a store; nothing is made or read yet."""
        self._folder = folder
        self._bundles, self._files = folder / "bundles", folder / "files"
        self._incoming = folder / "incoming"
        self._bytes_max = bytes_max
        self._lock_wait_s = lock_wait_s

    def create(self) -> None:
        """Make what is missing."""
        make_layout(self._folder, ("bundles", "files", "incoming"))

    # ---- storing

    def put(self, folder: Path, manifest: Manifest) -> str:
        """Store a folder, whole or not at all; return the digest. Bounded memory."""
        check_manifest(manifest)
        with self._locked(shared=True), opened(folder) as source:
            staged: list[tuple[Path, FileEntry]] = []
            try:
                self._stage_all(source, staged)
                files = tuple(entry for _, entry in staged)
                whole = msgspec.structs.replace(manifest, files=files)
                check_paths(entry.path for entry in files)
                check_whole(whole)
                encoded = encode_manifest(whole)
                check_size(encoded)
                self._publish(staged, encoded)
            finally:
                for path, _ in staged:  # what was published has another name by now
                    with contextlib.suppress(OSError):
                        path.unlink()
        return digest_of(encoded)

    def _stage_all(self, source: int, staged: list[tuple[Path, FileEntry]]) -> None:
        """Copy every file into ``incoming``, noting each as soon as it is begun."""
        room = self._bytes_max
        for found in files_of(source):
            if found.bytes > room:
                raise DeclarationError(
                    "folder", found.path,
                    f"makes the bundle larger than {format_bytes(self._bytes_max)}",
                    "leave out what is no part of the model, or raise bytes_max of the store",
                )  # fmt: skip
            room -= found.bytes
            with told(self._folder):
                descriptor, name = tempfile.mkstemp(dir=self._incoming)
            nothing = FileEntry(path=found.path, bytes=0, sha256="")
            staged.append((Path(name), nothing))
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                staged[-1] = (Path(name), self._stage(found, file))

    def _stage(self, found: Found, file: BinaryIO) -> FileEntry:
        """Copy one file, to the disk."""

        def write(piece: memoryview) -> None:
            with told(self._folder):
                while piece:
                    piece = piece[file.write(piece) :]

        try:
            digest, count = copy_hashed(found.descriptor, write, found.bytes)
        except OSError as error:
            raise DeclarationError(
                "folder", found.path, f"cannot be read: {error.strerror}", "look at that disk"
            ) from error
        if count != found.bytes:
            raise DeclarationError(
                "folder", found.path, "was changed while it was read",
                "store it when whoever writes it has ended",
            )  # fmt: skip
        with told(self._folder):
            os.fchmod(file.fileno(), KEPT_MODE)
            os.fsync(file.fileno())
        return FileEntry(path=found.path, bytes=count, sha256=digest)

    def _publish(self, staged: list[tuple[Path, FileEntry]], encoded: bytes) -> None:
        """Give the files their names, and then the manifest its own."""
        with told(self._folder):
            descriptor, name = tempfile.mkstemp(dir=self._incoming)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(encoded)
                    file.flush()
                    os.fchmod(file.fileno(), KEPT_MODE)
                    os.fsync(file.fileno())
                for path, entry in staged:
                    # Over one that is there, too: so storing a bundle again mends it.
                    path.replace(self._files / entry.sha256)
                sync_folder(self._files)
                Path(name).replace(self._manifest_file(digest_of(encoded)))
                sync_folder(self._bundles)
            finally:
                with contextlib.suppress(OSError):
                    Path(name).unlink()

    # ---- reading

    def manifest(self, digest: str) -> Manifest:
        """Return what a bundle says it is, compared with its digest."""
        check_digest(digest)
        try:
            with (
                told(self._folder, but=FileNotFoundError),
                self._manifest_file(digest).open("rb") as file,
            ):
                encoded = file.read(MANIFEST_BYTES_MAX + 1)
        except FileNotFoundError:
            check_layout(self._folder)
            message = (
                f"there is no bundle {digest[:SHORT]} in {self._folder}: it was never stored "
                "whole, or was pruned"
            )
            raise NotKnown(message) from None
        try:
            if digest_of(encoded) != digest:
                message = "it is not what was stored"
                raise Unsound(message)  # noqa: TRY301 - told as what cannot be decoded is
            return decode_manifest(encoded)
        except Unsound as error:
            where = self._manifest_file(digest)
            message = (
                f"the manifest of bundle {digest} is damaged ({where}): {error}; store the bundle "
                "again, or roll back to a version that is whole"
            )
            raise BundleDamaged(message, digest=digest) from error

    def get(self, digest: str, to: Path) -> Manifest:
        """Copy a bundle into a new folder, verified while it is copied; whole or not there."""
        manifest = self.manifest(digest)
        if to.is_symlink() or to.exists():
            raise DeclarationError("to", str(to), "is there already", "name a new folder")
        with target_told(to):
            beside = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.absolute().parent))
        try:
            for entry in manifest.files:
                self._copy(digest, entry, beside / entry.path, to)
            with target_told(to):
                beside.rename(to)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return manifest

    def open(self, digest: str, path: str) -> BinaryIO:
        """Open one file of a bundle to read, once the whole of it is verified."""
        entries = {entry.path: entry for entry in self.manifest(digest).files}
        if path not in entries:
            message = f"bundle {digest[:SHORT]} holds no file {path!r}: it has {sorted(entries)}"
            raise NotKnown(message[:1000])
        with contextlib.ExitStack() as undo:
            file = undo.enter_context(os.fdopen(self._content(digest, entries[path]), "rb"))
            self._compare(digest, entries[path], file.fileno(), lambda _: None)
            file.seek(0)
            undo.pop_all()
            return file

    def verify(self, digest: str) -> Manifest:
        """Read all of a bundle and compare."""
        manifest = self.manifest(digest)
        for entry in manifest.files:
            descriptor = self._content(digest, entry)
            try:
                self._compare(digest, entry, descriptor, lambda _: None)
            finally:
                os.close(descriptor)
        return manifest

    def _copy(self, digest: str, entry: FileEntry, target: Path, to: Path) -> None:
        """Copy one file of a bundle to where it is wanted."""
        descriptor = self._content(digest, entry)
        try:
            with target_told(to):
                target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                file = target.open("xb", buffering=0)
            with file:
                os.fchmod(file.fileno(), FILE_MODE)

                def write(piece: memoryview) -> None:
                    with target_told(to):
                        while piece:
                            piece = piece[file.write(piece) :]

                self._compare(digest, entry, descriptor, write)
        finally:
            os.close(descriptor)

    def _content(self, digest: str, entry: FileEntry) -> int:
        """Open a file of a bundle, as it is on the disk."""
        try:
            with told(self._folder, but=FileNotFoundError):
                descriptor = os.open(self._files / entry.sha256, PLAIN)
        except FileNotFoundError:
            self.manifest(digest)  # it may have been deleted meanwhile, which is no damage
            raise self._damage(digest, entry, "is missing") from None
        except ModelsUnavailable as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ELOOP:
                raise self._damage(digest, entry, "was replaced by a link") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self._damage(digest, entry, "is no plain file any more")
        return descriptor

    def _compare(self, digest: str, entry: FileEntry, descriptor: int, write: Write) -> None:
        """Read a file of a bundle, hand its pieces on, and refuse it at its end if it differs."""
        try:
            found, count = copy_hashed(descriptor, write, entry.bytes)
        except OSError as error:
            raise self._damage(digest, entry, f"cannot be read: {error.strerror}") from error
        if count != entry.bytes:
            size = os.fstat(descriptor).st_size
            raise self._damage(digest, entry, f"has {size} bytes instead of {entry.bytes}")
        if found != entry.sha256:
            raise self._damage(digest, entry, "has another content than was stored")

    def _damage(self, digest: str, entry: FileEntry, what: str) -> BundleDamaged:
        """Return what to say of a file that is not what was stored."""
        message = (
            f"{entry.path} of bundle {digest} {what} ({self._files / entry.sha256}): it is not "
            "loaded; store the bundle again, or roll back to a version that is whole"
        )
        return BundleDamaged(message, digest=digest, file=entry.path)

    # ---- taking away

    def listed(self) -> Iterator[Listed]:
        """Go through what is there, in no order."""
        check_layout(self._folder)
        with told(self._folder), os.scandir(self._bundles) as entries:
            for entry in entries:
                digest = entry.name.removesuffix(".json")
                if not is_digest(digest):  # NFS keeps what is open and deleted under odd names
                    continue
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    yield Listed(digest, entry.stat().st_mtime)

    def delete(self, digest: str, *, stored_before_s: float | None = None) -> bool:
        """Take a bundle away, unless it was stored again since then; its files go with a sweep."""
        file = self._manifest_file(check_digest(digest))
        with self._locked(shared=False), told(self._folder):
            try:
                if stored_before_s is not None and file.stat().st_mtime >= stored_before_s:
                    return False
                file.unlink()
            except FileNotFoundError:
                return False
            sync_folder(self._bundles)
        return True

    def sweep(self) -> Swept:
        """Take away what no bundle needs, unless somebody is storing one just now."""
        try:
            with self._locked(shared=False, wait_s=0.0):
                return self._sweep()
        except Busy:
            return Swept(kept="somebody is storing a bundle just now")

    def _sweep(self) -> Swept:
        """Take away what no bundle needs; nobody else is at work."""
        needed: set[str] = set()
        for one in self.listed():
            try:
                needed |= {entry.sha256 for entry in self.manifest(one.digest).files}
            except BundleDamaged as error:
                return Swept(kept=f"what bundle {one.digest} needs is not known: {error}")
        files = size = 0
        with told(self._folder):
            for folder, kept in ((self._incoming, set()), (self._files, needed)):
                with os.scandir(folder) as entries:
                    named = (entry for entry in entries if not entry.name.startswith("."))
                    loose = [entry for entry in named if entry.name not in kept]
                for entry in loose:
                    size += entry.stat(follow_symlinks=False).st_size
                    Path(entry.path).unlink()
                    files += 1
        return Swept(files=files, bytes=size)

    # ---- the folder

    def _manifest_file(self, digest: str) -> Path:
        """Return the file of a manifest."""
        return self._bundles / f"{digest}.json"

    @contextmanager
    def _locked(self, *, shared: bool, wait_s: float | None = None) -> Iterator[None]:
        """Hold the store's lock."""
        check_layout(self._folder)
        wait_s = self._lock_wait_s if wait_s is None else wait_s
        with contextlib.ExitStack() as held:
            try:
                with told(self._folder):
                    lock = locked(self._folder / "lock", shared=shared, wait_s=wait_s)
                    held.enter_context(lock)
            except Taken:
                who = "somebody takes bundles away" if shared else "somebody stores bundles"
                message = f"{who} in {self._folder} for more than {wait_s:.0f} s: try again later"
                raise Busy(message) from None
            yield
