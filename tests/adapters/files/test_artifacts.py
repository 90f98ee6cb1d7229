"""A store of bundles on a folder: whole or not there, and refused where it was changed."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec
import pytest

from adapters.files.bundles import MANIFEST, contents, make_folder, make_store, run_killed
from firedoor.adapters.files.artifacts import FileArtifacts
from firedoor.adapters.files.locking import locked
from firedoor.errors import (
    ArtifactsFull,
    BundleDamaged,
    DeclarationError,
    ModelsUnavailable,
    NotKnown,
)
from firedoor.ports.artifacts import Swept
from firedoor.testing.artifacts_conformance import CASES, Case
from firedoor.wire.bundle import FILES_MAX, Manifest, encode_manifest
from pipelines.disks import Limited, small_disk

NO_DIGEST = "0" * 64
NOBODY = 65534


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "model")


@pytest.fixture
def store(tmp_path: Path) -> FileArtifacts:
    return make_store(tmp_path / "store")


class OnDisk:
    """A store on a folder as the suite wants it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_store(folder)

    def open(self) -> FileArtifacts:
        return FileArtifacts(self.folder)

    def damage(self, sha256: str) -> None:
        _flip(self.folder / "files" / sha256)

    def full(self) -> AbstractContextManager[None]:
        return Limited().full(os.getpid(), 2**19)

    def stop(self) -> None:
        self.folder.rename(self.folder.with_name("away"))

    def start(self) -> None:
        self.folder.with_name("away").rename(self.folder)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_conforms(case: Case, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    case.run(OnDisk(tmp_path / "store"), tmp_path / "work")


def stored(tmp_path: Path, kind: str) -> list[Path]:
    return sorted((tmp_path / "store" / kind).iterdir())


def content_of(tmp_path: Path, store: FileArtifacts, digest: str, path: str) -> Path:
    entries = {entry.path: entry.sha256 for entry in store.manifest(digest).files}
    return tmp_path / "store" / "files" / entries[path]


# ---- what is put comes back


def test_a_bundle_comes_back_as_it_was_put(
    store: FileArtifacts, model: Path, tmp_path: Path
) -> None:
    digest = store.put(model, MANIFEST)
    manifest = store.get(digest, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(model)
    assert manifest == store.verify(digest) == store.manifest(digest)
    assert manifest.run == "run-1"
    assert [entry.path for entry in manifest.files] == ["example", "model", "notes/readme"]
    with store.open(digest, "notes/readme") as file:
        assert file.read() == b"text"
    assert [one.digest for one in store.listed()] == [digest]
    assert sorted(tmp_path.iterdir()) == [tmp_path / name for name in ("model", "out", "store")]


def test_the_digest_stands_for_every_byte_and_every_word(
    store: FileArtifacts, model: Path, tmp_path: Path
) -> None:
    digest = store.put(model, MANIFEST)
    assert store.put(model, MANIFEST) == digest
    assert make_store(tmp_path / "other").put(model, MANIFEST) == digest
    again = msgspec.structs.replace(MANIFEST, run="run-2")
    other = store.put(model, again)
    (model / "example").write_bytes(b"rowS")
    assert len({digest, other, store.put(model, MANIFEST)}) == 3


def test_a_content_is_kept_once_however_many_bundles_hold_it(
    store: FileArtifacts, tmp_path: Path
) -> None:
    first = make_folder(tmp_path / "first", model=b"m" * 1000, copy=b"m" * 1000, notes=b"1")
    second = make_folder(tmp_path / "second", model=b"m" * 1000, notes=b"2")
    digests = [store.put(folder, MANIFEST) for folder in (first, second)]
    assert len(stored(tmp_path, "files")) == 3
    assert store.delete(digests[0])
    assert store.sweep().files == 1
    store.verify(digests[1])
    with pytest.raises(NotKnown, match="was never stored whole, or was pruned"):
        store.verify(digests[0])


def test_the_store_is_its_owner_s_alone(store: FileArtifacts, model: Path, tmp_path: Path) -> None:
    store.put(model, MANIFEST)
    for path in (tmp_path / "store", *(tmp_path / "store").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.usefixtures("store")
def test_putting_and_reading_take_little_memory_whatever_the_size(tmp_path: Path) -> None:
    model = tmp_path / "large"
    model.mkdir()
    with (model / "weights").open("wb") as file:
        file.truncate(96 * 2**20)
    script = (
        "import resource; from pathlib import Path\n"
        "from firedoor.adapters.files.artifacts import FileArtifacts\n"
        "from firedoor.wire.bundle import Manifest\n"
        f"store = FileArtifacts(Path({str(tmp_path / 'store')!r}))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (64 * 2**20, 64 * 2**20))\n"
    )
    work = (
        f"digest = store.put(Path({str(model)!r}), Manifest(format='files', files=()))\n"
        f"store.verify(digest); store.get(digest, Path({str(tmp_path / 'out')!r}))\n"
    )
    assert not run_killed(script, work, 10**6)
    assert (tmp_path / "out" / "weights").stat().st_size == 96 * 2**20


# ---- bad input


def _link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")


def _folder_link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "s"))


def _odd_name(folder: Path) -> None:
    (folder / "new\nline").write_bytes(b"")


def _not_unicode(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_bytes(b"")


def _backslash(folder: Path) -> None:
    (folder / "a\\b").write_bytes(b"")


def _case(folder: Path) -> None:
    (folder / "MODEL").write_bytes(b"")


def _crowd(folder: Path) -> None:
    for number in range(FILES_MAX):
        (folder / f"f{number}").touch()


def _deep(folder: Path) -> None:
    (folder / "/".join(["d" * 99] * 5)).mkdir(parents=True)


def _gone(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def _empty(folder: Path) -> None:
    _gone(folder)
    (folder / "empty").mkdir(parents=True)


def _a_file(folder: Path) -> None:
    _gone(folder)
    folder.write_bytes(b"")


def _huge(folder: Path) -> None:
    with (folder / "huge").open("wb") as file:
        file.truncate(65 * 2**30)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_link, "'link': is a link; put the file itself there"),
        (_folder_link, "'link': is a link"),
        (_pipe, "'pipe': is a device, a pipe or a socket"),
        (_socket, "'s': cannot be read"),
        (_odd_name, "is not a plain path"),
        (_not_unicode, "is not a plain path"),
        (_backslash, "is not a plain path"),
        (_case, "'model': is there twice, or differs from another name by case alone"),
        (_crowd, "comes after 10000 other files"),
        (_deep, "has a path of over 400 characters"),
        (_gone, "cannot be read: No such file"),
        (_a_file, "cannot be read: Not a directory"),
        (_empty, "holds no file"),
        (_huge, "makes the bundle larger than 64 GiB"),
    ],
)
def test_a_folder_that_no_bundle_can_hold_is_refused_and_leaves_nothing(
    store: FileArtifacts, model: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(model)
    with pytest.raises(DeclarationError) as refused:
        store.put(model, MANIFEST)
    assert says in str(refused.value)
    assert not any(stored(tmp_path, kind) for kind in ("bundles", "files", "incoming"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "exe"}, "write one of files, pickle, skops, onnx, lightgbm, torch"),
        ({"loader": "no function"}, 'write "module:function"'),
        ({"loader": "a:b", "format": "onnx"}, 'with format "files"'),
        ({"run": "two\nlines"}, "is not a line of text"),
        ({"environment": {"polars": "x" * 2000}}, "is not a line of text"),
        ({"environment": {str(n): "1" for n in range(1001)}}, "are more than 1000"),
        ({"example": "nothing.parquet"}, "is no file of the bundle"),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(
    store: FileArtifacts, model: Path, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        store.put(model, msgspec.structs.replace(MANIFEST, **change))
    assert says in str(refused.value)
    assert not any(stored(tmp_path, kind) for kind in ("bundles", "files", "incoming"))


def test_a_digest_that_is_none_a_file_that_is_not_there_and_a_target_that_is_are_refused(
    store: FileArtifacts, model: Path, tmp_path: Path
) -> None:
    digest = store.put(model, MANIFEST)
    for wrong in ("", "../../etc/passwd", digest[:12], digest.upper()):
        with pytest.raises(DeclarationError, match="is no digest"):
            store.manifest(wrong)
    with pytest.raises(NotKnown, match="there is no bundle 000000000000"):
        store.verify(NO_DIGEST)
    with pytest.raises(NotKnown, match="holds no file 'other'"):
        store.open(digest, "other")
    with pytest.raises(DeclarationError, match="is there already"):
        store.get(digest, model)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DeclarationError, match="is there already"):
        store.get(digest, tmp_path / "link")
    with pytest.raises(DeclarationError, match="cannot be made: No such file"):
        store.get(digest, tmp_path / "no" / "folder")


def test_a_folder_that_is_no_store_does_not_look_like_an_empty_one(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "mount").mkdir()
    store = FileArtifacts(tmp_path / "mount")
    for attempt in (
        lambda: store.put(model, MANIFEST),
        lambda: store.verify(NO_DIGEST),
        lambda: list(store.listed()),
        store.sweep,
    ):
        with pytest.raises(ModelsUnavailable, match="its disk is not mounted"):
            attempt()
    make_store(tmp_path / "store")
    (tmp_path / "store" / "version").write_bytes(b"2\n")
    with pytest.raises(ModelsUnavailable, match="another version of firedoor"):
        FileArtifacts(tmp_path / "store").create()


@contextmanager
def somebody_else(folder: Path) -> Iterator[None]:
    """Be a user who may not look into the folder."""
    if os.geteuid():
        folder.chmod(0)
        yield
        folder.chmod(0o700)
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_store_that_this_user_may_not_use_is_told(
    store: FileArtifacts, model: Path, tmp_path: Path
) -> None:
    digest = store.put(model, MANIFEST)
    with (
        somebody_else(tmp_path / "store"),
        pytest.raises(ModelsUnavailable, match="let this user read and write there"),
    ):
        store.verify(digest)


# ---- damage


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    _overwrite(file, bytes(data))


def _overwrite(file: Path, data: bytes) -> None:
    file.chmod(0o600)
    file.write_bytes(data)


def _cut(file: Path) -> None:
    _overwrite(file, file.read_bytes()[:-1])


def _lengthen(file: Path) -> None:
    _overwrite(file, file.read_bytes() + b"x")


def _relink(file: Path) -> None:
    copy = file.with_name("copy")
    file.rename(copy)
    file.symlink_to(copy)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_flip, "has another content than was stored"),
        (_cut, "has 6999 bytes instead of 7000"),
        (_lengthen, "has 7001 bytes instead of 7000"),
        (Path.unlink, "is missing"),
        (_relink, "was replaced by a link"),
    ],
)
def test_a_bundle_with_a_damaged_file_is_refused_by_name_and_digest(
    store: FileArtifacts, model: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    digest = store.put(model, MANIFEST)
    spoil(content_of(tmp_path, store, digest, "model"))
    for load in (
        lambda: store.verify(digest),
        lambda: store.get(digest, tmp_path / "out"),
        lambda: store.open(digest, "model"),
    ):
        with pytest.raises(BundleDamaged) as refused:
            load()
        assert f"model of bundle {digest} {says}" in str(refused.value)
        assert (refused.value.digest, refused.value.file) == (digest, "model")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "model", tmp_path / "store"]
    with store.open(digest, "example") as file:
        assert file.read() == b"rows"
    if spoil is not _relink:
        assert store.put(model, MANIFEST) == digest
        store.verify(digest)


