"""The same seed hits the same keys, and as many of them as it is to."""

from __future__ import annotations

from msgspec.structs import replace

from firedoor.drill import chance
from firedoor.drill.choosing import make_fault

FAULT = make_fault("drop", zone="enrich", zone_kind="transform", drill="d1", share=0.2, seed=7)
KEYS = [f"publish/a:b/flights-{number:06}" for number in range(5_000)]


def test_a_share_of_the_keys_is_hit_and_always_the_same_ones() -> None:
    hit = [key for key in KEYS if chance.hits(FAULT, key)]
    assert 0.17 < len(hit) / len(KEYS) < 0.23
    assert hit == [key for key in KEYS if chance.hits(FAULT, key)]


def test_another_seed_hits_others() -> None:
    first = {key for key in KEYS if chance.hits(FAULT, key)}
    second = {key for key in KEYS if chance.hits(replace(FAULT, seed=8), key)}
    assert 0.1 < len(first & second) / len(first) < 0.3


def test_a_share_of_one_hits_all() -> None:
    assert all(chance.hits(replace(FAULT, share=1.0), key) for key in KEYS)
