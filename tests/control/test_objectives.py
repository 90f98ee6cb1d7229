"""The judge: beats in, alerts out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec
import pytest

from firedoor.control.objectives import Judge, JudgeMemory
from firedoor.events.happened import Happened
from firedoor.events.objective import Kept, Objectives
from firedoor.slo.objective import Objective
from firedoor.slo.status import ObjectiveStatus

BEGAN_S = 1_800_000_000.0


def promise(zone: str) -> Objective:
    return Objective(
        zone=zone, kind="transform", indicator="availability", target=0.999, owner="ann"
    )


@dataclass
class World:
    """Zones whose processes say each second what they have kept."""

    judge: Judge
    at_s: float = BEGAN_S
    totals: dict[str, Kept] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    told: list[Happened] = field(default_factory=list)
    boot: str = "1"
    both: bool = False
    """Whether what is bad is late as well."""

    def go(self, seconds: int, **bad: dict[str, int]) -> list[str]:
        """Let time pass; return codes of what is told.

        Of each named zone 100 units a second: by cause, ``own`` for its own fault, so many bad.
        """
        before = len(self.told)
        for _ in range(seconds):
            self.at_s += 1
            for zone, causes in bad.items():
                kept = self.totals.get(zone, Kept())
                inherited = dict(kept.inherited)
                for cause, count in causes.items():
                    if cause != "own":
                        inherited[cause] = inherited.get(cause, 0) + count
                self.totals[zone] = Kept(
                    good=kept.good + 100 - sum(causes.values()),
                    own=kept.own + causes.get("own", 0),
                    inherited=inherited,
                )
            beats = {
                f"objective.{zone}.a": msgspec.json.encode(
                    Objectives(
                        zone=zone, process="a", boot=self.boot, at_s=self.at_s,
                        state=self.states.get(zone, "running"), availability=kept,
                        latency=kept if self.both else Kept(),
                    )
                )
                for zone, kept in self.totals.items()
            }  # fmt: skip
            self.told += self.judge.look(beats, at_s=self.at_s)
        return [happened.code for happened in self.told[before:]]

    def of(self, zone: str) -> ObjectiveStatus:
        found = self.judge.status(at_s=self.at_s).objectives
        return next(one for one in found if one.zone == zone)


def world(*zones: str, memory: JudgeMemory | None = None) -> World:
    judge = Judge(
        [promise(zone) for zone in zones], pipeline="flights", name="zones", memory=memory
    )
    return World(judge)


WELL: dict[str, int] = {}
BROKEN = {"own": 100}


def test_an_outage_is_one_page_and_its_end_is_told_with_what_it_cost() -> None:
    seen = world("enrich")
    assert seen.go(600, enrich=WELL) == []
    assert seen.go(300, enrich=BROKEN) == ["page"]
    page = seen.told[-1]
    assert page.zone == "enrich"
    assert page.about == "availability"
    assert page.cause == ""
    assert "99.9 % of rows come through" in page.text
    assert seen.of("enrich").verdict == "systemic"
    assert seen.of("enrich").left < 0
    assert "page.over" in seen.go(1_200, enrich=WELL)
    over = next(happened for happened in seen.told if happened.code == "page.over")
    assert over.facts["seconds"] == pytest.approx(600, abs=120)
    assert not seen.of("enrich").alerts


def test_a_blip_is_noted_and_pages_nobody() -> None:
    seen = world("enrich")
    seen.go(300, enrich=WELL)
    seen.go(20, enrich=BROKEN)
    assert seen.go(300, enrich=WELL) == ["transient"]
    assert seen.of("enrich").verdict == "transient"


def test_three_blips_in_an_hour_are_a_ticket() -> None:
    seen = world("enrich")
    codes: list[str] = seen.go(300, enrich=WELL)
    for _ in range(3):
        codes += seen.go(10, enrich=BROKEN)
        codes += seen.go(400, enrich=WELL)
    assert codes.count("ticket") == 1
    assert "page" not in codes
    assert "3 times within 1 h" in seen.of("enrich").alerts[0].text


def test_who_inherits_is_noted_with_the_page_of_whoevers_fault_it_is() -> None:
    seen = world("flights", "enrich")
    seen.go(300, flights=WELL, enrich=WELL)
    codes = seen.go(600, flights=BROKEN, enrich={"flights": 100})
    assert codes.count("page") == 1
    assert "inherited" in codes
    page = next(happened for happened in seen.told if happened.code == "page")
    assert page.zone == "flights"
    assert seen.of("flights").alerts[0].suffering == ("enrich",)
    assert seen.of("enrich").root == "flights"
    assert seen.of("enrich").left == 1


def test_a_fault_of_something_that_promises_nothing_pages_as_unexplained() -> None:
    seen = world("enrich", "predict")
    seen.go(300, enrich=WELL, predict=WELL)
    causes = {"dependency:weather": 100}
    codes = seen.go(600, enrich=causes, predict=causes)
    assert codes.count("page") == 1, "one page a root"
    page = next(happened for happened in seen.told if happened.code == "page")
    assert page.cause == "dependency:weather"
    assert "unexplained" in page.text
    assert page.at_s - (BEGAN_S + 300) == pytest.approx(135 + 120, abs=4)


def test_two_promises_that_one_zone_breaks_are_one_page() -> None:
    promises = [promise("enrich"), replace(promise("enrich"), indicator="latency", target=0.99)]
    seen = World(Judge(promises, pipeline="flights", name="zones"), both=True)
    seen.go(300, enrich=WELL)
    assert seen.go(300, enrich=BROKEN) == ["page", "joined"]
    assert [one.verdict for one in seen.judge.status(at_s=seen.at_s).objectives] == [
        "systemic",
        "systemic",
    ]
    codes = seen.go(1_200, enrich=WELL)
    assert sorted(code for code in codes if "over" in code) == ["joined.over", "page.over"]
    first = next(happened for happened in seen.told if happened.code.endswith(".over"))
    assert "there is still a page for its" in first.text


def test_silence_pages_after_a_minute_and_an_ordered_end_does_not() -> None:
    seen = world("enrich", "load")
    seen.go(100, enrich=WELL, load=WELL)
    seen.states["load"] = "drained"
    seen.go(2, enrich=WELL, load=WELL)
    del seen.totals["enrich"], seen.totals["load"]
    assert seen.go(60) == []
    assert seen.go(3) == ["page"]
    assert seen.told[-1].zone == "enrich"
    assert seen.go(3, enrich=WELL) == ["page.over"]


def test_a_service_without_a_ready_process_pages_after_three_probes() -> None:
    seen = world("predict")
    seen.states["predict"] = "ready"
    seen.go(60, predict=WELL)
    seen.states["predict"] = "not_ready"
    assert seen.go(30, predict=WELL) == []
    assert seen.go(3, predict=WELL) == ["page"]


def test_a_service_that_a_person_has_switched_off_pages_nobody_until_it_should_be_back() -> None:
    seen = world("predict")
    seen.states["predict"] = "ready"
    seen.go(60, predict=WELL)
    seen.states["predict"] = "switched_off"
    assert seen.go(600, predict=WELL) == []
    seen.states["predict"] = "not_ready"
    assert seen.go(33, predict=WELL) == ["page"]


def test_time_in_which_nobody_looked_speaks_against_nobody() -> None:
    seen = world("enrich")
    seen.go(100, enrich=WELL)
    seen.at_s += 600  # the broker was away
    assert seen.go(1) == []
    assert seen.go(10, enrich=WELL) == []


def test_a_slow_burn_under_a_page_is_the_same_story() -> None:
    seen = world("enrich")
    seen.go(600, enrich=WELL)
    codes = seen.go(3_600, enrich=BROKEN)
    codes += seen.go(3_600, enrich=WELL)
    assert codes.count("page") == 1
    assert "ticket" not in codes


def test_a_judge_that_is_restarted_pages_nobody_again() -> None:
    first = world("enrich")
    first.go(600, enrich=WELL)
    first.go(300, enrich=BROKEN)
    kept = msgspec.json.decode(msgspec.json.encode(first.judge.memory()), type=JudgeMemory)
    second = world("enrich", memory=kept)
    second.totals, second.at_s = first.totals, first.at_s + 5
    assert second.go(60, enrich=BROKEN) == []
    assert second.of("enrich").alerts[0].since_s == first.of("enrich").alerts[0].since_s
    assert second.of("enrich").own == first.of("enrich").own + 6_000
    assert "page.over" in second.go(1_200, enrich=WELL)


def test_what_was_counted_before_the_judge_began_spends_the_budget_and_is_no_news() -> None:
    seen = world("enrich")
    seen.totals["enrich"] = Kept(good=100_000, own=5_000)
    assert seen.go(400, enrich=WELL) == []
    assert seen.of("enrich").own == 5_000
    assert seen.of("enrich").left < 0


def test_a_zone_that_promises_nothing_is_not_judged() -> None:
    seen = world("enrich")
    assert seen.go(600, enrich=WELL, load=BROKEN) == []


def test_a_process_that_says_nonsense_costs_nobody_a_page() -> None:
    seen = world("enrich")
    seen.go(300, enrich=WELL)
    seen.totals["enrich"] = Kept(good=1)
    assert seen.go(300, enrich=WELL) == []
