"""Simulated worlds: a whole pipeline in virtual time, in which everything goes wrong that can.

A world is drawn from a seed (``drawing``), run with real runners over streams in memory, and held
to what has to be true whatever happened (``expecting``)::

    assert play(seed).complaints == []

Runners are killed at any ``await`` (``process``) and started again, as a supervisor would; the
broker goes away, restarts and loses answers; inboxes fill up; a person resumes what has halted.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from firedoor.adapters.memory.store import Call, MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.injection import Injection
from firedoor.data.runner import Runner
from firedoor.ports.streams import Streams
from firedoor.testing.drawing import FAULTS_S, Drawn, Happening, draw
from firedoor.testing.drilling import DrilledLinks
from firedoor.testing.expecting import complaints
from firedoor.testing.loop import Deadlock, VirtualClock, run
from firedoor.testing.process import Process
from firedoor.testing.source import SimulatedSource
from firedoor.testing.stage import Effects, SimulatedStage, shed_half
from firedoor.wire.records import Order

END_S = 3_000.0
"""Virtual seconds after which a world has to have ended."""
LOOK_S = 1.0
CORRECTS_S = 3.0
"""After which a person takes care of a zone that has halted, or of dead letters that are full."""
BACKOFF_S = 0.5


@dataclass(frozen=True, slots=True)
class Ending:
    """How a world ended."""

    seed: int
    complaints: list[str]
    lasted_s: float
    trace: str
    """Fingerprint of everything that processes did, with times: equal for equal seeds."""
    lives: int
    """Processes that lived, all told."""


def play(
    seed: int,
    *,
    faults: bool = True,
    degrading: bool = False,
    scoring: bool = False,
    drilled: bool = False,
) -> Ending:
    """Run the world of a seed to its end, and judge it. See ``drawing.draw``.

    ``drilled``: a drill injects faults into the links of its processes besides.
    """
    world = World(draw(seed, faults=faults, degrading=degrading, scoring=scoring), drilled=drilled)
    try:
        lasted_s = run(world.live(), seed=seed)
    except (Deadlock, Unended) as error:
        return world.ending([str(error)], END_S)
    except ExceptionGroup as errors:
        return world.ending([f"a process raised {_flatten(errors)}"], 0.0)
    return world.ending(complaints(world.drawn, world.store, world.effects), lasted_s)


class Unended(Exception):
    """A world did not come to its end in time."""


class World:
    """The broker, the processes, whoever supervises them, and a person."""

    def __init__(self, drawn: Drawn, *, drilled: bool = False) -> None:
        """Lay out what was drawn."""
        chance = random.Random(f"course {drawn.seed}")  # noqa: S311 - not a secret
        self.drawn = drawn
        self.store = MemoryStore(ack_wait_s=drawn.ack_wait_s, shuffle=chance)
        self.effects = Effects()
        self._chance = chance
        self._clock = VirtualClock()
        self._kills = drawn.kills
        self._lives = 0
        self._processes: dict[str, Process] = {}
        self._runners: dict[str, Runner] = {}
        self._ended: set[str] = set()
        self._halted_since_s: dict[str, float] = {}
        self._sent: list[tuple[str, str, str, bytes]] = []
        self._trace = hashlib.sha256()
        self.links = DrilledLinks(drawn.plan, drawn.seed) if drilled else None

    async def live(self) -> float:
        """Run to the end; return how long it took.

        Raises:
            Unended: if it does not end.
        """
        self.store.declare(self.drawn.plan)
        async with asyncio.TaskGroup() as group:
            aside = [
                group.create_task(self._supervise(zone.name, replica))
                for zone in self.drawn.plan.zones
                for replica in range(self.drawn.conditions[zone.name].replicas)
            ]
            aside += [group.create_task(self._happen(some)) for some in self.drawn.happenings]
            aside.append(group.create_task(self._care()))
            if self.links is not None:
                aside.append(group.create_task(self.links.drill(self._clock)))
            await self._until_quiet()
            for task in aside:
                task.cancel()
        return self._clock.now_s()

    def ending(self, found: list[str], lasted_s: float) -> Ending:
        """Return how it ended."""
        return Ending(self.drawn.seed, found, lasted_s, self._trace.hexdigest(), self._lives)

    # ---- ending

    async def _until_quiet(self) -> None:
        """Wait until all sources have ended, all inboxes are empty, and no fault is due."""
        due_s = FAULTS_S if self.drawn.happenings else 0.0
        while not (self._clock.now_s() >= due_s and self._is_quiet()):
            if self._clock.now_s() > END_S:
                raise Unended(self._explain())
            await self._clock.wait(LOOK_S)

    def _is_quiet(self) -> bool:
        """Return whether nothing is left to be done."""
        ended = all(f"source.{name}" in self.store.values for name in self.drawn.batches)
        return ended and not any(box.messages for box in self.store.boxes.values())

    def _explain(self) -> str:
        """Return why a world does not end."""
        lines = [f"no end after {END_S:g} virtual seconds"]
        lines += [
            f"{name} holds {[(m.id, m.deliveries, m.held) for m in box.messages.values()]}"
            for name, box in self.store.boxes.items()
            if box.messages
        ]
        for name, runner in self._runners.items():
            status = runner.status()
            lines.append(f"{name} is {status.state} {status.code}: {status.cause}")
        return "; ".join(lines)

    # ---- supervising

    async def _supervise(self, zone: str, replica: int) -> None:
        """Start a process whenever it has ended; a source only until it is done."""
        while f"source.{zone}" not in self.store.values:
            await self._live_once(zone, f"{zone}-{replica}")
            await self._clock.wait(BACKOFF_S * self._chance.random())

    async def _live_once(self, zone: str, name: str) -> None:
        """Run one process to its end, whichever it is."""
        self._lives += 1
        process = Process(name, self._chance, self._note, calls=self._draw_life())
        streams = MemoryStreams(self.store, process, link=process)
        self._processes[name] = process
        if zone in self.drawn.batches:
            main = SimulatedSource(zone, self.drawn, streams, process).run()
        else:
            link, injection = self._link(name, zone, streams)
            self._runners[name] = runner = Runner(
                self.drawn.plan.zone(zone),
                self.drawn.plan,
                link,
                SimulatedStage(zone, self.drawn, process, self.effects),
                process,
                replica=f"{name}-{self._lives}",
                chance=self._chance,
                concurrency=1 + self._lives % 3,
                shed=shed_half,
                faults=injection,
            )
            main = runner.run()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(main)
            process.runs(task)
        self._runners.pop(name, None)
        if self.links is not None:
            self.links.forget(name)
        if not process.dead:
            self._note(name, "left")

    def _link(
        self, name: str, zone: str, streams: MemoryStreams
    ) -> tuple[Streams, Injection | None]:
        """Return the broker as a process has it, and what a drill injects there."""
        if self.links is None:
            return streams, None
        return self.links.lay(name, zone, streams, self._clock)

    def _draw_life(self) -> int | None:
        """Return after how many calls a process dies; None: it is not to."""
        if self._kills <= 0:
            return None
        self._kills -= 1
        return 1 + int(self._chance.expovariate(1 / self.drawn.life_calls))

    def _note(self, name: str, what: str) -> None:
        """Add to the trace."""
        self._trace.update(f"{self._clock.now_s():.9f} {name} {what}\n".encode())

    # ---- what goes wrong

    async def _happen(self, some: Happening) -> None:
        """Let one thing go wrong at its time."""
        await self._clock.wait(some.at_s)
        self._note("world", some.fault)
        names = sorted(self._processes)
        process = self._processes[names[some.draw % len(names)]]
        runners = sorted(self._runners)
        match some.fault:
            case "kill":
                process.kill()
            case "stall":
                process.stall(some.lasts_s)
            case "restart":
                self.store.restart()
            case "lose":
                calls: tuple[Call, ...] = (
                    "publish", "ack", "record", "bury", "fetch", "note_attempts", "give_back",
                )  # fmt: skip
                for number in range(1 + some.draw % 4):
                    call = calls[(some.draw + number) % len(calls)]
                    self.store.lose(call, done=some.draw % 2 == 0)
            case "down":
                self.store.down()
                await self._clock.wait(some.lasts_s)
                self.store.up()
            case "drain" if runners:
                self._runners[runners[some.draw % len(runners)]].drain()
            case "pause":
                await self._pause(some)
            case "duplicate":
                await self._duplicate(some)
            case _:
                pass

    async def _pause(self, some: Happening) -> None:
        """Have a person pause a zone, and resume it."""
        names = [zone.name for zone in self.drawn.plan.zones]
        zone = names[some.draw % len(names)]
        self._order(zone, "pause")
        await self._clock.wait(some.lasts_s)
        self._order(zone, "run")

    async def _duplicate(self, some: Happening) -> None:
        """Publish what waits somewhere again, when its id is forgotten."""
        waiting = [
            (box, message) for box in self.store.boxes.values() for message in box.messages.values()
        ]
        if not waiting:
            return
        box, message = waiting[some.draw % len(waiting)]
        await self._clock.wait(some.lasts_s)
        self.store.restart()
        # The publisher's inbox may be full just now; then there is no duplicate.
        if len(message.payload) + len(message.header) < box.bytes_max - box.depth().bytes - 100:
            box.put(message.id, message.header, message.payload, self._clock.utc_s())

    # ---- who takes care

    async def _care(self) -> None:
        """Be the person who corrects what has halted, makes room, and attaches what was cut."""
        while True:
            await self._clock.wait(LOOK_S)
            for name, runner in sorted(self._runners.items()):
                state = runner.status().state
                if state == "halted" or runner.status().code == "dead_letters_full":
                    since_s = self._halted_since_s.setdefault(name, self._clock.now_s())
                    if self._clock.now_s() - since_s >= CORRECTS_S:
                        self._correct(name.partition("-")[0])
                        del self._halted_since_s[name]
                else:
                    self._halted_since_s.pop(name, None)
            if self._clock.now_s() > 2 * FAULTS_S:
                self.store.dead_bytes_max = 2**30

    def _correct(self, zone: str) -> None:
        """Correct a step, make room for its dead letters, and restart it."""
        self.store.dead_bytes_max *= 2
        self.effects.corrected.add(zone)
        self._order(zone, "run")

    def _order(self, zone: str, want: str) -> None:
        """Say what is wanted of a zone."""
        value = self.store.values.get(f"order.{zone}")
        old = msgspec.json.decode(value, type=Order) if value else Order()
        order = msgspec.convert(
            {"want": want, "generation": old.generation + (want == "run")}, Order
        )
        self.store.values[f"order.{zone}"] = msgspec.json.encode(order)


def _flatten(errors: BaseExceptionGroup[BaseException]) -> str:
    """Return every exception of a group, in words."""
    found: list[str] = []
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found.append(_flatten(error))
        else:
            found.append(f"{type(error).__name__}: {error}")
    return "; ".join(found)


Judge = Callable[[int], Ending]
