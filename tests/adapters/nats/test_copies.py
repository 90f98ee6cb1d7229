from __future__ import annotations

from firedoor.adapters.nats.answers import Copies, Copy, StreamConfig, StreamInfo, StreamState
from firedoor.adapters.nats.configs import NANOS
from firedoor.adapters.nats.copies import examine_copies

HERE = Copy(name="b", current=True, active=NANOS // 2)
BUSY = Copy(name="b", current=False, active=NANOS // 2, lag=3)
AWAY = Copy(name="c", current=False, active=19 * NANOS)
KNOWN_AWAY = Copy(name="c", current=False, offline=True, active=2 * NANOS)
BEHIND = Copy(name="c", current=False, active=NANOS, lag=12_345)


def stream(name: str, *copies: Copy, leader: str = "a", kept: int = 3) -> StreamInfo:
    """Return what a server tells of a stream."""
    return StreamInfo(
        config=StreamConfig(name=name, num_replicas=kept),
        state=StreamState(),
        cluster=Copies(leader=leader, replicas=list(copies)),
    )


def found(*streams: StreamInfo, missing: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """Return verdict, topic and text of each finding."""
    return [(f.verdict, f.topic, f.found) for f in examine_copies(streams, missing)]


def test_enough_copies_that_are_there_are_well() -> None:
    told = "each of 2 streams is kept at least 3 times"
    assert found(stream("records", HERE, BUSY), stream("dead", HERE, HERE)) == [
        ("ok", "copies", told)
    ]


def test_streams_that_are_kept_too_few_times_are_named() -> None:
    (finding,) = found(stream("records", kept=1), stream("dead", HERE, HERE))
    assert finding == ("weaker", "copies", "kept less than 3 times: records (1)")


def test_streams_without_a_leader_are_named() -> None:
    (finding,) = found(stream("dead", HERE, HERE, leader=""), missing=("records",))
    assert finding[:2] == ("missing", "copies")
    assert finding[2].startswith("records, dead have no leader")


def test_servers_that_are_away_are_named_once() -> None:
    streams = [stream("records", HERE, AWAY), stream("dead", HERE, KNOWN_AWAY)]
    told = "away for 2 s: 2 streams have a copy less"
    assert found(*streams) == [("weaker", "server c", told)]


def test_servers_that_are_behind_are_named() -> None:
    told = "up to 12,345 entries behind in 1 streams"
    assert found(stream("records", HERE, BEHIND)) == [("weaker", "server c", told)]
