"""What may be tried beside a zone, when it takes over, and where a rollback goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from control.opening import Still, open_world
from control.world import World, make_plan, make_zone
from firedoor.compose.deploying import deploy, rollback
from firedoor.compose.deploys import Deploy, Deployed, Past, read_deploy, write_live
from firedoor.compose.project import Project
from firedoor.compose.shadow_code import alone
from firedoor.compose.shadows import (
    Switching,
    Terms,
    abort_shadow,
    begin_shadow,
    check_shadowed,
    confirm_shadow,
)
from firedoor.control.changes import changes
from firedoor.control.shadows import in_full, in_short
from firedoor.errors import DeclarationError, FiredoorError, NotKnown, StoreRefused
from firedoor.flow.code import Evidence
from firedoor.spec.plan import DependencyPlan, GuardPlan, ZonePlan
from firedoor.wire.shadow import Shadow, read_shadow

KEY = "shadow.clean"
NEW = make_zone("clean", "transform", version="v2")
SAME = Evidence(batches=20, rows=10_000)
DIFFERS = Evidence(batches=20, rows=10_000, matched=10_000, columns={"price": 1})
WORSE = Evidence(faults=("it hangs",))


class Shop:
    """A project with a pipeline of which nothing runs; a supervisor's part is done by hand."""

    def __init__(self, world: World, folder: Path) -> None:
        self.streams, self.plan = world.streams, world.plan
        self.project = Project.at(folder)
        self.project.create()
        self.told: list[str] = []
        self.switching = Switching(
            project=self.project, plan=self.plan, clock=Still(), tell=self.told.append
        )

    async def begin(self, **terms: Any) -> Shadow:
        deployed = Deployed(zone=NEW, file="/new/shop.py", sys_path=())
        return await begin_shadow(
            self.streams, self.project, self.plan, deployed, Terms(**terms), by="ann",
            because="faster", clock=Still(),
        )  # fmt: skip

    async def see(self, evidence: Evidence) -> None:
        """Have been seen what a zone's process would have."""
        shadow = replace(await self.shadow(), evidence=evidence)
        await self.streams.put(KEY, msgspec.json.encode(shadow))

    async def shadow(self) -> Shadow:
        found = read_shadow(await self.streams.get(KEY))
        assert found is not None
        return found

    async def deployed(self) -> Deploy | None:
        return read_deploy(await self.streams.get("deploy.clean"))

    async def look(self) -> Shadow:
        """Look as the supervisor does; return what is known then."""
        await self.switching.look(self.streams, {"clean": await self.shadow()})
        return await self.shadow()

    async def settle(self, **fields: Any) -> None:
        """Do as the supervisor does when a process was replaced, or was not."""
        wanted = await self.deployed()
        assert wanted is not None
        settled = replace(wanted, **fields)
        if settled.state == "live":
            write_live(self.project, "clean", settled)
        await self.streams.put("deploy.clean", msgspec.json.encode(settled))


def in_shop(folder: Path, story: Callable[[Shop], Any]) -> None:
    """Run a story in a project of its own."""

    async def main() -> None:
        await story(Shop(await open_world(make_plan()), folder))

    asyncio.run(main())


