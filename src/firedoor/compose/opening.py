"""Versions of models made ready in a gateway: copied, verified, and loaded by workers.

A copy of a bundle is made in a thread, since a model may be large and its folder on a network;
until then the version is loading. Where it could not be loaded, the copy is compared with what was
stored before it is used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from firedoor.adapters.files.artifacts import FileArtifacts
from firedoor.compose.champions import Champions, arm_of
from firedoor.compose.drilled_service import DrilledService
from firedoor.compose.loaded import LoadedBundles
from firedoor.compose.project import Project
from firedoor.compose.slow_link import Asked, Delay, SlowLink
from firedoor.compose.store_link import StoreLink
from firedoor.compute.fetching import WorkerFetcher
from firedoor.compute.opening import open_fallback, open_variant, read_manifest
from firedoor.errors import FiredoorError, NotKnown, shorten
from firedoor.gateway.features import FeatureLookups
from firedoor.gateway.path import MakeLookups
from firedoor.gateway.versions import OpenVariant
from firedoor.ports.clock import Clock
from firedoor.ports.variants import Variant, VariantFacts
from firedoor.spec.plan import Plan
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.bundle import Manifest
from firedoor.wire.route import Arm
from firedoor.wire.serving import Ask, Outcome, Told

_log = logging.getLogger(__name__)
NOT_READY = Told(Outcome.BUSY, message="this version is not ready")

Have = Callable[[], Path]
Make = Callable[[Path, asyncio.TaskGroup], Variant]


class CopiedVariant:
    """A version whose bundle is being copied, and then its workers. See ``ports.variants``.

    What goes wrong in looking after its workers ends this version, and neither another one nor the
    gateway.
    """

    def __init__(
        self,
        have: Have,
        make: Make,
        failed: Callable[[], None],
        tasks: asyncio.TaskGroup,
        *,
        clock: Clock,
        digest: str = "",
    ) -> None:
        """Begin to copy.

        Args:
            have: makes the copy; blocks, and raises ``FiredoorError`` or ``OSError``.
            make: starts workers on it.
            failed: told when a version that was copied could not be loaded.
            tasks: where the version lives; outlives it.
            clock: what deadlines are on.
            digest: of its bundle.
        """
        self.digest = digest
        self._clock = clock
        self._inner: Variant | None = None
        self._asked: Asked | None = None
        """The same, or what a drill has put before it."""
        self._delay_s: Delay | None = None
        self._because = ""
        self._closed = False
        self._failed = failed
        self._opened, self._over = asyncio.Event(), asyncio.Event()
        tasks.create_task(self._live(have, make))

    async def _live(self, have: Have, make: Make) -> None:
        """Copy, start workers, and look after them until it is closed."""
        try:
            folder = await asyncio.to_thread(have)
            async with asyncio.TaskGroup() as group:
                if not self._closed:
                    self._inner = make(folder, group)
                    self.slow(self._delay_s)
                    self._opened.set()
                    await self._over.wait()
        except (FiredoorError, OSError) as error:
            self._because = shorten(f"its bundle cannot be had: {error}")
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever it is, the other versions go on; this one is failed, and opened again later.
            _log.exception("a version is given up")
            self._because = shorten(f"it could not be looked after: {error!r}")
            await self._abandon()
        finally:
            self._opened.set()

    async def _abandon(self) -> None:
        """End the workers of a version that nobody looks after any more."""
        if self._inner is not None:
            with contextlib.suppress(Exception):
                await self._inner.close(0.0)

    @property
    def facts(self) -> VariantFacts:
        """How it is now."""
        if self._because:
            return VariantFacts(state="failed", because=self._because)
        if self._inner is not None:
            return self._inner.facts
        return VariantFacts(state="closed" if self._closed else "loading")

    @property
    def manifest(self) -> Manifest | None:
        """Of its bundle, once that is copied."""
        return None if self._inner is None else self._inner.manifest

    def ask(self, ask: Ask) -> Awaitable[Told]:
        """Have one request answered."""
        if self._asked is not None and not self._because:
            return self._asked.ask(ask)
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        future.set_result(NOT_READY)
        return future

    def post(self, ask: Ask, told: Callable[[Told], None]) -> None:
        """Have one request answered, see ``ports.variants``."""
        if self._asked is not None and not self._because:
            self._asked.post(ask, told)
        else:
            told(NOT_READY)

    def slow(self, delay_s: Delay | None) -> None:
        """Have requests take longer on their way to its workers; None: no more."""
        self._delay_s, self._asked = delay_s, self._inner
        if delay_s is not None and self._inner is not None:
            self._asked = SlowLink(self._inner, delay_s, self._clock)

    async def ready(self, wait_s: float) -> bool:
        """Wait until it is loaded and warmed; False: it is not."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._opened.wait()
        if self._inner is None or self._because:
            return False
        return await self._inner.ready(max(0.0, until_s - loop.time()))

    async def close(self, grace_s: float = 5.0) -> None:
        """Finish what it holds within the grace, then end its workers."""
        self._closed = True
        if self._inner is not None:
            if self.facts.state == "failed":
                self._failed()
            await self._inner.close(grace_s)
        self._over.set()