def _tampered(manifest: Manifest, **change: object) -> bytes:
    return encode_manifest(msgspec.structs.replace(manifest, **change))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda manifest: _tampered(manifest, run="another"),
        lambda manifest: _tampered(manifest, files=manifest.files[:1]),
        lambda manifest: _tampered(
            manifest, files=(msgspec.structs.replace(manifest.files[0], path="../../escape"),)
        ),
        lambda manifest: encode_manifest(manifest)[:-10],
        lambda _: b"",
        lambda _: b"[" * 100_000,
    ],
)
def test_a_manifest_that_was_tampered_with_is_refused(
    store: FileArtifacts, model: Path, tmp_path: Path, spoil: Callable[[Manifest], bytes]
) -> None:
    digest = store.put(model, MANIFEST)
    manifest = store.manifest(digest)
    _overwrite(tmp_path / "store" / "bundles" / f"{digest}.json", spoil(manifest))
    with pytest.raises(BundleDamaged, match=f"the manifest of bundle {digest} is damaged"):
        store.get(digest, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "model", tmp_path / "store"]
    swept = store.sweep()
    assert not swept.files
    assert digest in swept.kept, "what a damaged bundle needs is not known, so nothing goes"


def test_a_manifest_under_its_own_digest_that_leaves_its_folder_is_refused_all_the_same(
    store: FileArtifacts, model: Path, tmp_path: Path
) -> None:
    from firedoor.wire.bundle import digest_of  # noqa: PLC0415 - of this one test

    manifest = store.manifest(store.put(model, MANIFEST))
    evil = _tampered(
        manifest, files=(msgspec.structs.replace(manifest.files[0], path="../../escape"),)
    )
    digest = digest_of(evil)
    (tmp_path / "store" / "bundles" / f"{digest}.json").write_bytes(evil)
    with pytest.raises(BundleDamaged, match="is not a plain path within a bundle"):
        store.get(digest, tmp_path / "out")


