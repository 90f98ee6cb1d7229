"""Whatever is noted can be kept."""

from __future__ import annotations

import msgspec

from firedoor.events.bounded import FACTS_MAX, bounded
from firedoor.events.happened import TEXT_MAX, Happened


def test_an_entry_is_small_whatever_is_in_it() -> None:
    long = "x" * 10**6
    huge = Happened(
        at_s=0, kind="zone.note", text=long, code=long, cause=long, by=long, because=long,
        about=long, before=long, after=long, trace=long,
        facts={f"{number}{long}": long for number in range(1_000)},
    )  # fmt: skip
    kept = bounded(huge)
    assert len(kept.text) == TEXT_MAX - 1
    assert len(kept.facts) == FACTS_MAX
    assert len(msgspec.json.encode(kept)) < 100_000


def test_what_no_json_can_say_is_said_otherwise() -> None:
    odd = Happened(
        at_s=0, kind="zone.note", text="half \ud800 a pair",
        facts={"rate": float("nan"), "path": "\udcff", "what": [1, 2]},  # type: ignore[dict-item]
    )  # fmt: skip
    kept = bounded(odd)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Happened) == kept
    assert kept.facts["rate"] == "nan"
    assert kept.facts["what"] == "[1, 2]"
