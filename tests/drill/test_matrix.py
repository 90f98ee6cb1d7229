"""A matrix that cannot be run is refused where it is read, with what to write instead."""

from __future__ import annotations

import pytest

from firedoor.drill.matrix import Asked, Known, Matrix, read_matrix
from firedoor.errors import DeclarationError

ROW = {"fault": "kill", "zone": "enrich"}


def test_what_yaml_says_becomes_a_matrix_with_defaults() -> None:
    matrix = read_matrix({"rows": [ROW, {"fault": "latency", "may_hurt": ["store"]}]}, "x.yaml")
    assert matrix.rows[0] == Asked(fault="kill", zone="enrich")
    assert matrix.rows[1].zone == "all"
    assert matrix.rows[1].may_hurt == ("store",)
    assert (matrix.for_s, matrix.seeds, matrix.units_min) == (15.0, 1, 200)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rows": []}, "rows"),
        ({"rows": [{"fault": "explode"}]}, "rows[1].fault"),
        ({"rows": [{"fault": "kil"}]}, "'kill'"),
        ({"rows": [{**ROW, "zones": "enrich"}]}, "zones"),
        ({"rows": [{**ROW, "zone": []}]}, "rows[1].zone"),
        ({"rows": [{**ROW, "zone": ["a", "a"]}]}, "rows[1].zone"),
        ({"rows": [{**ROW, "for_s": 601}]}, "rows[1].for_s"),
        ({"version": 2}, "version"),
        ({"for_s": 0}, "for_s"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": 1.5}, "seeds"),
        ({"doubt": 0.5}, "doubt"),
        ({"units_min": 0}, "units_min"),
        ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_and_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(DeclarationError, match=named.replace("[", r"\[").replace("]", r"\]")):
        read_matrix({"rows": [ROW], **change}, "x.yaml")


@pytest.mark.parametrize("until", ["soon", "2026-13-01", "20261231", ""])
def test_a_known_breach_has_a_last_day(until: str) -> None:
    known = {**ROW, "hurts": "store", "owner": "ann", "because": "FD-1", "until": until}
    with pytest.raises(DeclarationError, match="until"):
        read_matrix({"rows": [ROW], "known": [known]}, "x.yaml")


@pytest.mark.parametrize("missing", ["owner", "because"])
def test_somebody_answers_for_a_known_breach_and_says_why(missing: str) -> None:
    known = {**ROW, "hurts": "store", "owner": "ann", "because": "FD-1", "until": "2026-12-31"}
    with pytest.raises(DeclarationError, match=missing):
        read_matrix({"rows": [ROW], "known": [{**known, missing: " "}]}, "x.yaml")


def test_a_known_breach_holds_on_its_last_day_and_not_after() -> None:
    known = Known(
        fault="kill", zone="enrich", hurts="store", owner="ann", because="FD-1", until="2026-12-31"
    )
    assert known.holds("2026-12-31")
    assert not known.holds("2027-01-01")


def test_a_matrix_that_is_made_in_python_is_checked_as_well() -> None:
    with pytest.raises(DeclarationError, match="warm_up_s"):
        Matrix(rows=(Asked(fault="kill"),), warm_up_s=1)
