"""Versions of a model, while people, evaluations and sweeps do as they are drawn to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firedoor.errors import DeclarationError, ModelRefused, NotKnown
from firedoor.registry.change import (
    BARRED_MAX,
    LINEAGE_MAX,
    LIVED_MAX,
    METRICS_MAX,
    VERSIONS_MAX,
    Event,
    Promoted,
    Pruned,
    Qualified,
    Quarantined,
    Registered,
    Released,
    Retired,
    RolledBack,
    Verdict,
    step,
)
from firedoor.registry.model import ModelState, resolve, version_of
from firedoor.registry.retention import DAY_S, Retention, due, needed
from flow.drawn import many

RETENTIONS = [Retention(), Retention(keep_s=0, keep_newest=0), Retention(keep_newest=2)]
digests = st.sampled_from([letter * 64 for letter in "abcdefgh"])
numbers = st.integers(1, 9)


class Standing(RuleBasedStateMachine):
    """A model, and a book in which somebody else writes down what may be asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ModelState()
        self.now_s = 1e9
        self.barred: set[str] = set()
        self.live: int | None = None
        self.was_live: list[int] = []
        self.qualified: dict[int, int | None] = {}
        """Versions with a standing verdict, and the champion that they were compared with."""
        self.latest: int | None = None
        self.given: dict[int, str] = {}
        """Every number that was ever given, and to which digest."""

    def tell(self, event: Event) -> bool:
        """Tell of an event; whether it was taken."""
        before = self.state
        try:
            self.state = step(before, event, self.now_s)
        except (ModelRefused, NotKnown):
            assert self.state == before
            return False
        if isinstance(event, Registered | Promoted | Quarantined | Retired | Pruned):
            assert step(self.state, event, self.now_s) == self.state, "told twice is told once"
        return True

    def there(self, number: int) -> bool:
        return number in {version.number for version in self.state.versions}

    def gone_live(self, number: int | None) -> None:
        if number is not None:
            self.qualified.pop(number, None)
        self.latest = None if self.latest == number else self.latest
        self.live = number

    # ---- the world

    @rule(days=st.sampled_from([0.0, 1.0, 100.0]))
    def time_passes(self, days: float) -> None:
        self.now_s += days * DAY_S

    @rule(digest=digests, lineage=st.lists(digests, max_size=2).map(tuple))
    def a_bundle_is_registered(self, digest: str, lineage: tuple[str, ...]) -> None:
        known = {version.content for version in self.state.versions}
        taken = self.tell(Registered(digest=digest, lineage=lineage))
        assert taken == (digest not in self.barred), "a quarantined digest comes back, or none does"
        if taken and digest not in known:
            number = self.state.versions[-1].number
            assert number not in self.given, "a number means one version for ever"
            self.given[number] = digest
            assert self.state.versions[-1].state == "candidate"

    @rule(number=numbers, verdict=st.sampled_from(["promote", "promote", "hold", "reject"]))
    def a_verdict_is_given(self, number: int, verdict: Verdict) -> None:
        may = self.there(number) and number != self.live and self.given[number] not in self.barred
        assert self.tell(Qualified(number=number, verdict=verdict, because="figures")) == may
        if not may:
            return
        self.qualified.pop(number, None)
        self.latest = None if self.latest == number else self.latest
        if verdict == "promote":
            self.qualified[number], self.latest = self.live, number
        elif verdict == "reject":
            self.bar(number)

    @rule(number=numbers, anyway=st.booleans())
    def somebody_promotes(self, number: int, anyway: bool) -> None:  # noqa: FBT001 - drawn
        may = number == self.live or (
            number in self.qualified and (anyway or self.qualified[number] == self.live)
        )
        assert self.tell(Promoted(number=number, anyway=anyway)) == may
        if may and number != self.live:
            self.was_live = [one for one in self.was_live if one != number]
            self.was_live += [self.live] if self.live is not None else []
            self.gone_live(number)

    @rule(of=st.none() | numbers)
    def somebody_rolls_back(self, of: int | None) -> None:
        may = bool(self.was_live) and of in {None, self.live}
        assert self.tell(RolledBack(of=of)) == may
        if may:
            self.gone_live(self.was_live.pop())

    @rule(number=numbers)
    def somebody_quarantines(self, number: int) -> None:
        assert self.tell(Quarantined(number=number, because="harm")) == self.there(number)
        if self.there(number):
            self.bar(number)

    @rule(digest=digests)
    def somebody_releases(self, digest: str) -> None:
        assert self.tell(Released(content=digest, because="looked at")) == (digest in self.barred)
        self.barred.discard(digest)

    @rule(number=numbers)
    def somebody_retires(self, number: int) -> None:
        used = number == self.live or number in self.was_live[-1:]
        may = self.there(number) and not used and self.given[number] not in self.barred
        assert self.tell(Retired(number=number)) == may
        if may:
            self.qualified.pop(number, None)
            self.latest = None if self.latest == number else self.latest

    @rule(retention=st.sampled_from(RETENTIONS))
    def old_versions_are_pruned(self, retention: Retention) -> None:
        before = self.state
        assert self.tell(Pruned(retention=retention))
        gone = [version for version in before.versions if version not in self.state.versions]
        for version in gone:
            assert version.number not in needed(before)
            assert self.now_s - version.changed_s > retention.keep_s
            assert version not in before.versions[-retention.keep_newest :] or not (
                retention.keep_newest
            )
            self.qualified.pop(version.number, None)
            self.was_live = [one for one in self.was_live if one != version.number]

    def bar(self, number: int) -> None:
        self.barred.add(self.given[number])
        self.qualified.pop(number, None)
        self.latest = None if self.latest == number else self.latest
        self.was_live = [one for one in self.was_live if one != number]
        if self.live == number:
            self.gone_live(self.was_live.pop() if self.was_live else None)

    # ---- what holds

    @invariant()
    def the_aliases_are_as_written_down(self) -> None:
        assert self.state.champion == self.live
        assert self.state.previous == (self.was_live[-1] if self.was_live else None)
        assert self.state.challenger == self.latest
        assert list(self.state.lived) == self.was_live

    @invariant()
    def the_champion_is_live_and_nothing_else_is(self) -> None:
        live = [version.number for version in self.state.versions if version.state == "live"]
        assert live == ([] if self.live is None else [self.live])

    @invariant()
    def what_is_qualified_has_a_verdict_that_stands(self) -> None:
        qualified = {v.number: v.against for v in self.state.versions if v.state == "qualified"}
        assert qualified == self.qualified

    @invariant()
    def what_is_quarantined_is_barred_and_no_alias(self) -> None:
        assert set(self.state.barred) == self.barred
        for version in self.state.versions:
            assert (version.state == "quarantined") == (version.content in self.barred)
            if version.state == "quarantined":
                state = self.state
                assert version.number not in {state.champion, state.challenger, *state.lived}

    @invariant()
    def what_an_alias_or_its_lineage_refers_to_is_there(self) -> None:
        there = {version.number for version in self.state.versions}
        assert needed(self.state) <= there
        assert set(self.state.lived) <= there


