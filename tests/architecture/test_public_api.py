"""What users may rely on is written down, and changes only where somebody says so."""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

import pytest

import firedoor
from api import describe, documented_attributes, public_members

ACCEPTED = Path(__file__).with_name("api.txt")


def test_the_public_api_is_the_one_that_was_accepted() -> None:
    accepted = ACCEPTED.read_text(encoding="utf-8").splitlines()
    diff = difflib.unified_diff(accepted, describe().splitlines(), "accepted", "now", lineterm="")
    changed = "\n".join(diff)
    assert not changed, (
        f"the public API has changed:\n{changed}\n"
        "If that is meant: make api, describe it in CHANGELOG.md, and let the diff be reviewed."
    )


@pytest.mark.parametrize("name", sorted(set(firedoor.__all__) - {"__version__"}))
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(firedoor, name)
    assert value.__doc__, f"fd.{name} has no docstring"
    if isinstance(value, type):
        for member_name, member in public_members(value).items():
            assert member.__doc__, f"fd.{name}.{member_name} has no docstring"


def test_every_field_of_an_error_is_documented() -> None:
    fault = firedoor.StepAtFault("why", code="contrast", signature="ValueError at steps.py:1")
    assert set(vars(fault)) == set(documented_attributes(firedoor.StepAtFault))
    wrong = firedoor.DeclarationError("memory", "1", "is too little", "give more")
    assert set(vars(wrong)) == set(documented_attributes(firedoor.DeclarationError))
    unloadable = firedoor.StepUnloadable("why", "detail")
    assert set(vars(unloadable)) == set(documented_attributes(firedoor.StepUnloadable))
    damaged = firedoor.BundleDamaged("why", digest="0" * 64, file="model.txt")
    assert set(vars(damaged)) == set(documented_attributes(firedoor.BundleDamaged))
    late = firedoor.ChangedMeanwhile("why", expected=1, found=2)
    assert set(vars(late)) == set(documented_attributes(firedoor.ChangedMeanwhile))
    refused = firedoor.ModelRefused("why", code="quarantined")
    assert set(vars(refused)) == set(documented_attributes(firedoor.ModelRefused))


def test_dir_lists_exactly_the_public_names() -> None:
    assert dir(firedoor) == sorted(firedoor.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Door'"):
        _ = firedoor.Door


def test_importing_firedoor_imports_nothing_else() -> None:
    code = (
        "import importlib, sys, typing, __future__\n"
        "before = set(sys.modules)\n"
        "import firedoor\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.split() == ["firedoor"]
