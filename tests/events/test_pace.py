"""What comes in crowds does not fill the ledger, and nothing of it is lost."""

from __future__ import annotations

import random

from firedoor.events.happened import Happened
from firedoor.events.pace import AT_ONCE, CROWDS_MAX, EACH_S, Pace


def died(rows: int, *, zone: str = "enrich", code: str = "raises") -> Happened:
    return Happened(
        at_s=0, kind="dead_letters", zone=zone, text=f"{rows} rows", code=code,
        facts={"rows": rows},
    )  # fmt: skip


def state(word: str) -> Happened:
    return Happened(at_s=0, kind="zone.state", zone="enrich", text=word, code=word)


def test_the_first_are_told_at_once_and_then_one_in_a_while_for_all() -> None:
    pace = Pace()
    told = [len(pace.take(died(1), 0.1 * number)) for number in range(600)]
    assert told[:AT_ONCE] == [1] * AT_ONCE
    assert AT_ONCE + 5 <= sum(told) <= AT_ONCE + 6


def test_no_row_is_left_out_of_what_is_told() -> None:
    for seed in range(50):
        chance, pace, now_s, rows, told = random.Random(seed), Pace(), 0.0, 0, []
        for _ in range(300):
            now_s += chance.expovariate(2)
            one = died(chance.randrange(1, 9), code=chance.choice("ab"))
            rows += int(one.facts["rows"])
            told += pace.take(one, now_s)
            if chance.random() < 0.1:
                told += pace.due(now_s)
        told += pace.due(now_s, all_of_it=True)
        assert sum(int(one.facts["rows"]) for one in told) == rows
        assert len(told) + sum(int(one.facts.get("held_back", 0)) for one in told) == 300
        assert not pace.holds


def test_the_last_state_is_told_even_if_nothing_follows() -> None:
    pace, told = Pace(), list[Happened]()
    for number in range(20):
        told = pace.take(state("blocked" if number % 2 else "running"), 0.01 * number)
    assert told == []
    assert pace.due(1.0) == []
    (last,) = pace.due(EACH_S + 0.01)
    assert last.code == "blocked"


def test_zones_and_codes_do_not_hold_each_other_back() -> None:
    pace = Pace()
    for _ in range(AT_ONCE):
        pace.take(died(1), 0.0)
    assert pace.take(died(1), 0.0) == []
    assert pace.take(died(1, zone="clean"), 0.0)
    assert pace.take(died(1, code="schema"), 0.0)


def test_what_people_do_is_always_told() -> None:
    pace = Pace()
    act = Happened(at_s=0, kind="flag", text="set", by="ann")
    assert all(pace.take(act, 0.0) == [act] for _ in range(1_000))


def test_no_more_crowds_are_kept_than_have_room_and_what_they_held_is_told() -> None:
    pace, told = Pace(), 0
    for number in range(CROWDS_MAX):
        for _ in range(AT_ONCE + 1):
            told += len(pace.take(died(1, code=f"c{number}"), 0.0))
    for number in range(CROWDS_MAX):
        told += len(pace.take(died(1, code=f"d{number}"), 0.0))
    assert told == CROWDS_MAX * (AT_ONCE + 2)
    assert len(pace._crowds) == CROWDS_MAX