# ---- kills, full disks, others at work


def _consistent(store: FileArtifacts, tmp_path: Path) -> list[str]:
    """Return the bundles, each whole; nothing else is left once it is swept."""
    digests = [one.digest for one in store.listed()]
    needed = {entry.sha256 for one in digests for entry in store.verify(one).files}
    assert not store.sweep().kept
    assert {path.name for path in stored(tmp_path, "files")} == needed
    assert stored(tmp_path, "incoming") == []
    return digests


def test_a_kill_at_any_point_of_put_leaves_all_of_the_bundle_or_nothing(
    store: FileArtifacts, model: Path, tmp_path: Path
) -> None:
    first = store.put(make_folder(tmp_path / "first", model=b"weights" * 1000), MANIFEST)
    set_up = (
        "from pathlib import Path\n"
        "from firedoor.adapters.files.artifacts import FileArtifacts\n"
        "from firedoor.wire.bundle import Manifest\n"
        f"store = FileArtifacts(Path({str(tmp_path / 'store')!r}))\n"
        "manifest = Manifest(format='files', files=(), run='run-1', created_s=1.7e9)\n"
    )
    whole = points = 0
    while run_killed(set_up, f"store.put(Path({str(model)!r}), manifest)", points + 1):
        points += 1
        for digest in _consistent(store, tmp_path):
            if digest != first:
                whole += 1
                store.delete(digest)
        assert _consistent(store, tmp_path) == [first]
    assert 0 < whole < points
    assert points > 20
    assert store.put(model, MANIFEST) in _consistent(store, tmp_path)


