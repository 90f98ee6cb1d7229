"""``firedoor trace PREDICTION`` and ``firedoor predictions export`` on a real store."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

import msgspec
import polars as pl
import pytest

from adapters.files.bundles import make_folder
from cli.stored import firedoor, make_project, rows_died
from control.world import World, make_plan
from firedoor.adapters.nats import server
from firedoor.adapters.nats.streams import connect
from firedoor.cli.asking import parse_when
from firedoor.compose.models import Models
from firedoor.compose.runs import Runs
from firedoor.compose.serving_folder import ServingFolder
from firedoor.control import orders
from firedoor.errors import DeclarationError
from firedoor.spec.plan import Plan
from firedoor.testing.conformance.store import SERVICE
from firedoor.wire.fetching import encode_columns
from firedoor.wire.prediction import Feature, PredictionRecord, encode_chunk
from firedoor.wire.rollout_order import RolloutOrder
from firedoor.wire.run import Code, Input, RunRecord
from firedoor.wire.serving import Form

ORDER = RolloutOrder(number=0, verb="abort", by="ann", because="it lies", at_s=5.0)
MADE_S = 1_767_225_700.0
"""Long before it is kept, which says nothing of it."""


def id_of(number: int) -> str:
    return f"{int((MADE_S + number) * 1000):012x}-host7-{number:012x}"


def record(number: int, **more: object) -> PredictionRecord:
    fields: dict[str, object] = {
        "id": id_of(number),
        "at_s": MADE_S + number,
        "service": "predict",
        "gateway": "host7",
        "arm": "champion",
        "model": "delays",
        "version": 1,
        "digest": "",
        "body": json.dumps({"tailnum": f"N{number}", "distance": 100 + number}).encode(),
        "extra": encode_columns({"temp": [number / 2]}),
        "features": (Feature("weather", "cached", 42.0, {"temp": "c"}, {"temp": (42.0,)}),),
        "scores": (number / 10,),
        "shadow_scores": (number / 5,),
        "seconds": 0.0125,
        "key": f"N{number}",
        "source": "flights-000002/4",
        "rollout": "predict-7",
        "code": "c0de" * 10,
        "because": f"raised, KeyError at steps.py:3: KeyError: 'N{number}'",
    }
    return PredictionRecord(**{**fields, **more})  # type: ignore[arg-type]


def planned_rows() -> Plan:
    plan = make_plan()
    zones = tuple(
        msgspec.structs.replace(zone, sensitive=("tailnum",) if zone.name == "clean" else ())
        for zone in plan.zones
    )
    return msgspec.structs.replace(plan, zones=zones)


def planned() -> Plan:
    service = msgspec.structs.replace(SERVICE, key="tailnum")
    return msgspec.structs.replace(planned_rows(), services=(service,))


async def predicted(world: World) -> None:
    await rows_died(world)
    tensors = {"inputs": [{"name": "distance", "shape": [2], "datatype": "INT64", "data": [7, 8]}]}
    logged = [
        [record(number) for number in range(1, 6)],
        [
            record(6, body=json.dumps(tensors).encode(), form=int(Form.V2), scores=(0.5, 0.25),
                   shadow_scores=(), extra=b"", features=(), source="flights-000009/1"),
            record(7, body=b"", body_bytes=70_000, source="", arm="constant", model="",
                   version=None, degraded="features+constant", features=()),
        ],
        [PredictionRecord(id=id_of(3), at_s=MADE_S + 900, service="predict", gateway="host7",
                          arm="label", label=1.0)],
    ]  # fmt: skip
    for records in logged:
        assert await world.streams.log_predictions(encode_chunk(records))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is only read."""
    directory = tmp_path_factory.mktemp("kept")
    make_project(directory, predicted, planned())
    with ExitStack() as held:

        def make(name: str, resumes: str) -> RunRecord:
            del resumes
            return RunRecord(
                id=name, job="train", pipeline="p", file="p.py", by="ann", key="k",
                code=Code(version="v", commit="abc123" * 6), parameters={}, seed=0, started_s=1.0,
                input=Input(dataset="months", digest="d" * 64, sink="s", folder="/f", files=1,
                            bytes=1, rows=1, parts={}),
            )  # fmt: skip

        held.enter_context(Runs(directory).begin("train", "k", make, fresh=True))
    models = Models(directory, by="ann")
    models.add("delays", make_folder(directory / "model"), run="train-1")
    models.qualify("delays@1", "promote", because="auc 0.72")
    models.promote("delays")
    return directory


