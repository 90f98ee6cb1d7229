"""The worker: the process in which user code runs, and which may die at any moment without harm.

It is sealed before it imports anything of the user's, and, when it is spawned, before it imports
polars: Landlock binds the calling thread and those it starts later, not those that run already.
Then it answers one request after another until its socket closes.

Descriptors: 0 nothing, 1 and 2 the log, 3 the socket, 4 where a crash leaves its last frames.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import io
import logging
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from firedoor.compute import blame, limits, seal
from firedoor.compute.logs import LineHandler
from firedoor.errors import shorten
from firedoor.wire.fetching import Fetch
from firedoor.wire.framing import PREFIX, blank, decode_request, encode
from firedoor.wire.jobs import JobLoad, Kept
from firedoor.wire.messages import Batch, Load, Loaded, Prove, Reply, Request, Run, Unloadable
from firedoor.wire.serving_load import ServingLoad

if TYPE_CHECKING:
    from firedoor.compute.workbench import Answer, Workbench

    Answerer = Callable[[Request, io.BytesIO], Iterator[tuple[Reply, tuple[bytes, ...]]]]

LINE_FD = 3
TRACE_FD = 4
BROKEN = 70
"""Exit code of a worker in which firedoor itself failed."""
INSIDE = "FIREDOOR_WORKER"
"""Set in every worker, so that a wall refuses to be started inside one."""


def main(*, forked: bool) -> None:
    """Be a worker until the wall closes the socket."""
    line = socket.socket(fileno=LINE_FD)
    os.set_inheritable(LINE_FD, False)  # noqa: FBT003 - the signature of os
    os.set_inheritable(TRACE_FD, False)  # noqa: FBT003
    _forget(forked=forked)
    try:
        request, _ = _receive(line)
        if isinstance(request, JobLoad):
            _work(line, request)
        elif isinstance(request, ServingLoad):
            _serve(line, request)
        elif isinstance(request, Load):
            answer = _settle(line, request)
            while answer is not None:
                request, payload = _receive(line)
                for reply, parts in answer(request, payload):
                    _send(line, encode(reply, *parts))
                del request, payload  # a batch must not be held while the next one arrives
        code = 0
    except (EOFError, BrokenPipeError, ConnectionResetError):
        code = 0  # the wall has gone, or does not want this worker any more
    except BaseException:  # noqa: BLE001 - ours, not the step's: leave word before dying of it
        traceback.print_exc()
        code = BROKEN
    finally:
        # No clean-up: user code has no say in when its worker ends.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _forget(*, forked: bool) -> None:
    """Undo what a fork brings along: signal dispositions, buffered random numbers."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if forked:
        random.seed()
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable(file=TRACE_FD, all_threads=False)
    faulthandler.register(signal.SIGUSR1, file=TRACE_FD, all_threads=False, chain=False)
    faulthandler.register(signal.SIGXCPU, file=TRACE_FD, all_threads=False, chain=True)


def _work(line: socket.socket, load: JobLoad) -> None:
    """Run a job, and say how it ended."""
    started = time.perf_counter()
    sealed = _confine(load)
    from firedoor.compute.jobbench import Run, outcome_of  # noqa: PLC0415 - after the seal

    def send(message: Reply) -> None:
        _send(line, encode(message))

    def asked(message: Reply) -> Request:
        send(message)
        return _receive(line)[0]

    try:
        step = _follow(load)
    except BaseException as error:  # noqa: BLE001 - importing user code may raise anything at all
        send(_unloadable(error))
        return
    send(_loaded(sealed, time.perf_counter() - started))
    ended = outcome_of(step, Run(load, send, asked), load.folder, load.strike)
    sys.stdout.flush()
    send(ended)


def _serve(line: socket.socket, load: ServingLoad) -> None:
    """Answer requests until the line closes."""
    started = time.perf_counter()
    sealed = _confine(load)
    try:
        from firedoor.compute.serving_worker import Bench, serve  # noqa: PLC0415 - after the seal

        bench = Bench(load)
        ready = bench.warm(sealed, lambda: time.perf_counter() - started)
    except BaseException as error:  # noqa: BLE001 - importing user code may raise anything at all
        _send(line, encode(_unloadable(error)))
        return
    _send(line, encode(ready))
    serve(line, bench, load)


def _settle(line: socket.socket, load: Load) -> Answerer | None:
    """Take on limits and seal, import the step, and say so. Returns None if it cannot be."""
    started = time.perf_counter()
    sealed = _confine(load)
    try:
        answer = _load(load)
    except BaseException as error:  # noqa: BLE001 - importing user code may raise anything at all
        _send(line, encode(_unloadable(error)))
        return None
    _send(line, encode(_loaded(sealed, time.perf_counter() - started)))
    return answer


