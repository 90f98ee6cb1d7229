"""What an ``MLmodel`` says, read without MLflow: JSON is YAML, so a parser of that stands in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from firedoor.adapters.mlflow.mlmodel import BYTES_MAX, Described, described, is_address
from firedoor.errors import DeclarationError
from firedoor.wire.bundle import parse_fields


@pytest.fixture(autouse=True)
def parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "yaml", SimpleNamespace(safe_load=json.loads, YAMLError=ValueError)
    )


def said_by(folder: Path, **more: object) -> Described:
    """Return what is read from a folder whose ``MLmodel`` says that."""
    said = {"flavors": {"python_function": {}}, **more}
    (folder / "MLmodel").write_text(json.dumps(said))
    return described(folder)


def signature(inputs: object, outputs: object = None) -> dict[str, object]:
    return {"inputs": json.dumps(inputs), "outputs": outputs and json.dumps(outputs)}


def test_columns_have_our_dtypes(tmp_path: Path) -> None:
    types = ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"]
    columns = [{"type": one, "name": f"c {one}", "required": True} for one in types]
    found = said_by(tmp_path, signature=signature(columns, [{"type": "double"}]))
    assert list(found.inputs.values()) == [
        "Boolean", "Int32", "Int64", "Float32", "Float64", "String", "Binary", "Datetime",
    ]  # fmt: skip
    assert found.outputs == {"output": "Float64"}
    assert len(parse_fields("inputs", found.inputs)) == len(types)


def test_tensors_arrays_and_what_has_no_dtype_here_can_be_declared(tmp_path: Path) -> None:
    def tensor(dtype: str, *shape: int) -> dict[str, object]:
        return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}

    specs = [
        tensor("float32", -1, 28, -1), tensor("uint8", -1), tensor("complex64", -1, 2),
        {"type": "array", "items": {"type": "long"}}, {"type": "map", "values": {}}, {},
    ]  # fmt: skip
    found = said_by(tmp_path, signature=signature(specs)).inputs
    assert list(found.values()) == [
        "Float32[28, ?]", "UInt8", "Object[2]", "Int64[?]", "Object", "Object",
    ]  # fmt: skip
    fields = parse_fields("inputs", found)
    assert [one.name for one in fields] == [f"input_{number}" for number in range(6)]
    assert fields[0].shape == (28, None)


def test_a_model_without_a_signature_has_none(tmp_path: Path) -> None:
    assert said_by(tmp_path) == Described()
    assert said_by(tmp_path, signature=None, run_id=None) == Described()


def test_example_environment_and_run_are_taken_where_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("{}")
    pins = "# made\nscikit-learn==1.9.1\nmlflow==3.17.2 ; python_version > '3'\npandas<4\n-e .\n"
    (tmp_path / "requirements.txt").write_text(pins)
    found = said_by(
        tmp_path, saved_input_example_info={"artifact_path": "rows.json"}, run_id="abc",
        mlflow_version="3.0",
    )  # fmt: skip
    assert found.example == "rows.json"
    assert found.environment == {"scikit-learn": "1.9.1", "mlflow": "3.17.2"}
    assert found.run == "mlflow abc"
    (tmp_path / "rows.json").unlink()
    gone = said_by(tmp_path, saved_input_example_info={"artifact_path": "rows.json"})
    assert gone.example == ""


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"flavors": {"spark": {}}}, "no flavor python_function"),
        ({"flavors": 1}, "names no flavors"),
        ({"signature": {"inputs": "{"}}, "no side of a signature"),
        ({"signature": {"inputs": "[1]"}}, "no side of a signature"),
        ({"signature": {"inputs": [1]}}, "no side of a signature"),
    ],
)
def test_what_mlflow_would_not_write_is_refused(
    tmp_path: Path, more: dict[str, object], says: str
) -> None:
    with pytest.raises(DeclarationError, match=says):
        said_by(tmp_path, **more)


def test_a_file_that_is_missing_damaged_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="holds no MLmodel that can be read"):
        described(tmp_path)
    (tmp_path / "MLmodel").write_text("{")
    with pytest.raises(DeclarationError, match="is damaged"):
        described(tmp_path)
    (tmp_path / "MLmodel").write_text(json.dumps({"flavors": "x" * BYTES_MAX}))
    with pytest.raises(DeclarationError, match="names no flavors"):
        described(tmp_path)


def test_addresses_on_a_server_are_told_from_folders() -> None:
    assert all(map(is_address, ["models:/late/1", "models:/late@champion", "runs:/ab/model"]))
    assert not any(map(is_address, ["saved", "./models", "/models/late", "models:/", "s3://x/y"]))
