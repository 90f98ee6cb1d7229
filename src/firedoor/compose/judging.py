"""Look each second at what processes say of their promises, and keep what the judge makes of it.

Beside the ledger's entries there is ``slo.json``, for ``firedoor slo`` without a broker, the beat
``slo.JUDGE``, for whoever has one, and ``slo-memory.json``, for the judge after this one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from firedoor.compose.files import FOLDER_MODE, write_atomically
from firedoor.compose.project import Project
from firedoor.compose.slo_files import FILE_BYTES_MAX, Of, memory_file, status_file
from firedoor.control.objectives import Judge, JudgeMemory
from firedoor.control.promises import service_objectives, zone_objectives
from firedoor.control.tallies import PREFIX
from firedoor.errors import DeclarationError, ProjectBusy, StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.ports.telemetry import Journal
from firedoor.slo.objective import Objective
from firedoor.slo.status import SloStatus, decode_slo, encode_slo
from firedoor.spec.plan import Plan
from firedoor.spec.slo import TIME_SCALE_MAX

LOOK_S = 1.0
SAY_S = 2.0
"""Between two times at which the status is said and written."""
REMEMBER_S = 60.0
"""Between two times at which is written what the next judge goes on with."""
AGAIN_S = 30.0
"""Before a judge that failed is followed by another."""
BEAT = "slo."
SCALE = "FIREDOOR_SLO_TIME_SCALE"
TOLD = frozenset({"page", "page.over", "ticket", "ticket.over"})
"""Codes of entries that are told to whoever looks on; the others are in the ledger alone."""


def objectives_of(plan: Plan, of: Of, time_scale: float | None = None) -> tuple[Objective, ...]:
    """Return what is promised; with a time scale, that one instead of what is declared."""
    found = zone_objectives(plan) if of == "zones" else service_objectives(plan)
    if time_scale is None:
        return found
    return tuple(replace(objective, time_scale=time_scale) for objective in found)


def given_time_scale() -> float | None:
    """Return the time scale that the environment gives; None: it gives none.

    Raises:
        DeclarationError: if it is none.
    """
    given = os.environ.get(SCALE)
    if not given:
        return None
    try:
        scale = float(given)
    except ValueError:
        scale = 0.0
    if not 1 <= scale <= TIME_SCALE_MAX:
        remedy = f"give 1 to {TIME_SCALE_MAX}, or leave it out"
        raise DeclarationError(SCALE, given, "is no time scale", remedy)
    return scale


@dataclass(slots=True, kw_only=True)
class Bench:
    """Where a judge sits: hears beats, says what it makes of them."""

    streams: Streams
    folder: Path
    """``.firedoor``."""
    clock: Clock
    note: Callable[[Happened], None]
    of: Of
    judge: Judge
    _epoch_s: float = field(init=False)
    _said_s: float = field(default=float("-inf"))
    _kept_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin with a clock that goes with the wall's, and never back."""
        now_s = self.clock.now_s()
        self._epoch_s, self._kept_s = self.clock.utc_s() - now_s, now_s

    async def run(self) -> None:
        """Judge for ever; what was counted is kept at the end."""
        try:
            while True:
                await self.look()
                await self.clock.wait(LOOK_S)
        finally:
            self.remember()

    async def look(self) -> None:
        """Look once. Without a broker nothing is heard, which speaks against nobody."""
        now_s = self.clock.now_s()
        at_s, blind = self._epoch_s + now_s, ""
        try:
            beats = await self.streams.beats(PREFIX)
        except StreamsUnavailable as error:
            blind = str(error)
        else:
            for happened in self.judge.look(beats, at_s=at_s):
                self.note(happened)
        if now_s - self._said_s >= SAY_S:
            self._said_s = now_s
            await self._say(self.judge.status(at_s=at_s, blind=blind))
        if now_s - self._kept_s >= REMEMBER_S:
            self._kept_s = now_s
            self.remember()

    async def _say(self, status: SloStatus) -> None:
        """Say how objectives are, to whoever hears it."""
        data = encode_slo(status)
        self._write(status_file(self.folder, self.of), data)
        with contextlib.suppress(StreamsUnavailable):  # then the file is what there is
            await self.streams.beat(f"{BEAT}{self.of}", data)

    def remember(self) -> None:
        """Write what the next judge goes on with."""
        self._write(memory_file(self.folder, self.of), msgspec.json.encode(self.judge.memory()))

    def _write(self, file: Path, data: bytes) -> None:
        """Write a file whole. A full disk must not end what runs; it is told by the broker."""
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
            write_atomically(file, data)


async def watch_objectives(
    streams: Streams,
    plan: Plan,
    project: Project,
    *,
    of: Of,
    clock: Clock,
    tell: Callable[[str], None],
    journal: Journal | None = None,
) -> None:
    """Watch what zones or services promise, for ever; return at once if they promise nothing.

    Args:
        streams: in which processes say what they keep.
        plan: the pipeline.
        project: where the status is kept.
        of: whose promises: those of ``zones`` or of ``services``.
        clock: the time.
        tell: told what a person should know: alerts that begin or end.
        journal: takes entries for the ledger; None: nobody does.

    Raises:
        DeclarationError: if the environment gives a time scale that is none.
    """
    promised = objectives_of(plan, of, given_time_scale())
    if not promised:
        return

    def note(happened: Happened) -> None:
        if journal is not None:
            journal.note(happened)
        if happened.code in TOLD:
            tell(f"{happened.code}: {happened.text}")

    while True:
        memory = _memory(project.folder, of)  # once, and small
        judge = Judge(promised, pipeline=plan.pipeline, name=of, memory=memory)
        bench = Bench(
            streams=streams, folder=project.folder, clock=clock, note=note, of=of, judge=judge
        )
        try:
            await bench.run()
        except Exception as error:  # noqa: BLE001 - see below
            # A fault of the judge must not end what it watches.
            tell(f"promises of {of} are not watched ({error!r}): it is tried again")
        await clock.wait(AGAIN_S)


def _memory(folder: Path, of: Of) -> JudgeMemory | None:
    """Return what the judge before has kept; None if there is nothing that can be read."""
    try:
        with memory_file(folder, of).open("rb") as opened:
            return msgspec.json.decode(opened.read(FILE_BYTES_MAX), type=JudgeMemory)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def heard(streams: Streams) -> list[SloStatus]:
    """Return what judges say now, those of zones first.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    said = await streams.beats(BEAT)
    found: list[SloStatus] = []
    for key in sorted(said, reverse=True):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            found.append(decode_slo(said[key]))
    return found


async def alone(streams: Streams, chosen: Sequence[Of]) -> None:
    """Refuse to judge what is judged already.

    Raises:
        ProjectBusy: saying whose promises that are.
        StreamsUnavailable: if the broker is away.
    """
    for status in await heard(streams):
        if status.judge in chosen:
            message = (
                f"promises of {status.judge} are watched already: end firedoor up or serve, or "
                "that other firedoor slo watch, or name the others with --of"
            )
            raise ProjectBusy(message)
