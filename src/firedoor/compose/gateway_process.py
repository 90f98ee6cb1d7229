"""One gateway as a process of its own: ``firedoor gateway``.

It runs no user code, and imports no library of models or tables: what is broken in those cannot
keep it from answering. It needs the project's folder, and nobody.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from msgspec.structs import replace

from firedoor.adapters.clock import SystemClock
from firedoor.compose import log_lines, outfit, tether
from firedoor.compose.champions import Champions
from firedoor.compose.connecting import connect_to
from firedoor.compose.evidence_packs import EvidencePacks
from firedoor.compose.flags_file import FlagsFile
from firedoor.compose.gateway_faults import GatewayFaults
from firedoor.compose.gateway_feed import Feed
from firedoor.compose.gateway_view import GatewayView, view_of
from firedoor.compose.journaling import Journaling
from firedoor.compose.label_forwarding import forwarder
from firedoor.compose.opening import Opening
from firedoor.compose.pack_replay import PackReplays
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.serving_folder import (
    GATEWAYS_MAX,
    GatewayState,
    ServingFolder,
    serving_plan,
)
from firedoor.data.prediction_writer import PredictionWriter
from firedoor.drill.permission import ENV, environment_of
from firedoor.errors import DeclarationError, FiredoorError
from firedoor.gateway.front import front
from firedoor.gateway.happenings import happened
from firedoor.gateway.http_server import bind, new_event_loop
from firedoor.gateway.path import ServicePath
from firedoor.gateway.services import ServiceFacts
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

LEFT, REFUSED = 0, 2
LOOPBACK = "127.0.0.1"
SAY_S = 0.2
AGAIN_S = 1.0
"""Before something beside requests is begun anew that failed."""
YIELD_S = 30.0
"""Longest that a gateway leaves requests to others because it has no model ready itself."""
GARBAGE = (20_000, 50, 100)
"""Thresholds of the garbage collector: an eighth of a request's time goes into it by default."""
READ_S, WRITE_S, OPEN_S = 1.0, 2.0, 2.0
"""Patience with a broker: nothing waits for it but the background, which asks again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """What the command line says."""

    directory: Path
    pipeline: Path | None = None
    """Its file, where no supervisor has written a plan."""
    endpoint: Endpoint | None = None
    """The broker; None: the project's."""
    host: str = "127.0.0.1"
    port: int = 8080
    number: int = 0
    """Among the gateways of a supervisor; 0: there is none."""
    supervised: bool = False