Standing.TestCase.settings = many
TestVersions = Standing.TestCase


# ---- single claims


def told(*events: Event, state: ModelState | None = None, now_s: float = 0.0) -> ModelState:
    state = ModelState() if state is None else state
    for event in events:
        state = step(state, event, now_s)
    return state


def registered(count: int) -> ModelState:
    """Return a model with so many candidates."""
    return told(*(Registered(digest=f"{number:064x}") for number in range(1, count + 1)))


def passed(number: int) -> Qualified:
    return Qualified(number=number, verdict="promote", because="auc 0.72")


def lived(*order: int) -> ModelState:
    """Return a model whose versions went live in this order."""
    events = (event for number in order for event in (passed(number), Promoted(number=number)))
    return told(*events, state=registered(max(order)))


@pytest.mark.parametrize(
    ("state", "event", "code", "says"),
    [
        (registered(1), Promoted(number=1), "not_qualified", "is candidate, not qualified"),
        (
            told(passed(2), passed(3), Promoted(number=2), state=registered(3)),
            Promoted(number=3),
            "outdated",
            "qualified against no champion, and now version 2 is live",
        ),
        (registered(1), RolledBack(), "no_previous", "promote another one"),
        (lived(1), RolledBack(), "no_previous", "promote another one"),
        (lived(1, 2), RolledBack(of=1), "outdated", "is not the champion, that is version 2"),
        (lived(1), Retired(number=1), "in_use", "is live"),
        (lived(1, 2), Retired(number=1), "in_use", "is what a rollback goes to"),
        (lived(1), passed(1), "in_use", "is live, and a verdict does not change that"),
        (
            told(Quarantined(number=1, because="NaN"), state=registered(1)),
            Registered(digest=f"{1:064x}"),
            "quarantined",
            "content 000000000000 is quarantined (NaN): train another",
        ),
        (
            told(Quarantined(number=1, because="NaN"), state=registered(1)),
            passed(1),
            "quarantined",
            "version 1 is quarantined (NaN): release it",
        ),
        (registered(VERSIONS_MAX), Registered(digest="f" * 64), "full", "models prune"),
    ],
)
def test_what_a_version_may_not_become_is_refused_with_the_reason(
    state: ModelState, event: Event, code: str, says: str
) -> None:
    with pytest.raises(ModelRefused) as refused:
        step(state, event, 0.0)
    assert says in str(refused.value)
    assert refused.value.code == code