def test_a_full_disk_is_told_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "store", "4m") as disk:
        store = make_store(tmp_path / "store")
        digest = store.put(model, MANIFEST)
        large = make_folder(tmp_path / "large", weights=bytes(8 * 2**20))
        if isinstance(disk, Limited):
            with disk.full(os.getpid(), 2**20), pytest.raises(ArtifactsFull):
                store.put(large, MANIFEST)
        else:
            with pytest.raises(ArtifactsFull, match="no room on the disk of"):
                store.put(large, MANIFEST)
        assert _consistent(store, tmp_path) == [digest]
        small = make_folder(tmp_path / "small", weights=bytes(2**20))
        assert store.put(small, MANIFEST), "there is room as before"


def test_a_target_without_room_is_told_and_leaves_nothing(
    store: FileArtifacts, tmp_path: Path
) -> None:
    digest = store.put(make_folder(tmp_path / "large", weights=bytes(8 * 2**20)), MANIFEST)
    with small_disk(tmp_path / "small", "1m") as disk:
        if isinstance(disk, Limited):
            with disk.full(os.getpid(), 2**20), pytest.raises(ArtifactsFull):
                store.get(digest, tmp_path / "small" / "out")
        else:
            with pytest.raises(ArtifactsFull, match="nothing was written"):
                store.get(digest, tmp_path / "small" / "out")
        assert list((tmp_path / "small").iterdir()) == []


def test_nobody_sweeps_while_somebody_stores(
    store: FileArtifacts, model: Path, tmp_path: Path
) -> None:
    digest = store.put(model, MANIFEST)
    (tmp_path / "store" / "incoming" / "half").write_bytes(b"h")
    with locked(tmp_path / "store" / "lock", shared=True, wait_s=0):
        assert store.sweep().kept == "somebody is storing a bundle just now"
        store.put(model, MANIFEST)
        hasty = FileArtifacts(tmp_path / "store", lock_wait_s=0.05)
        with pytest.raises(ModelsUnavailable, match="somebody stores bundles in"):
            hasty.delete(digest)
    with (
        locked(tmp_path / "store" / "lock", wait_s=0),
        pytest.raises(ModelsUnavailable, match="somebody takes bundles away in"),
    ):
        hasty.put(model, MANIFEST)
    assert store.sweep().files == 1


def test_what_a_file_server_keeps_under_odd_names_is_no_bundle_and_stays(
    store: FileArtifacts, model: Path, tmp_path: Path
) -> None:
    digest = store.put(model, MANIFEST)
    for kind in ("bundles", "files"):
        (tmp_path / "store" / kind / ".nfs0001").write_bytes(b"")
    assert [one.digest for one in store.listed()] == [digest]
    assert store.sweep() == Swept()


def test_what_was_stored_again_is_not_deleted_for_its_age(
    store: FileArtifacts, model: Path
) -> None:
    digest = store.put(model, MANIFEST)
    stored_s = next(iter(store.listed())).stored_s
    assert not store.delete(digest, stored_before_s=stored_s)
    assert store.delete(digest, stored_before_s=stored_s + 1)
    assert not store.delete(digest)
    assert store.put(model, MANIFEST) == digest


def test_reading_beside_writers_and_sweepers_is_whole_or_says_that_it_is_gone(
    store: FileArtifacts, tmp_path: Path
) -> None:
    folders = [make_folder(tmp_path / f"m{n}", shared=b"s" * 9999, own=b"%d" % n) for n in range(3)]
    digests = [store.put(folder, MANIFEST) for folder in folders]
    ended = threading.Event()
    failed: list[Exception] = []

    def churn() -> None:
        try:
            for _ in range(30):
                for folder, digest in zip(folders, digests, strict=True):
                    store.delete(digest)
                    store.sweep()
                    assert store.put(folder, MANIFEST) == digest
        except Exception as error:  # noqa: BLE001 - shown by the test
            failed.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=churn)
    thread.start()
    whole = 0
    while not ended.is_set():
        for digest in digests:
            try:
                store.verify(digest)
                whole += 1
            except NotKnown:
                pass
    thread.join()
    assert not failed
    assert whole
