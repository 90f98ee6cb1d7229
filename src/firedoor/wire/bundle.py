"""What a bundle is: files and a manifest, named by the hash of the manifest.

The manifest names each file by size and SHA-256, so that the digest of a bundle stands for every
byte of it. Pure: a manifest is judged here and read from a disk elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from firedoor.errors import DeclarationError, shorten

MANIFEST_VERSION = 1
FILES_MAX = 10_000
PATH_MAX = 400
"""Characters of a path within a bundle."""
PART_BYTES_MAX = 255
MANIFEST_BYTES_MAX = 16 * 2**20
FIELDS_MAX = 10_000
SHAPE_MAX = 8
ENVIRONMENT_MAX = 1_000
TEXT_MAX = 1_000

ENDINGS: dict[str, tuple[str, ...]] = {
    "files": (),
    "pickle": (".pkl", ".pickle"),
    "skops": (".skops",),
    "onnx": (".onnx",),
    "lightgbm": (".txt",),
    "torch": (".pt", ".pth"),
    "mlflow": ("/MLmodel",),
}
"""How ``/`` and the path of the file ends that is the model, by format.

``files``: whatever the loader reads.
"""
FORMATS = tuple(ENDINGS)

_LOADER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELD = re.compile(r"(?P<dtype>[A-Za-z][\w(),.'= ]{0,199})(?:\[(?P<shape>[0-9?, ]{0,99})\])?")

Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, msgspec.Meta(ge=0)]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a bundle."""

    path: str
    """Relative to the bundle, with ``/``."""
    bytes: Size
    sha256: Hex


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] = ()
    """Of one row's value; None: any. Empty: a single value."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes and returns, a row."""

    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a bundle is."""

    version: int = MANIFEST_VERSION
    format: str
    """How it is loaded: ``files``, or the name of a format in ``ENDINGS``."""
    loader: str = ""
    """Of format ``files``: ``module:function``, which is given the bundle's folder."""
    files: tuple[FileEntry, ...]
    """By path."""
    signature: Signature = Signature()
    example: str = ""
    """Path of the file with example rows; empty: there is none."""
    environment: dict[str, str] = {}
    """Versions of what it was made with, by library."""
    run: str = ""
    """The run that made it."""
    created_s: float = 0.0
    """Seconds since 1970, UTC."""

    @property
    def bytes(self) -> int:
        """Return what its files come to."""
        return sum(entry.bytes for entry in self.files)


_decoder = msgspec.json.Decoder(Manifest)


class Unsound(ValueError):
    """Bytes are no manifest of a bundle."""


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the canonical bytes of a manifest: equal manifests are equal bytes."""
    files = tuple(sorted(manifest.files, key=lambda entry: entry.path))
    return msgspec.json.encode(msgspec.structs.replace(manifest, files=files), order="sorted")


def digest_of(encoded: bytes) -> str:
    """Return the digest of the bundle whose canonical manifest this is."""
    return hashlib.sha256(encoded).hexdigest()


def content_of(manifest: Manifest) -> str:
    """Return a hash of what a bundle does: the same, whichever run made it, wherever and when."""
    bare = msgspec.structs.replace(manifest, run="", environment={}, created_s=0.0)
    return digest_of(encode_manifest(bare))


def decode_manifest(encoded: bytes) -> Manifest:
    """Return the manifest, judged: whatever it says is safe to follow.

    Raises:
        Unsound: if it is none, or names files outside its folder.
    """
    if len(encoded) > MANIFEST_BYTES_MAX:
        message = f"a manifest of {len(encoded)} bytes is over {MANIFEST_BYTES_MAX}"
        raise Unsound(message)
    try:
        manifest = _decoder.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"it is no manifest: {shorten(str(error))}"
        raise Unsound(message) from error
    if manifest.version != MANIFEST_VERSION:
        message = f"it has version {manifest.version}, this firedoor reads {MANIFEST_VERSION}"
        raise Unsound(message)
    try:
        check_paths(entry.path for entry in manifest.files)
    except DeclarationError as error:
        raise Unsound(str(error)) from error
    return manifest


def check_manifest(manifest: Manifest) -> None:
    """Refuse what cannot be stored, but for its files, which are read later.

    Raises:
        DeclarationError: naming the field.
    """
    if manifest.format not in FORMATS:
        raise DeclarationError(
            "format", manifest.format, "is not known", f"write one of {', '.join(FORMATS)}"
        )
    check_text("run", manifest.run)
    loader = manifest.loader
    if loader and (manifest.format != "files" or not _LOADER.fullmatch(loader)):
        raise DeclarationError(
            "loader", loader, "is no function that loads files",
            'write "module:function", with format "files"',
        )  # fmt: skip
    if len(manifest.environment) > ENVIRONMENT_MAX:
        raise DeclarationError(
            "environment", f"{len(manifest.environment)} entries",
            f"are more than {ENVIRONMENT_MAX}", "name the libraries that the model needs",
        )  # fmt: skip
    for name, version in manifest.environment.items():
        check_text("environment", name, empty=False)
        check_text("environment", version)


def model_file(manifest: Manifest) -> str:
    """Return the path of the file that is the model, of a format other than ``files``.

    Raises:
        DeclarationError: if there is none, or more than one.
    """
    endings = ENDINGS[manifest.format]
    found = [
        entry.path
        for entry in manifest.files
        if f"/{entry.path}".endswith(endings) and entry.path != manifest.example
    ]
    if len(found) != 1:
        raise DeclarationError(
            "format", manifest.format,
            f"needs one file that ends with {' or '.join(endings)}, and there are {len(found)}",
            'leave one, or use format "files" with a loader',
        )  # fmt: skip
    return found[0]


def check_whole(manifest: Manifest) -> None:
    """Refuse a manifest that names files which are not in the bundle.

    Raises:
        DeclarationError: if its example rows or its model are not there.
    """
    if manifest.format != "files":
        model_file(manifest)
    if manifest.example and manifest.example not in {entry.path for entry in manifest.files}:
        raise DeclarationError(
            "example", manifest.example, "is no file of the bundle",
            "write example rows into the folder, and name that file",
        )  # fmt: skip


def check_size(encoded: bytes) -> None:
    """Refuse a manifest that is too large to be read again.

    Raises:
        DeclarationError: if it is.
    """
    if len(encoded) > MANIFEST_BYTES_MAX:
        raise DeclarationError(
            "manifest", f"{len(encoded)} bytes", f"is over {MANIFEST_BYTES_MAX}",
            "name fewer libraries, fields or files",
        )  # fmt: skip


def check_paths(paths: Iterable[str]) -> None:
    """Refuse paths that leave their folder, or would not be files beside each other everywhere.

    Raises:
        DeclarationError: naming the first one.
    """
    seen: set[str] = set()
    folders: set[str] = set()
    for number, path in enumerate(paths, 1):
        if number > FILES_MAX:
            raise DeclarationError(
                "folder", f"{number} files", f"holds more than {FILES_MAX} files",
                "pack them into an archive, or leave out what is no part of the model",
            )  # fmt: skip
        _check_path(path)
        folded = path.casefold()
        parents = {folded[:at] for at, char in enumerate(folded) if char == "/"}
        if folded in seen | folders or parents & seen:
            raise DeclarationError(
                "folder", path, "is there twice, or differs from another name by case alone",
                "rename one: some file systems take them for the same",
            )  # fmt: skip
        seen.add(folded)
        folders |= parents
    if not seen:
        raise DeclarationError(
            "folder", "", "holds no file", "write the model's files into it first"
        )


def is_digest(text: str) -> bool:
    """Return whether a text can be the digest of a bundle."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(digest: object) -> str:
    """Return a digest as it is.

    Raises:
        DeclarationError: if it is none.
    """
    if not isinstance(digest, str) or not is_digest(digest):
        raise DeclarationError(
            "digest", digest, "is no digest", "write all 64 digits, as `firedoor models show` does"
        )
    return digest


