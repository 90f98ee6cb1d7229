"""The conformance suite of ``ports.artifacts``: what every adapter has to keep.

For pytest::

    from firedoor.testing.artifacts_conformance import CASES, Case

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_it_conforms(case: Case, tmp_path: Path) -> None:
        case.run(MyPlace(), tmp_path)

Each case wants a place of its own, empty, and an empty folder to work in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from firedoor.errors import (
    ArtifactsFull,
    BundleDamaged,
    DeclarationError,
    FiredoorError,
    ModelsUnavailable,
    NotKnown,
)
from firedoor.ports.artifacts import Artifacts, Swept
from firedoor.wire.bundle import Manifest

MANIFEST = Manifest(format="files", files=(), run="train-1", created_s=1.7e9)
FILES = {"model": b"weights" * 1000, "notes/readme": b"text"}
NO_DIGEST = "0" * 64
WRITERS = 4


class Place(Protocol):
    """Where a store of bundles is."""

    def open(self) -> Artifacts:
        """Return a client of the store; all are of the same one."""
        ...

    def damage(self, sha256: str) -> None:
        """Change one byte of a stored file."""
        ...

    def full(self) -> AbstractContextManager[None]:
        """Have room for less than 1 MiB while the block is at work."""
        ...

    def stop(self) -> None:
        """Have it out of reach."""
        ...

    def start(self) -> None:
        """Have it back, as it was."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """One promise."""

    name: str
    run: Callable[[Place, Path], None]
    """Fails with an AssertionError that says how it is broken."""

    def __str__(self) -> str:
        """Return the name, for pytest's list of tests."""
        return self.name


def what_was_put_comes_back_whole(place: Place, folder: Path) -> None:
    """By every client, under one digest, file for file."""
    model = _written(folder / "model")
    digest = place.open().put(model, MANIFEST)
    store = place.open()
    manifest = store.get(digest, folder / "out")
    assert _read(folder / "out") == FILES
    assert manifest == store.manifest(digest) == store.verify(digest)
    assert [entry.path for entry in manifest.files] == sorted(FILES)
    assert (manifest.run, manifest.bytes) == ("train-1", sum(map(len, FILES.values())))
    with store.open(digest, "notes/readme") as file:
        assert file.read() == b"text"
    assert [one.digest for one in store.listed()] == [digest]
    assert sorted(path.name for path in folder.iterdir()) == ["model", "out"]


def the_digest_stands_for_every_byte_and_every_word(place: Place, folder: Path) -> None:
    """The same twice is one bundle; another byte, or another word, is another."""
    store, model = place.open(), _written(folder / "model")
    digest = store.put(model, MANIFEST)
    assert store.put(model, MANIFEST) == digest
    other = store.put(model, msgspec.structs.replace(MANIFEST, run="train-2"))
    (model / "model").write_bytes(b"weightS" * 1000)
    assert len({digest, other, store.put(model, MANIFEST)}) == len(list(store.listed()))
    assert _read_back(store, digest, folder / "out") == FILES


def what_no_bundle_can_hold_is_refused_and_leaves_nothing(place: Place, folder: Path) -> None:
    """Links, empty folders, a manifest that says nonsense."""
    store = place.open()
    (folder / "empty").mkdir()
    linked = _written(folder / "linked")
    (linked / "link").symlink_to("/etc/passwd")
    for model, manifest in (
        (linked, MANIFEST),
        (folder / "empty", MANIFEST),
        (folder / "nowhere", MANIFEST),
        (_written(folder / "good"), msgspec.structs.replace(MANIFEST, format="exe")),
        (folder / "good", msgspec.structs.replace(MANIFEST, example="not there")),
    ):
        _raised(DeclarationError, partial(store.put, model, manifest))
    assert list(store.listed()) == []


def what_is_not_there_is_told(place: Place, folder: Path) -> None:
    """A digest that is none, a bundle and a file that were never stored, a target that is."""
    store, model = place.open(), _written(folder / "model")
    digest = store.put(model, MANIFEST)
    for wrong in ("", "../../etc/passwd", digest[:12], digest.upper()):
        _raised(DeclarationError, partial(store.manifest, wrong))
        _raised(DeclarationError, partial(store.delete, wrong))
    _raised(NotKnown, lambda: store.verify(NO_DIGEST))
    _raised(NotKnown, lambda: store.get(NO_DIGEST, folder / "out"))
    _raised(NotKnown, lambda: store.open(digest, "other"))
    _raised(DeclarationError, lambda: store.get(digest, model))
    _raised(DeclarationError, lambda: store.get(digest, folder / "no" / "folder"))
    assert [path.name for path in folder.iterdir()] == ["model"]


