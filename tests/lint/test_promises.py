"""What zones promise and on whom they hang: what the rules find, with figures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firedoor as fd
from firedoor.lint.calls import groups, reachable
from firedoor.lint.judging import judge
from firedoor.spec.plan import SinkPlan, ZonePlan
from lint.plans import TODAY, calls, edge, found, load, plan, rule, source, unjudged, zone

SLO = {"availability": 0.99}


def promising(availability: float, *depends: tuple[str, float | None]) -> ZonePlan:
    """Return a zone that promises so much and depends on others that promise so much."""
    declared = tuple(calls(name, known={"availability": share}) for name, share in depends)
    return zone("clean", slo={"availability": availability}, depends=declared)


def test_nothing_promises_more_than_what_it_hangs_on() -> None:
    two = promising(0.99, ("clean->a", 0.99), ("clean->b", 0.995))
    ((severity, about, why),) = rule("FD108", two)
    assert (severity, about) == ("error", "clean")
    assert "it promises 0.99 and hangs on 0.99 (a) x 0.995 (b) = 0.98505" in why
    assert rule("FD108", promising(0.98505, ("clean->a", 0.99), ("clean->b", 0.995))) == []
    assert rule("FD108", promising(0.99, ("clean->a", 0.99))) == []


def test_what_stands_behind_counts_once_and_a_fallback_frees_of_it() -> None:
    shared = promising(0.98, ("clean->a", 0.99), ("clean->b", 1.0), ("b->a", 0.99))
    assert rule("FD108", shared) == []
    bare = calls("clean->a", known={"availability": 0.5})
    kept = calls("clean->a", known={"availability": 0.5}, fallback=fd.Constant(0))
    behind = calls("a->b", known={"availability": 0.4})
    assert len(rule("FD108", zone("clean", slo=SLO, depends=(bare, behind)))) == 1
    assert rule("FD108", zone("clean", slo=SLO, depends=(kept, behind))) == []


def test_a_dependency_that_promises_nothing_is_not_judged() -> None:
    assert unjudged("FD108", promising(0.9, ("clean->a", None), ("clean->b", 0.95))) == [
        ("clean", "no availability= is declared of a (fd.Dependency)")
    ]
    worse = promising(0.96, ("clean->a", None), ("clean->b", 0.95))
    assert len(rule("FD108", worse)) == 1  # whatever a promises


def test_a_dependency_that_several_zones_hang_on_is_a_warning() -> None:
    zones = [
        zone("clean", depends=(calls("clean->a"),)),
        zone("price", depends=(calls("price->a"),)),
    ]
    ((severity, about, why),) = rule("FD109", *zones)
    assert (severity, about) == ("warning", "a")
    assert "clean, price call it without a fallback" in why
    assert "2 of 3 zones" in why
    helped = zone("price", depends=(calls("price->a", fallback=fd.Constant(0)),))
    assert rule("FD109", zones[0], helped) == []


def fan(*promised: str) -> list[tuple[str, str, str]]:
    """Judge rows -> clean -> price -> (one, two), and which sinks promise something."""
    zones = [source(), zone("clean"), zone("price")]
    zones += [zone(name, "sink", slo=SLO if name in promised else {}) for name in ("one", "two")]
    pairs = [("rows", "clean"), ("clean", "price"), ("price", "one"), ("price", "two")]
    return rule("FD109", *zones, edges=[edge(*pair) for pair in pairs])


def test_zones_on_every_way_to_two_promises_are_told_together() -> None:
    ((severity, about, why),) = fan("one", "two")
    assert (severity, about) == ("warning", "clean, price")
    assert "every row of one and two passes through each" in why
    assert fan("one") == []


def test_guards_that_call_each_other_in_a_circle_are_an_error() -> None:
    circle = (calls("clean->a"), calls("a->b"), calls("b->a"))
    ((severity, about, why),) = rule("FD110", zone("clean", depends=circle))
    assert (severity, about) == ("error", "a -> b -> a")
    assert "each waits for itself" in why
    assert rule("FD110", zone("clean", depends=circle[:2])) == []


def test_zones_that_call_each_other_are_a_circle() -> None:
    zones = [
        zone("clean", depends=(calls("clean->price"),)),
        zone("price", depends=(calls("price->clean"),)),
    ]
    assert [severity for severity, _, _ in rule("FD110", *zones)] == ["error"]


def test_a_sink_that_feeds_a_zone_before_it_is_a_warning() -> None:
    zones = [
        zone("enrich", depends=(calls("enrich->features"),)),
        zone("post", "sink", depends=(calls("post->features"),)),
    ]
    ((severity, about, why),) = rule("FD110", *zones)
    assert (severity, about) == ("warning", "post -> features -> enrich")
    assert "post writes to features, which enrich reads before it" in why
    other = zone("post", "sink", depends=(calls("post->ledger"),))
    assert rule("FD110", zones[0], other) == []


def test_a_fallback_older_than_the_promise_is_a_warning() -> None:
    def told(age_max_s: float, fresh_s: float) -> list[tuple[str, str, str]]:
        guard = calls("clean->a", fallback=[fd.Stale(age_max_s=age_max_s), fd.Constant(1)])
        return rule("FD117", zone("clean", slo={"freshness_s": fresh_s}, depends=(guard,)))

    ((severity, _, why),) = told(300, 299)
    assert severity == "warning"
    assert "up to 300 s old, and the zone promises freshness_s=299" in why
    assert told(300, 300) == []


def test_a_fallback_whose_zone_promises_no_freshness_is_not_judged() -> None:
    aged = zone("clean", depends=(calls("clean->a", fallback=fd.Previous()),))
    assert unjudged("FD117", aged) == [("clean", "no freshness_s is promised (slo=)")]
    ageless = zone("clean", depends=(calls("clean->a", fallback=fd.Constant(1)),))
    assert unjudged("FD117", ageless) == []


@pytest.mark.parametrize(("through", "finds"), [("clean->a", 1), ("clean->b", 1), ("clean->c", 0)])
def test_a_fallback_that_needs_what_it_stands_in_for_is_an_error(through: str, finds: int) -> None:
    other = fd.Guard(through)
    back: Callable[[], int] = other(lambda: 1)
    guards = [calls("clean->a", fallback=fd.Function(back)), calls("clean->b"), calls("b->a")]
    guards += [calls("clean->c")]
    told = rule("FD117", zone("clean", depends=tuple(guards)))
    assert [severity for severity, _, _ in told] == ["error"] * finds
    assert all(f"calls a, through guard '{through}'" in why for _, _, why in told)


def test_a_promise_without_an_owner_or_a_runbook_is_an_error() -> None:
    ((severity, _, why),) = rule("FD118", zone("clean", slo=SLO))
    assert severity == "error"
    assert "it promises availability, and a page would have no runbook" in why
    ((severity, _, why),) = rule(
        "FD118", source(), zone("clean", slo=SLO, owner="", runbook="https://wiki/x"), owner=""
    )
    assert (severity, why) == ("error", "it has no owner")
    assert rule("FD118", zone("clean", slo=SLO, runbook="https://wiki/x")) == []


def test_a_small_pipeline_that_nobody_owns_is_one_warning() -> None:
    small = plan(source(owner=""), zone("clean", owner=""), owner="")
    judged = judge(small, today=TODAY)
    assert judged.errors == ()
    assert [(one.zone, one.about) for one in judged.warnings] == [("", "rows, clean")]
    assert unjudged("FD118", *small.zones) == [
        ("rows", "nothing is promised (slo=)"),
        ("clean", "nothing is promised (slo=)"),
    ]


@pytest.mark.parametrize(("slo", "severity"), [({}, "warning"), (SLO, "error")])
def test_a_runbook_that_is_not_there_is_found(slo: dict[str, float], severity: str) -> None:
    one = plan(zone("clean", slo=slo, runbook="/runbooks/clean.md"))
    judged = judge(one, today=TODAY, absent=frozenset({"/runbooks/clean.md"}))
    (finding,) = found(judged, "FD118")
    assert (finding.severity, finding.why) == (
        severity, "its runbook /runbooks/clean.md is not there",
    )  # fmt: skip


def test_calls_that_must_not_be_made_twice_are_an_error() -> None:
    def told(*, idempotent: bool | None, kind: str = "transform") -> list[tuple[str, str, str]]:
        one = calls("x->a", known={"idempotent": idempotent}, retry=3)
        return rule("FD114", zone("x", kind, depends=(one,)))  # type: ignore[arg-type]

    ((severity, _, why),) = told(idempotent=False)
    assert severity == "error"
    assert "are tried up to 3 times" in why
    assert told(idempotent=True) == []
    assert told(idempotent=None, kind="sink") == []


def test_a_sink_that_retries_and_does_not_say_is_not_judged() -> None:
    post = zone("post", "sink", depends=(calls("post->a", retry=2),))
    assert unjudged("FD114", post) == [
        ("post", "post->a is declared without idempotent= (fd.Dependency)")
    ]
    assert unjudged("FD114", zone("enrich", depends=post.depends)) == []


@pytest.mark.parametrize(("keyed", "finds"), [(False, 1), (True, 0), (None, 0)])
def test_a_sink_that_never_reads_its_key_is_a_warning(*, keyed: bool | None, finds: int) -> None:
    sink = SinkPlan(form="function", keyed=keyed)
    told = rule("FD114", zone("post", "sink", sink=sink))
    assert [severity for severity, _, _ in told] == ["warning"] * finds


def test_dead_letters_are_kept_long_enough_to_be_found() -> None:
    ((severity, about, why),) = rule("FD115", zone("clean"), retention_days=6.9)
    assert (severity, about) == ("warning", "retention_days")
    assert "retention_days=6.9" in why
    assert rule("FD115", zone("clean"), retention_days=7.0) == []


def test_a_zone_that_never_halts_is_a_warning() -> None:
    gate = zone("clean").gate
    never = zone("clean", gate=type(gate)(dead_max=1.0))
    assert [about for _, about, _ in rule("FD115", never)] == ["clean"]
    assert rule("FD115", zone("clean", gate=type(gate)(dead_max=0.99))) == []


def test_a_batch_that_dies_whole_has_room() -> None:
    whole = zone("clean", wall={"batchwise": True}, load=load(batch_bytes=2 * 2**20))
    ((_, _, why),) = rule("FD115", whole, dead_bytes_max=2**20)
    assert "a batch of up to 2 MiB dies whole, and there is room for 1 MiB" in why
    assert rule("FD115", whole, dead_bytes_max=2 * 2**20) == []


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20))
def test_circles_are_found_where_a_node_reaches_itself(pairs: list[tuple[int, int]]) -> None:
    def after(node: str) -> list[str]:
        return [str(b) for a, b in pairs if str(a) == node]

    nodes = [str(n) for n in range(7)]
    circular = {node for node in nodes if node in reachable([node], after)}
    told = list(groups(nodes, after))
    assert sorted(node for group in told for node in group) == sorted(circular)
    for group in told:
        assert all(set(group) <= reachable([node], after) for node in group)
