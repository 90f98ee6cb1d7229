"""What a guard says about itself: people read it at night, scripts read the dict."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firedoor.guards import breaker as b
from firedoor.guards.explain import Asker, BadCall, Explanation, Totals, reason

QUIET: dict[str, Any] = {
    "guard": "features", "state": "closed", "why": "Calls go through.", "next_probe_s": None,
    "by": "", "calls": 12, "bad": 3, "slow": 2, "consecutive": 1, "window_s": 10.0, "last_bad": (),
    "asked": (), "flapping": False, "totals": Totals(), "limit": None, "inflight": None,
    "waiting": 0, "retry_tokens": None, "listener_error": "",
}  # fmt: skip
BUSY: dict[str, Any] = {
    **QUIET, "next_probe_s": 0.25,
    "last_bad": (BadCall("TimeoutError", 1.25), BadCall("slow", 2.0)),
    "asked": (Asker("api", 9),), "flapping": True, "limit": 20, "inflight": 4, "waiting": 5,
    "retry_tokens": 45,
}  # fmt: skip


def test_a_guard_without_anything_to_tell_is_two_lines() -> None:
    assert str(Explanation(**QUIET)) == (
        "features: closed. Calls go through.\n"
        "  last 10 s: 12 calls, 3 bad, 2 of them slow; 1 bad in a row"
    )


def test_a_guard_that_has_everything_tells_everything() -> None:
    assert str(Explanation(**BUSY)).splitlines() == [
        "features: closed. Calls go through.",
        "  next probe: in 0.2 s",
        "  last 10 s: 12 calls, 3 bad, 2 of them slow; 1 bad in a row",
        "  1.2 s ago: TimeoutError",
        "  2.0 s ago: slow",
        "  refused 9 calls of api",
        "  4 of 20 calls under way, 5 waiting",
        "  retry budget: 45 tokens left",
        "  flapping: it opens again and again; look at the dependency",
    ]


def test_an_explanation_goes_through_json() -> None:
    told = json.loads(json.dumps(Explanation(**BUSY).as_dict()))
    assert told["last_bad"][1] == {"cause": "slow", "ago_s": 2.0}
    assert told["totals"] == dict.fromkeys(
        ("good", "bad", "neutral", "refused", "retries", "degraded"), 0
    )


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (b.Closed(), ("closed", "Calls go through.", None, "")),
        (b.Open(0.0, 7.0, 1.0), ("open", "Opened because so.", 2.0, "")),
        (b.Open(0.0, 4.0, 1.0, 1),
         ("open", "Opened because so, and a probe failed since.", 0.0, "")),
        (b.Open(0.0, 7.0, 1.0, 2),
         ("open", "Opened because so, and 2 probes failed since.", 2.0, "")),
        (b.HalfOpen(0.0, 7.0, 1.0, 0),
         ("half-open", "Opened because so; a probe is under way, for another 2.0 s at most.", 2.0,
          "")),
        (b.HalfOpen(0.0, 4.0, 1.0, 0),
         ("half-open", "Opened because so; a probe is under way, for another 0.0 s at most.", 0.0,
          "")),
        (b.Forced("ada", "a migration"),
         ("forced-open", "ada opened it: a migration", None, "ada")),
        (b.Disabled("ada", "a drill"), ("disabled", "ada disabled it: a drill", None, "ada")),
    ],
)  # fmt: skip
def test_every_state_has_its_sentence_and_its_wait(
    mode: b.Mode, told: tuple[str, str, float | None, str]
) -> None:
    assert reason(b.Breaker(mode=mode), "so", 5.0) == told


def test_a_guard_without_a_breaker_says_so() -> None:
    assert reason(None, "", 5.0) == ("closed", "It has no breaker.", None, "")