def test_rollbacks_go_back_one_by_one_and_never_forth() -> None:
    state = lived(1, 2, 3)
    champions = []
    while state.previous:
        state = told(RolledBack(because="slow"), state=state)
        champions.append(state.champion)
    assert champions == [2, 1]
    assert version_of(state, 3).because == "rolled back: slow"
    assert told(passed(3), Promoted(number=3), state=state).champion == 3


def test_a_rollback_needs_nothing_of_the_current_version() -> None:
    state = told(Quarantined(number=3, because="it crashes"), state=lived(1, 2, 3))
    assert (state.champion, state.previous) == (2, 1)
    assert version_of(state, 2).because == "version 3 was quarantined"
    none = told(Quarantined(number=1, because="it crashes"), state=lived(1))
    assert none.champion is None


def test_a_rollback_steps_over_what_was_quarantined_since() -> None:
    state = told(Quarantined(number=2, because="harm"), RolledBack(), state=lived(1, 2, 3))
    assert state.champion == 1


def test_a_quarantined_digest_stays_barred_when_its_version_is_pruned() -> None:
    state = told(Quarantined(number=1, because="harm"), state=registered(1))
    state = told(Pruned(retention=Retention(keep_s=0, keep_newest=0)), state=state, now_s=1.0)
    assert not state.versions
    with pytest.raises(ModelRefused, match="is quarantined"):
        told(Registered(digest=f"{1:064x}"), state=state)
    again = told(Released(content=f"{1:064x}", because="looked at"), state=state)
    assert told(Registered(digest=f"{1:064x}"), state=again).versions[0].number == 2


def test_the_same_content_of_another_run_is_the_same_version_and_barred_with_it() -> None:
    first = Registered(digest="a" * 64, content="c" * 64, run="run-1")
    again = Registered(digest="b" * 64, content="c" * 64, run="run-2")
    state = told(first, again)
    assert [version.run for version in state.versions] == ["run-1"]
    with pytest.raises(ModelRefused, match="content cccccccccccc is quarantined"):
        told(Quarantined(number=1, because="harm"), again, state=state)


def test_a_rejected_version_is_barred_and_a_held_one_is_not() -> None:
    held = Qualified(number=1, verdict="hold", because="too few rows")
    state = told(passed(1), held, state=registered(1))
    assert (state.versions[0].state, state.challenger) == ("candidate", None)
    state = told(Qualified(number=1, verdict="reject", because="auc 0.5"), state=state)
    assert state.barred == {f"{1:064x}": "rejected: auc 0.5"}


