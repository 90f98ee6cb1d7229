"""Make the streams of a plan, bring their bounds up to date, remove what is needed no more."""

from __future__ import annotations

import datetime as dt

import msgspec

from firedoor.adapters.nats.answers import (
    NO_ROOM,
    NO_STREAM,
    ConsumerInfo,
    Done,
    Message,
    Refusal,
    StreamInfo,
    Streamlist,
)
from firedoor.adapters.nats.configs import (
    STORE_VERSION,
    VERSION_KEY,
    Config,
    beats_config,
    consumer_config,
    inbox_config,
    kept_configs,
)
from firedoor.adapters.nats.keeping import last_message
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import API, Names
from firedoor.errors import StoreRefused
from firedoor.spec.plan import Plan

PAGES_MAX = 100
DAY_S = 86_400.0


async def declare(link: Link, names: Names, plan: Plan, *, ack_wait_s: float) -> None:
    """Make what is missing; bring bounds up to date; prune records that are past retention.

    Raises:
        StoreRefused: if an inbox that would go away still holds batches, the store was written by
            another version, or the disk has no room for the bounds.
    """
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


def _configs(names: Names, plan: Plan) -> list[Config]:
    """Return the settings of every stream of a plan."""
    inboxes = [inbox_config(names, edge) for edge in plan.edges]
    return [*inboxes, *kept_configs(names, plan), beats_config(names)]


async def list_streams(link: Link, names: Names) -> list[StreamInfo]:
    """Return all streams of a pipeline."""
    found: list[StreamInfo] = []
    for _ in range(PAGES_MAX):
        body = {"offset": len(found), "subject": f"{names.prefix}.>"}
        page = await link.api("STREAM.LIST", body, answer=Streamlist, patience_s=link.write_s)
        found += page.streams or []
        if not page.streams or len(found) >= page.total:
            break
    return found


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
    await _manage(link, f"{verb}.{config['name']}", config, StreamInfo)


async def make_beats(link: Link, names: Names) -> None:
    """Make the stream of beats again, after the broker was restarted."""
    config = beats_config(names)
    try:
        await link.api(f"STREAM.CREATE.{names.beats}", config, answer=StreamInfo)
    except Refusal as refusal:
        raise _refused(refusal) from refusal


async def _manage(link: Link, verb: str, body: object, answer: type) -> None:
    """Ask for a change; say what it means if it is refused."""
    try:
        await link.api(verb, body, answer=answer, patience_s=link.write_s)
    except Refusal as refusal:
        raise _refused(refusal) from refusal


def _refused(refusal: Refusal) -> StoreRefused:
    """Return what a refusal means for whoever declares."""
    if refusal.fault.err_code == NO_ROOM:
        message = (
            f"the broker's disk has no room for the bounds that are declared ({refusal}): free "
            "some, or lower inbox= of zones and dead_bytes= of the pipeline"
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

    def read(message: Message) -> int:
        found = (message.headers or {}).get("Nats-Sequence")
        return int(found) if found else info.state.last_seq + 1

    payload = msgspec.json.encode(body)
    subject = f"{API}.DIRECT.GET.{names.records}"
    return await link.ask(subject, payload, read=read, patience_s=link.write_s)


def read_time(text: str) -> float | None:
    """Return seconds since 1970 of the broker's way to write a time; None for its zero."""
    if not text or text.startswith("0001-"):
        return None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    at = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
    return at.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
