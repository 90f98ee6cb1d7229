"""The conformance suite of ``ports.registry``: what every adapter has to keep.

For pytest::

    from firedoor.testing.registry_conformance import CASES, Case

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_it_conforms(case: Case) -> None:
        case.run(MyPlace())

Each case wants a place of its own, empty.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from firedoor.errors import ChangedMeanwhile, DeclarationError, FiredoorError, ModelsUnavailable
from firedoor.ports.registry import Registry
from firedoor.registry.change import Registered, step
from firedoor.wire.models import Entry, Kept

WRITERS = 4
CHANGES = 10
"""Of each writer."""


class Place(Protocol):
    """Where a registry is."""

    def open(self) -> Registry:
        """Return a client of the registry; all are of the same one."""
        ...

    def stop(self) -> None:
        """Have it out of reach."""
        ...

    def start(self) -> None:
        """Have it back, as it was."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """One promise."""

    name: str
    run: Callable[[Place], None]
    """Fails with an AssertionError that says how it is broken."""

    def __str__(self) -> str:
        """Return the name, for pytest's list of tests."""
        return self.name


def a_model_that_nobody_changed_is_empty(place: Place) -> None:
    """Generation 0, no version, no history; and reading it makes nothing."""
    registry = place.open()
    assert registry.read("flights") == Kept()
    assert registry.history("flights", 10) == []
    assert registry.models() == []


def what_is_kept_is_read_by_every_client(place: Place) -> None:
    """State, generation and entry."""
    kept = _after(Kept(), "flights", because='with "quotes", ümlauts and a ☂')
    place.open().swap("flights", kept)
    assert place.open().read("flights") == kept
    assert place.open().models() == ["flights"]


def models_do_not_touch_each_other(place: Place) -> None:
    """One is changed, the other is as it was."""
    registry = place.open()
    first = _after(Kept(), "flights")
    registry.swap("flights", first)
    registry.swap("delays", _after(Kept(), "delays"))
    registry.swap("delays", _after(registry.read("delays"), "delays"))
    assert registry.read("flights") == first
    assert registry.models() == ["delays", "flights"]
    assert [entry.model for entry in registry.history("delays", 9)] == ["delays", "delays"]


def of_two_changes_of_one_generation_the_second_is_refused(place: Place) -> None:
    """And told what came before; nothing of it is kept."""
    registry, other = place.open(), place.open()
    first = _after(registry.read("flights"), "flights", by="ann")
    second = _after(other.read("flights"), "flights", by="bob")
    registry.swap("flights", first)
    error = _raised(ChangedMeanwhile, lambda: other.swap("flights", second))
    assert "ann registered" in str(error)
    assert registry.read("flights") == first
    assert registry.history("flights", 9) == [first.latest]


def no_generation_is_left_out_or_made_twice(place: Place) -> None:
    """The next one is the only one that is taken."""
    registry = place.open()
    first = _after(Kept(), "flights")
    second = _after(first, "flights")
    _raised(ChangedMeanwhile, lambda: registry.swap("flights", second))
    assert registry.read("flights") == Kept()
    registry.swap("flights", first)
    _raised(ChangedMeanwhile, lambda: registry.swap("flights", first))
    registry.swap("flights", second)
    assert registry.read("flights") == second


def the_history_is_every_change_in_order(place: Place) -> None:
    """And its end, where only that is asked for."""
    registry = place.open()
    entries = []
    for _ in range(5):
        kept = _after(registry.read("flights"), "flights")
        registry.swap("flights", kept)
        entries.append(kept.latest)
    assert place.open().history("flights", 100) == entries
    assert place.open().history("flights", 2) == entries[-2:]


def changes_of_many_at_once_are_each_made_once(place: Place) -> None:
    """Who loses is told, and may try again; meanwhile readers see whole generations."""
    errors: list[FiredoorError | AssertionError] = []

    def write(name: str) -> None:
        registry = place.open()
        for number in range(CHANGES):
            try:
                _insist(registry, f"{name} {number}")
            except (FiredoorError, AssertionError) as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    registry, seen = place.open(), 0
    while any(thread.is_alive() for thread in threads):
        kept = registry.read("flights")
        assert kept.generation >= seen, "a reader goes back in time"
        assert len(kept.state.versions) == kept.generation
        seen = kept.generation
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert registry.read("flights").generation == WRITERS * CHANGES
    history = registry.history("flights", 10_000)
    assert [entry.generation for entry in history] == list(range(1, WRITERS * CHANGES + 1))
    assert {e.because for e in history} == {
        f"w{n} {number}" for n in range(WRITERS) for number in range(CHANGES)
    }


def what_cannot_name_a_model_is_refused(place: Place) -> None:
    """Nothing is read or written under such a name."""
    registry = place.open()
    for name in ("", "..", "a/b", "Flights", "a" * 61, "a\n"):
        for attempt in (
            lambda name=name: registry.read(name),
            lambda name=name: registry.swap(name, _after(Kept(), "flights")),
            lambda name=name: registry.history(name, 1),
        ):
            _raised(DeclarationError, attempt)
    assert registry.models() == []


def a_registry_out_of_reach_is_told_and_comes_back_as_it_was(place: Place) -> None:
    """Never does it look empty."""
    registry = place.open()
    kept = _after(Kept(), "flights")
    registry.swap("flights", kept)
    place.stop()
    for attempt in (
        registry.models,
        lambda: registry.read("flights"),
        lambda: registry.swap("flights", _after(kept, "flights")),
        lambda: registry.history("flights", 1),
    ):
        _raised(ModelsUnavailable, attempt)
    place.start()
    assert registry.read("flights") == kept
    assert registry.history("flights", 9) == [kept.latest]


CASES: tuple[Case, ...] = tuple(
    Case(case.__name__, case)
    for case in (
        a_model_that_nobody_changed_is_empty,
        what_is_kept_is_read_by_every_client,
        models_do_not_touch_each_other,
        of_two_changes_of_one_generation_the_second_is_refused,
        no_generation_is_left_out_or_made_twice,
        the_history_is_every_change_in_order,
        changes_of_many_at_once_are_each_made_once,
        what_cannot_name_a_model_is_refused,
        a_registry_out_of_reach_is_told_and_comes_back_as_it_was,
    )
)
"""All of it, each to be run on a place of its own."""


def _after(kept: Kept, model: str, *, by: str = "ann", because: str = "") -> Kept:
    """Return the next generation: one more version."""
    generation = kept.generation + 1
    state = step(kept.state, Registered(digest=f"{generation:064x}"), float(generation))
    entry = Entry(
        model=model, generation=generation, what="registered", at_s=float(generation), by=by,
        because=because, number=state.versions[-1].number,
    )  # fmt: skip
    return Kept(generation=generation, state=state, latest=entry)


def _insist(registry: Registry, because: str) -> None:
    """Change a model, again where somebody was faster."""
    for _ in range(1000):
        kept = _after(registry.read("flights"), "flights", because=because)
        try:
            registry.swap("flights", kept)
        except ChangedMeanwhile:
            continue
        return
    message = f"{because}: others were faster a thousand times"
    raise AssertionError(message)


def _raised(kind: type[FiredoorError], attempt: Callable[[], object]) -> FiredoorError:
    """Return what an attempt raises."""
    try:
        attempt()
    except kind as error:
        return error
    message = f"{kind.__name__} was expected"
    raise AssertionError(message)
