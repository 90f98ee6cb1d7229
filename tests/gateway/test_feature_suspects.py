"""Keys under suspicion: bounded, forgotten in time, guilty only where others are answered."""

from __future__ import annotations

from firedoor.gateway.feature_suspects import ENTRIES_MAX, GUILTY_S, SUSPECT_S, Suspects


def test_calls_with_a_suspect_are_half_as_large_each_time_until_it_is_alone() -> None:
    suspects = Suspects()
    keys = [b"%d" % number for number in range(8)]
    assert suspects.keys_max(keys[0], 0.0) is None
    sizes = []
    while len(keys) > 1:
        suspects.accuse(keys, 0.0, answered=0)
        sizes.append(suspects.keys_max(keys[0], 0.0))
        keys = keys[: sizes[-1]]
    assert sizes == [4, 2, 1]


def test_alone_it_is_guilty_only_where_others_were_answered_since() -> None:
    suspects = Suspects()
    assert not suspects.accuse([b"a"], 0.0, answered=5), "the first time it may be the store"
    assert not suspects.accuse([b"a"], 0.0, answered=5), "and again, while nobody is answered"
    assert suspects.keys_max(b"a", 0.0) == 1
    assert suspects.accuse([b"a"], 0.0, answered=6)
    assert suspects.keys_max(b"a", GUILTY_S - 1) == 0
    assert suspects.keys_max(b"a", GUILTY_S) is None


def test_a_suspicion_ends_by_an_answer_or_in_time() -> None:
    suspects = Suspects()
    suspects.accuse([b"a", b"b", b"c"], 0.0, answered=0)
    suspects.acquit([b"a", b"never"])
    assert suspects.keys_max(b"a", 0.0) is None
    assert suspects.keys_max(b"b", SUSPECT_S - 1) == 1
    assert suspects.keys_max(b"b", SUSPECT_S) is None
    suspects.clear()
    assert len(suspects) == 0


def test_no_more_are_held_than_may_be() -> None:
    suspects = Suspects()
    for number in range(ENTRIES_MAX + 50):
        suspects.accuse([b"%d" % number], 0.0, answered=0)
    assert len(suspects) == ENTRIES_MAX
    assert suspects.keys_max(b"0", 0.0) is None
    assert suspects.keys_max(b"%d" % (ENTRIES_MAX + 49), 0.0) == 1
