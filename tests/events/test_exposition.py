"""What Prometheus scrapes is its text format, whatever a label holds."""

from __future__ import annotations

import math

from firedoor.events.exposition import SAMPLES_MAX, expose
from firedoor.events.metrics import Metric, Sample, Spread

COUNTER = Metric("firedoor_seen_total", "counter", "{row}", ("zone", "code"), "Rows \\ seen.")
GAUGE = Metric("firedoor_held_bytes", "gauge", "By", (), "Held.")
SPREAD = Metric("firedoor_took_seconds", "histogram", "s", ("zone",), "Took.", (0.5, 1.0))


def test_samples_of_a_metric_stand_together_under_one_head() -> None:
    told = expose(
        [
            Sample(COUNTER, ("a", "x"), 3),
            Sample(GAUGE, (), 1.5),
            Sample(COUNTER, ("b", 'say "no"\\\n'), 2**53),
        ]
    )
    assert told.decode().splitlines() == [
        "# HELP firedoor_seen_total Rows \\\\ seen.",
        "# TYPE firedoor_seen_total counter",
        'firedoor_seen_total{zone="a",code="x"} 3',
        'firedoor_seen_total{zone="b",code="say \\"no\\"\\\\\\n"} 9007199254740992',
        "# HELP firedoor_held_bytes Held.",
        "# TYPE firedoor_held_bytes gauge",
        "firedoor_held_bytes{} 1.5",
    ]


def test_each_sample_says_of_which_pipeline_it_is() -> None:
    told = expose(
        [Sample(GAUGE, (), 1), Sample(SPREAD, ("a",), Spread((2, 3, 4), 7.25))], pipeline='p"1'
    )
    lines = [line for line in told.decode().splitlines() if not line.startswith("#")]
    assert lines[0] == 'firedoor_held_bytes{pipeline="p\\"1"} 1'
    assert lines[1] == 'firedoor_took_seconds_bucket{zone="a",pipeline="p\\"1",le="0.5"} 2'
    assert all('pipeline="p\\"1"' in line for line in lines)


def test_buckets_of_a_histogram_add_up_to_its_count() -> None:
    told = expose([Sample(SPREAD, ("a",), Spread((2, 3, 4), 7.25))]).decode().splitlines()
    assert told[2:] == [
        'firedoor_took_seconds_bucket{zone="a",le="0.5"} 2',
        'firedoor_took_seconds_bucket{zone="a",le="1"} 5',
        'firedoor_took_seconds_bucket{zone="a",le="+Inf"} 9',
        'firedoor_took_seconds_sum{zone="a"} 7.25',
        'firedoor_took_seconds_count{zone="a"} 9',
    ]


def test_numbers_that_are_none_are_written_as_prometheus_reads_them() -> None:
    values = [math.nan, math.inf, -math.inf]
    told = [expose([Sample(GAUGE, (), value)]).decode().split()[-1] for value in values]
    assert told == ["NaN", "+Inf", "-Inf"]
    assert expose([]) == b""


def test_an_answer_has_an_end() -> None:
    samples = (Sample(GAUGE, (), number) for number in range(SAMPLES_MAX + 10))
    assert len(expose(samples).splitlines()) == SAMPLES_MAX + 2
