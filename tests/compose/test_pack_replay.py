"""Evidence packs: ordered by the control process, replayed by one gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.pack_replay import REPLAY_S, BrokerReplayer, PackReplays
from firedoor.errors import StreamsUnavailable
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.pack import Pack, Replayable, Replayed
from firedoor.wire.route import Arm

CLOCK = VirtualClock()
CANDIDATE = Arm(model="late", version=3, digest="c" * 64)


class Service:
    """Holds one version, and says what it was asked to replay."""

    def __init__(self, digest: str = CANDIDATE.digest, *, broken: int = 0) -> None:
        self.asked: list[Pack] = []
        self.hangs = False
        self._digest, self._broken = digest, broken

    def holds(self, digest: str) -> bool:
        return digest == self._digest

    async def replay(self, pack: Pack, digest: str) -> Replayed:
        assert digest == self._digest
        self.asked.append(pack)
        if self.hangs:
            await asyncio.Event().wait()
        failing = [one.signature for one in pack.requests if one.kind == "failing"]
        return Replayed(
            failing={name: (failing.count(name), 0) for name in failing},
            good=len(pack.requests) - len(failing),
            broken=self._broken,
        )


def pack_of(gateway: str, *signatures: str, good: int = 0) -> Pack:
    requests = [
        Replayable(
            kind="failing",
            form=1,
            body=f"{gateway}{n}".encode(),
            signature=signature,
            outcome=13 if signature == "SIGSEGV" else 10,
        )
        for n, signature in enumerate(signatures)
    ]
    requests += [Replayable(kind="good", form=1, body=b"good") for _ in range(good)]
    return Pack(service="predict", gateway=gateway, rollout="predict-1", requests=tuple(requests))


PACKS = (pack_of("a", "SIGSEGV", "ValueError m.py:3", good=2), pack_of("b", "SIGSEGV", good=3))


class World:
    """A broker, gateways by name, and what they kept."""

    def __init__(self, packs: Sequence[Pack] = PACKS, **services: Service) -> None:
        self.store, self.services, self._packs = MemoryStore(), services, packs
        self.running: dict[str, asyncio.Task[None]] = {}

    def outcome(self, *, kill: str = "") -> ReplayOutcome:
        """Return what the control process is told; a gateway is killed once it is asked."""

        async def main() -> ReplayOutcome:
            async with asyncio.TaskGroup() as group:
                for name in self.services:
                    self.running[name] = group.create_task(self._gateway(name))
                if kill:
                    group.create_task(self._kill(kill))
                replayer = BrokerReplayer(MemoryStreams(self.store, CLOCK), "predict", clock=CLOCK)
                found = await replayer.replay("predict-1", CANDIDATE)
                for task in self.running.values():
                    task.cancel()
            return found

        return run(main())

    async def _gateway(self, name: str) -> None:
        async def packs_of(rollout: str) -> Sequence[Pack]:
            assert rollout == "predict-1"
            return self._packs

        replays = PackReplays(
            services={"predict": self.services[name]}, packs_of=packs_of, gateway=name, clock=CLOCK
        )
        while True:
            with suppress(StreamsUnavailable):
                await replays.run(MemoryStreams(self.store, CLOCK))
            await CLOCK.wait(1.0)

    async def _kill(self, name: str) -> None:
        while not self.services[name].asked:
            await CLOCK.wait(0.1)
        self.running.pop(name).cancel()


def test_one_gateway_of_several_replays_the_packs_of_all() -> None:
    world = World(a=Service(), b=Service(), c=Service())
    found = world.outcome()
    failing = {"SIGSEGV": (2, 0), "ValueError m.py:3": (1, 0)}
    assert found == ReplayOutcome(failing=failing, good=5, kinds=("died", "raised"))
    asked = [len(service.asked) for service in world.services.values()]
    assert sorted(asked) == [0, 0, len(PACKS)]


def test_the_control_process_is_told_in_which_ways_the_last_version_failed() -> None:
    requests = (
        Replayable(kind="failing", form=1, body=b"a", outcome=10, signature="KeyError"),
        Replayable(kind="failing", form=1, body=b"b", outcome=13, signature="memory in a:b"),
        Replayable(kind="good", form=1, body=b"c"),
    )
    pack = Pack(service="predict", gateway="a", rollout="predict-1", requests=requests)
    assert World([pack], a=Service()).outcome().kinds == ("memory", "raised")


def test_what_breaks_is_told_with_what_is_mended() -> None:
    found = World(a=Service(broken=1)).outcome()
    assert (found.fixed, found.good, found.broken) == (3, 5, len(PACKS))


def test_a_gateway_that_dies_at_it_is_followed_by_another() -> None:
    first, second = Service(), Service()
    first.hangs = True
    world = World(a=first, b=second)
    assert world.outcome(kill="a").good == 5
    assert len(second.asked) == len(PACKS)


def test_a_gateway_that_does_not_hold_the_version_leaves_it_to_one_that_does() -> None:
    other, mine = Service("d" * 64), Service()
    assert World(a=other, b=mine).outcome().good == 5
    assert not other.asked


def test_where_nobody_holds_the_version_that_is_said_after_a_while() -> None:
    found = World(a=Service("d" * 64)).outcome()
    assert found.missing == f"no gateway has done it within {REPLAY_S:g} s"


def test_no_request_that_was_kept_is_no_pass() -> None:
    assert World((), a=Service()).outcome().missing == "no request of predict-1 was kept"
