"""What zones beat becomes metrics of the table, each series once."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import msgspec
import pytest

from firedoor.adapters.prometheus.zones import (
    samples_of_inboxes,
    samples_of_objectives,
    samples_of_zone,
)
from firedoor.compose.metrics_endpoint import samples_of
from firedoor.events import metrics
from firedoor.events.counting import ObjectiveCounts
from firedoor.events.exposition import expose
from firedoor.events.metrics import Sample, Spread
from firedoor.events.objective import INDICATORS, Objectives
from firedoor.events.work import Fate
from firedoor.gateway.exchange import Answer
from firedoor.gateway.face_counts import ServiceCounts
from firedoor.ports.variants import VariantState
from firedoor.slo.policy import Severity
from firedoor.slo.status import ObjectiveStatus, SloStatus
from firedoor.wire.records import InboxNote, State, WorkCounts, ZoneStatus
from firedoor.wire.serving import Outcome

AT_S = 1_767_225_600.0


def status(zone: str = "clean", replica: str = "here-1", *, at_s: float = AT_S) -> ZoneStatus:
    return ZoneStatus(
        zone=zone, replica=replica, pid=1, version="v", state="running", since_s=0.0, at_s=at_s,
        rows_in=100, dead=7, dropped=3, workers_lost=2, memory_bytes=5,
        work=WorkCounts(
            fates={"good": 9, "late": 1}, codes={"schema": 4, "exception": 3},
            retries={"crash": 2}, redelivered=1, shed=6, seconds=12.5, step_s=4.0,
            inboxes={"flights:clean": InboxNote(batches=int(at_s) % 7, bytes=9, bytes_max=99)},
        ),
    )  # fmt: skip


def objectives(zone: str = "clean", process: str = "here-1") -> Objectives:
    counts = ObjectiveCounts(zone, process=process, boot="b")
    counts.through(90, 0.7, late=False)
    counts.through(10, 400.0, late=True, cause="dependency:db")
    counts.availability.bad(7)
    counts.freshness.bad(3, "flights")
    return counts.told(AT_S, waiting=4)


def by_labels(samples: list[Sample], metric: metrics.Metric) -> dict[tuple[str, ...], object]:
    return {sample.labels: sample.value for sample in samples if sample.metric == metric}


def test_own_and_inherited_faults_are_series_apart() -> None:
    found = by_labels(list(samples_of_zone(status(), objectives())), metrics.OBJECTIVE_UNITS)
    of = ("clean", "here-1")
    assert found[(*of, "availability", "good", "")] == 100
    assert found[(*of, "availability", "own", "")] == 7
    assert found[(*of, "latency", "inherited", "dependency:db")] == 10
    assert found[(*of, "freshness", "inherited", "flights")] == 3
    assert found[(*of, "freshness", "own", "")] == 0


def test_durations_fall_into_the_buckets_of_the_metric() -> None:
    samples = list(samples_of_zone(status(), objectives()))
    (spread,) = by_labels(samples, metrics.ZONE_SECONDS).values()
    assert isinstance(spread, Spread)
    bounds = metrics.BATCH_BOUNDS_S
    assert spread.counts[bounds.index(1.0)] == 1
    assert spread.counts[bounds.index(1_800.0)] == 1
    assert (sum(spread.counts), spread.total) == (2, 12.5)


def test_rows_by_outcome_add_up_to_what_came_in() -> None:
    found = by_labels(list(samples_of_zone(status(), None)), metrics.ZONE_ROWS)
    of = ("clean", "here-1")
    assert [found[(*of, name)] for name in ("passed", "dead", "dropped")] == [90, 7, 3]


def test_an_inbox_is_told_once_as_who_looked_last_has_seen_it() -> None:
    statuses = [status(at_s=AT_S + 3), status(replica="there-2", at_s=AT_S)]
    found = by_labels(list(samples_of_inboxes(statuses)), metrics.INBOX_BATCHES)
    assert found == {("flights:clean",): int(AT_S + 3) % 7}


@pytest.mark.parametrize("damage", [b"", b"{", b"[]"])
def test_beats_of_a_whole_pipeline_are_told_and_what_cannot_be_read_is_left_out(
    damage: bytes,
) -> None:
    beats = {
        "zone.clean.here-1": msgspec.json.encode(status()),
        "objective.clean.here-1": msgspec.json.encode(objectives()),
        "objective.delays.gate-1": msgspec.json.encode(objectives("delays", "gate-1")),
        "zone.other.here-2": damage,
        "objective.other.here-2": damage,
        "supervisor": b"{}",
    }
    samples = list(samples_of(beats))
    series = Counter((sample.metric.name, sample.labels) for sample in samples)
    assert [one for one, times in series.items() if times > 1] == []
    assert {sample.labels[0] for sample in samples} >= {"clean", "delays", "flights:clean"}
    assert b'firedoor_objective_units_total{zone="delays"' in expose(samples)


def test_no_label_takes_more_values_than_its_line_says_whatever_is_counted() -> None:
    counts, answers = ObjectiveCounts("clean", process="here-1", boot="b"), ServiceCounts()
    for number in range(1_000):
        counts.availability.bad(1, f"dependency:{number}")
        answers.answered(Answer(503, "a", arm="none", degraded=str(number), cause=str(number)), 0.1)
    served = answers.objectives(
        "delays", process="gate-1", boot="b", at_s=AT_S, state="ready", unjudged=False
    )
    samples = [*samples_of_zone(status(), counts.told(AT_S)), *samples_of_objectives(served)]
    causes = by_labels(samples, metrics.OBJECTIVE_UNITS)
    for zone in ("clean", "delays"):
        found = {labels[-1] for labels in causes if labels[0] == zone}
        assert {"", "other"} <= found
        assert len(found) == metrics.LABELS["cause"][1]
    assert sum(count for count in causes.values() if isinstance(count, int)) == 2_000
    degraded = {series.degraded for series in answers.requests}
    assert len(degraded) == metrics.LABELS["degraded"][1]


def test_words_of_labels_are_no_more_than_their_lines_say() -> None:
    for label, words in (
        ("state", get_args(State)), ("state", get_args(VariantState)), ("fate", get_args(Fate)),
        ("indicator", INDICATORS), ("severity", get_args(Severity)), ("outcome", tuple(Outcome)),
    ):  # fmt: skip
        most = metrics.LABELS[label][1]
        assert most is not None
        assert 1 < len(words) <= most, label


def test_what_a_judge_says_stands_beside_what_zones_have_counted() -> None:
    one = ObjectiveStatus(
        zone="clean", indicator="availability", promise="99.9 %", verdict="kept", left=0.25,
        target=0.999, period_days=30,
    )  # fmt: skip
    said = SloStatus(pipeline="p", at_s=AT_S, judge="zones", objectives=(one,))
    beats = {
        "zone.clean.here-1": msgspec.json.encode(status()),
        "slo.zones": msgspec.json.encode(said),
    }
    found = by_labels(list(samples_of(beats)), metrics.BUDGET_LEFT)
    assert found == {("clean", "availability"): 0.25}
