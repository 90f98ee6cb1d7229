"""Settings of the streams and consumers that a plan needs."""

from __future__ import annotations

from firedoor.adapters.nats.naming import Names, durable_of
from firedoor.spec.plan import EdgePlan, Plan
from firedoor.wire.envelope import PAYLOAD_MAX

STORE_VERSION = "1"
"""Raised when a store of this version cannot be read by the one before."""
NANOS = 1_000_000_000
PAYLOAD_BYTES = 2 * PAYLOAD_MAX
"""What the broker takes at most: dead letters have two sections, and there are headers."""
DUPLICATES_S = 600
IN_FLIGHT_MAX = 64
BEAT_S = 10
VALUES_BYTES = 256 * 2**20
ATTEMPTS_MAX = 100_000
HAPPENINGS_BYTES = 64 * 2**20
HAPPENINGS_S = 3_600
"""However short the retention is: what happened is looked at afterwards."""
ACTS_BYTES = 2**30
"""A million or two: it is there so that nothing is without a bound."""
COPIES = 3
"""Servers of a cluster that keep each stream: one may be away, and nothing stops."""
VERSION_KEY = "firedoor_store"

Config = dict[str, object]


def _stream(name: str, subject: str, **more: object) -> Config:
    """Return the settings that all streams share, and more."""
    common: Config = {
        "name": name,
        "subjects": [subject],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msg_size": PAYLOAD_BYTES,
        "allow_direct": True,
        "metadata": {VERSION_KEY: STORE_VERSION},
    }
    return common | more


def inbox_config(names: Names, edge: EdgePlan) -> Config:
    """A work queue: an acknowledged batch is deleted, so that no restart can forget it.

    A subject holds one batch, so that it is known for as long as it waits that it is there;
    the message ids do the same for ten minutes after.
    """
    return _stream(
        names.inbox(edge.name),
        names.batch(edge.name, "*"),
        retention="workqueue",
        max_bytes=edge.bytes_max,
        max_msgs_per_subject=1,
        discard_new_per_subject=True,
        duplicate_window=DUPLICATES_S * NANOS,
    )


def consumer_config(edge: str, *, ack_wait_s: float) -> Config:
    """One durable consumer an inbox; what is delivered in vain is counted by the runner."""
    return {
        "name": durable_of(edge),
        "durable_name": durable_of(edge),
        "ack_policy": "explicit",
        "ack_wait": int(ack_wait_s * NANOS),
        "max_deliver": -1,
        "max_ack_pending": IN_FLIGHT_MAX,
    }


def kept_configs(names: Names, plan: Plan) -> list[Config]:
    """Return the settings of what is kept beside the inboxes."""
    kept = [
        # No max_age: the last record of a source says where it goes on, however old it is.
        _stream(names.records, names.record("*", "*")),
        _stream(
            names.dead,
            names.letter("*", "*"),
            max_bytes=plan.dead_bytes_max,
            max_msgs_per_subject=1,
        ),
        _stream(
            names.attempts,
            names.attempt("*", "*"),
            discard="old",
            max_msgs=ATTEMPTS_MAX,
            max_msgs_per_subject=1,
            allow_msg_ttl=True,
        ),
        _stream(names.values, names.value(">"), max_bytes=VALUES_BYTES, max_msgs_per_subject=1),
    ]
    kept += [happenings_config(names, plan), acts_config(names)]
    return [*kept, predictions_config(names, plan)] if plan.keeps_predictions else kept


def predictions_config(names: Names, plan: Plan) -> Config:
    """A log: what does not fit pushes out the oldest, and nothing ever waits for room."""
    return _stream(
        names.predictions,
        names.prediction("*"),
        discard="old",
        max_bytes=plan.predictions_bytes_max,
        max_age=int(plan.retention_days * 86_400 * NANOS),
        duplicate_window=DUPLICATES_S * NANOS,
    )


def happenings_config(names: Names, plan: Plan) -> Config:
    """A log of what happened: what does not fit, or is past retention, goes."""
    return _stream(
        names.book("happenings"),
        names.entry("happenings", "*", "*", "*"),
        discard="old",
        max_bytes=HAPPENINGS_BYTES,
        max_age=max(HAPPENINGS_S, int(plan.retention_days * 86_400)) * NANOS,
    )


def acts_config(names: Names) -> Config:
    """What people did: nothing of it ever goes."""
    return _stream(names.book("acts"), names.entry("acts", "*", "*", "*"), max_bytes=ACTS_BYTES)


def beats_config(names: Names) -> Config:
    """Beats: in memory, gone when the broker is restarted, and made again then.

    In a cluster they have copies as well: one alone would be away with its server.
    """
    return _stream(
        names.beats,
        names.beat(">"),
        storage="memory",
        discard="old",
        max_msgs_per_subject=1,
        max_age=BEAT_S * NANOS,
        # No longer than what is in it lives.
        duplicate_window=BEAT_S * NANOS,
    )
