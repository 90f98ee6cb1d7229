"""The gate and the ladder both may want a wait between batches: the longer holds, and is named."""

from __future__ import annotations

import pytest

from firedoor.flow import zone
from firedoor.flow.probes import ZonePolicy
from firedoor.flow.zone import Event, Filled, Ordered, Slowed, Throttled, ZoneState


def told(*events: Event) -> ZoneState:
    """Return the state of a zone that works, after some events."""
    state = ZoneState()
    for event in (Ordered("run"), *events):
        state = zone.step(state, event, ZonePolicy(), 0.0)
    return state


@pytest.mark.parametrize(
    ("gate_s", "ladder_s", "pause_s", "code"),
    [
        (0.0, 0.0, 0.0, ""),
        (0.0, 2.0, 2.0, "degraded"),
        (3.0, 0.0, 3.0, "throttle_share"),
        (3.0, 2.0, 3.0, "throttle_share"),
        (1.0, 2.0, 2.0, "degraded"),
    ],
)
def test_the_longer_wait_holds_and_says_why(
    gate_s: float, ladder_s: float, pause_s: float, code: str
) -> None:
    gate, ladder = Throttled(gate_s), Slowed(ladder_s)
    for state in (told(gate, ladder), told(ladder, gate)):
        assert zone.pause_s(state) == pause_s
        assert zone.word(state) == ("throttled" if pause_s else "running")
        assert zone.cause(state)[0] == code
        assert zone.pull(state, 0.0) == "pull"


def test_a_step_taken_back_ends_the_wait_and_a_new_generation_does_not() -> None:
    assert told(Slowed(2.0), Slowed(0.0)) == told()
    assert zone.pause_s(told(Slowed(2.0), Throttled(5.0), Ordered("run", 1))) == 2.0


def test_what_is_graver_is_told_first() -> None:
    assert zone.cause(told(Slowed(2.0), Filled("a:b")))[0] == "inbox_full"