@dataclass(slots=True)
class GatewayProcess:
    """A gateway, from its start to its end."""

    options: GatewayOptions
    _leave: asyncio.Event = field(default_factory=asyncio.Event)
    _clock: SystemClock = field(default_factory=SystemClock)
    _journaling: Journaling = field(init=False)
    _url: str = ""
    """Where it answers, once it does."""
    _foreign: bool = True
    """Whether the broker is one that firedoor has not started, as far as is known."""

    async def run(self) -> int:
        """Answer until it is asked to end; return the exit code.

        Raises:
            FiredoorError: if it cannot begin.
        """
        loop = asyncio.get_running_loop()
        if self.options.supervised:
            tether.tie()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave.set)
        project = Project.at(self.options.directory)
        folder = ServingFolder(project, _log.warning)
        plan = await asyncio.to_thread(serving_plan, folder, project, self.options.pipeline)
        name = outfit.replica()
        called = f"gateway-{self.options.number}" if self.options.number else "gateway"
        self._journaling = Journaling(project.folder, called, self._clock)
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            opening = Opening(
                plan, project=project, champions=Champions(project.folder, _log.warning),
                clock=self._clock, tasks=tasks,
            )  # fmt: skip
            log = PredictionWriter(clock=self._clock)
            tasks.create_task(self._beside("the prediction log", log.run))
            stack.push_async_callback(log.close)
            stack.push_async_callback(self._journaling.finish)
            journaling = self._beside("the journal", self._journaling.run)
            stack.callback(tasks.create_task(journaling).cancel)
            paths = {
                service.name: await stack.enter_async_context(
                    ServicePath(
                        service, gateway=name, open_variant=opening.of(service),
                        clock=self._clock, seed=random.SystemRandom().getrandbits(63),
                        log=log, lookups=opening.lookups(service),
                        function=opening.function(service),
                        forward=forwarder(folder, service.name),
                    )
                )
                for service in plan.services
            }  # fmt: skip
            feed = self._feed(project, plan, folder, paths, name)
            view = view_of(
                stack, plan, paths, folder=project.folder, gateway=name, clock=self._clock
            )
            feed.reached = lambda streams: self._reached(log, streams)
            feed.promises = view.promises.look
            faults = self._faults(plan, opening, feed, paths)
            feed.drills = faults.look
            view.drilled_by(faults)
            await feed.begin()
            await self._serve(feed, folder, paths, view, name)
        return LEFT

    async def _beside(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something until it is done; a fault in it costs no request, and it is begun anew."""
        while True:
            try:
                await work()
            except Exception:  # noqa: BLE001 - requests are answered without it
                _log.exception("%s failed, and is begun anew", what)
                await self._clock.wait(AGAIN_S)
            else:
                return

    def _reached(self, log: PredictionWriter, streams: Streams | None) -> None:
        """Write to a broker from now on; None: to none."""
        log.log = streams
        self._journaling.reach(streams)

    def _feed(
        self,
        project: Project,
        plan: Plan,
        folder: ServingFolder,
        paths: Mapping[str, ServicePath],
        name: str,
    ) -> Feed:
        """Return the background."""
        packs = EvidencePacks(folder.folder)

        async def connect() -> Streams:
            # Read each time: a broker that was started anew may be elsewhere.
            endpoint = self.options.endpoint
            if endpoint is None:
                endpoint = await asyncio.to_thread(project.endpoint)
            self._foreign = endpoint.external
            return await connect_to(
                endpoint, pipeline=plan.pipeline, clock=self._clock, read_s=READ_S,
                write_s=WRITE_S, open_s=OPEN_S,
            )  # fmt: skip

        return Feed(
            services=paths,
            models={service.name: service.model.name for service in plan.services},
            folder=folder,
            champions=Champions(project.folder, _log.warning),
            packs=packs,
            replays=PackReplays(
                services=paths,
                packs_of=lambda pack: asyncio.to_thread(packs.of, pack),
                gateway=name,
                clock=self._clock,
            ).run,
            flags_file=FlagsFile(project.folder),
            connect=connect,
            gateway=name,
            clock=self._clock,
            tell=_log.info,
        )

    def _faults(
        self, plan: Plan, opening: Opening, feed: Feed, paths: Mapping[str, ServicePath]
    ) -> GatewayFaults:
        """Return what injects faults where a drill wants some."""

        def champion(service: str) -> str:
            route = feed.following(service)
            return "" if route is None else route.champion.digest

        return GatewayFaults(
            {service.name: service for service in plan.services},
            opening.drilled,
            process=feed.gateway,
            environment=lambda: environment_of(
                plan.environment, os.environ.get(ENV, ""), foreign_broker=self._foreign
            ),
            champion=champion,
            deafen=feed.deafen,
            absolve=lambda service, digest: paths[service].absolve(digest),
            clock=self._clock,
        )

    async def _serve(
        self,
        feed: Feed,
        folder: ServingFolder,
        paths: Mapping[str, ServicePath],
        view: GatewayView,
        name: str,
    ) -> None:
        """Answer until it is asked to end, and finish what is under way.

        Raises:
            DeclarationError: if the port is not to be had.
        """
        server = front(
            list(paths.values()), gateway=name, release=outfit.version(), clock=self._clock,
            failed=lambda error: _log.error("%s", error, exc_info=error), counts=view.counts,
            further=view.further, watch=view.watch, measure=view.measure, pipeline=view.pipeline,
        )  # fmt: skip
        # What is there stays: it need not be looked through for garbage ever again, and requests
        # make none that goes in circles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        async with asyncio.TaskGroup() as group:
            aside = [group.create_task(feed.run())]
            async with server:
                bound = self._bound()
                own = await server.listen(bind(LOOPBACK, 0, shared=False))
                state = GatewayState(pid=os.getpid(), name=name, own=f"http://{LOOPBACK}:{own}")
                say = functools.partial(self._say, feed, folder, paths, state)
                aside.append(group.create_task(self._beside("what is said of it", say)))
                await self._until_of_use(folder, paths)
                port = await server.listen(bound)
                self._url = f"http://{self.options.host}:{port}"
                _log.info("answers at %s", self._url)
                await self._leave.wait()
                _log.info("finishes what is under way")
            for task in aside:
                task.cancel()

    async def _until_of_use(self, folder: ServingFolder, paths: Mapping[str, ServicePath]) -> None:
        """Wait, while another gateway at this port answers by models, until this one can.

        The kernel would give it requests at once, and it had nothing but fallbacks for them. Where
        nobody else is ready those are better than nothing, and so they are after a while.
        """
        until_s = self._clock.now_s() + YIELD_S
        others = [number for number in range(1, GATEWAYS_MAX + 1) if number != self.options.number]
        while self.options.number and self._clock.now_s() < until_s and not self._leave.is_set():
            if all(path.facts().ready for path in paths.values()):
                return
            if not await asyncio.to_thread(_any_ready, folder, others):
                return
            await self._clock.wait(SAY_S)

    def _bound(self) -> socket.socket:
        """Return a socket that other gateways may share.

        Raises:
            DeclarationError: if the port is not to be had.
        """
        host, port = self.options.host, self.options.port
        try:
            return bind(host, port)
        except (OSError, OverflowError) as error:
            why = f"cannot be listened to ({getattr(error, 'strerror', None) or error})"
            remedy = "end what listens there, or give another with --port, or 0 for any free one"
            raise DeclarationError("port", f"{host}:{port}", why, remedy) from error

    async def _say(
        self,
        feed: Feed,
        folder: ServingFolder,
        paths: Mapping[str, ServicePath],
        first: GatewayState,
    ) -> None:
        """Say how it is whenever that changes, for ever."""
        before: GatewayState | None = None
        told: dict[str, ServiceFacts] = {}
        while True:
            known, told = told, {name: path.facts() for name, path in paths.items()}
            for service, facts in told.items():
                at_s = self._clock.utc_s()
                for one in happened(service, known.get(service), facts, at_s):
                    self._journaling.journal.note(one)
            state = replace(
                first,
                url=self._url,
                ready=all(facts.ready for facts in told.values()),
                services={
                    name: feed.missing(name) or _in_words(facts) for name, facts in told.items()
                },
                broker=feed.away,
            )
            if state != before:
                for service, words in state.services.items():
                    if before is None or before.services.get(service) != words:
                        _log.info("%s: %s", service, words)
                before = state
                await asyncio.to_thread(folder.say, self.options.number, state)
            await self._clock.wait(SAY_S)


def run_gateway(options: GatewayOptions) -> int:
    """Run a gateway until it is asked to end; return the exit code. Errors are printed."""
    try:
        log_lines.set_up(os.environ, process="gateway")
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(GatewayProcess(options).run())
    except BaseExceptionGroup as errors:
        known, rest = errors.split(FiredoorError)
        if known is None or rest is not None:
            raise
        _refuse(known)
    except FiredoorError as error:
        _refuse(error)
    return REFUSED


def _any_ready(folder: ServingFolder, numbers: Iterable[int]) -> bool:
    """Return whether one of these gateways lives, and answers by models. Blocks."""
    states = (folder.said(number) for number in numbers)
    return any(
        state is not None and state.ready and state.url and psutil.pid_exists(state.pid)
        for state in states
    )


def _in_words(facts: ServiceFacts) -> str:
    """Say by what a service answers, or why it does not."""
    ones = [one for one in facts.variants if one.arm == "champion"] or list(facts.variants)
    if not ones:
        return facts.because or "nothing is loaded yet"
    one = ones[0]
    if not facts.ready:
        return facts.because or f"{one.name} is {one.state}"
    return f"{one.name} answers; {facts.because}" if facts.because else f"{one.name} answers"


def _refuse(error: BaseException) -> None:
    """Print the first error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    sys.stderr.write(f"firedoor: {error}\n")
