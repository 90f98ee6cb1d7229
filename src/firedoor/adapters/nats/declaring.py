"""Make the streams of a plan, bring their bounds up to date, remove what is needed no more."""

from __future__ import annotations

import datetime as dt

from firedoor.adapters.nats.answers import (
    NAME_TAKEN,
    NO_PEERS,
    NO_ROOM,
    NO_STREAM,
    NOT_CLUSTERED,
    ConsumerInfo,
    Done,
    Refusal,
    StreamInfo,
    Streamlist,
)
from firedoor.adapters.nats.asked import Again
from firedoor.adapters.nats.configs import (
    COPIES,
    PAYLOAD_BYTES,
    STORE_VERSION,
    VERSION_KEY,
    Config,
    beats_config,
    consumer_config,
    inbox_config,
    kept_configs,
)
from firedoor.adapters.nats.keeping import last_message, look_up
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import Names
from firedoor.errors import StoreRefused, StreamsUnavailable
from firedoor.spec.plan import Plan
from firedoor.units import format_bytes

PAGES_MAX = 100
DAY_S = 86_400.0


async def declare(link: Link, names: Names, plan: Plan, *, ack_wait_s: float) -> None:
    """Make what is missing; bring bounds and copies up to date; prune records past retention.

    Consumers have as many copies as their streams. A stream of one copy that gets two more by this
    stores nothing for ten seconds or so: publishers wait.

    Raises:
        StoreRefused: if an inbox that would go away still holds batches, the store was written by
            another version, the disk has no room for the bounds, or a cluster too few servers.
    """
    _check_payload(link)
    held = {info.config.name: info for info in await list_streams(link, names)}
    wanted = {config["name"]: config for config in _configs(names, plan)}
    _check_versions(held)
    leaving = [name for name in held if name.startswith(names.inbox_prefix) and name not in wanted]
    _check_leaving(names, [held[name] for name in leaving])
    for name in leaving:
        await _remove(link, name)
    for config in wanted.values():
        await _bring(link, config, held.get(str(config["name"])))
    for edge in plan.edges:
        stream = names.inbox(edge.name)
        config = consumer_config(edge.name, ack_wait_s=ack_wait_s)
        body = {"stream_name": stream, "config": config}
        verb = f"CONSUMER.CREATE.{stream}.{config['name']}"
        await _manage(link, verb, body, ConsumerInfo)
    await prune(link, names, plan)


def _check_payload(link: Link) -> None:
    """Refuse a broker that takes no messages as large as batches and dead letters may be."""
    if link.payload_max < PAYLOAD_BYTES:
        message = (
            f"the broker at {link.url} takes messages of {format_bytes(link.payload_max)} at most, "
            f"and dead letters may have {format_bytes(PAYLOAD_BYTES)}: write "
            f"max_payload: {PAYLOAD_BYTES} into its settings"
        )
        raise StoreRefused(message)


def _configs(names: Names, plan: Plan) -> list[Config]:
    """Return the settings of every stream of a plan."""
    inboxes = [inbox_config(names, edge) for edge in plan.edges]
    return [*inboxes, *kept_configs(names, plan), beats_config(names)]


async def list_streams(link: Link, names: Names) -> list[StreamInfo]:
    """Return all streams of a pipeline, once each of them has a leader that tells of it."""

    async def once(left_s: float) -> list[StreamInfo]:
        found, missing = await look_at_streams(link, names, patience_s=left_s)
        if missing:
            message = f"{', '.join(missing)} have no leader now"
            raise Again(message)
        return found

    return await link.patiently(once, patience_s=link.write_s)


async def look_at_streams(
    link: Link, names: Names, *, patience_s: float
) -> tuple[list[StreamInfo], list[str]]:
    """Return the streams of a pipeline that are told of, and names of those that are not now."""
    found: list[StreamInfo] = []
    missing: set[str] = set()
    for _ in range(PAGES_MAX):
        body = {"offset": len(found), "subject": f"{names.prefix}.>"}
        page = await link.api("STREAM.LIST", body, answer=Streamlist, patience_s=patience_s)
        found += page.streams or []
        missing |= set(page.missing or [])
        if not page.streams or len(found) >= page.total:
            break
    return found, sorted(missing)


def _check_versions(held: dict[str, StreamInfo]) -> None:
    """Refuse streams that another version of firedoor made."""
    for name, info in held.items():
        version = info.config.metadata.get(VERSION_KEY, "none")
        if version != STORE_VERSION:
            message = (
                f"stream {name} was written by store version {version}, this firedoor reads "
                f"{STORE_VERSION}: use the firedoor that wrote it to finish what waits, or "
                "another project folder"
            )
            raise StoreRefused(message)


def _check_leaving(names: Names, leaving: list[StreamInfo]) -> None:
    """Refuse to drop an inbox that holds batches."""
    waiting = [info for info in leaving if info.state.messages]
    if not waiting:
        return
    listed = ", ".join(
        f"{names.edge_of(info.config.name)} ({info.state.messages} batches)" for info in waiting
    )
    message = (
        f"the plan has no such edge any more, but batches wait in the inbox of {listed}: run the "
        "pipeline as it was until they are empty, or use another project folder"
    )
    raise StoreRefused(message)


