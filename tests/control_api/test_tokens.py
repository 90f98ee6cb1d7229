"""Tokens are in a file for their owner alone, and nobody else's open anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firedoor.api.tokens import Token, Tokens
from firedoor.errors import StoreRefused


def test_the_file_is_made_once_with_tokens_that_nobody_guesses(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    assert tokens.create()
    assert tokens.path.stat().st_mode & 0o777 == 0o600
    told = json.loads(tokens.path.read_text())["tokens"]
    assert [(each["name"], each["role"]) for each in told] == [
        ("reader", "read"),
        ("admin", "write"),
    ]
    assert len({each["token"] for each in told}) == 2
    assert all(len(each["token"]) >= 40 for each in told)
    assert not Tokens(tmp_path).create()
    assert json.loads(tokens.path.read_text())["tokens"] == told
    assert [tokens.who(each["token"]) for each in told] == [Token(**each) for each in told]


def test_a_token_is_not_shown(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.create()
    secret = json.loads(tokens.path.read_text())["tokens"][1]["token"]
    found = tokens.who(secret)
    assert found is not None
    assert secret not in repr(found)
    assert tokens.who(secret[:-1]) is None
    assert tokens.who("") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is damaged"),
        ('{"tokens": [{"name": "a", "role": "root", "token": "xxxxxxxxxxxxxxxxxxxxxxx"}]}', "role"),
        ('{"tokens": [{"name": "ann", "role": "read", "token": "short"}]}', "tokens of ann"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, told: str) -> None:
    tokens = Tokens(tmp_path)
    tokens.create()
    tokens.path.write_text(text)
    with pytest.raises(StoreRefused, match=told):
        tokens.who("x" * 43)
    with pytest.raises(StoreRefused, match=told):
        Tokens(tmp_path).create()


def test_no_file_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="no tokens"):
        Tokens(tmp_path).who("x" * 43)


def test_a_file_that_others_are_let_at_later_opens_nothing_from_then_on(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.create()
    secret = json.loads(tokens.path.read_text())["tokens"][1]["token"]
    assert tokens.who(secret) is not None
    tokens.path.chmod(0o640)
    with pytest.raises(StoreRefused, match="chmod 600"):
        tokens.who(secret)
    tokens.path.chmod(0o600)
    assert tokens.who(secret) is not None


def test_a_guess_is_compared_with_every_token_whichever_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the first one compares, the time tells nothing of which it was."""
    tokens = Tokens(tmp_path)
    tokens.create()
    known = [each["token"] for each in json.loads(tokens.path.read_text())["tokens"]]
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("firedoor.api.tokens.hmac.compare_digest", compare)
    for given in (*known, "", "x", known[0][:-1], "y" * 10_000):
        compared.clear()
        tokens.who(given)
        assert compared == [(32, 32)] * len(known), "all of them, and of one length"