def parse_fields(field: str, declared: Mapping[str, str]) -> tuple[Field, ...]:
    """Return fields from ``{"distance": "Int64", "pixels": "Float32[28, 28]"}``.

    Raises:
        DeclarationError: if one is not spelled like that.
    """
    if len(declared) > FIELDS_MAX:
        raise DeclarationError(
            field, f"{len(declared)} fields", f"are more than {FIELDS_MAX}",
            'declare one field with a shape: {"features": "Float32[20000]"}',
        )  # fmt: skip
    return tuple(_parse_field(field, name, text) for name, text in declared.items())


def check_text(field: str, text: object, *, empty: bool = True) -> str:
    """Return a text of one line, not too long.

    Raises:
        DeclarationError: if it is something else.
    """
    if not isinstance(text, str) or len(text) > TEXT_MAX or not text.isprintable():
        raise DeclarationError(
            field, text, "is not a line of text", f"write at most {TEXT_MAX} printable characters"
        )
    if not empty and not text.strip():
        raise DeclarationError(field, text, "is empty", "say it: it is kept")
    return text


def _check_path(path: str) -> None:
    """Refuse a path that is not plainly below its folder."""
    parts = path.split("/")
    odd = len(path) > PATH_MAX or not path.isprintable() or "\\" in path
    if odd or any(part in {"", ".", ".."} for part in parts) or _too_long(parts):
        raise DeclarationError(
            "folder", path, "is not a plain path within a bundle",
            f"use printable names without backslashes, at most {PATH_MAX} characters in all",
        )  # fmt: skip


def _too_long(parts: list[str]) -> bool:
    """Return whether a file system could not hold one of the names."""
    return any(len(part.encode()) > PART_BYTES_MAX for part in parts)


def _parse_field(field: str, name: str, text: str) -> Field:
    """Return one field."""
    match = _FIELD.fullmatch(text) if isinstance(text, str) else None
    shape = [part.strip() for part in (match["shape"] or "").split(",")] if match else []
    shape = [] if shape == [""] else shape
    sound = all(part == "?" or part.isdigit() for part in shape) and len(shape) <= SHAPE_MAX
    if match is None or not sound or not isinstance(name, str) or not 0 < len(name) <= PATH_MAX:
        raise DeclarationError(
            field, {name: text}, "is not a name, a dtype and perhaps a shape",
            'write {"distance": "Int64", "pixels": "Float32[28, ?]"}',
        )  # fmt: skip
    return Field(
        name=name,
        dtype=match["dtype"],
        shape=tuple(None if part == "?" else int(part) for part in shape),
    )