def test_all_that_is_known_of_a_prediction_is_told(kept: Path) -> None:
    result = firedoor(kept, "trace", id_of(3))
    assert result.exit_code == 0, result.output + result.stderr
    lines = result.output.splitlines()
    assert lines[0].startswith(f"{id_of(3)}: predict at 2026-01-01")
    assert lines[0].endswith("in 12.5 ms")
    assert "said by    delays@1 (champion), gateway host7" in lines
    assert "rollout    predict-7" in lines
    assert "because    raised, KeyError at steps.py:3: KeyError: '***'" in lines
    assert "said       0.3" in lines
    assert "other      0.6 (by the other version, beside it)" in lines
    assert any(line.startswith("label      1, told at ") for line in lines)
    assert "asked      tailnum '***', distance 103, temp 1.5" in lines
    assert "key        ***" in lines
    assert "features   weather cached, up to 42.0 s old (temp: 1 cached)" in lines
    assert any(line.startswith("model      delays@1, bundle ") and "live" in line for line in lines)
    assert "trained    by train-1, commit abc123abc123" in lines
    assert "on         months dddddddddddd" in lines
    assert "rows       flights-000002/4: cut by flights at" in result.output
    assert "N3" not in result.output, "a sensitive column is nowhere shown"
    assert [line.split()[:2] for line in lines[-4:]] == [
        ["flights", "passed"], ["clean", "passed"], ["store", "written"], ["audit", "written"],
    ]  # fmt: skip


def test_the_same_is_json_when_asked_for(kept: Path) -> None:
    told = json.loads(firedoor(kept, "trace", id_of(2), "--json").output)
    assert told["rows"] == [{"tailnum": "***", "distance": 102, "temp": 1.0}]
    assert told["scores"] == [0.2]
    assert told["features"] == [
        {"group": "weather", "code": "cached", "age_s": 42.0, "codes": {"temp": "c"},
         "ages_s": {"temp": [42.0]}},
    ]  # fmt: skip
    assert told["model"]["run"] == "train-1"
    assert told["origin"]["line"] == 15


def test_services_apart_from_the_run_are_reached_and_their_predictions_lead_to_its_rows(
    tmp_path: Path,
) -> None:
    """Two files, two pipelines, one project: the run's is the one that ran last."""
    project = make_project(tmp_path, rows_died, planned_rows())
    served = msgspec.structs.replace(planned(), pipeline="served", zones=(), edges=())

    async def log(url: str, user: str, password: str) -> None:
        streams = await connect(url, pipeline="served", user=user, password=password)
        await streams.declare(served)
        assert await streams.log_predictions(encode_chunk([record(3)]))
        await orders.give(streams, "predict", ORDER)
        await streams.close()

    with server.start(project.folder, served) as local:
        endpoint = local.endpoint()
        asyncio.run(log(endpoint.url, endpoint.user or "", endpoint.password or ""))
    folder = ServingFolder(project, print)
    folder.create()
    folder.write_plan(served)

    told = firedoor(tmp_path, "trace", id_of(3)).output
    assert "said by    delays@1 (champion), gateway host7" in told
    assert "rows       flights-000002/4: cut by flights at" in told
    assert "tailnum '***'" in told, "what a zone of the run calls sensitive is so here too"
    row = firedoor(tmp_path, "trace", "flights-000002/4")
    assert row.exit_code == 0, row.output + row.stderr
    status = firedoor(tmp_path, "rollout", "status", "predict")
    assert status.exit_code == 0, status.output + status.stderr
    assert status.output.startswith("predict: the champion of the registry answers")
    assert "waits: abort, ordered by ann: it lies" in status.output
    assert "rollout abort ordered" in firedoor(tmp_path, "changes").output
    exported = firedoor(tmp_path, "predictions", "export", "--to", str(tmp_path / "seen.parquet"),
                        "--since", "2026-01-01T00:00")  # fmt: skip
    assert "1 rows of 1 predictions" in exported.output
    assert pl.read_parquet(tmp_path / "seen.parquet")["tailnum"].to_list() == ["***"]


