"""Silence is a fault of its own."""

from __future__ import annotations

from firedoor.slo.heartbeat import LOADING_S, STARTING_S, Heartbeat, listen
from firedoor.slo.policy import SIGN_S, AlertPolicy, scaled

POLICY = AlertPolicy()


def after(
    seconds: float, *, heard: bool = False, ready: bool = False, policy: AlertPolicy = POLICY,
    known: bool = True,
) -> bool:  # fmt: skip
    """Return whether it fires after so many seconds of this."""
    beat = Heartbeat(heard_s=0, ready_s=0, known=known)
    for second in range(1, round(seconds) + 1):
        beat = listen(beat, at_s=second, heard=heard, ready=ready, policy=policy)
    return beat.firing


def test_a_minute_without_a_sign_of_life_fires() -> None:
    assert not after(60)
    assert after(61)


def test_who_speaks_and_is_not_ready_fires_after_three_probes() -> None:
    assert not after(30, heard=True)
    assert after(31, heard=True)
    assert not after(600, heard=True, ready=True)


def test_one_sign_of_life_ends_it() -> None:
    beat = Heartbeat(heard_s=0, ready_s=0, known=True, firing=True)
    assert not listen(beat, at_s=500, heard=True, ready=True, policy=POLICY).firing


def test_who_was_never_heard_may_be_starting_whatever_the_time_scale() -> None:
    quick = scaled(AlertPolicy(time_scale=60))
    assert quick.silent_s == SIGN_S
    assert after(SIGN_S + 1, policy=quick)
    assert not after(STARTING_S, policy=quick, known=False)
    assert after(STARTING_S + 1, policy=quick, known=False)


def test_who_was_never_ready_may_be_loading() -> None:
    assert not after(LOADING_S, heard=True, known=False)
    assert after(LOADING_S + 1, heard=True, known=False)