class Opening:
    """Makes versions, functions and look-ups of a pipeline's services ready, for one gateway."""

    def __init__(
        self,
        plan: Plan,
        *,
        project: Project,
        champions: Champions,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Use a project's bundles.

        Args:
            plan: whose services.
            project: where the models are.
            champions: by whose signature rows are read for a fallback's function.
            clock: the time.
            tasks: where workers are started; outlives every version.
        """
        folder = project.folder / "models"
        artifacts = FileArtifacts(folder / "artifacts")
        self._plan, self._clock, self._tasks = plan, clock, tasks
        self._champions = champions
        self._loaded = LoadedBundles(folder / "loaded", artifacts, clock)
        self._doubted: set[str] = set()
        """Digests of what was copied and could not be loaded."""
        self.drilled: Mapping[str, DrilledService] = {
            service.name: DrilledService() for service in plan.services
        }
        """What a drill can reach, by service."""

    def of(self, service: ServicePlan) -> OpenVariant:
        """Return what begins to make a version of a service ready."""
        drilled = self.drilled[service.name]

        def open_one(arm: Arm, *, nice: int) -> Variant:
            affliction = drilled.affliction(arm.digest)
            version = CopiedVariant(
                lambda: self._have(arm.digest),
                lambda folder, tasks: open_variant(
                    service, arm, folder=folder, tasks=tasks, nice=nice,
                    sys_path=self._plan.sys_path, affliction=affliction,
                ),
                lambda: self._doubted.add(arm.digest),
                self._tasks,
                clock=self._clock, digest=arm.digest,
            )  # fmt: skip
            drilled.held(version)
            return version

        return open_one

    def function(self, service: ServicePlan) -> Variant | None:
        """Return what answers by the declared function; None if there is none."""
        if service.fallback.function is None:
            return None
        model = service.model.name

        def have() -> Path:
            state = self._champions.of(model).state
            champion = arm_of(model, state, state.champion)
            if champion is None:
                message = f"there is no champion of {model} by whose signature rows could be read"
                raise NotKnown(message)
            return self._have(champion.digest)

        def make(folder: Path, tasks: asyncio.TaskGroup) -> Variant:
            arm = Arm(model=model, version=0, digest=folder.name)
            signature = read_manifest(folder, arm).signature
            return open_fallback(service, signature, tasks=tasks, sys_path=self._plan.sys_path)

        return CopiedVariant(have, make, lambda: None, self._tasks, clock=self._clock)

    def lookups(self, service: ServicePlan) -> MakeLookups | None:
        """Return what makes a service's look-ups; None if it declares no features."""
        if not service.features:
            return None

        def make(killed: Callable[[str], bool]) -> FeatureLookups:
            fetchers = {
                group.name: StoreLink(
                    WorkerFetcher(group, service=service.name, sys_path=self._plan.sys_path)
                )
                for group in service.features
            }
            dice = random.Random(service.name)  # noqa: S311 - waits that are not in step
            lookups = FeatureLookups(
                service.features, fetchers, clock=self._clock, killed=killed, dice=dice
            )
            self.drilled[service.name].looks_up(lookups, list(fetchers.values()))
            return lookups

        return make

    def _have(self, digest: str) -> Path:
        """Return the copy of a bundle. Blocks.

        Raises:
            FiredoorError, OSError: if it cannot be had.
        """
        if digest in self._doubted:
            self._doubted.discard(digest)
            self._loaded.recheck(digest)
        return self._loaded.have(digest)
