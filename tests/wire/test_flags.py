"""What a flag is for whom, and which of two tables holds on a machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.wire.flags import (
    Flag,
    Flags,
    Offline,
    Value,
    decode_flags,
    encode_flags,
    killed,
    merge,
    needs_confirmation,
    newer,
    resolve,
    share_of,
    tell_kill,
)

SUBJECTS = [f"N{number}" for number in range(10_000)]


def table(generation: int = 1, **flags: Value) -> Flags:
    return Flags(
        generation=generation,
        flags={name: Flag(value=value, at_s=float(generation)) for name, value in flags.items()},
    )


# ---- values


@pytest.mark.parametrize(
    ("value", "default", "resolved", "reason"),
    [
        (True, False, True, "STATIC"),
        ("blue", "red", "blue", "STATIC"),
        (3, 1, 3, "STATIC"),
        (0.5, 0.1, 0.5, "STATIC"),
        (3, 0.1, 3.0, "STATIC"),
        (True, 1, 1, "TYPE_MISMATCH"),
        (1, True, True, "TYPE_MISMATCH"),
        (0.5, 1, 1, "TYPE_MISMATCH"),
        ("blue", False, False, "TYPE_MISMATCH"),
    ],
)
def test_a_flag_has_its_value_where_the_type_is_the_defaults(
    value: Value, default: Value, resolved: Value, reason: str
) -> None:
    found = resolve(table(new=value), "new", default)
    assert found == (resolved, reason)
    assert type(found.value) is type(default)


def test_a_flag_that_is_not_there_has_the_value_of_the_code() -> None:
    assert resolve(table(), "new", "safe") == ("safe", "DEFAULT")


def test_a_share_of_the_subjects_gets_the_value_and_always_the_same_ones() -> None:
    def inside(share: float) -> set[str]:
        flags = Flags(flags={"new": Flag(value=True, share=share)})
        return {who for who in SUBJECTS if resolve(flags, "new", default=False, subject=who)[0]}

    tenth, third = inside(0.1), inside(0.3)
    assert tenth < third
    assert 900 < len(tenth) < 1_100
    assert 2_850 < len(third) < 3_150
    assert inside(0.1) == tenth
    assert inside(0.0) == set()
    assert inside(1.0) == set(SUBJECTS)


def test_flags_do_not_share_out_the_same_subjects() -> None:
    one = {who for who in SUBJECTS if share_of("one", who) < 0.5}
    two = {who for who in SUBJECTS if share_of("two", who) < 0.5}
    assert 2_300 < len(one & two) < 2_700


def test_nobody_is_in_a_share_who_has_no_key() -> None:
    flags = Flags(flags={"new": Flag(value=True, share=0.999)})
    assert resolve(flags, "new", default=False) == (False, "SPLIT")


def test_a_kill_switch_says_that_it_is_one_and_whose() -> None:
    flag = Flag(value=True, by="ann@laptop", because="it lies")
    flags = Flags(flags={"kill.predict.route": flag, "kill.predict.log": Flag(value=False)})
    assert resolve(flags, "kill.predict.route", default=False) == (True, "KILLED")
    assert resolve(flags, "kill.predict.log", default=False) == (False, "STATIC")
    assert killed(flags, "predict", "route") is flag
    assert killed(flags, "predict", "log") is None
    assert killed(flags, "predict", "model") is None
    assert tell_kill(flag, "route") == "ann@laptop killed route: it lies"


def test_a_flag_that_wants_to_be_confirmed_holds_all_the_same() -> None:
    flag = Flag(value=True, confirm_s=100.0)
    assert not needs_confirmation(flag, 99.0)
    assert needs_confirmation(flag, 100.0)
    assert not needs_confirmation(Flag(value=True), 1e12)
    assert resolve(Flags(flags={"kill.a.route": flag}), "kill.a.route", default=False)[0] is True


def test_a_table_is_what_it_was_after_it_was_written() -> None:
    flags = Flags(generation=7, flags={"a": Flag(value=0.5, share=0.1, by="ann", confirm_s=1.0)})
    assert decode_flags(encode_flags(flags)) == flags
    assert decode_flags(b"") is None
    assert decode_flags(b'{"flags": 3}') is None
    assert decode_flags(b"\xff") is None


# ---- which table holds


def test_the_higher_generation_holds_and_the_brokers_where_they_are_equal() -> None:
    old, new = table(1, a=1), table(2, a=2)
    assert newer(old, new) is new
    assert newer(new, old) is new
    other = table(2, a=3)
    assert newer(new, other) is other
    assert newer(None, old) is old
    assert newer(old, None) is old
    assert newer(None, None) == Flags()


def offline(base: Flags, at_s: float, name: str, *, value: Value | None) -> Flags:
    flags = dict(base.flags)
    if value is None:
        del flags[name]
    else:
        flags[name] = Flag(value=value, at_s=at_s)
    return Flags(
        generation=base.generation + 1,
        flags=flags,
        offline=base.offline | {name: Offline(at_s=at_s)},
    )


def test_what_was_changed_without_the_broker_holds_over_what_it_says() -> None:
    told = table(5, a=1, b=1)
    kept = offline(offline(table(4, a=1, b=0), 10.0, "a", value=True), 11.0, "b", value=None)
    found = newer(kept, told)
    assert found.flags["a"].value is True
    assert "b" not in found.flags
    assert set(found.offline) == {"a", "b"}
    assert found.generation > told.generation


def test_what_somebody_changed_later_at_the_broker_stays() -> None:
    kept = offline(table(4), 10.0, "a", value=True)
    told = Flags(generation=9, flags={"a": Flag(value=False, at_s=20.0)})
    assert newer(kept, told) is told


def test_what_is_merged_is_marked_no_more() -> None:
    kept = offline(table(4), 10.0, "a", value=True)
    told = Flags(generation=9, flags=merge(kept, table(8)).flags)
    assert newer(kept, told) is told
    unset = offline(table(4, a=1), 10.0, "a", value=None)
    assert newer(unset, table(9)) == table(9)


@given(st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_a_switch_that_was_thrown_without_the_broker_is_never_lost(
    mine: int, theirs: int, other: object
) -> None:
    kept = offline(table(mine), 10.0, "kill.a.route", value=True)
    told = table(theirs, other=bool(other))
    assert killed(newer(kept, told), "a", "route")
    assert newer(kept, told).flags["other"] == told.flags["other"]