def test_code_that_makes_the_same_is_deployed_once_and_said_to_be_live(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        await shop.begin()
        assert (await shop.look()).state == "running"
        assert await shop.deployed() is None, "no data is no pass"
        await shop.see(SAME)
        assert (await shop.look()).state == "switching"
        await shop.look()
        wanted = await shop.deployed()
        assert wanted is not None
        assert (wanted.version, wanted.state, wanted.by) == ("v2", "wanted", "ann")
        code = str(Path(shop.plan.file).parent)
        assert wanted.past == (Past(version="clean-v1", code=code),)
        await shop.look()
        assert await shop.deployed() == wanted, "it is asked for once"
        await shop.settle(state="live")
        assert (await shop.look()).state == "live"
        said = [(one.what, one.by, one.before, one.after) for one in await changes(shop.streams)]
        assert said == [
            ("zone shadow passed", "firedoor", "clean-v1", "v2"),
            ("zone shadow started", "ann", "clean-v1", "v2"),
        ]
        assert "version v2 takes over from clean-v1: the same rows" in shop.told[0]

    in_shop(tmp_path, story)


def test_a_deployment_that_fails_leaves_the_old_code_and_says_why(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        await shop.begin()
        await shop.see(SAME)
        await shop.look()
        await shop.look()
        await shop.settle(state="failed", because="it was not at work within 60 s")
        found = await shop.look()
        assert (found.state, found.ended) == ("failed", "it was not at work within 60 s")
        assert "did not take over: it was not at work" in in_short("clean", found)

    in_shop(tmp_path, story)


@pytest.mark.parametrize(
    ("evidence", "terms", "switches"),
    [
        (SAME, {}, True),
        (SAME, {"auto": False}, False),
        (SAME, {"batches_min": 21}, False),
        (DIFFERS, {}, False),
        (DIFFERS, {"allow": ("price",)}, True),
        (WORSE, {"allow": ("*",)}, False),
    ],
)
def test_only_what_is_the_same_or_may_differ_takes_over_by_itself(
    tmp_path: Path, evidence: Evidence, terms: dict[str, Any], *, switches: bool
) -> None:
    async def story(shop: Shop) -> None:
        await shop.begin(**terms)
        await shop.see(evidence)
        assert ((await shop.look()).state == "switching") is switches

    in_shop(tmp_path, story)


def test_a_person_may_say_that_a_difference_is_meant(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        await shop.begin()
        with pytest.raises(StoreRefused, match=r"0 of 20 batches, 0 of 10,000 rows.*--because"):
            await confirm_shadow(shop.streams, "clean", by="ann", because="", clock=Still())
        await shop.see(DIFFERS)
        shadow = await shop.shadow()
        assert "--confirm if that is meant" in in_full("clean", shadow)[2]

        class Supervised(Still):
            async def wait(self, seconds: float) -> None:
                del seconds
                if await shop.deployed() is not None:
                    await shop.settle(state="live")
                await shop.look()

        found = await confirm_shadow(
            shop.streams, "clean", by="ann", because="meant", clock=Supervised()
        )
        assert found.state == "live"
        assert [one.what for one in await changes(shop.streams)][-2:] == [
            "zone shadow confirmed",
            "zone shadow started",
        ]

    in_shop(tmp_path, story)


def test_one_is_tried_at_a_time_but_for_one_that_has_failed_or_was_ended(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        await shop.begin()
        with pytest.raises(StoreRefused, match=r"v2 of clean is being tried already.*--abort"):
            await shop.begin()
        await shop.see(WORSE)
        await shop.begin(batches_min=7)
        assert (await shop.shadow()).evidence == Evidence()
        ended = await abort_shadow(shop.streams, "clean", by="bob", because="no", at_s=1.0)
        assert (ended.state, ended.ended, ended.batches_min) == ("aborted", "by bob: no", 7)
        with pytest.raises(NotKnown, match="no code of clean is being tried"):
            await abort_shadow(shop.streams, "clean", by="bob", because="no", at_s=1.0)
        await shop.begin()

    in_shop(tmp_path, story)


def test_what_asks_for_no_evidence_is_refused(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        for terms in ({"batches_min": 0}, {"rows_min": -1}):
            with pytest.raises(DeclarationError, match="no data is never a pass"):
                await shop.begin(**terms)

    in_shop(tmp_path, story)


def calls(*, idempotent: bool | None) -> ZonePlan:
    """Return a step that calls something."""
    one = DependencyPlan(guard=GuardPlan(name="clean->prices"), idempotent=idempotent)
    return make_zone("clean", "transform", depends=(msgspec.to_builtins(one),))


@pytest.mark.parametrize(
    ("zone", "says"),
    [
        (make_zone("store", "sink"), "store is a sink: .* write what it writes twice"),
        (make_zone("flights", "source"), "flights is a source: .* publish what it reads twice"),
        (calls(idempotent=None), "clean calls clean->prices, .* twice.*idempotent=True"),
        (calls(idempotent=False), "clean calls clean->prices, .* twice"),
    ],
)
def test_what_has_an_effect_is_not_tried_beside_the_live_code(zone: ZonePlan, says: str) -> None:
    with pytest.raises(StoreRefused, match=says) as refused:
        check_shadowed(zone)
    assert f"firedoor zone rollback {zone.name}" in str(refused.value)


def test_a_step_reaches_beside_the_live_one_only_what_it_declares() -> None:
    quiet, calling = make_zone("clean", "transform"), calls(idempotent=True)
    check_shadowed(quiet)
    check_shadowed(calling)
    assert alone(quiet).wall["network"] is False
    assert "network" not in alone(calling).wall


async def deploys(shop: Shop, *steps: tuple[str, str]) -> list[str | FiredoorError]:
    """Deploy versions and roll back, with a supervisor that does so at once; return versions."""
    live: list[str | FiredoorError] = []

    class Supervised(Still):
        async def wait(self, seconds: float) -> None:
            del seconds
            await shop.settle(state="live")

    for verb, version in steps:
        try:
            if verb == "deploy":
                zone = make_zone("clean", "transform", version=version)
                deployed = Deployed(zone=zone, file=f"/code/{version}/shop.py", sys_path=())
                done = await deploy(
                    shop.streams, shop.project, shop.plan, deployed, by="ann", clock=Supervised()
                )
            else:
                done = await rollback(
                    shop.streams, shop.project, shop.plan, "clean", by="ann", because="bad",
                    clock=Supervised(),
                )  # fmt: skip
            live.append(done.version)
        except FiredoorError as error:
            live.append(error)
    return live


def test_a_rollback_goes_to_what_was_live_before_and_asked_again_further_back(
    tmp_path: Path,
) -> None:
    async def story(shop: Shop) -> None:
        steps = [("deploy", "v2"), ("deploy", "v3"), *[("rollback", "")] * 3]
        *live, none = await deploys(shop, *steps)
        assert live == ["v2", "v3", "v2", "clean-v1"]
        assert "no other was live before it" in str(none)
        wanted = await shop.deployed()
        assert wanted is not None
        assert (wanted.file, wanted.plan_file(shop.project)) == ("", None)
        assert await deploys(shop, ("deploy", "v3"), ("rollback", "")) == ["v3", "clean-v1"]
        said = [
            (one.what, one.before, one.after, one.because) for one in await changes(shop.streams)
        ]
        assert said[0] == ("zone rolled back", "v3", "clean-v1", "bad")

    in_shop(tmp_path, story)


def test_what_was_overwritten_in_place_cannot_be_brought_back_and_that_is_said(
    tmp_path: Path,
) -> None:
    async def story(shop: Shop) -> None:
        shop.plan = replace(shop.plan, file="/code/v2/shop.py")
        version, refused = await deploys(shop, ("deploy", "v2"), ("rollback", ""))
        assert version == "v2"
        assert "was in /code/v2, and the one that is live was deployed from there" in str(refused)

    in_shop(tmp_path, story)


def test_a_deployment_that_failed_is_nowhere_a_rollback_goes(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        assert await deploys(shop, ("deploy", "v2")) == ["v2"]
        failed = Deploy(version="v3", before="clean-v1", file="f", code="c", state="failed")
        await shop.streams.put("deploy.clean", msgspec.json.encode(failed))
        (again,) = await deploys(shop, ("deploy", "v2"))
        assert "is version v2, which runs already" in str(again)
        assert await deploys(shop, ("deploy", "v4"), ("rollback", "")) == ["v4", "v2"]

    in_shop(tmp_path, story)


def test_a_deployment_ends_what_was_tried_beside_the_code_that_goes(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        await shop.begin()
        await deploys(shop, ("deploy", "v9"))
        found = await shop.shadow()
        assert (found.state, found.ended) == ("aborted", "version v9 was deployed by ann")

    in_shop(tmp_path, story)
