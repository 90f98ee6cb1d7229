"""The catalogue of faults, and what is refused before anything is injected."""

from __future__ import annotations

import pytest

from drill.faults_page import page_of, written
from firedoor.drill.catalogue import CATALOGUE, fault_kind, faults_of
from firedoor.drill.choosing import check_fault, make_fault
from firedoor.drill.fault import SUPERVISOR, Fault
from firedoor.drill.fault_kind import FaultKind, ZoneKind
from firedoor.errors import DeclarationError
from firedoor.names import check_name

ALL = list(CATALOGUE.values())


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_every_fault_can_be_asked_for_as_it_is_usual(kind: FaultKind) -> None:
    check_name("fault", kind.name)
    assert kind.says[0].islower()
    assert not kind.says.endswith(".")
    for zone_kind in kind.kinds:
        fault = make_fault(kind.name, zone="enrich", zone_kind=zone_kind, drill="d1")
        assert (fault.id, fault.of) == ("d1-1", kind.of)
        assert fault.by == (SUPERVISOR if kind.at == "supervisor" else "enrich")


def test_there_are_faults_of_each_class_for_data_and_services() -> None:
    assert {kind.of for kind in ALL} == {"process", "link", "data", "model", "control"}
    for zone_kind in ("source", "transform", "sink", "service"):
        assert len({kind.of for kind in faults_of(zone_kind)}) >= 3, zone_kind


def test_a_fault_that_there_is_not_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(DeclarationError, match=r"is no fault.*write .poison_segfault."):
        fault_kind("poison_segfalt")
    with pytest.raises(DeclarationError, match="choose one of kill"):
        fault_kind("zzz")
    with pytest.raises(DeclarationError, match="is no fault"):
        fault_kind(None)


@pytest.mark.parametrize(
    ("name", "zone_kind", "asked", "said"),
    [
        ("latency", "sink", {"intensity": 31.0}, r"intensity=31.0.*give 0.001 to 30.0 seconds"),
        ("latency", "sink", {"intensity": float("nan")}, "intensity=nan"),
        ("kill", "sink", {"intensity": 2.0}, "kill has none; leave it out"),
        ("kill", "sink", {"share": 0.5}, "hits all there is; leave it out"),
        ("poison_raise", "transform", {"share": 0.6}, "share=0.6.*give 1e-06 to 0.5 of the rows"),
        ("poison_raise", "transform", {"share": 0.0}, "share=0.0"),
        ("poison_raise", "transform", {"column": "tail"}, "poison_raise is about none"),
        ("poison_raise", "source", {}, "'enrich', which is a source; choose one of kill"),
        ("model_nan", "transform", {}, "which is a transform"),
        ("drop", "sink", {"seed": -1}, "seed=-1"),
    ],
)
def test_what_cannot_be_injected_is_refused_with_field_and_range(
    name: str, zone_kind: ZoneKind, asked: dict[str, object], said: str
) -> None:
    with pytest.raises(DeclarationError, match=said):
        make_fault(name, zone="enrich", zone_kind=zone_kind, drill="d1", **asked)  # type: ignore[arg-type]


def test_a_sink_that_writes_files_has_no_worker_to_hit() -> None:
    assert not [kind for kind in faults_of("sink", has_step=False) if kind.at == "worker"]
    with pytest.raises(DeclarationError, match="which is a sink without code of yours"):
        make_fault("poison_raise", zone="store", zone_kind="sink", drill="d1", has_step=False)


def test_a_lease_longer_than_any_may_be_is_refused() -> None:
    fault = Fault(
        id="d-1", drill="d", name="kill", of="process", zone="z", by=SUPERVISOR, lease_s=601
    )
    with pytest.raises(DeclarationError, match="lease_s=601"):
        check_fault(fault, "sink")


def test_every_fault_stands_in_the_guide_as_the_catalogue_has_it() -> None:
    assert written() == page_of(ALL), (
        "docs/guide/faults.md differs from the catalogue: run `python tests/drill/faults_page.py`"
    )
