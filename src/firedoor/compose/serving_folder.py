"""What a gateway goes on with while nobody tells it anything: ``.firedoor/serving``.

| In it | What |
|---|---|
| ``plan.json`` | the pipeline whose services are served |
| ``route-SERVICE.json`` | the last that the control plane said; ``flags.json`` is beside it |
| ``gateway-N.json`` | how the gateway with this number is; written when that changes |

A file is replaced whole, and only when what it says has changed. One that is damaged is told of and
taken for none: the registry's champion serves then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from firedoor.compose.files import FOLDER_MODE, explain, write_atomically
from firedoor.compose.living import is_alive
from firedoor.compose.project import Project
from firedoor.errors import NotKnown, PipelineUnloadable, StoreRefused
from firedoor.spec.plan import PLAN_VERSION, Plan, decode_plan, encode_plan
from firedoor.wire.route import Route, decode_route, encode_route

FILE_BYTES_MAX = 16 * 2**20
"""More is read of none of them."""
NAME = "serving"
GATEWAYS_MAX = 64


class GatewayState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a gateway is, for the supervisor that started it."""

    pid: int
    name: str = ""
    """In keys and ids."""
    url: str = ""
    """Where it answers; empty: not yet."""
    own: str = ""
    """Where it alone answers, on loopback."""
    ready: bool = False
    """Whether every service answers by a model."""
    services: dict[str, str] = {}
    """In words, by service: ``delays@3 answers``, ``delays@3 is loading``."""
    broker: str = ""
    """Why it is not told anything, in words; empty: it is."""


class ServingFolder:
    """The folder of one project; read and written by several processes."""

    def __init__(self, project: Project, tell: Callable[[str], None]) -> None:
        """Use a project's folder.

        Args:
            project: whose.
            tell: told what a person should know: damaged files, a full disk.
        """
        self.folder = project.folder / NAME
        self._tell = tell
        self._written: dict[Path, bytes] = {}
        """What this process knows to be in a file."""
        self._failing = False

    def create(self) -> None:
        """Make the folder.

        Raises:
            OSError: if that cannot be done.
        """
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    # ---- the plan

    def write_plan(self, plan: Plan) -> None:
        """Keep the pipeline for gateways and the control process.

        Raises:
            OSError: if that cannot be done.
        """
        write_atomically(self.folder / "plan.json", encode_plan(plan), durable=True)

    def read_plan(self) -> Plan:
        """Return the pipeline that is served, or was last.

        Raises:
            NotKnown: if none was.
            StoreRefused: if it was written by another version.
        """
        file = self.folder / "plan.json"
        try:
            plan = decode_plan(file.read_bytes())
        except FileNotFoundError:
            message = f"{file} is not there: start the services with `firedoor serve PIPELINE.py`"
            raise NotKnown(message) from None
        except msgspec.DecodeError as error:
            message = f"{file} is no plan of this version: {error}; run `firedoor serve` anew"
            raise StoreRefused(message) from error
        if plan.version != PLAN_VERSION:
            message = (
                f"{file} has version {plan.version}, and this firedoor reads {PLAN_VERSION}: run "
                "`firedoor serve` anew"
            )
            raise StoreRefused(message)
        return plan

    # ---- what the control plane said last

    def route(self, service: str) -> Route | None:
        """Return the last route of a service; None if there is none that can be read."""
        file = self._route_file(service)
        data = self._read(file)
        if data is None:
            return None
        try:
            route = decode_route(data)
        except ValueError as error:
            self._tell_damage(file, str(error), f"{service} begins with the registry's champion")
            return None
        if route.service != service:
            self._tell_damage(file, f"it is about {route.service}", "it is not followed")
            return None
        return route

    def keep_routes(self, routes: Iterable[Route]) -> None:
        """Keep the routes that hold now."""
        for route in routes:
            self._write(self._route_file(route.service), encode_route(route))

    # ---- how gateways are

    def say(self, number: int, state: GatewayState) -> None:
        """Say how the gateway with this number is."""
        self._write(self._gateway_file(number), msgspec.json.encode(state), durable=False)

    def said(self, number: int) -> GatewayState | None:
        """Return how it is; None if it has not said so."""
        try:
            data = self._gateway_file(number).read_bytes()[:FILE_BYTES_MAX]
            return msgspec.json.decode(data, type=GatewayState)
        except (OSError, msgspec.MsgspecError):
            return None

    def gateways(self) -> dict[int, GatewayState]:
        """Return how each gateway is that runs on this machine, by number."""
        told: dict[int, GatewayState] = {}
        for number in range(GATEWAYS_MAX + 1):
            state = self.said(number)
            if state is not None and is_alive(state.pid):
                told[number] = state
        return told

    def forget(self, number: int) -> None:
        """Forget how a gateway was, before it is started."""
        with contextlib.suppress(OSError):
            self._gateway_file(number).unlink(missing_ok=True)

    # ---- files

    def _route_file(self, service: str) -> Path:
        return self.folder / f"route-{service}.json"

    def _gateway_file(self, number: int) -> Path:
        return self.folder / f"gateway-{number}.json"

    def _read(self, file: Path) -> bytes | None:
        """Return what is in a file; None if nothing can be read."""
        try:
            with file.open("rb") as opened:
                data = opened.read(FILE_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell_damage(file, explain(error), "it is taken for none")
            return None
        self._written[file] = data
        return data

    def _write(self, file: Path, data: bytes, *, durable: bool = True) -> None:
        """Write a file if what it says has changed. A disk that is full is told of once."""
        if self._written.get(file) == data:
            return
        try:
            write_atomically(file, data, durable=durable)
        except OSError as error:
            if not self._failing:
                self._tell(f"{file} cannot be written, and is older than what is served: "
                           f"{explain(error)}")  # fmt: skip
            self._failing = True
        else:
            self._written[file] = data
            self._failing = False

    def _tell_damage(self, file: Path, why: str, so: str) -> None:
        """Say that a file is not used."""
        self._written.pop(file, None)
        self._tell(f"{file} is damaged ({why}): {so}")


def serving_plan(folder: ServingFolder, project: Project, pipeline: Path | None) -> Plan:
    """Return the pipeline that a process serves: its file's, or what a supervisor wrote. Blocks.

    Raises:
        FiredoorError: if there is none, or it has no service.
        OSError: if files cannot be written.
    """
    if pipeline is None:
        plan = folder.read_plan()
    else:
        from firedoor.compose.loading import load_plan  # noqa: PLC0415 - in a child of its own

        project.create()
        folder.create()
        plan = load_plan(pipeline)
        folder.write_plan(plan)
    if not plan.services:
        message = f"{plan.file} declares no service: write @pipeline.service(model=...)"
        raise PipelineUnloadable(message)
    return plan