def test_what_is_not_known_of_a_prediction_is_said(kept: Path) -> None:
    tensors = firedoor(kept, "trace", id_of(6)).output
    assert "asked      distance 7" in tensors
    assert "           distance 8" in tensors
    assert "the last batch it cut is flights-000002" in tensors
    giant = firedoor(kept, "trace", id_of(7)).output
    assert "asked      not known: the request had 70,000 bytes, more than are kept" in giant
    assert "said by    constant (constant, degraded: features+constant)" in giant
    assert "the caller did not say" in giant


@pytest.mark.parametrize(
    ("prediction", "says"),
    [
        (f"{int((MADE_S + 50) * 1000):012x}-host7-{50:012x}", "see that the whole id is given"),
        (f"{int(1e9):012x}-host7-{1:012x}", "has gone: the log begins"),
    ],
)
def test_an_unknown_prediction_is_refused_with_what_to_do(
    kept: Path, prediction: str, says: str
) -> None:
    result = firedoor(kept, "trace", prediction)
    assert result.exit_code == 1
    assert says in result.stderr


def test_predictions_are_exported_with_rows_features_scores_and_labels(
    kept: Path, tmp_path: Path
) -> None:
    to = tmp_path / "seen.parquet"
    words = (
        "predictions",
        "export",
        "--to",
        str(to),
        "--since",
        "2026-01-01",
        "--until",
        "2030-01-01",
    )
    result = firedoor(kept, *words)
    assert result.exit_code == 0, result.output + result.stderr
    assert (
        "7 rows of 6 predictions, 1 of them labelled; the rows of 1 more are not known"
        in result.output
    )
    frame = pl.read_parquet(to)
    assert frame["distance"].to_list() == [101, 102, 103, 104, 105, 7, 8]
    assert frame["temp"].to_list() == [0.5, 1.0, 1.5, 2.0, 2.5, None, None]
    assert frame["tailnum"].to_list() == ["***"] * 5 + [None] * 2
    assert frame["_score"].to_list() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.25]
    assert frame["_label"].to_list() == [None, None, 1.0, None, None, None, None]
    assert frame["_prediction"].to_list() == [id_of(n) for n in (1, 2, 3, 4, 5, 6, 6)]
    assert frame["_row"].to_list() == [0, 0, 0, 0, 0, 0, 1]
    assert frame["_features"].to_list() == ["weather=cached:42.0s"] * 5 + [""] * 2
    assert frame["_at"][0].timestamp() == MADE_S + 1
    assert set(frame["_version"]) == {"delays@1"}


def test_an_export_shows_sensitive_values_only_where_it_is_told_to(
    kept: Path, tmp_path: Path
) -> None:
    to = tmp_path / "seen.parquet"
    words = (
        "predictions",
        "export",
        "--to",
        str(to),
        "--since",
        "2026-01-01",
        "--until",
        "2030-01-01",
    )
    assert firedoor(kept, *words, "--unmasked").exit_code == 0
    assert pl.read_parquet(to)["tailnum"].to_list()[:5] == [f"N{n}" for n in range(1, 6)]


def test_an_export_of_a_time_without_predictions_writes_nothing(kept: Path, tmp_path: Path) -> None:
    to = tmp_path / "seen.parquet"
    words = (
        "predictions",
        "export",
        "--to",
        str(to),
        "--since",
        "2010-01-01",
        "--until",
        "2011-01-01",
    )
    result = firedoor(kept, *words)
    assert result.exit_code == 1
    assert "no prediction of that time" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_export_begins_and_ends_within_a_chunk(kept: Path, tmp_path: Path) -> None:
    to = tmp_path / "seen.parquet"
    words = ("predictions", "export", "--to", str(to), "--since", "2026-01-01T00:01:43")
    result = firedoor(kept, *words, "--until", "2026-01-01T00:01:45", "--json")
    told = json.loads(result.output)
    assert (told["predictions"], told["rows"], told["labelled"]) == (2, 2, 1)
    assert pl.read_parquet(to)["distance"].to_list() == [103, 104]


def test_times_are_instants_or_ages() -> None:
    assert parse_when("since", "36h", 1e6) == 1e6 - 36 * 3600
    assert parse_when("since", "1970-01-02", 0.0) == 86_400
    assert parse_when("since", "1970-01-01T01:00+01:00", 0.0) == 0
    for wrong in ("", "h", "yesterday", "-3h", "1.5h"):
        with pytest.raises(DeclarationError):
            parse_when("since", wrong, 0.0)
