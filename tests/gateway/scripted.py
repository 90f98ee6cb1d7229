"""A service without a model, for tests of what stands before one: score = 2 x + n, by row.

``python -m gateway.scripted`` serves it until its input ends, and prints the port.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

import firedoor
from firedoor.adapters.clock import SystemClock
from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.front import front
from firedoor.gateway.http_message import HttpLimits
from firedoor.gateway.http_server import HttpServer, bind, new_event_loop
from firedoor.gateway.services import (
    Answered,
    Label,
    Labelled,
    Sample,
    ServiceFacts,
    ServiceMetadata,
    VariantShown,
)
from firedoor.gateway.watching import Watch
from firedoor.spec.service_plan import ServiceLimits
from firedoor.wire.answers import datatypes_of, write_answer
from firedoor.wire.bundle import Field, Signature
from firedoor.wire.columns import Columns
from firedoor.wire.payload import BadPayload, Reader
from firedoor.wire.serving import Ask, Form

T = TypeVar("T")
INPUTS = (Field(name="x", dtype="Float64"), Field(name="n", dtype="Int64"))
OUTPUTS = (Field(name="score", dtype="Float64"),)
_UNPACK = {"FP64": "d", "FP32": "f", "INT64": "q", "INT32": "i"}


ODD = (ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error)
"""What comes of rows that are none."""


class BadRows(ValueError):
    """These are not rows of x and n."""


class Scripted:
    """Answers by arithmetic, and otherwise as it is told to."""

    def __init__(self, name: str = "delays", limits: ServiceLimits | None = None) -> None:
        """Be ready."""
        self.name = name
        self.limits = limits or ServiceLimits()
        self.ready = True
        self.because = ""
        self.reply: Callable[[Request], Answer] | None = None
        """Instead of arithmetic."""
        self.hold: asyncio.Event | None = None
        """What answers wait for."""
        self.seen: deque[Request] = deque(maxlen=1_000)
        self.cancelled = 0
        self.quick = False
        """Whether it answers at once, without a task."""
        self.late = False
        """Whether answers that it gives at once come when ``held`` is called."""
        self.held: deque[Callable[[], None]] = deque()
        self.known: set[str] = {"p-1", "p-2"}

    def begin(self, request: Request, answered: Answered) -> bool:
        """Leave it to ``answer``, unless it is to answer at once."""
        if not self.quick:
            return False
        self.seen.append(request)
        answer = (self.reply or self.arithmetic)(request)
        if self.late:
            self.held.append(lambda: answered(answer))
        else:
            answered(answer)
        return True

    async def answer(self, request: Request) -> Answer:
        """Answer as told."""
        self.seen.append(request)
        number = f"made-{len(self.seen)}"
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.reply is not None:
            return self.reply(request)
        return self.arithmetic(request, number)

    def arithmetic(self, request: Request, number: str = "made") -> Answer:
        """Return scores; what is not rows is refused."""
        said = Answer(200, request.id or number, "p-1", model="late", version="3", arm="champion")
        if request.version not in {"", "3"}:
            return said._replace(status=404, message=f"there is no version {request.version}")
        try:
            scores, fragment, tail = _predict(request)
        except ODD as error:
            return said._replace(status=400, message=str(error)[:300])
        return said._replace(rows=len(scores), fragment=fragment, tail=tail)

    async def label(self, labels: Sequence[Label]) -> list[Labelled]:
        """Join labels of two predictions; a value above 1 is refused."""
        return [self._label(label) for label in labels]

    def _label(self, label: Label) -> Labelled:
        if label.prediction not in self.known:
            return Labelled("unknown", "nobody here knows this prediction: it is too old")
        return Labelled("refused", "write 0 or 1") if label.value > 1 else Labelled("joined")

    def metadata(self, version: str = "") -> ServiceMetadata | None:
        """Return what it takes."""
        if version not in {"", "3"}:
            return None
        return ServiceMetadata(
            inputs=INPUTS, outputs=OUTPUTS, versions=("3",), ready=self.ready, doc="Arithmetic."
        )

    def facts(self) -> ServiceFacts:
        """Return how it is."""
        deaths = {"SIGSEGV": 2}
        shown = VariantShown(name="late@3", arm="champion", state="ready", deaths=deaths)
        sample = Sample("labels", "counter", "Labels taken.", (("outcome", 'odd"\n'),), 7)
        return ServiceFacts(
            ready=self.ready, because=self.because, variants=(shown,), generation=5, weight=0.25,
            shed=4, log_written=11, log_dropped=1, samples=(sample,),
        )  # fmt: skip


class Reading(Scripted):
    """Reads requests, and writes answers, as the workers of a version do."""

    def __init__(self) -> None:
        """Know the signature."""
        super().__init__()
        self._reader = Reader(Signature(inputs=INPUTS, outputs=OUTPUTS))

    def arithmetic(self, request: Request, number: str = "made") -> Answer:
        """Return scores; what the signature does not take is refused."""
        said = Answer(200, request.id or number, "p-1", model="late", version="3", arm="champion")
        if request.version not in {"", "3"}:
            return said._replace(status=404, message=f"there is no version {request.version}")
        try:
            taken = self._reader.read(Ask(request.form, request.body, request.json_bytes))
            rows = [dict(zip(taken.names, row, strict=True)) for row in taken.rows]
            columns: Columns = {"score": [_score(row) for row in rows]}
        except (BadPayload, BadRows) as error:
            return said._replace(status=400, message=str(error))
        fragment, tail = write_answer(request.form, columns, datatypes_of(OUTPUTS), taken.wanted)
        return said._replace(rows=len(rows), fragment=fragment, tail=tail)


def _predict(request: Request) -> tuple[list[float], bytes, bytes]:
    """Return scores, and as the form has them."""
    if request.form is Form.ROWS:
        scores = [_score(row) for row in _rows(request.body)]
        return scores, msgspec.json.encode([{"score": score} for score in scores]), b""
    size = request.json_bytes if request.form is Form.V2_BINARY else len(request.body)
    head = msgspec.json.decode(request.body[:size])
    columns = dict(_columns(head["inputs"], request.body[size:]))
    if set(columns) != {"x", "n"}:
        raise BadRows(f"the inputs are x and n, not {sorted(columns)}")
    scores = [_score({"x": x, "n": n}) for x, n in zip(columns["x"], columns["n"], strict=True)]
    wants = [out.get("parameters", {}).get("binary_data") for out in head.get("outputs", [])]
    binary = head.get("parameters", {}).get("binary_data_output") or any(wants)
    output: dict[str, Any] = {"name": "score", "shape": [len(scores)], "datatype": "FP64"}
    tail = struct.pack(f"<{len(scores)}d", *scores) if binary else b""
    output |= {"parameters": {"binary_data_size": len(tail)}} if binary else {"data": scores}
    return scores, msgspec.json.encode([output]), tail


def _rows(body: bytes) -> list[Any]:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRows(f"the body is not JSON: {error}"[:300]) from error
    rows = said if isinstance(said, list) else [said]
    if not rows:
        raise BadRows("there are no rows")
    return rows


def _score(row: Any) -> float:
    if not isinstance(row, dict) or not {"x", "n"} <= row.keys():
        raise BadRows('a row is {"x": 1.5, "n": 2}')
    x, n = (0 if row[name] is None else row[name] for name in ("x", "n"))
    if any(not isinstance(value, int | float) or isinstance(value, bool) for value in (x, n)):
        raise BadRows("x and n are numbers")
    if n != int(n) or abs(n) >= 2**63:
        raise BadRows("n is an integer of 64 bits")
    score = 2.0 * x + n
    if abs(score) > 1e300:
        raise BadRows("x is too large")
    return score


def _columns(inputs: list[dict[str, Any]], binary: bytes) -> Iterator[tuple[str, list[Any]]]:
    for tensor in inputs:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = tensor.get("data")
            if not isinstance(values, list):
                raise BadRows(f"{tensor['name']} has no data")
            yield tensor["name"], values
            continue
        code = _UNPACK[tensor["datatype"]]
        if size > len(binary) or size % struct.calcsize(code):
            raise BadRows(f"{tensor['name']} is said to have {size} bytes")
        yield (
            tensor["name"],
            list(struct.unpack(f"<{size // struct.calcsize(code)}{code}", binary[:size])),
        )
        binary = binary[size:]


@dataclass
class Served:
    """A server at work in a thread of its own."""

    port: int
    server: HttpServer
    services: list[Scripted]
    loop: asyncio.AbstractEventLoop
    ending: asyncio.Event
    failures: list[Exception] = field(default_factory=list)

    @property
    def service(self) -> Scripted:
        """The first."""
        return self.services[0]

    def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns in the server's thread."""

        async def called() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(10)