def _confine(load: Load | JobLoad | ServingLoad) -> seal.Sealed:
    """Take on environment, limits and seal, for good."""
    os.environ.clear()
    os.environ.update(load.environ, **{INSIDE: load.wall, "TMPDIR": load.scratch})
    sys.path[:] = load.sys_path
    os.chdir(load.cwd)
    limits.apply(
        limits.Limits(
            memory_bytes=load.memory_bytes,
            files_max=load.files_max,
            processes_max=load.processes_max,
            tasks_max=load.tasks_max,
            cpu_s=load.cpu_s if isinstance(load, JobLoad) else None,
        )
    )
    sealed = seal.apply(
        seal.SealPlan(
            reads=load.seal_reads,
            lists=load.seal_lists,
            writes=load.seal_writes,
            network=load.network,
        )
    )
    plain = "%(message)s"  # level and logger travel beside it
    logging.basicConfig(handlers=[LineHandler()], level=logging.INFO, format=plain, force=True)
    return sealed


def _unloadable(error: BaseException) -> Unloadable:
    """Say why user code cannot be imported."""
    blamed = blame.of_exception(error, ())
    message, _, detail = shorten(blamed.message, 4000).partition("\n")
    at = f" ({blamed.line})" if blamed.line else ""
    return Unloadable(message=f"{message}{at}", detail=detail)


def _loaded(sealed: seal.Sealed, seconds: float) -> Loaded:
    """Say that user code is imported."""
    usage = limits.usage(os.getpid())
    return Loaded(
        seconds=seconds,
        rss_bytes=usage.rss_bytes if usage else 0,
        seal_level=sealed.level,
        seal_what=sealed.what,
        seal_missing=sealed.missing,
    )


def _follow(load: JobLoad) -> Callable[..., object]:
    """Import the function of a job."""
    from firedoor.compute.step import follow  # noqa: PLC0415

    return follow(load.pickled, main_path=load.main_path, main_module=load.main_module)[0]


def _load(load: Load) -> Answerer:
    """Import the step and put it on the bench; return what answers requests."""
    from firedoor.compute.step import follow  # noqa: PLC0415

    step, schema, out_schema = follow(
        load.pickled, main_path=load.main_path, main_module=load.main_module
    )
    if load.fetches is not None:
        from firedoor.compute.fetchbench import Fetchbench  # noqa: PLC0415 - imports polars, too

        return Fetchbench(step, load.fetches).answer
    from firedoor.compute.workbench import Workbench  # noqa: PLC0415 - imports polars: after the seal

    bench = Workbench(
        step,
        schema,
        out_schema,
        extra=load.extra,
        batchwise=load.batchwise,
        expands=load.expands,
    )
    return functools.partial(_answer, bench)


def _answer(bench: Workbench, request: Request, payload: io.BytesIO) -> Iterator[Answer]:
    """Yield the replies to one request."""
    match request:
        case Batch():
            yield from bench.take(request, payload)
        case Run():
            yield from bench.run(request.slices)
        case Prove():
            yield bench.prove(), ()
        case Load() | JobLoad() | Kept() | Fetch() | ServingLoad():
            message = f"a worker with a step was sent {type(request).__name__}"
            raise RuntimeError(message)


def _receive(line: socket.socket) -> tuple[Request, io.BytesIO]:
    """Return the next request and the bytes that follow it.

    Raises:
        EOFError: when the wall has gone.
    """
    prefix = bytearray(PREFIX.size)
    _fill(line, memoryview(prefix))
    header_size, payload_size = PREFIX.unpack(prefix)
    header, payload = bytearray(header_size), blank(payload_size)
    _fill(line, memoryview(header))
    with payload.getbuffer() as view:
        _fill(line, view)
    return decode_request(header), payload


def _fill(line: socket.socket, view: memoryview) -> None:
    """Read from the socket until ``view`` is full."""
    filled = 0
    while filled < len(view):
        got = line.recv_into(view[filled:])
        if not got:
            raise EOFError
        filled += got


def _send(line: socket.socket, parts: list[bytes | bytearray | memoryview]) -> None:
    """Write the pieces of one message, in one call where the socket takes them."""
    sent = line.sendmsg(parts)
    for part in parts:
        if sent < len(part):
            line.sendall(memoryview(part)[sent:])
        sent = max(0, sent - len(part))
