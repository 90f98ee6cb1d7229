"""Manifests: canonical, and what they say is safe to follow."""

from __future__ import annotations

import os.path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.errors import DeclarationError
from firedoor.wire.bundle import (
    MANIFEST_BYTES_MAX,
    Field,
    FileEntry,
    Manifest,
    Unsound,
    check_paths,
    check_size,
    decode_manifest,
    digest_of,
    encode_manifest,
    parse_fields,
)

paths = st.lists(
    st.lists(st.sampled_from(["a", "B", "b", "..", ".", "", "~", "\0", "\\"]), max_size=4).map(
        "/".join
    ),
    max_size=4,
)


def manifest_of(*names: str, **more: object) -> Manifest:
    files = tuple(FileEntry(path=name, bytes=1, sha256="a" * 64) for name in names)
    return msgspec.structs.replace(Manifest(format="files", files=files), **more)


@given(paths)
def test_paths_that_are_taken_stay_below_their_folder_and_beside_each_other(
    names: list[str],
) -> None:
    try:
        check_paths(names)
    except DeclarationError:
        return
    assert names
    for name in names:
        assert os.path.normpath(f"/top/{name}") == f"/top/{name}"
        assert not [other for other in names if other.startswith(f"{name}/")]
    assert len({name.casefold() for name in names}) == len(names)


@pytest.mark.parametrize("name", ["a/b", "..a", "a b", "modèle.bin", "a" * 255])
def test_plain_names_are_taken(name: str) -> None:
    check_paths([name])


@given(st.permutations(["a", "b/c", "b/d", "e"]), st.permutations(["numpy", "polars"]))
def test_equal_manifests_are_equal_bytes_in_whatever_order(
    names: list[str], libraries: list[str]
) -> None:
    environment = dict.fromkeys(libraries, "1")
    encoded = encode_manifest(manifest_of(*names, environment=environment))
    assert digest_of(encoded) == digest_of(
        encode_manifest(
            manifest_of("a", "b/c", "b/d", "e", environment={"polars": "1", "numpy": "1"})
        )
    )
    assert encode_manifest(decode_manifest(encoded)) == encoded


@given(st.binary(max_size=40) | st.integers(0, 300).map(lambda at: whole()[:at]))
def test_bytes_are_a_manifest_or_are_refused(data: bytes) -> None:
    try:
        decode_manifest(data)
    except Unsound:
        return
    assert data == whole()


def whole() -> bytes:
    return encode_manifest(manifest_of("a"))


def test_another_version_or_an_unknown_field_or_a_size_below_zero_is_refused() -> None:
    for old, new in ((b'"version":1', b'"version":2'), (b'"run"', b'"ran"'), (b":1,", b":-1,")):
        with pytest.raises(Unsound):
            decode_manifest(whole().replace(old, new))
    with pytest.raises(Unsound, match="is over"):
        decode_manifest(b" " * (MANIFEST_BYTES_MAX + 1))
    with pytest.raises(DeclarationError, match="is over"):
        check_size(b" " * (MANIFEST_BYTES_MAX + 1))


def test_fields_are_a_dtype_and_perhaps_a_shape() -> None:
    declared = {"distance": "Int64", "pixels": "Float32[28, ?]", "when": "Datetime('us', 'UTC')"}
    assert parse_fields("inputs", declared) == (
        Field(name="distance", dtype="Int64"),
        Field(name="pixels", dtype="Float32", shape=(28, None)),
        Field(name="when", dtype="Datetime('us', 'UTC')"),
    )


@pytest.mark.parametrize("text", ["", "Int64[", "Int64[a]", "Int64[1,,2]", "9", "x" * 300, "a\nb"])
def test_what_is_no_field_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match="is not a name, a dtype"):
        parse_fields("inputs", {"distance": text})
    with pytest.raises(DeclarationError, match="are more than"):
        parse_fields("inputs", {str(number): "Int64" for number in range(10_001)})