async def serve(
    services: list[Scripted],
    limits: HttpLimits,
    started: Callable[[Served], None],
    *,
    port: int = 0,
    watch: Watch | None = None,
) -> None:
    """Serve until told to end."""
    failures: list[Exception] = []
    server = front(
        services,
        gateway="g1",
        release=firedoor.__version__,
        clock=SystemClock(),
        failed=failures.append,
        limits=limits,
        watch=watch,
    )
    ending = asyncio.Event()
    async with server:
        opened = await server.listen(bind("127.0.0.1", port))
        loop = asyncio.get_running_loop()
        started(Served(opened, server, services, loop, ending, failures))
        await ending.wait()


@contextlib.contextmanager
def served(
    services: list[Scripted] | None = None,
    *,
    loop_factory: Any = new_event_loop,
    watch: Watch | None = None,
    **limits: Any,
) -> Iterator[Served]:
    """Serve for as long as the block is at work."""
    ready = threading.Event()
    found: list[Served] = []

    def started(told: Served) -> None:
        found.append(told)
        ready.set()

    def run() -> None:
        declared = HttpLimits(**{"drain_s": 2.0, **limits})
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(serve(services or [Scripted()], declared, started, watch=watch))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10), "the server did not start"
    try:
        yield found[0]
    finally:
        with contextlib.suppress(RuntimeError):
            found[0].loop.call_soon_threadsafe(found[0].ending.set)
        thread.join(10)
        assert not thread.is_alive(), "the server did not end"
    assert not found[0].failures, found[0].failures


def until(met: Callable[[], bool], *, wait_s: float = 10.0) -> None:
    """Wait for something that another thread brings about."""
    ends_s = time.monotonic() + wait_s
    tick = threading.Event()
    while not met():
        assert time.monotonic() < ends_s, "it did not happen"
        tick.wait(0.005)


def hold(server: Served) -> Callable[[], None]:
    """Let answers wait; returns what lets them go."""
    held = server.call(asyncio.Event)
    server.service.hold = held

    def release() -> None:
        server.service.hold = None
        server.call(held.set)

    return release


def score(body: dict[str, Any]) -> float:
    """Return the score of a plain answer's first row."""
    return float(body["predictions"][0]["score"])


def main() -> None:
    """Serve until the input ends."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    done: list[Served] = []

    def started(told: Served) -> None:
        done.append(told)
        print(told.port, flush=True)
        threading.Thread(target=wait, args=(told,), daemon=True).start()

    def wait(told: Served) -> None:
        sys.stdin.read()
        told.loop.call_soon_threadsafe(told.ending.set)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve([Scripted()], HttpLimits(), started, port=port))


if __name__ == "__main__":
    main()
