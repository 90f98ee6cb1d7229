"""The provider under the SDK's own client: each type, each reason, each status, each event."""

from __future__ import annotations

import asyncio
import inspect
import queue
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.provider import AbstractProvider, ProviderStatus

from firedoor.adapters.openfeature.provider import STALE_S, TableProvider, changed_names
from firedoor.wire.flags import Flag, Flags

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient

DOMAIN = "firedoor-test"
WAIT_S = 10.0
TABLE = Flags(
    generation=3,
    flags={
        "on": Flag(value=True, by="ann", because="try it", at_s=5.0),
        "colour": Flag(value="blue"),
        "count": Flag(value=7),
        "rate": Flag(value=0.25),
        "whole": Flag(value=2),
        "tenth": Flag(value=True, share=0.1),
        "kill.predict.route": Flag(value=True, by="ann", because="it lies"),
    },
)


class Hand:
    """A feed that hands over what a test says."""

    def __init__(self, first: Flags | None) -> None:
        self.first = first
        self.take: Callable[[Flags | None, float], None] | None = None
        self.stopped = False

    def start(self, take: Callable[[Flags | None, float], None]) -> None:
        self.take = take
        take(self.first, 0.0)

    def stop(self) -> None:
        self.stopped = True

    def give(self, flags: Flags | None, silent_s: float = 0.0) -> None:
        assert self.take is not None
        self.take(flags, silent_s)


class World:
    """A provider that is set, and a client."""

    def __init__(self, first: Flags | None) -> None:
        self.feed = Hand(first)
        self.provider = TableProvider(self.feed, ready_s=0.01)
        self.client: OpenFeatureClient = api.get_client(DOMAIN)
        self.events: queue.Queue[tuple[ProviderEvent, EventDetails]] = queue.Queue()
        self._handlers = {event: self._handler(event) for event in ProviderEvent}
        try:
            api.set_provider_and_wait(self.provider, DOMAIN)
        except Exception as error:  # noqa: BLE001 - what it is belongs to a test
            self.error: Exception | None = error
        else:
            self.error = None
        # One that is added is called at once with the status that there is.
        for event, handler in self._handlers.items():
            self.client.add_handler(event, handler)

    def _handler(self, event: ProviderEvent) -> Callable[[EventDetails], None]:
        return lambda details: self.events.put((event, details))

    def event(self, wanted: ProviderEvent) -> EventDetails:
        """Return the next event, which has to be this one."""
        event, details = self.events.get(timeout=WAIT_S)
        assert event is wanted
        return details

    def close(self) -> None:
        for event, handler in self._handlers.items():
            self.client.remove_handler(event, handler)
        api.clear_providers()


@pytest.fixture
def world() -> Iterator[World]:
    made = World(TABLE)
    made.event(ProviderEvent.PROVIDER_READY)
    yield made
    made.close()


def subject(key: str) -> EvaluationContext:
    return EvaluationContext(targeting_key=key)


# ---- the trap: the client calls by keyword, and takes a TypeError for an error of the flag


@pytest.mark.parametrize("kind", ["boolean", "string", "integer", "float", "object"])
@pytest.mark.parametrize("suffix", ["", "_async"])
def test_resolvers_have_the_parameters_that_the_client_names(kind: str, suffix: str) -> None:
    name = f"resolve_{kind}_details{suffix}"
    ours = inspect.signature(getattr(TableProvider, name))
    theirs = inspect.signature(getattr(AbstractProvider, name))
    assert list(ours.parameters) == list(theirs.parameters)
    assert list(ours.parameters)[1:] == ["flag_key", "default_value", "evaluation_context"]