async def _remove(link: Link, name: str) -> None:
    """Delete a stream; one that is gone already is fine."""
    try:
        await link.api(f"STREAM.DELETE.{name}", answer=Done, patience_s=link.write_s)
    except Refusal as refusal:
        if refusal.fault.err_code != NO_STREAM:
            raise _refused(refusal) from refusal


async def _bring(link: Link, config: Config, held: StreamInfo | None) -> None:
    """Make a stream, or bring it up to date. What it holds stays, if its bound is lowered too."""
    verb = "STREAM.CREATE" if held is None else "STREAM.UPDATE"
    copies = max(copies_of(link), 1 if held is None else held.config.num_replicas)
    config = config | {"num_replicas": copies}
    await _manage(link, f"{verb}.{config['name']}", config, StreamInfo)


def copies_of(link: Link) -> int:
    """Return how many servers keep each stream: three of a cluster, or the only one.

    More, where somebody has told the broker so, are left alone.
    """
    return COPIES if link.clustered else 1


async def make_beats(link: Link, names: Names) -> None:
    """Make the stream of beats again, after the broker was restarted."""
    await make_stream(link, beats_config(names))


async def make_stream(link: Link, config: Config) -> None:
    """Make one stream that was not there a moment ago."""
    config = config | {"num_replicas": copies_of(link)}
    try:
        await link.api(f"STREAM.CREATE.{config['name']}", config, answer=StreamInfo)
    except Refusal as refusal:
        # In a cluster it is still there, and waits for a leader.
        if refusal.fault.err_code != NAME_TAKEN:
            raise _refused(refusal) from refusal


async def _manage(link: Link, verb: str, body: object, answer: type) -> None:
    """Ask for a change; say what it means if it is refused.

    Servers of a cluster that has just been started learn of each other: too few are waited for.
    """
    few: list[Refusal] = []

    async def once(left_s: float) -> None:
        few.clear()
        try:
            await link.api(verb, body, answer=answer, patience_s=left_s)
        except Refusal as refusal:
            if refusal.fault.err_code != NO_PEERS:
                raise
            few.append(refusal)
            raise Again(str(refusal)) from refusal

    try:
        await link.patiently(once, patience_s=link.write_s)
    except Refusal as refusal:
        raise _refused(refusal) from refusal
    except StreamsUnavailable as error:
        if few:
            raise _refused(few[0]) from error
        raise


def _refused(refusal: Refusal) -> StoreRefused:
    """Return what a refusal means for whoever declares."""
    if refusal.fault.err_code == NO_ROOM:
        message = (
            f"the broker's disk has no room for the bounds that are declared ({refusal}): free "
            "some, or lower inbox= of zones and dead_bytes= of the pipeline"
        )
        return StoreRefused(message)
    if refusal.fault.err_code == NO_PEERS:
        message = (
            f"the cluster has fewer than {COPIES} servers with JetStream and room ({refusal}): "
            "start the others, or use one server that is no cluster; two are no safer than one"
        )
        return StoreRefused(message)
    if refusal.fault.err_code == NOT_CLUSTERED:
        message = (
            f"the server says that it is of a cluster, and its JetStream is not ({refusal}): "
            "correct its settings"
        )
        return StoreRefused(message)
    return StoreRefused(f"the broker refuses what the plan needs: {refusal}")


async def prune(link: Link, names: Names, plan: Plan) -> None:
    """Remove records past retention, but the last of each zone: it says where a source goes on."""
    before_s = link.clock.utc_s() - plan.retention_days * DAY_S
    cut = await _first_seq_since(link, names, before_s)
    if cut <= 1:
        return
    for zone in plan.zones:
        subject = names.record(zone.name, "*")
        last = await last_message(link, names.records, subject)
        if last is not None:
            body = {"filter": subject, "seq": min(cut, last.seq)}
            await _manage(link, f"STREAM.PURGE.{names.records}", body, Done)


async def _first_seq_since(link: Link, names: Names, since_s: float) -> int:
    """Return the number of the first record written since then; 0 if none is older."""
    info = await link.api(
        f"STREAM.INFO.{names.records}", answer=StreamInfo, patience_s=link.write_s
    )
    oldest_s = read_time(info.state.first_ts)
    if not info.state.messages or oldest_s is None or oldest_s >= since_s:
        return 0
    start = dt.datetime.fromtimestamp(since_s, dt.UTC).isoformat()
    body = {"start_time": start, "next_by_subj": f"{names.prefix}.rec.>"}
    found = await look_up(link, names.records, body, patience_s=link.write_s)
    return info.state.last_seq + 1 if found is None else found.seq


def read_time(text: str) -> float | None:
    """Return seconds since 1970 of the broker's way to write a time; None for its zero."""
    if not text or text.startswith("0001-"):
        return None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    at = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
    return at.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