def test_a_verdict_says_who_gave_it_and_goes_when_the_content_is_released() -> None:
    verdict = Qualified(number=1, verdict="reject", because="auc 0.5", run="evaluate-3")
    state = told(verdict, state=registered(1))
    assert (state.versions[0].verdict, state.versions[0].judged) == ("reject", "evaluate-3")
    state = told(Released(content=f"{1:064x}", because="wrong labels"), state=state)
    assert (state.versions[0].verdict, state.versions[0].judged) == ("", "")


def test_a_verdict_against_a_champion_of_before_does_not_promote_over_the_one_of_now() -> None:
    compared = Qualified(number=3, verdict="promote", because="auc +0.02", against=1)
    state = told(compared, state=lived(3, 1, 2))
    assert version_of(state, 3).against == 1
    with pytest.raises(ModelRefused, match="qualified against version 1, and now version 2"):
        told(Promoted(number=3), state=state)
    first = Qualified(number=2, verdict="promote", because="auc 0.7", against=None)
    with pytest.raises(ModelRefused, match="qualified against no champion, and now version 1"):
        told(
            first,
            Promoted(number=2),
            state=told(passed(1), Promoted(number=1), state=registered(2)),
        )


def test_pruning_keeps_the_newest_the_young_and_what_aliases_are_made_of() -> None:
    state = lived(2, 3)
    state = told(
        *(Registered(digest=f"{n:064x}", lineage=(f"{n - 1:064x}",)) for n in range(4, 21)),
        passed(6),
        state=state,
    )
    retention = Retention(keep_newest=5)
    assert due(state, retention, 90 * DAY_S) == ()
    gone = {version.number for version in due(state, retention, 90 * DAY_S + 1)}
    assert gone == {1, *range(7, 16)}, "6 is made of 5, 4 and 3"
    assert due(state, retention, -1e9) == (), "a clock that was set back prunes nothing"


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: Retention(keep_s=-1),
        lambda: Retention(keep_s=float("nan")),
        lambda: Retention(keep_newest=-1),
        lambda: told(Registered(digest="a" * 64, metrics={"auc": float("nan")})),
        lambda: told(Registered(digest="a" * 64, metrics={"auc": float("inf")})),
        lambda: told(Registered(digest="a" * 64, metrics={"auc": True})),
        lambda: told(Registered(digest="a" * 64, metrics={"": 1.0})),
        lambda: told(
            Registered(digest="a" * 64, metrics={str(n): 0.0 for n in range(METRICS_MAX + 1)})
        ),
        lambda: told(Registered(digest="a" * 64, lineage=("b" * 64,) * (LINEAGE_MAX + 1))),
        lambda: told(
            Qualified(number=1, verdict="hold", because="", metrics={"auc": float("nan")}),
            state=registered(1),
        ),
    ],
)
def test_figures_that_are_none_are_refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(DeclarationError):
        attempt()


def test_what_grows_is_bounded() -> None:
    state = registered(LIVED_MAX + 5)
    for number in range(1, LIVED_MAX + 6):
        state = told(passed(number), Promoted(number=number), state=state)
    assert len(state.lived) == LIVED_MAX
    full = ModelState(barred=dict.fromkeys(map(str, range(BARRED_MAX)), ""))
    full = told(Registered(digest="a" * 64), state=full)
    with pytest.raises(ModelRefused, match="release those that no longer exist"):
        told(Quarantined(number=1, because="harm"), state=full)


def test_a_version_is_named_by_its_number_or_an_alias() -> None:
    state = told(passed(3), state=told(Registered(digest="f" * 64), state=lived(1, 2)))
    named = {name: resolve(state, name).number for name in ("1", "champion", "previous")}
    assert named == {"1": 1, "champion": 2, "previous": 1}
    assert resolve(state, "challenger").number == 3
    for wanted, says in (
        ("4", "version 4 is not there: there are 1, 2, 3"),
        ("latest", "write a number, or one of champion, challenger, previous"),
        ("²", "is no version"),
        ("9" * 5000, "is not there"),
    ):
        with pytest.raises(NotKnown, match=says):
            resolve(state, wanted)
    with pytest.raises(NotKnown, match="there is no champion"):
        resolve(registered(1), "champion")
    with pytest.raises(NotKnown, match="there is none"):
        resolve(ModelState(), "1")