@pytest.mark.parametrize(
    ("kind", "name", "default", "value"),
    [
        ("boolean", "on", False, True),
        ("string", "colour", "red", "blue"),
        ("integer", "count", 1, 7),
        ("float", "rate", 0.5, 0.25),
        ("float", "whole", 0.5, 2.0),
        ("float", "rate", 1, 0.25),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_the_client_gets_the_value_of_each_type(
    world: World, kind: str, name: str, default: object, value: object, *, waits: bool
) -> None:
    details = ask(world, kind, name, default, waits=waits)
    assert details.error_code is None, details.error_message
    assert (details.value, details.reason) == (value, "STATIC")
    assert type(details.value) is type(value)
    assert details.flag_metadata["generation"] == 3


def ask(
    world: World, kind: str, name: str, default: object, *, waits: bool
) -> FlagEvaluationDetails[object]:
    """Ask by the client, in either way."""
    if not waits:
        details = getattr(world.client, f"get_{kind}_details")(name, default)
    else:
        details = asyncio.run(getattr(world.client, f"get_{kind}_details_async")(name, default))
    assert isinstance(details, FlagEvaluationDetails)
    return details


@pytest.mark.parametrize("waits", [False, True])
def test_an_object_is_the_codes_default(world: World, *, waits: bool) -> None:
    default = {"a": [1, 2]}
    details = ask(world, "object", "nothing", default, waits=waits)
    assert (details.value, details.reason, details.error_code) == (default, "DEFAULT", None)
    assert ask(world, "object", "on", default, waits=waits).error_code is ErrorCode.TYPE_MISMATCH


# ---- reasons


def test_a_flag_that_is_not_there_is_the_default_and_no_error(world: World) -> None:
    details = world.client.get_string_details("nothing", "safe")
    assert (details.value, details.reason, details.error_code) == ("safe", "DEFAULT", None)


def test_a_kill_switch_says_that_it_is_one_and_who_threw_it(world: World) -> None:
    details = world.client.get_boolean_details("kill.predict.route", default_value=False)
    assert (details.value, details.reason) == (True, "KILLED")
    assert details.flag_metadata["by"] == "ann"
    assert details.flag_metadata["because"] == "it lies"


def test_a_share_of_the_subjects_gets_the_value(world: World) -> None:
    asked = [
        world.client.get_boolean_details(
            "tenth", default_value=False, evaluation_context=subject(f"N{number}")
        )
        for number in range(2_000)
    ]
    assert {details.reason for details in asked} == {"SPLIT"}
    assert 160 < sum(details.value for details in asked) < 240
    assert {details.variant for details in asked if details.value} == {"value"}
    assert {details.variant for details in asked if not details.value} == {"default"}


def test_a_share_without_a_subject_is_said_to_need_one(world: World) -> None:
    details = world.client.get_boolean_details("tenth", default_value=False)
    assert details.value is False
    assert details.error_code is ErrorCode.TARGETING_KEY_MISSING


def test_a_value_of_another_type_is_not_taken_and_said(world: World) -> None:
    details = world.client.get_integer_details("colour", 1)
    assert (details.value, details.error_code) == (1, ErrorCode.TYPE_MISMATCH)
    assert "'blue'" in (details.error_message or "")
    assert world.client.get_integer_details("on", 1).error_code is ErrorCode.TYPE_MISMATCH


# ---- statuses and events


def test_a_change_is_told_with_the_flags_that_changed(world: World) -> None:
    flags = dict(TABLE.flags) | {"colour": Flag(value="green"), "new": Flag(value=True)}
    del flags["rate"]
    world.feed.give(Flags(generation=4, flags=flags))
    details = world.event(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    assert details.flags_changed == ["colour", "new", "rate"]
    assert world.client.get_string_value("colour", "red") == "green"
    world.feed.give(Flags(generation=5, flags=flags))
    world.feed.give(TABLE)
    details = world.event(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    assert details.flags_changed == ["colour", "new", "rate"], "the same again told nothing"


def test_values_are_stale_when_nobody_has_said_them_for_long_and_hold(world: World) -> None:
    world.feed.give(TABLE, silent_s=STALE_S - 1)
    assert world.client.get_provider_status() is ProviderStatus.READY
    world.feed.give(TABLE, silent_s=STALE_S)
    assert "30 s" in (world.event(ProviderEvent.PROVIDER_STALE).message or "")
    assert world.client.get_provider_status() is ProviderStatus.STALE
    details = world.client.get_string_details("colour", "red")
    assert (details.value, details.reason) == ("blue", "STALE")
    killed = world.client.get_boolean_details("kill.predict.route", default_value=False)
    assert (killed.value, killed.reason) == (True, "KILLED")
    world.feed.give(TABLE)
    world.event(ProviderEvent.PROVIDER_READY)
    assert world.client.get_provider_status() is ProviderStatus.READY
    assert world.client.get_string_details("colour", "red").reason == "STATIC"


def test_without_any_table_it_is_in_error_and_gets_ready_when_one_comes() -> None:
    world = World(None)
    try:
        assert "defaults hold" in str(getattr(world.error, "error_message", ""))
        world.event(ProviderEvent.PROVIDER_ERROR)
        assert world.client.get_provider_status() is ProviderStatus.ERROR
        assert world.client.get_boolean_value("on", default_value=False) is False
        world.feed.give(None)
        assert world.client.get_provider_status() is ProviderStatus.ERROR
        world.feed.give(TABLE)
        world.event(ProviderEvent.PROVIDER_READY)
        assert world.client.get_boolean_value("on", default_value=False) is True
    finally:
        world.close()


def test_what_feeds_it_is_ended_with_it(world: World) -> None:
    world.provider.shutdown()
    assert world.feed.stopped


def test_names_of_what_changed_are_sorted() -> None:
    assert changed_names(None, TABLE) == sorted(TABLE.flags)
    assert changed_names(TABLE, TABLE) == []
