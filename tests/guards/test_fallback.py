"""What the ladder offers, and that age and source are told."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.guards import fallback
from firedoor.guards.fallback import Answer, Constant, Function, Kept, Previous, Stale

kept = st.none() | st.builds(Kept, st.integers(), st.floats(0, 1_000))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(kept, kept, st.floats(0, 1_000), st.floats(0.001, 500))
def test_an_old_answer_is_given_with_its_age_and_never_beyond_its_bound(
    same: Kept | None, latest: Kept | None, now_s: float, age_max_s: float
) -> None:
    for rung, source, known in (
        (Stale(age_max_s), "stale", same), (Previous(age_max_s), "previous", latest),
    ):  # fmt: skip
        answer = fallback.judge(rung, same, latest, now_s)
        if known is None or now_s - known.at_s > age_max_s:
            assert answer is None
        else:
            assert answer == Answer(known.value, source, max(0.0, now_s - known.at_s))


def test_an_answer_is_young_enough_until_its_age_is_more_than_the_bound() -> None:
    kept = Kept("then", 100.0)
    for rung, source in ((Stale(10.0), "stale"), (Previous(10.0), "previous")):
        assert fallback.judge(rung, kept, kept, 110.0) == Answer("then", source, 10.0)
        assert fallback.judge(rung, kept, kept, 110.1) is None
        assert fallback.judge(rung, kept, kept, 90.0) == Answer("then", source, 0.0)


def test_an_answer_is_live_and_new_if_nothing_else_is_said() -> None:
    assert Answer(7) == Answer(7, "live", 0.0)


def test_a_constant_has_no_age_and_is_degraded() -> None:
    answer = fallback.judge(Constant(7), None, None, 0.0)
    assert answer == Answer(7, "constant", None)
    assert isinstance(answer, Answer)
    assert answer.degraded
    assert not Answer(7).degraded


def test_a_function_is_handed_back_to_be_called() -> None:
    rung = Function(len)
    assert fallback.judge(rung, None, None, 0.0) is rung
