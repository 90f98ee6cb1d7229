"""A version of a model that does as a script says: for tests of whatever asks versions.

It keeps the promises of ``ports.variants.Variant`` (it answers within the deadline and a little,
and never raises but for cancellation, unless the script says ``break``) and has no worker, no
process and no thread. Its predictions are a function of its name and of the request, so that a
test can tell a wrong answer from a right one:

>>> from firedoor.wire.route import Arm
>>> arm = Arm(model="delays", version=3, digest="d3")
>>> score_of(arm, b'{"x": 1}') == score_of(arm, b'{"x": 1}')
True
>>> score_of(arm, b'{"x": 1}') == score_of(arm, b'{"x": 2}')
False
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec

from firedoor.ports.variants import VariantFacts, VariantState
from firedoor.wire.bundle import Manifest
from firedoor.wire.route import Arm
from firedoor.wire.serving import Ask, Outcome, Told

Kind = Literal["answer", "raise", "die", "hang", "nan", "misshape", "busy", "refuse", "break"]
DEATH_S = 30.0
"""How long a death counts as recent."""


class Act(NamedTuple):
    """What is done with one ask."""

    kind: Kind = "answer"
    """``hang``: until its deadline. ``break``: an exception, which no variant should raise."""
    seconds: float = 0.0
    """After which; an answer that would come after the deadline is late."""


WELL = Act()
_TOLD: dict[str, Told] = {
    "raise": Told(Outcome.RAISED, message="ValueError: no", signature="ValueError model.py:1"),
    "die": Told(Outcome.DIED, message="its worker died", signature="SIGSEGV"),
    "nan": Told(Outcome.NON_FINITE, message="row 0 is NaN", signature="NaN"),
    "misshape": Told(Outcome.MISSHAPED, message="2 for 1 row", signature="2 for 1"),
    "busy": Told(Outcome.BUSY, message="256 requests wait"),
    "refuse": Told(Outcome.REFUSED, message="row 0: field 'x' is wanted as Float64, found text"),
}
Script = Callable[[Ask, int], Act]
"""Says what is done with an ask, given how many came before it."""


def score_of(arm: Arm, body: bytes, extra: bytes = b"") -> float:
    """Return what a scripted version predicts: between 0 and 1, another one for each input."""
    hashed = blake2b(arm.name.encode() + b"\0" + extra + b"\0" + body, digest_size=6)
    return int.from_bytes(hashed.digest(), "big") / 2**48


def always(act: Act = WELL) -> Script:
    """Return a script that does the same each time."""
    return lambda _ask, _number: act


class ScriptedVariant:
    """One scripted version. See ``ports.variants.Variant``."""

    def __init__(
        self,
        arm: Arm,
        script: Script | None = None,
        *,
        loading_s: float = 0.0,
        fails: str = "",
        manifest: Manifest | None = None,
        waiting_max: int = 256,
    ) -> None:
        """Begin to load.

        Args:
            arm: whose predictions it makes.
            script: what is done with each ask; None: all are answered at once.
            loading_s: time before it is ready; 0: it is at once.
            fails: why it never is; empty: it will be.
            manifest: of its bundle.
            waiting_max: asks that it holds at once; beyond them it is busy.
        """
        self.arm, self.script = arm, script
        self.manifest, self._waiting_max = manifest, waiting_max
        self._loop = asyncio.get_running_loop()
        self._state: VariantState = "loading"
        self._because, self._fails = "", fails
        self._settled = asyncio.Event()
        self._deaths_s: list[float] = []
        self._posted: set[asyncio.Task[Told]] = set()
        self.asks: list[Ask] = []
        """Every ask that came, the latest 10,000 of them."""
        self.number = self.waiting = self.deaths = 0
        if loading_s > 0:
            self._loop.call_later(loading_s, self._settle)
        else:
            self._settle()

    @property
    def facts(self) -> VariantFacts:
        """How it is now."""
        since_s = self._loop.time() - DEATH_S
        return VariantFacts(
            state=self._state,
            because=self._because,
            replicas=int(self._state == "ready"),
            waiting=self.waiting,
            deaths=self.deaths,
            deaths_by={"SIGSEGV": self.deaths} if self.deaths else {},
            recent_deaths=sum(at_s > since_s for at_s in self._deaths_s),
        )

    def become(self, state: VariantState, because: str = "") -> None:
        """Be in another state from now on."""
        self._state, self._because = state, because
        if state in ("ready", "failed", "closed"):
            self._settled.set()

    async def ask(self, ask: Ask) -> Told:
        """Do as the script says."""
        act = self._act(ask)
        return act if isinstance(act, Told) else await self._do(ask, act)

    def post(self, ask: Ask, told: Callable[[Told], None]) -> None:
        """Do as the script says, and tell."""
        act = self._act(ask)
        if isinstance(act, Told):
            told(act)
        elif act.kind == "break":
            raise RuntimeError(self._broken())
        else:
            task = self._loop.create_task(self._do(ask, act))
            self._posted.add(task)
            task.add_done_callback(self._posted.discard)
            task.add_done_callback(lambda done: None if done.cancelled() else told(done.result()))

    async def ready(self, wait_s: float) -> bool:
        """Wait until it is ready, or will never be."""
        try:
            async with asyncio.timeout(wait_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return self._state == "ready"

    async def close(self, grace_s: float = 5.0) -> None:
        """Wait until it holds nothing, within the grace, and answer nothing more."""
        end_s = self._loop.time() + grace_s
        while self.waiting and self._loop.time() < end_s:
            await self._wait(0.01)
        self.become("closed")

    # ---- acts

    def _act(self, ask: Ask) -> Told | Act:
        """Return what is said at once, or else what is done."""
        number, self.number = self.number, self.number + 1
        self.asks.append(ask)
        del self.asks[:-10_000]
        if self._state != "ready" or self.waiting >= self._waiting_max:
            return Told(Outcome.BUSY, message=self._because or f"it is {self._state}")
        act = WELL if self.script is None else self.script(ask, number)
        return self._answer(ask) if act is WELL else act

    async def _do(self, ask: Ask, act: Act) -> Told:
        """Do something else than answer at once."""
        self.waiting += 1
        try:
            return await self._done(ask, act)
        finally:
            self.waiting -= 1

    async def _done(self, ask: Ask, act: Act) -> Told:
        """Return what comes of an act."""
        left_s = ask.deadline_s - self._loop.time()
        if left_s < 0:
            return Told(Outcome.EXPIRED, message="its deadline had passed")
        if act.kind == "hang" or act.seconds > left_s:
            await self._wait(left_s)
            return Told(Outcome.LATE, message="no answer in time", signature="late")
        await self._wait(act.seconds)
        if act.kind == "break":
            raise RuntimeError(self._broken())
        if act.kind == "die":
            self.deaths += 1
            self._deaths_s = [*self._deaths_s, self._loop.time()][-100:]
        return _TOLD[act.kind] if act.kind in _TOLD else self._answer(ask)

    def _broken(self) -> str:
        """Return what is raised where nothing should be."""
        return f"{self.arm.name} broke its promise"

    def _answer(self, ask: Ask) -> Told:
        """Return the prediction."""
        score = score_of(self.arm, ask.body, ask.extra)
        fragment = msgspec.json.encode([{"score": score}])
        return Told(Outcome.OK, 1, struct.pack("<d", score), fragment)

    def _settle(self) -> None:
        """End loading."""
        if self._state == "loading":
            self.become("failed" if self._fails else "ready", self._fails)

    async def _wait(self, seconds: float) -> None:
        """Let so much time pass on the loop."""
        if seconds <= 0:
            return
        passed = self._loop.create_future()
        timer = self._loop.call_later(seconds, _pass, passed)
        try:
            await passed
        finally:
            timer.cancel()


def _pass(passed: asyncio.Future[None]) -> None:
    """Let a wait end."""
    if not passed.done():
        passed.set_result(None)
