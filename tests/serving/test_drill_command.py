"""``firedoor drill`` on services alone: faults of the model, the gateway, and what is beside it."""

from __future__ import annotations

import json

import pytest

from firedoor.drill.report import Report, decode_report
from serving.pressing import BIAS, under_load
from serving.served import Served, Shop

pytestmark = [pytest.mark.soak, pytest.mark.timeout(240)]
MATRIX = {
    "version": 1, "warm_up_s": 6, "for_s": 5, "settle_s": 1, "recover_s": 30,
    "rows": [
        {"fault": "model_nan", "zone": "predict"},
        {"fault": "control_down"},
        {"fault": "broker_down"},
        {"fault": "kill", "zone": "predict"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Drill a service under load."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.add(BIAS, live=True)
    (shop.folder / "drills.json").write_text(json.dumps(MATRIX))
    out = shop.folder / "report.json"
    with Served(shop, "--port", "0") as serving:
        serving.ready().until(lambda: (state := serving.state()) is not None and not state.broker)
        with under_load(serving, rate=80.0):
            told = shop.run(
                "drill", "run", "--matrix", str(shop.folder / "drills.json"), "--json", str(out),
                within_s=200,
            )  # fmt: skip
        assert "drill" in told
    return decode_report(out.read_bytes())


def verdict(found: Report, row: str) -> str:
    (one,) = [each for each in found.rows if each.name == row]
    cell = one.cell("predict")
    assert cell is not None
    assert one.injected, one.why_void
    assert one.cleaned
    return f"{cell.verdict}: {cell.why}"


def test_the_service_goes_on_without_the_control_process_and_without_the_broker(
    found: Report,
) -> None:
    for row in ("control_down in control", "broker_down in broker"):
        assert verdict(found, row).startswith("kept"), verdict(found, row)


def test_a_model_that_answers_nothing_useful_costs_its_own_service_alone(found: Report) -> None:
    assert verdict(found, "model_nan in predict").partition(":")[0] in {"degraded", "expected"}


def test_no_fault_of_it_is_a_breach(found: Report) -> None:
    assert found.score.breaches == 0, found.verdict
    assert found.exit_code == 0, found.verdict
