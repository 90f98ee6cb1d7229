"""Serve a pipeline's services on this machine: a broker, a control process, gateways.

The supervisor runs no user code and answers nothing itself. What it starts ends with it, also when
it is killed, and is started again whenever it dies: gateways share a port that is held here, so
that a dead one costs the connections that it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from firedoor.compose import children
from firedoor.compose.champions import Champions, followed
from firedoor.compose.companion import Companion
from firedoor.compose.connecting import connect_to
from firedoor.compose.journaling import Journaling
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.serving_broker import ServingBroker
from firedoor.compose.serving_folder import GatewayState, ServingFolder
from firedoor.compose.supervised_zones import inject, of_serve
from firedoor.errors import DeclarationError, ModelRefused, PipelineUnloadable, ProjectBusy
from firedoor.gateway.http_server import bind
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

LOOK_S = 0.2
LOGS_S = 5.0
WRITE_S = 2.0
"""For which a broker is waited for that is told what happened; then it is looked for anew."""
GRACE_S = 5.0
"""Beyond the longest time that a service finishes requests in."""
CONTROL = "serve-control"
"""Of its log; no zone can have this name."""
LOOPBACK = "127.0.0.1"
"""Where the control API is: its tokens travel as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the command line says."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0: a free one."""
    gateways: int = 1
    control_port: int = 0
    """Of the control API, on loopback; 0: a free one, and the same for as long as this runs."""
    external: Endpoint | None = None
    """A broker that is somewhere already."""


