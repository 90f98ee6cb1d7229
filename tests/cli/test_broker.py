from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.broker import app

PIPELINE = """
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders.jsonl"))
pipeline.sink("store", fd.parquet("out"), reads=orders)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop.py"
    file.write_text(PIPELINE)
    return file


def refused(*arguments: str | Path) -> str:
    """Return what a command says that ends with 1."""
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert ended.exit_code == 1, ended.output
    return ended.stderr


def test_users_that_cannot_be_written_are_told(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert "name another folder with --out" in refused("users", shop, "--out", tmp_path / "taken")
    assert "nothing.py" in refused("users", tmp_path / "nothing.py", "--out", tmp_path / "users")
    assert not (tmp_path / "users").exists()


def test_what_is_no_broker_is_told_and_nothing_is_noted(shop: Path, tmp_path: Path) -> None:
    said = refused("declare", shop, "--nats", "http://a:4222", "--project", tmp_path)
    assert "write nats://host:4222" in said
    assert not (tmp_path / ".firedoor" / "plan.json").exists()
