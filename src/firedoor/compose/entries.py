"""What is written down of a change to a model."""

from __future__ import annotations

from firedoor.registry.change import Event, Pruned, Registered, Released, RolledBack
from firedoor.registry.model import ModelState
from firedoor.wire.models import Entry, Kept, Standing


def entry_of(
    model: str,
    found: Kept,
    event: Event,
    state: ModelState,
    *,
    what: str,
    by: str,
    because: str,
    at_s: float,
) -> Entry:
    """Return the entry of a change from what was found to a state."""
    number = _about(event, found.state, state)
    left = {version.number for version in state.versions}
    return Entry(
        model=model,
        generation=found.generation + 1,
        what=what,
        at_s=at_s,
        by=by,
        because=because,
        number=number,
        pruned=tuple(one.number for one in found.state.versions if one.number not in left),
        before=_standing(found.state, number),
        after=_standing(state, number),
    )


def _about(event: Event, before: ModelState, after: ModelState) -> int | None:
    """Return the version that an event is about."""
    match event:
        case Registered():
            return after.versions[-1].number
        case RolledBack():
            return before.champion
        case Released(content=content):
            numbers = [one.number for one in after.versions if one.content == content]
            return numbers[0] if numbers else None
        case Pruned():
            return None
        case _:
            return event.number


def _standing(state: ModelState, number: int | None) -> Standing:
    """Return how a model stands."""
    states = [version.state for version in state.versions if version.number == number]
    return Standing(
        champion=state.champion,
        challenger=state.challenger,
        previous=state.previous,
        state=states[0] if states else "",
    )