@dataclass(slots=True, kw_only=True)
class Serving:
    """The services of one pipeline, in a project folder."""

    project: Project
    plan: Plan
    clock: Clock
    tell: Callable[[str], None]
    options: ServeOptions
    _folder: ServingFolder = field(init=False)
    _journaling: Journaling = field(init=False)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _states: dict[int, GatewayState] = field(default_factory=dict)
    _pids: dict[int, int] = field(default_factory=dict)

    def end(self) -> None:
        """Finish what is under way, and end."""
        self._asked.set()

    async def run(self) -> None:
        """Serve until it is asked to end.

        Raises:
            PipelineUnloadable: if the pipeline declares no service.
            ModelRefused: if there is no version to answer by.
            ProjectBusy: if services of this project are served already.
            DeclarationError: if the port is taken, or the host is none of this machine.
            OSError: if files cannot be written.
        """
        if not self.plan.services:
            message = f"{self.plan.file} declares no service: write @pipeline.service(model=...)"
            raise PipelineUnloadable(message)
        self._folder = ServingFolder(self.project, self.tell)
        self._folder.create()
        options = self.options
        with (
            self._alone(),
            reserved(options.host, options.port) as port,
            reserved(LOOPBACK, options.control_port, option="--control-port") as control_port,
        ):
            check_champions(self.plan, self.project, self._folder, self.tell)
            self._folder.write_plan(self.plan)
            names = ", ".join(service.name for service in self.plan.services)
            self.tell(f"{names}: http://{options.host}:{port}")
            tokens = self._folder.folder / "tokens.json"
            self.tell(f"control API: http://{LOOPBACK}:{control_port}, tokens in {tokens}")
            await self._serve(port, control_port)

    async def _serve(self, port: int, control_port: int) -> None:
        """Start everything, and keep it at work until it is asked to end."""
        self._journaling = Journaling(self.project.folder, "serve", self.clock)
        broker = ServingBroker(
            project=self.project, plan=self.plan, clock=self.clock, tell=self.tell,
            external=self.options.external, journal=self._journaling.journal,
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            brokering = group.create_task(broker.keep())
            companions = self._companions(port, control_port)
            telling = group.create_task(self._journaling.by_itself(self._connect))
            gateways = [
                group.create_task(companion.keep(self.project, clock=self.clock, tell=self.tell))
                for companion in companions
            ]
            injecting = group.create_task(self._inject(companions, broker))
            aside = [group.create_task(self._watch()), group.create_task(self._bound_logs())]
            await self._asked.wait()
            self.tell("finishes what is under way")
            injecting.cancel()  # first: a process that a drill has stopped could not end
            await asyncio.wait([injecting])
            for task in (*gateways, *aside):
                task.cancel()
            await asyncio.wait(gateways)
            telling.cancel()
            await asyncio.wait([telling])
            brokering.cancel()  # last: what was counted is told before

    async def _inject(self, companions: list[Companion], broker: ServingBroker) -> None:
        """Do to these processes what drills want, for ever."""
        control, *gateways = companions
        foreign = self.options.external is not None
        targets = of_serve(self.plan, gateways, control, lambda: broker.broker, foreign=foreign)
        await inject(
            self.project, self.plan, targets, foreign=foreign, clock=self.clock, tell=self.tell
        )

    def _companions(self, port: int, control_port: int) -> list[Companion]:
        """Return the processes: gateways, and the one for control."""
        journal = self._journaling.journal
        options, drain_s = self.options, max(each.limits.drain_s for each in self.plan.services)
        companions = [
            Companion(
                name=CONTROL, command=["control", "--port", str(control_port)], stop_s=GRACE_S,
                what="the process that drives rollouts", journal=journal,
            )
        ]  # fmt: skip
        for number in range(1, options.gateways + 1):
            self._folder.forget(number)
            command = ["gateway", "--host", options.host, "--port", str(port)]
            companions.append(
                Companion(
                    name=f"serve-gateway-{number}", command=[*command, "--number", str(number)],
                    what=f"gateway {number}", stop_s=drain_s + GRACE_S, journal=journal,
                    began=lambda pid, number=number: self._pids.update({number: pid}),  # type: ignore[misc]
                )
            )  # fmt: skip
        return companions

    async def _connect(self) -> Streams:
        """Return the broker's streams, to tell it what happened.

        Raises:
            FiredoorError: if there is none.
        """
        endpoint = self.options.external
        if endpoint is None:
            endpoint = await asyncio.to_thread(self.project.endpoint)
        return await connect_to(
            endpoint, pipeline=self.plan.pipeline, clock=self.clock, write_s=WRITE_S
        )

    async def _watch(self) -> None:
        """Tell how gateways are whenever that changes, for ever."""
        while True:
            for number in range(1, self.options.gateways + 1):
                said = self._folder.said(number)
                if said is None or said.pid != self._pids.get(number):
                    continue  # of one that died
                before = self._states.get(number)
                self._states[number] = said
                for service, how in said.services.items():
                    if before is None or before.services.get(service) != how:
                        self.tell(f"gateway {number}: {service}: {how}")
            await self.clock.wait(LOOK_S)

    async def _bound_logs(self) -> None:
        """Keep logs bounded, for ever."""
        names = [f"serve-gateway-{number}" for number in range(1, self.options.gateways + 1)]
        while True:
            await self.clock.wait(LOGS_S)
            for name in (CONTROL, *names):
                with contextlib.suppress(OSError):  # a log is not worth a service
                    children.rotate(self.project.log_file(name))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold what only one of these may do in a project; the system lets go of it at its end."""
        file = self._folder.folder / "lock"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                message = (
                    f"services of {self.project.folder} are served already (process {pid}): end "
                    f"that with `kill {pid}`, or name another folder with --project DIR"
                )
                raise ProjectBusy(message) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def reserved(host: str, port: int, *, option: str = "--port") -> Iterator[int]:
    """Hold a port for processes that share it; give it, a free one for 0. ``option`` names it.

    Raises:
        DeclarationError: if it is taken, also by somebody who would share it, or the host is none
            of this machine.
    """
    try:
        bind(host, port, shared=False).close()
        held = bind(host, port)
    except (OSError, OverflowError) as error:
        why = f"cannot be listened to ({getattr(error, 'strerror', None) or error})"
        remedy = f"end what listens there, or give another with {option}, or 0 for any free one"
        raise DeclarationError("port", f"{host}:{port}", why, remedy) from error
    try:
        yield _port_of(held)
    finally:
        held.close()


def _port_of(held: socket.socket) -> int:
    """Return the port that a socket is bound to."""
    return int(held.getsockname()[1])


def check_champions(
    plan: Plan, project: Project, folder: ServingFolder, tell: Callable[[str], None]
) -> None:
    """Refuse to serve where a service has no version to answer by.

    Raises:
        ModelRefused: saying what to do.
    """
    champions = Champions(project.folder, tell)
    for service in plan.services:
        model = service.model.name
        kept = champions.of(model)
        if followed(service.name, model, folder.route(service.name), kept) is not None:
            continue
        if not kept.state.versions:
            trains = next((job.name for job in plan.jobs if job.evaluation is None), "")
            first = f"train one (`firedoor job run {trains}`)" if trains else "add one"
            what = f"there is no version of model {model!r} yet: {first}, and promote it"
        else:
            latest = kept.state.versions[-1].number
            what = (
                f"no version of model {model!r} is the champion: evaluate one, and promote it "
                f"(`firedoor models promote {model}@{latest}`)"
            )
        message = f"service {service.name} has nothing to answer by: {what}"
        raise ModelRefused(message, code="not_qualified")
