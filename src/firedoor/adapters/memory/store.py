"""What a broker in memory keeps while clients come and go, and the faults that it can have."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Literal

import msgspec

from firedoor.adapters.memory.box import ACK_WAIT_S, Box
from firedoor.adapters.memory.ledger import DAY_S, MemoryLedger
from firedoor.errors import DeadLettersFull, StoreRefused, StreamsUnavailable
from firedoor.spec.plan import Plan
from firedoor.units import format_bytes
from firedoor.wire.prediction import Chunk
from firedoor.wire.records import Attempts, BatchRecord, DeadEntry

BEAT_S = 10.0
"""For which a beat is heard."""
Call = Literal[
    "ack", "attempts", "beat", "beats", "bury", "claim", "dead", "dead_rows", "declare", "depth",
    "enter", "entries", "fetch", "forget", "get", "give_back", "holds", "keys", "last_place",
    "last_record", "log_predictions", "note_attempts", "pause", "predictions", "publish", "put",
    "rebury", "record", "recorded", "records", "swap", "working",
]  # fmt: skip
"""What a client asks of the broker."""
Key = tuple[str, str]
"""Zone and batch."""


class MemoryStore:
    """The durable state of one pipeline: what ``nats/`` in the project folder is elsewhere.

    ``MemoryStreams`` are its clients. It outlives them, and can be ended, started and made to lose
    answers, all as the real one does. Times are those of the clients' clocks.
    """

    def __init__(
        self, *, ack_wait_s: float = ACK_WAIT_S, shuffle: random.Random | None = None
    ) -> None:
        """Make an empty store; ``shuffle`` draws the order in which batches are delivered."""
        self.ack_wait_s = ack_wait_s
        self.shuffle = shuffle
        self.boxes: dict[str, Box] = {}
        self.records: dict[Key, BatchRecord] = {}
        """In the order of writing."""
        self.attempts: dict[Key, Attempts] = {}
        self.dead: dict[Key, tuple[DeadEntry, bytes]] = {}
        """Oldest first."""
        self.dead_bytes_max = 2**30
        self.values: dict[str, bytes] = {}
        self.ledger = MemoryLedger()
        self.predictions: dict[str, tuple[Chunk, float]] = {}
        """Chunks by id, with when they were kept; oldest first."""
        self.predictions_bytes_max: int | None = None
        """None: no service keeps any."""
        self.predictions_s = math.inf
        """Age at which they go."""
        self._last: dict[str, BatchRecord] = {}
        self._dead_bytes = 0
        self._beats: dict[str, tuple[bytes, float]] = {}
        self._away = ""
        self._lost: dict[bool, Counter[Call]] = {True: Counter(), False: Counter()}

    # ---- faults

    def restart(self) -> None:
        """End and start: ids of what was acknowledged are forgotten, and beats."""
        self._beats.clear()
        for box in self.boxes.values():
            box.restart()

    def down(self, because: str = "the broker is down") -> None:
        """Be away: every call raises ``StreamsUnavailable`` until ``up``."""
        self._away = because
        for box in self.boxes.values():
            box.wake()

    def up(self) -> None:
        """Be there again, restarted."""
        self._away = ""
        self.restart()

    def lose(self, call: Call, *, done: bool, times: int = 1) -> None:
        """Have the next calls of a kind raise ``StreamsUnavailable``.

        With ``done`` the answer is lost: what was asked for took effect. Else the question is.
        """
        self._lost[done][call] += times

    def check(self, call: Call, *, done: bool = False) -> None:
        """Raise ``StreamsUnavailable`` if the broker is away or the call is to be lost."""
        if self._away:
            raise StreamsUnavailable(f"{call}: {self._away}; it is tried again")
        if self._lost[done][call] > 0:
            self._lost[done][call] -= 1
            what = "the answer was lost" if done else "the question was lost"
            raise StreamsUnavailable(f"{call}: {what}; it is tried again")

    # ---- inboxes

    def declare(self, plan: Plan) -> None:
        """Make the inboxes of a plan, and drop those that it does not have, if they are empty."""
        edges = {edge.name: edge for edge in plan.edges}
        for name, box in self.boxes.items():
            if name not in edges and box.messages:
                raise StoreRefused(
                    f"the inbox {name} is not in the plan, and holds {len(box.messages)} "
                    "batches: run the pipeline that reads it until it is empty, or keep the edge"
                )
        self.boxes = {name: box for name, box in self.boxes.items() if name in edges}
        for name, edge in edges.items():
            if name not in self.boxes:
                self.boxes[name] = Box(name, edge.bytes_max, self.ack_wait_s)
            self.boxes[name].bytes_max = edge.bytes_max
        self.dead_bytes_max = plan.dead_bytes_max
        self.ledger.keeps_s = plan.retention_days * DAY_S
        if plan.keeps_predictions:
            self.predictions_bytes_max = plan.predictions_bytes_max
            self.predictions_s = plan.retention_days * DAY_S

    def box(self, edge: str) -> Box:
        """Return an inbox.

        Raises:
            StoreRefused: if none was declared.
        """
        try:
            return self.boxes[edge]
        except KeyError:
            raise StoreRefused(
                f"there is no inbox {edge}: declare the plan that has it first"
            ) from None

    # ---- records

    def record(self, record: BatchRecord) -> bool:
        """Keep the first record of a batch in a zone."""
        key = (record.zone, record.batch)
        if key in self.records:
            return False
        self.records[key] = self._last[record.zone] = record
        return True

    def last_record(self, zone: str) -> BatchRecord | None:
        """Return the record written last in a zone."""
        return self._last.get(zone)

    def note_attempts(self, key: Key, attempts: Attempts | None) -> None:
        """Keep or forget attempts."""
        if attempts is None:
            self.attempts.pop(key, None)
        else:
            self.attempts[key] = attempts

    # ---- dead letters

    def bury(self, entry: DeadEntry, payload: bytes) -> bool:
        """Keep the first entry of a batch in a zone, if it fits."""
        key = (entry.zone, entry.batch)
        if key in self.dead:
            return False
        size = _size(entry, payload)
        if self._dead_bytes + size > self.dead_bytes_max:
            raise DeadLettersFull(
                f"the dead letters have no room for {format_bytes(size)}: "
                f"{format_bytes(self._dead_bytes)} of {format_bytes(self.dead_bytes_max)} are "
                "taken; replay or discard some (firedoor dlq), or raise dead_bytes"
            )
        self.dead[key] = (entry, payload)
        self._dead_bytes += size
        return True

    def rebury(self, entry: DeadEntry, payload: bytes) -> None:
        """Replace an entry where it is, or remove it if it has no rows."""
        key = (entry.zone, entry.batch)
        if key in self.dead:
            self._dead_bytes -= _size(*self.dead[key])
        if entry.rows == 0:
            self.dead.pop(key, None)
            return
        self.dead[key] = (entry, payload)
        self._dead_bytes += _size(entry, payload)

    # ---- small values

    def swap(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Keep a value, if what is kept under its key is still what was seen."""
        if self.values.get(key) != seen:
            return False
        self.values[key] = value
        return True

    # ---- predictions

    def read_predictions(self) -> list[tuple[Chunk, float]]:
        """Return chunks and when they were kept, oldest first."""
        self._check_logs()
        return list(self.predictions.values())

    def _check_logs(self) -> int:
        """Return the bound of the log, if there is one to write to."""
        if self.predictions_bytes_max is None:
            raise StoreRefused("no service of the plan keeps predictions: declare one that does")
        return self.predictions_bytes_max

    def log_predictions(self, chunk: Chunk, now_s: float) -> bool:
        """Keep a chunk; the oldest go for it."""
        bytes_max = self._check_logs()
        if chunk.id in self.predictions:
            return False
        self.predictions[chunk.id] = chunk, now_s
        size = sum(len(kept.payload) for kept, _ in self.predictions.values())
        for name, (kept, at_s) in list(self.predictions.items()):
            if size <= bytes_max and now_s - at_s <= self.predictions_s:
                break
            del self.predictions[name]
            size -= len(kept.payload)
        return True

    # ---- beats

    def beat(self, key: str, value: bytes, now_s: float) -> None:
        """Hear a beat."""
        self._beats[key] = (value, now_s + BEAT_S)

    def beats(self, prefix: str, now_s: float) -> dict[str, bytes]:
        """Return the beats that have not faded."""
        self._beats = {key: beat for key, beat in self._beats.items() if beat[1] > now_s}
        return {key: beat[0] for key, beat in self._beats.items() if key.startswith(prefix)}

    def claim(self, key: str, value: bytes, seen: bytes | None, now_s: float) -> bool:
        """Hear a beat, if what is said under its key is still what was seen."""
        if self.beats(key, now_s).get(key) != seen:
            return False
        self.beat(key, value, now_s)
        return True


def _size(entry: DeadEntry, payload: bytes) -> int:
    """Return the bytes that an entry takes of the bound."""
    return len(msgspec.json.encode(entry)) + len(payload)
