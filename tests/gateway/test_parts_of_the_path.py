"""The small decisions on the path, one by one."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.gateway.caching import AnswerCache, Cached, mark
from firedoor.gateway.capture import FAILING_MAX, GOOD_MAX, Capture
from firedoor.gateway.circuit import POLICY, Circuit
from firedoor.gateway.identity import Identities, clean, gateway_of, tag_of
from firedoor.gateway.latency import KEPT, Latency, bucket
from firedoor.gateway.lease import Lease
from firedoor.gateway.pairing import Pairing
from firedoor.gateway.services import Label
from firedoor.gateway.split import SENTINEL_SHARE, Rule, choose, key_of, share, slices_of
from firedoor.gateway.suspicions import KEPT_MAX, Suspicions
from firedoor.gateway.tally import SLICE_VALUES_MAX, Tally
from firedoor.guards.breaker import BreakerPolicy
from firedoor.wire.evidence import LATENCY_BUCKETS
from firedoor.wire.pack import Pack, Replayable, decode_pack, encode_pack
from firedoor.wire.route import Cutoffs
from firedoor.wire.serving import Form, Outcome, Told

KEYS = [f"N{number}".encode() for number in range(20_000)]

# ---- split


@given(st.binary(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_weight_keeps_every_subject(key: bytes, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if choose(key, Rule(b"s", low)) == "candidate":
        assert choose(key, Rule(b"s", high)) == "candidate"
    assert choose(key, Rule(b"s", 0.0)) != "candidate"
    assert choose(key, Rule(b"s", 1.0)) == "candidate"


def test_shares_are_as_declared_and_salts_are_independent() -> None:
    groups = [choose(key, Rule(b"salt-1", 0.1)) for key in KEYS]
    assert groups.count("candidate") / len(KEYS) == pytest.approx(0.1, abs=0.01)
    rest = len(KEYS) - groups.count("candidate")
    assert groups.count("sentinel") / rest == pytest.approx(SENTINEL_SHARE, abs=0.02)
    again = [choose(key, Rule(b"salt-2", 0.1)) for key in KEYS]
    both = sum(a == b == "candidate" for a, b in zip(groups, again, strict=True))
    assert both / len(KEYS) == pytest.approx(0.01, abs=0.004)


def test_a_share_is_the_first_eight_bytes_of_blake2b_over_salt_and_key() -> None:
    """Other processes have to find the same: ``printf saltN14228 | b2sum -l 64``."""
    assert share(b"salt", b"N14228") == 0x0BF98DC28EF3BC8A / 2**64


def test_slices_are_the_distinct_values_of_rows_and_bounded() -> None:
    columns: dict[str, list[object]] = {
        "carrier": ["UA", "AA", "UA", None], "origin": [f"a{n}" for n in range(500)],
        "long": ["x" * 1_000],
    }  # fmt: skip
    assert slices_of(columns, ["carrier"]) == ("carrier=UA", "carrier=AA", "carrier=None")
    assert len(slices_of(columns, ["origin"])) == 16
    assert len(slices_of(columns, ["long"])[0]) < 80
    assert slices_of(columns, ["missing"]) == ()
    assert key_of(columns, "carrier") == b"UA"
    assert key_of(columns, "missing") == b""


# ---- cache


def cached(text: str, at_s: float = 0.0, digest: str = "d1") -> Cached:
    return Cached(Told(Outcome.OK, 1, b"", text.encode()), "delays", 1, digest, at_s)


def test_a_mark_is_of_everything_that_an_answer_depends_on() -> None:
    parts: list[tuple[Form, bytes, int, bytes]] = [
        (form, body, json_bytes, extra)
        for form in Form
        for body in (b"", b"a", b"ab", b"x" * 70_000)
        for json_bytes in (0, 1, 12)
        for extra in (b"", b"a", b"b", b"ab")
    ]
    marks = {mark(*one) for one in parts}
    assert len(marks) == len(parts)
    assert mark(Form.ROWS, b"b", 0, b"a") != mark(Form.ROWS, b"", 0, b"ab")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300)), max_size=60))
def test_a_cache_is_bounded_and_gives_only_what_was_put_for_the_same_mark(
    puts: list[tuple[int, int]],
) -> None:
    cache = AnswerCache(bytes_max=10_000, max_s=100.0)
    latest: dict[bytes, str] = {}
    for number, size in puts:
        key, text = b"%d" % number, f"{number}:" + "x" * size
        cache.put(key, cached(text))
        latest[key] = text
        assert cache.bytes <= 10_000
    for key, text in latest.items():
        found = cache.get(key, 1.0)
        assert found is None or found.told.fragment == text.encode()
    assert cache.get(b"never", 1.0) is None


def test_an_answer_is_not_given_beyond_its_age_nor_one_that_fills_the_cache_kept() -> None:
    cache = AnswerCache(bytes_max=16_000, max_s=10.0)
    cache.put(b"a", cached("x"))
    assert cache.get(b"a", 10.0)
    assert cache.get(b"a", 10.1) is None
    assert cache.bytes == len(cache) == 0
    cache.put(b"b", cached("x" * 2_000))
    assert len(cache) == 0
    cache.put(b"c", cached("x", digest="gone"))
    cache.put(b"d", cached("x", digest="stays"))
    cache.forget_version("gone")
    assert cache.get(b"c", 0.0) is None
    assert cache.get(b"d", 0.0)


# ---- counts


def test_a_tally_counts_each_attempt_once_and_what_was_none_not_at_all() -> None:
    tally, cutoffs = Tally("r"), Cutoffs(q95_s=0.01, q99_s=0.1)
    for outcome in Outcome:
        tally.count("candidate", outcome, 0.05, cutoffs=cutoffs, slices=("carrier=UA",))
    (counts,) = tally.arms().values()
    assert (counts.n, counts.error, counts.non_finite) == (6, 4, 1)
    assert (counts.slow95, counts.slow99) == (6, 5)
    assert tally.slices() == {"carrier=UA": {"candidate": counts}}
    untold = Tally("r")
    untold.count("baseline", Outcome.RAISED, 9.0, cutoffs=Cutoffs(), degraded=True)
    (counts,) = untold.arms().values()
    assert (counts.slow95, counts.slow99, counts.fallback) == (0, 0, 1)


def test_the_slices_of_a_million_values_cost_no_more_than_fifty() -> None:
    tally = Tally("r")
    for number in range(1_000):
        names = (f"carrier={number}", f"origin={number}")
        tally.count("baseline", Outcome.OK, 0.0, cutoffs=Cutoffs(), slices=names)
    assert len(tally.slices()) == 2 * SLICE_VALUES_MAX
    assert tally.arms()["baseline"].n == 1_000


def test_latencies_are_of_the_latest_twenty_thousand_or_so() -> None:
    latency = Latency()
    for _ in range(3 * KEPT):
        latency.add(1.0)
    for _ in range(KEPT):
        latency.add(0.001)
    counts = latency.counts()
    assert counts.get(bucket(1.0), 0) == 0
    assert KEPT // 2 <= sum(counts.values()) <= KEPT
    assert 0 <= bucket(-1.0) <= bucket(1e12) < LATENCY_BUCKETS


# ---- what protects


def circuit() -> Circuit:
    return Circuit(BreakerPolicy(), 0.0, lease_s=0.25, chance=random.Random(1))


def test_a_circuit_opens_probes_and_closes_and_late_results_change_nothing() -> None:
    one, now_s = circuit(), 0.0
    tickets = [one.admit(now_s) for _ in range(10)]
    for ticket in tickets:
        assert ticket is not None
        now_s += 0.2
        one.bad(ticket, now_s, "SIGSEGV")
    assert (one.word, one.cause, one.openings) == ("open", "SIGSEGV", 1)
    assert one.admit(now_s) is None
    assert 0 < one.retry_after_s(now_s) <= 1.5
    one.good(tickets[0] or 0, now_s)
    assert one.admit(now_s) is None
    now_s += 2
    probe = one.admit(now_s)
    assert probe is not None
    assert one.admit(now_s) is None, "one probe at a time"
    one.good(probe, now_s)
    assert one.word == "closed"
    assert one.admit(now_s) is not None


def test_a_neutral_probe_lets_the_next_call_probe() -> None:
    one = circuit()
    for _ in range(10):
        one.bad(one.admit(0.0) or 0, 0.0, "x")
    for _ in range(10):
        one.bad(one.generation, 3.0, "x")
    probe = one.admit(10.0)
    assert probe is not None
    one.neutral(probe, 10.0)
    assert one.admit(10.0) is not None


def test_only_a_beat_that_changes_is_a_sign_of_life() -> None:
    lease = Lease(100.0)
    assert not lease.lapsed(None, 1e9)
    lease.heartbeat("old", 100.5)
    assert lease.lapsed(3.0, 103.5)
    lease.heartbeat("new", 104.0)
    assert not lease.lapsed(3.0, 106.0)
    lease.heartbeat("new", 106.5)
    lease.heartbeat(None, 106.5)
    assert lease.lapsed(3.0, 107.5)


def test_suspicions_are_bounded_and_forgotten_and_cleared_by_an_answer() -> None:
    known = Suspicions()
    for number in range(2 * KEPT_MAX):
        known.died("delays@3", b"%d" % number, float(number) / 1_000)
    assert len(known) == KEPT_MAX
    assert not known.suspect(b"0", 20.0)
    last = b"%d" % (2 * KEPT_MAX - 1)
    assert known.known("delays@3", last, 20.0)
    assert not known.known("delays@2", last, 20.0)
    known.died("delays@2", last, 20.0)
    known.cleared("delays@3", last)
    assert known.suspect(last, 20.0)
    known.cleared("delays@2", last)
    assert not known.suspect(last, 20.0)
    known.died("delays@2", last, 20.0)
    assert not known.suspect(last, 1_000.0)


def test_ids_name_their_gateway_and_sort_by_time() -> None:
    identities = Identities("Host-1/gateway_2", random.Random(1))
    ids = [identities.make(1_767_225_600 + number / 1_000) for number in range(100)]
    assert ids == sorted(ids)
    assert {gateway_of(one) for one in ids} == {"host1gateway2"} == {identities.tag}
    assert tag_of("///") == "gateway"
    for nonsense in ("", "a-b-c", ids[0] + "0", ids[0].upper(), ids[0] + "\n"):
        assert gateway_of(nonsense) == ""


@given(st.text(max_size=300))
def test_a_cleaned_id_can_stand_in_a_header(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= 128
    assert cleaned.isascii()
    assert all(" " <= letter <= "~" for letter in cleaned)


# ---- what is kept


def request(number: int, signature: str = "", *, size: int = 10) -> Replayable:
    return Replayable(
        kind="failing" if signature else "good", form=1, signature=signature,
        body=b"%d" % number + b"x" * size,
    )  # fmt: skip


def test_failures_are_stratified_so_that_the_commonest_does_not_crowd_out_the_rarest() -> None:
    capture = Capture(random.Random(1))
    for number in range(5):
        capture.failed(request(number, "SIGSEGV"))
    for number in range(5_000):
        capture.failed(request(number, "ValueError model.py:1"))
    for number in range(1_000):
        capture.failed(request(number, f"KeyError {number}"))
    assert capture.failing <= FAILING_MAX
    kept = [one.signature for one in capture.requests()]
    assert kept.count("SIGSEGV") == 5
    assert capture.seen["ValueError model.py:1"] == 5_000
    assert len(capture.seen) <= 101
    capture.failed(request(1, "SIGSEGV", size=70_000))
    assert all(len(one.body) < 65_536 for one in capture.requests())


def test_good_requests_are_kept_for_each_slice_each_with_the_same_chance() -> None:
    capture = Capture(random.Random(1))
    for number in range(3_000):
        slices = ("carrier=UA",) if number % 100 else ("carrier=UA", "carrier=HA")
        wanted = capture.wants(slices)
        if wanted:
            capture.went_well(request(number), wanted)
    kept = [int(one.body.rstrip(b"x")) for one in capture.requests()]
    assert GOOD_MAX <= len(kept) <= GOOD_MAX + 30
    assert sum(number >= 1_500 for number in kept) > GOOD_MAX // 3, "not only the first ones"
    assert sum(number % 100 == 0 for number in kept) == 30


def test_a_pack_comes_back_as_it_was_and_nonsense_is_refused() -> None:
    pack = Pack(service="predict", gateway="g", rollout="predict-1", requests=(request(1, "x"),))
    assert decode_pack(encode_pack(pack)) == pack
    for nonsense in (b"", b"{}", encode_pack(pack)[:-3]):
        with pytest.raises(ValueError, match="no evidence pack"):
            decode_pack(nonsense)
    newer = Pack(version=2, service="predict", gateway="g", rollout="r")
    with pytest.raises(ValueError, match="version 2"):
        decode_pack(encode_pack(newer))


def test_pairs_are_bounded_and_the_oldest_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    from firedoor.gateway import pairing  # noqa: PLC0415

    monkeypatch.setattr(pairing, "PREDICTIONS_MAX", 100)
    pairs: Any = Pairing("squared", margin=0.0, loss_max=4.0)
    for number in range(1_000):
        pairs.compared(f"p{number}", bytes(8), bytes(8))
    assert len(pairs) == 100
    assert pairs.label(Label("p0", 1.0)) is None
    assert pairs.label(Label("p999", 1.0)).outcome == "joined"
    pairs.compared("odd", bytes(8), bytes(16))
    assert pairs.label(Label("odd", 1.0)) is None


def test_a_version_that_is_asked_seldom_is_tried_again_within_seconds_of_being_well() -> None:
    one = Circuit(POLICY, 0.0, lease_s=0.25, chance=random.Random(7))
    well_s, now_s = 300.0, 0.0
    while now_s < well_s + 60 and not (now_s >= well_s and one.closed):
        now_s += 0.5
        ticket = one.admit(now_s)
        if ticket is not None and now_s < well_s:
            one.bad(ticket, now_s, "late")
        elif ticket is not None:
            one.good(ticket, now_s)
    assert one.openings == 1
    assert now_s <= well_s + 3.0
