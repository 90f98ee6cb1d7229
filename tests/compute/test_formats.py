"""Models as objects: each format by its library, a loader by its name, a pickle by permission."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

import firedoor as fd
from adapters.files.bundles import make_folder
from firedoor.compute.formats import LIBRARIES, load_model
from firedoor.wire.bundle import ENDINGS, FileEntry, Manifest


def add(tmp_path: Path, format_name: str, files: dict[str, bytes], loader: str = "") -> fd.Models:
    """Return models with one that is live."""
    models = fd.Models(tmp_path)
    folder = make_folder(tmp_path / "model", **files)
    models.add("late", folder, format=format_name, loader=loader)
    models.qualify("late@1", "promote", because="auc")
    models.promote("late")
    return models


def manifest_of(format_name: str, *paths: str) -> Manifest:
    files = tuple(FileEntry(path=path, bytes=0, sha256="0" * 64) for path in paths)
    return Manifest(format=format_name, files=files)


def test_files_are_loaded_by_the_function_that_the_bundle_names(tmp_path: Path) -> None:
    models = add(tmp_path, "files", {"weights": b"1 2", "notes": b"n"}, "compute.loaders:read")
    assert models.load("late") == {"notes": "n", "weights": "1 2"}


@pytest.mark.parametrize(
    ("loader", "says"),
    [
        ("", "names no loader: read its files with get"),
        ("nowhere:read", "nowhere:read cannot be imported: ModuleNotFoundError"),
        ("compute.loaders:nothing", "cannot be imported: AttributeError"),
        ("compute.loaders:NOT_A_FUNCTION", "is no function"),
        ("compute.loaders:fail", r"cannot be loaded: ValueError: bundle has no weights"),
    ],
)
def test_a_loader_that_is_not_there_or_fails_is_told(
    tmp_path: Path, loader: str, says: str
) -> None:
    models = add(tmp_path, "files", {"weights": b"1"}, loader)
    with pytest.raises(fd.ModelUnloadable, match=says):
        models.load("late")


def test_a_pickle_is_loaded_only_where_that_is_allowed_by_name_and_warns(tmp_path: Path) -> None:
    models = add(tmp_path, "pickle", {"model.pkl": pickle.dumps({"bias": 0.5})})
    with pytest.raises(fd.ModelRefused, match="runs whatever code is in it") as refused:
        models.load("late")
    assert refused.value.code == "pickle"
    with pytest.warns(UserWarning, match="is a pickle: loading it runs the code in it"):
        assert models.load("late", allow=("pickle",)) == {"bias": 0.5}


def test_a_pickle_that_is_none_is_told(tmp_path: Path) -> None:
    models = add(tmp_path, "pickle", {"model.pickle": b"not one"})
    with (
        pytest.warns(UserWarning, match="is a pickle"),
        pytest.raises(fd.ModelUnloadable, match="UnpicklingError"),
    ):
        models.load("late", allow=("pickle",))


def test_a_damaged_bundle_is_not_loaded_whatever_its_format(tmp_path: Path) -> None:
    models = add(tmp_path, "pickle", {"model.pkl": pickle.dumps(1)})
    (content,) = (tmp_path / ".firedoor" / "models" / "artifacts" / "files").iterdir()
    content.chmod(0o600)
    content.write_bytes(pickle.dumps(2))
    with pytest.raises(fd.BundleDamaged):
        models.load("late", allow=("pickle",))


def test_a_model_of_mlflow_is_loaded_only_where_code_is_allowed_by_name(tmp_path: Path) -> None:
    models = add(tmp_path, "mlflow", {"MLmodel": b"flavors: {}", "model.pkl": b""})
    with pytest.raises(fd.ModelRefused, match="a model of MLflow, and loading it runs") as refused:
        models.load("late")
    assert refused.value.code == "pickle"


def test_a_file_whose_name_only_ends_like_an_mlmodel_is_none(tmp_path: Path) -> None:
    with pytest.raises(fd.DeclarationError, match="needs one file that ends with /MLmodel"):
        add(tmp_path, "mlflow", {"myMLmodel": b"flavors: {}"})


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_a_library_that_is_not_here_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module, package = LIBRARIES[name]
    monkeypatch.setitem(sys.modules, module, None)
    models = add(tmp_path, name, {f"model{ENDINGS[name][0]}": b"x"})
    with pytest.raises(fd.ModelUnloadable, match=f"pip install {package}"):
        models.load("late", allow=("pickle",))


@pytest.mark.parametrize("name", sorted(set(ENDINGS) - {"files"}))
def test_a_format_without_its_one_file_is_refused_when_it_is_added(
    tmp_path: Path, name: str
) -> None:
    ending = ENDINGS[name][0]
    for files in ({"weights": b"1"}, {f"a{ending}": b"1", f"b{ending}": b"2"}):
        folder = make_folder(tmp_path / str(len(files)), **files)
        with pytest.raises(fd.DeclarationError, match="needs one file that ends with"):
            fd.Models(tmp_path).add("late", folder, format=name)


def test_a_format_of_a_later_version_is_told(tmp_path: Path) -> None:
    with pytest.raises(fd.ModelUnloadable, match="use the version that stored it"):
        load_model(tmp_path, manifest_of("safetensors", "a.safetensors"))


# ---- with the libraries themselves, where they are installed


def test_a_booster_of_lightgbm_scores_as_it_did(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    numpy = pytest.importorskip("numpy")
    rows = numpy.arange(400.0).reshape(200, 2) % 37
    labels = (rows.sum(axis=1) > 30).astype(float)
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1},
        lightgbm.Dataset(rows, labels), num_boost_round=5,
    )  # fmt: skip
    models = add(tmp_path, "lightgbm", {"model.txt": booster.model_to_string().encode()})
    loaded: object = models.load("late")
    assert isinstance(loaded, lightgbm.Booster)
    assert (loaded.predict(rows) == booster.predict(rows)).all()


def test_a_model_of_skops_scores_as_it_did_and_an_unknown_type_is_refused(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    linear = pytest.importorskip("sklearn.linear_model")
    model = linear.LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    models = add(tmp_path, "skops", {"model.skops": skops.dumps(model)})
    loaded: object = models.load("late")
    assert isinstance(loaded, linear.LogisticRegression)
    assert (loaded.predict([[0.0], [3.0]]) == [0, 1]).all()
    models.add(
        "odd", make_folder(tmp_path / "odd", **{"m.skops": skops.dumps(Odd())}), format="skops"
    )
    with pytest.raises(fd.ModelUnloadable, match="UntrustedTypesFoundException"):
        models.load("odd@1")


class Odd:
    """A type that nobody has said is safe."""


def test_a_graph_of_onnx_is_a_session(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", kind, [1])],
        [helper.make_tensor_value_info("y", kind, [1])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    models = add(tmp_path, "onnx", {"model.onnx": made.SerializeToString()})
    loaded: object = models.load("late")
    assert isinstance(loaded, runtime.InferenceSession)


def test_weights_of_torch_are_loaded_and_an_object_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"bias": torch.zeros(2)}, tmp_path / "w.pt")
    torch.save(Odd(), tmp_path / "odd.pt")
    models = add(tmp_path, "torch", {"w.pt": (tmp_path / "w.pt").read_bytes()})
    loaded: object = models.load("late")
    assert isinstance(loaded, dict)
    assert list(loaded) == ["bias"]
    odd = make_folder(tmp_path / "odd", **{"w.pt": (tmp_path / "odd.pt").read_bytes()})
    models.add("odd", odd, format="torch")
    with pytest.raises(fd.ModelUnloadable):
        models.load("odd@1")