def a_damaged_file_is_never_handed_out(place: Place, folder: Path) -> None:
    """It is refused by name and digest, and storing the bundle again mends it."""
    store, model = place.open(), _written(folder / "model")
    digest = store.put(model, MANIFEST)
    place.damage({entry.path: entry.sha256 for entry in store.manifest(digest).files}["model"])
    for attempt in (
        lambda: store.verify(digest),
        lambda: store.get(digest, folder / "out"),
        lambda: store.open(digest, "model"),
    ):
        error = _raised(BundleDamaged, attempt)
        assert isinstance(error, BundleDamaged)
        assert (error.digest, error.file) == (digest, "model")
    assert not (folder / "out").exists()
    assert store.put(model, MANIFEST) == digest
    assert _read_back(store, digest, folder / "out") == FILES


def a_bundle_without_room_is_refused_and_leaves_nothing(place: Place, folder: Path) -> None:
    """What is there stays whole."""
    store = place.open()
    digest = store.put(_written(folder / "model"), MANIFEST)
    large = _written(folder / "large", {"weights": bytes(2**20)})
    with place.full():
        _raised(ArtifactsFull, lambda: store.put(large, MANIFEST))
    assert [one.digest for one in store.listed()] == [digest]
    store.verify(digest)
    store.put(large, MANIFEST)


def what_was_stored_again_is_not_deleted_for_its_age(place: Place, folder: Path) -> None:
    """And what was deleted is gone for every client."""
    store, model = place.open(), _written(folder / "model")
    digest = store.put(model, MANIFEST)
    stored_s = next(iter(store.listed())).stored_s
    assert not store.delete(digest, stored_before_s=stored_s)
    assert place.open().delete(digest, stored_before_s=stored_s + 1)
    assert not store.delete(digest)
    _raised(NotKnown, lambda: store.verify(digest))
    assert list(store.listed()) == []


def a_sweep_takes_what_no_bundle_needs_alone(place: Place, folder: Path) -> None:
    """A content that two bundles hold stays as long as one of them does."""
    store = place.open()
    first = store.put(_written(folder / "a", {"shared": b"s" * 99, "own": b"1"}), MANIFEST)
    second = store.put(_written(folder / "b", {"shared": b"s" * 99, "own": b"22"}), MANIFEST)
    assert store.sweep() == Swept()
    store.delete(first)
    assert store.sweep() == Swept(files=1, bytes=1)
    assert _read_back(store, second, folder / "out") == {"shared": b"s" * 99, "own": b"22"}


def bundles_of_many_at_once_are_each_whole(place: Place, folder: Path) -> None:
    """Writers share a content, and a sweeper goes about between them."""
    errors: list[Exception] = []
    digests: list[str] = []

    def write(number: int) -> None:
        try:
            files = {"shared": b"s" * 9999, "own": b"%d" % number}
            digests.append(place.open().put(_written(folder / f"m{number}", files), MANIFEST))
        except (FiredoorError, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    store = place.open()
    while any(thread.is_alive() for thread in threads):
        store.sweep()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert {one.digest for one in store.listed()} == set(digests)
    for digest in digests:
        store.verify(digest)


def a_store_out_of_reach_is_told_and_comes_back_as_it_was(place: Place, folder: Path) -> None:
    """Never does it look empty."""
    store, model = place.open(), _written(folder / "model")
    digest = store.put(model, MANIFEST)
    place.stop()
    for attempt in (
        lambda: store.put(model, MANIFEST),
        lambda: store.manifest(digest),
        lambda: store.verify(digest),
        lambda: list(store.listed()),
        lambda: store.delete(digest),
        store.sweep,
    ):
        _raised(ModelsUnavailable, attempt)
    place.start()
    store.verify(digest)


CASES: tuple[Case, ...] = tuple(
    Case(case.__name__, case)
    for case in (
        what_was_put_comes_back_whole,
        the_digest_stands_for_every_byte_and_every_word,
        what_no_bundle_can_hold_is_refused_and_leaves_nothing,
        what_is_not_there_is_told,
        a_damaged_file_is_never_handed_out,
        a_bundle_without_room_is_refused_and_leaves_nothing,
        what_was_stored_again_is_not_deleted_for_its_age,
        a_sweep_takes_what_no_bundle_needs_alone,
        bundles_of_many_at_once_are_each_whole,
        a_store_out_of_reach_is_told_and_comes_back_as_it_was,
    )
)
"""All of it, each to be run on a place of its own."""


def _written(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """Write a folder with a model's files."""
    for name, content in (FILES if files is None else files).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def _read(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _read_back(store: Artifacts, digest: str, to: Path) -> dict[str, bytes]:
    """Return the files of a bundle."""
    store.get(digest, to)
    return _read(to)


def _raised(kind: type[FiredoorError], attempt: Callable[[], object]) -> FiredoorError:
    """Return what an attempt raises."""
    try:
        attempt()
    except kind as error:
        return error
    message = f"{kind.__name__} was expected"
    raise AssertionError(message)
