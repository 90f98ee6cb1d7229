"""When a worker yields, and when it is ended, by what it has used until then."""

from __future__ import annotations

import math

from firedoor.compute.burning import END, YIELD, Beyond, Burning

LOOK_S = 0.05


def caught_s(
    busy: float, bounds: tuple[Beyond, ...], *, cpus: float = 1.0, late_s: float = 0.0
) -> float:
    """Return after how long one that keeps so many processors busy is caught; inf: not in 60 s.

    It did nothing before. Every tenth look is held up by ``late_s`` before what was used is read.
    """
    burning = Burning(cpus)
    for look in range(-20, 1_201):
        from_s = look * LOOK_S
        until_s = from_s + (late_s if look % 10 == 0 else 0.0)
        burning.look(from_s, until_s, busy * max(until_s, 0.0))
        if burning.beyond(bounds):
            return from_s
    return math.inf


def test_one_at_full_load_neither_yields_nor_ends_however_late_looks_are() -> None:
    for cpus in (1.0, 2.0, 4.0):
        for late_s in (0.0, 0.01, 0.04):
            for bounds in (YIELD, END):
                assert caught_s(1.05 * cpus, bounds, cpus=cpus, late_s=late_s) == math.inf


def test_the_further_beyond_its_processors_the_sooner_it_yields_and_ends() -> None:
    assert caught_s(4.0, YIELD) <= 0.15
    assert caught_s(4.0, END) <= 1.05
    assert caught_s(1.3, END) <= 1.05
    assert 0.4 <= caught_s(1.2, YIELD) <= 0.55
    assert 1.8 <= caught_s(1.2, END) <= 2.05


def test_it_yields_long_before_it_is_ended() -> None:
    for busy in (1.15, 1.24, 1.26, 1.6, 3.0, 16.0):
        assert caught_s(busy, YIELD) < caught_s(busy, END) / 2 < math.inf


def test_a_short_burst_does_not_end_it() -> None:
    burning, used_s = Burning(1.0), 0.0
    for look in range(400):
        used_s += LOOK_S * (3.5 if look % 45 < 8 else 0.4)
        burning.look(look * LOOK_S, look * LOOK_S, used_s)
        assert burning.beyond(END) is None
