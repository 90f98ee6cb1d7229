"""The registry as rollouts use it: each call may be made twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import firedoor as fd
from compose.scored import Project
from firedoor.compose.rollout_versions import RegistryVersions


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.add()
    made.add(live=False)
    return made


def versions(project: Project) -> RegistryVersions:
    return RegistryVersions(project.models, "late")


def champion(project: Project) -> int | None:
    return project.models.read("late").state.champion


def test_who_is_live_and_what_a_start_without_a_version_means(project: Project) -> None:
    standing = asyncio.run(versions(project).standing())
    assert standing.live is not None
    assert (standing.live.version, standing.previous) == (1, None)
    challenger = asyncio.run(versions(project).find(None))
    assert (challenger.target.version, challenger.unqualified, challenger.barred) == (2, "", "")


def test_a_model_that_is_not_there_has_nobody_live(project: Project) -> None:
    nobody = RegistryVersions(project.models, "early")
    assert asyncio.run(nobody.standing()).live is None
    with pytest.raises(fd.NotKnown):
        asyncio.run(nobody.find(None))


def test_promotion_and_the_way_back_are_done_once_however_often_they_are_said(
    project: Project,
) -> None:
    for _ in range(2):
        asyncio.run(versions(project).promote(2, because="it is good", anyway=False))
        assert champion(project) == 2
    for _ in range(2):
        asyncio.run(versions(project).roll_back(2, because="it is bad"))
        assert champion(project) == 1


def test_a_quarantine_bars_the_content_once(project: Project) -> None:
    for _ in range(2):
        asyncio.run(versions(project).quarantine(2, because="it is wrong"))
    found = asyncio.run(versions(project).find(2))
    assert found.barred == "it is wrong"
    assert found.unqualified == "is quarantined"


def test_a_person_may_have_promoted_what_is_not_qualified_or_was_barred(project: Project) -> None:
    asyncio.run(versions(project).quarantine(2, because="it is wrong"))
    with pytest.raises(fd.ModelRefused):
        asyncio.run(versions(project).promote(2, because="", anyway=False))
    asyncio.run(versions(project).promote(2, because="it was not", anyway=True))
    assert champion(project) == 2


@pytest.mark.parametrize(
    ("because", "kept"),
    [
        (
            "it raised:\n  model.py:3 in predict\n\tKeyError",
            "it raised: model.py:3 in predict KeyError",
        ),
        ("\x1b[31mred\x00", "[31mred"),
        ("x" * 5_000, ""),
        (" \n", "no reason was given"),
    ],
)
def test_no_reason_keeps_a_rollout_from_its_end(project: Project, because: str, kept: str) -> None:
    """A traceback, or whatever somebody sends over the API."""
    asyncio.run(versions(project).promote(2, because=because, anyway=False))
    asyncio.run(versions(project).roll_back(2, because=because))
    asyncio.run(versions(project).quarantine(2, because=because))
    barred = asyncio.run(versions(project).find(2)).barred
    assert barred == kept or (not kept and barred.startswith("xxx"))
    assert champion(project) == 1
