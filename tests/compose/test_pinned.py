"""How old a lookup was for a batch, which version it is joined to, and when it has to wait."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from firedoor.compose.pinned import Joined, PinnedLookups
from firedoor.errors import DependencyDown
from firedoor.quality.grades import Grade
from firedoor.spec.plan import LadderPlan, LookupPlan, Plan, ZonePlan
from firedoor.wire.envelope import Envelope

CUT_S = 10_000.0


class Kept:
    """The lookups of a project, as the supervisor has written them."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def read_at(self, version: str, at_s: float, name: str = "sky") -> None:
        """Keep a version that was the newest at a time, and in force since."""
        file = self.project / "lookups" / name / f"{version}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (at_s, at_s))
        (self.project / "lookups" / "current.json").write_text(json.dumps({name: version}))

    def joined(
        self, pinned: str | None, *, older_s: float | None = None, live_s: float | None = 120.0,
        cut_s: float = CUT_S,
    ) -> Joined:  # fmt: skip
        zone = ZonePlan(
            name="join", kind="transform", owner="me", version="1", lookups={"weather": "sky"},
            ladder=None if older_s is None else LadderPlan(older_s=older_s),
        )  # fmt: skip
        plan = Plan(
            pipeline="p", owner="me", file="", sys_path=(), zones=(zone,), edges=(),
            lookups=(LookupPlan(name="sky", refresh_s=60.0, live_s=live_s),),
        )  # fmt: skip
        envelope = Envelope(
            batch="s-000001", rows=1, frame_bytes=0, crc32=0, zone="s", zone_version="1",
            cut_s=cut_s, lookups={} if pinned is None else {"sky": pinned},
        )  # fmt: skip
        return PinnedLookups(zone, plan, project=self.project).of(envelope)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_the_age_is_from_when_it_was_last_the_newest_until_the_batch_was_cut(kept: Kept) -> None:
    kept.read_at("aa", CUT_S - 100)
    assert kept.joined("aa").grades == {"sky": Grade("live", 100.0)}
    kept.read_at("aa", CUT_S - 10)
    assert kept.joined("aa").grades == {"sky": Grade("live", 10.0)}, "the same content, read again"
    assert kept.joined(None).grades == {"sky": Grade("live", 10.0)}, "pinned to none"


def test_what_was_the_newest_after_the_cut_was_so_at_the_cut(kept: Kept) -> None:
    kept.read_at("aa", CUT_S + 50)
    assert kept.joined("aa").grades == {"sky": Grade("live", 0.0)}


def test_a_batch_that_waited_long_is_not_made_of_older_features_for_it(kept: Kept) -> None:
    kept.read_at("aa", CUT_S - 5)
    kept.read_at("bb", CUT_S + 90_000)
    found = kept.joined("aa", older_s=600)
    assert found.grades == {"sky": Grade("live", 5.0)}
    assert found.files["weather"].endswith("aa.parquet"), "the version that it is pinned to"
    assert found.versions == {}


def test_past_two_refreshes_it_is_older_and_goes_on_without_a_ladder(kept: Kept) -> None:
    kept.read_at("aa", CUT_S - 121)
    assert kept.joined("aa").grades == {"sky": Grade("older", 121.0)}
    kept.read_at("aa", CUT_S - 90_000)
    assert kept.joined("aa").grades == {"sky": Grade("older", 90_000.0)}


def test_what_is_never_read_again_is_live_however_old_and_has_no_bound(kept: Kept) -> None:
    kept.read_at("aa", CUT_S - 90_000)
    found = kept.joined("aa", live_s=None, older_s=600)
    assert found.grades == {"sky": Grade("live", 90_000.0)}


def test_past_the_bound_a_batch_waits_until_the_lookup_can_be_read_again(kept: Kept) -> None:
    kept.read_at("aa", CUT_S - 599)
    assert kept.joined("aa", older_s=600).grades["sky"].code == "older"
    kept.read_at("aa", CUT_S - 601)
    with pytest.raises(DependencyDown, match=r"'sky' was 601 s old when s-000001 was cut, and 600"):
        kept.joined("aa", older_s=600)
    kept.read_at("aa", CUT_S + 30)
    assert kept.joined("aa", older_s=600).grades == {"sky": Grade("live", 0.0)}


def test_past_the_bound_the_version_in_force_is_taken_and_told(kept: Kept) -> None:
    kept.read_at("aa", CUT_S - 601)
    kept.read_at("bb", CUT_S - 300)
    found = kept.joined("aa", older_s=600)
    assert found.versions == {"sky": "bb"}
    assert found.files["weather"].endswith("bb.parquet")
    assert found.grades == {"sky": Grade("older", 300.0)}
    kept.read_at("bb", CUT_S - 700)
    with pytest.raises(DependencyDown, match="was 700 s old"):
        kept.joined("aa", older_s=600)


def test_a_version_that_is_gone_or_was_never_read_is_a_dependency(kept: Kept) -> None:
    with pytest.raises(DependencyDown, match="has no version yet"):
        kept.joined(None)
    with pytest.raises(DependencyDown, match="in version zz is not at"):
        kept.joined("zz")
