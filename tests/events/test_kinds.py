"""Every kind of entry is documented, and says how long it is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from firedoor.events.happened import Happened, Kind
from firedoor.events.kinds import BOOKS, KINDS, book_of, crowd

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "events.md"


def test_every_kind_is_described() -> None:
    assert set(KINDS) == set(get_args(Kind))
    assert all(len(about.what) > 10 for about in KINDS.values())
    assert {about.book for about in KINDS.values()} == set(BOOKS)


def test_every_kind_is_in_the_guide_as_it_is() -> None:
    table = GUIDE.read_text().partition("\n## Kinds\n")[2]
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", table, re.MULTILINE))
    kept = {"acts": "for ever", "happenings": "as records"}
    told = {kind: f"{about.what} | {kept[about.book]}" for kind, about in KINDS.items()}
    assert rows == told


def test_every_field_of_an_entry_is_in_the_guide() -> None:
    table = GUIDE.read_text().partition("| Field | What |")[2].partition("\n## Kinds")[0]
    told = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE)))
    assert sorted(told) == sorted(Happened.__struct_fields__)


@pytest.mark.parametrize("kind", ["model", "rollout", "flag", "order", "deploy", "drill"])
def test_what_people_do_and_what_becomes_of_models_never_goes(kind: Kind) -> None:
    assert book_of(kind) == "acts"


def test_no_act_is_told_together_with_another() -> None:
    for kind, about in KINDS.items():
        if about.book == "acts":
            assert crowd(Happened(at_s=0, kind=kind, text="")) is None
