"""Secrets are taken out of texts, and what is no secret stays to be read."""

from __future__ import annotations

from firedoor.compute.hiding import hider_of

ENVIRON = {"API_TOKEN": "abcd", "PIN": "12", "REGION": "eu-1", "DSN": "a-b-c-d-e"}


def test_what_was_declared_is_hidden_and_what_is_short_only_where_it_looks_secret() -> None:
    hide = hider_of(ENVIRON, ["API_TOKEN", "PIN", "REGION", "NOT_SET"])
    assert hide("abcd 12 eu-1 a-b-c-d-e") == "*** 12 eu-1 a-b-c-d-e"
    assert hider_of(ENVIRON, [])("abcd") == "abcd"


def test_a_long_value_is_hidden_whatever_its_name_and_a_value_of_lines_line_by_line() -> None:
    assert hider_of(ENVIRON, ["DSN"])("at a-b-c-d-e!") == "at ***!"
    assert (
        hider_of({"PRIVATE_KEY": "l1ne\nl2ne"}, ["PRIVATE_KEY"])("l2ne, then l1ne")
        == "***, then ***"
    )


def test_a_value_within_another_does_not_leave_the_rest_of_it() -> None:
    hide = hider_of({"A_TOKEN": "abcd", "B_TOKEN": "abcdefgh"}, ["A_TOKEN", "B_TOKEN"])
    assert hide("abcdefgh") == "***"


def test_the_password_within_an_address_is_hidden_without_the_address_as_well() -> None:
    hide = hider_of({"DATABASE": "postgres://ann:hunter2@db/late"}, ["DATABASE"])
    assert hide("ann, hunter2: refused by db") == "ann, ***: refused by db"
