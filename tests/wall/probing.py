"""Steps that look around, start things, and wait to be let go, for tests of the workers themselves.

Workers import this module by name. What a step is to do stands in the rows that it gets, since
nothing else reaches it.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

import firedoor as fd

AT_WORK = "at work in"
"""A step prints this and its process id before it waits."""
FOREVER_S = "1000"


def whoami(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the process id of the worker."""
    return frame.with_columns(pid=pl.lit(os.getpid()))


def double(frame: pl.DataFrame) -> pl.DataFrame:
    """Add a column that can be checked."""
    return frame.with_columns(doubled=pl.col("number") * 2)


def double_slowly(frame: pl.DataFrame) -> pl.DataFrame:
    """Do the same in some 20 ms, so that somebody can hit the worker in the middle of it."""
    time.sleep(0.02)
    return double(frame)


def double_when_let_go(frame: pl.DataFrame) -> pl.DataFrame:
    """Say where it works, then wait until the file named in the rows exists."""
    if frame.height and not os.path.exists(frame["gate"][0]):  # noqa: PTH110 - plain and quick
        print(AT_WORK, os.getpid(), flush=True)
        while not os.path.exists(frame["gate"][0]):  # noqa: PTH110
            time.sleep(0.002)
    return double(frame)


def break_the_line(frame: pl.DataFrame) -> pl.DataFrame:
    """Close descriptors that are not this step's."""
    os.closerange(3, 5)
    return frame


# ------------------------------------------------------------------------- starting processes


def start_others(frame: pl.DataFrame) -> pl.DataFrame:
    """Start what each row asks for, and add the process ids of what now runs."""
    return frame.with_columns(
        started=pl.Series([_STARTERS[how]() for how in frame["how"]], dtype=pl.List(pl.Int64))
    )


def start_others_and_crash(frame: pl.DataFrame) -> pl.DataFrame:
    """Start what each row asks for, print the process ids, and die of a signal."""
    for how in frame["how"]:
        print("started", *_STARTERS[how](), flush=True)
        os.abort()
    return frame


def _start_sleep() -> list[int]:
    # Never waited for: this is what careless code does.
    return [subprocess.Popen(["sleep", FOREVER_S], start_new_session=True).pid]  # noqa: S607


def _start_daemon() -> list[int]:
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        daemon = os.fork()
        if daemon == 0:
            os.close(write)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execvp("sleep", ["sleep", FOREVER_S])  # noqa: S606, S607 - no shell is wanted
        os.write(write, str(daemon).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as line:
        daemon = int(line.read())
    os.wait()
    return [daemon]


def _start_pool() -> list[int]:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=signal.pause) for _ in range(2)]
    for worker in workers:
        worker.start()
    return [worker.pid for worker in workers if worker.pid]


_STARTERS: dict[str, Callable[[], list[int]]] = {
    "sleep": _start_sleep,
    "daemon": _start_daemon,
    "pool": _start_pool,
}


def fork_many(frame: pl.DataFrame) -> pl.DataFrame:
    """Start as many processes as the rows ask for, each of which waits, and wait for them."""
    for count in frame["forks"]:
        pids = []
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                signal.pause()
            pids.append(pid)
        if count:
            signal.pause()
    return frame


# ------------------------------------------------------------------------------ looking around


def try_each(frame: pl.DataFrame) -> pl.DataFrame:
    """Try what each row says (``what`` and ``where``) and add what came of it."""
    came = [_try(what, where) for what, where in frame.select("what", "where").rows()]
    return frame.with_columns(came=pl.Series(came, dtype=pl.String))


def _try(what: str, where: str) -> str:
    """Return ``done: ...`` or ``denied: ...``."""
    try:
        return f"done: {_ATTEMPTS[what](where)}"
    except OSError as error:
        return f"denied: {type(error).__name__}"


def _read(path: str) -> str:
    return Path(path).read_bytes().decode(errors="replace")


def _write(path: str) -> str:
    Path(path).write_text("written by a step")
    return path


def _append(path: str) -> str:
    with Path(path).open("a") as file:
        file.write("written by a step")
    return path


def _remove(path: str) -> str:
    Path(path).unlink()
    return path


def _list(path: str) -> str:
    return " ".join(sorted(os.listdir(path)))  # noqa: PTH208


def _signal(pid: str) -> str:
    # 0 asks only whether it may; a stopped process would hang the tests.
    os.kill(int(pid), 0)
    os.kill(int(pid), signal.SIGCONT)
    return pid


def _read_memory(pid: str) -> str:
    """Read the other process's memory by process_vm_readv(2), as a debugger does."""
    libc = ctypes.CDLL(None, use_errno=True)
    into = ctypes.create_string_buffer(8)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(into), 8)
    # A forked worker has the same memory layout as the fork server: any address of ours will do.
    remote = (ctypes.c_void_p * 2)(ctypes.addressof(into), 8)
    if libc.process_vm_readv(int(pid), local, 1, remote, 1, 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "read"


def _trace(pid: str) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    seize = 0x4206
    if libc.ptrace(seize, int(pid), None, None) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "traced"


def _variable(name: str) -> str:
    return os.environ.get(name, "(unset)")


def _descriptors(_: str) -> str:
    """Return number and target of every open descriptor, but for the one that lists them."""
    found = {}
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except FileNotFoundError:
            continue
    kinds = {n: to.removeprefix("anon_inode:").split(":")[0] for n, to in found.items()}
    return "; ".join(f"{number} {kinds[number]}" for number in sorted(kinds))


def _socket(family: str) -> str:
    socket.socket(getattr(socket, family), socket.SOCK_STREAM).close()
    return family


def _connect(address: str) -> str:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5):
        return address


def _abstract(name: str) -> str:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect("\0" + name)
    return name


def _scratch(text: str) -> str:
    """Write a temporary file and read it back; return where it was."""
    folder = tempfile.mkdtemp()
    path = Path(folder) / "file.txt"
    path.write_text(text)
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write(path.read_text())
        file.seek(0)
        assert file.read() == text
    return str(path)


def _open_many(count: str) -> str:
    """Open so many files at most; return how many there were room for."""
    held: list[int] = []
    try:
        while len(held) < int(count):
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return str(len(held))
    finally:
        for fd in held:
            os.close(fd)
    return str(len(held))


_ATTEMPTS: dict[str, Callable[[str], str]] = {
    "read": _read,
    "write": _write,
    "append": _append,
    "remove": _remove,
    "list": _list,
    "signal": _signal,
    "read_memory": _read_memory,
    "trace": _trace,
    "variable": _variable,
    "descriptors": _descriptors,
    "socket": _socket,
    "connect": _connect,
    "abstract": _abstract,
    "scratch": _scratch,
    "open_many": _open_many,
}


def use_a_wall(frame: pl.DataFrame) -> pl.DataFrame:
    """Call a wall where it cannot work, and add what it says."""
    try:
        fd.Wall(double)(frame)
        came = "it worked"
    except fd.FiredoorError as error:
        came = f"{type(error).__name__}: {error}"
    return frame.with_columns(came=pl.lit(came))


# ------------------------------------------------------------------------------------ speaking


def speak(frame: pl.DataFrame) -> pl.DataFrame:
    """Say what each row asks for, where it asks for."""
    for where, text in frame.select("where", "text").rows():
        _SPEAKERS[where](text)
    return frame


def speak_and_crash(frame: pl.DataFrame) -> pl.DataFrame:
    """Say it, and die at once."""
    speak(frame)
    os.abort()


def _speak_by_thread(text: str) -> None:
    thread = threading.Thread(target=print, args=(text,))
    thread.start()
    thread.join()


def _flood(text: str) -> None:
    line, _, count = text.partition(" x ")
    for number in range(int(count)):
        sys.stdout.write(f"{line} {number}\n")


def _garbage(_: str) -> None:
    os.write(1, bytes(range(256)) * 64 + b"\n\x1e\x1e\x1e\n\x1e99999999999999999999\x1ex\x1ey\n")


_SPEAKERS: dict[str, Callable[[str], object]] = {
    "print": print,
    "unfinished": lambda text: os.write(1, text.encode()),
    "stderr": lambda text: print(text, file=sys.stderr),
    "descriptor": lambda text: os.write(1, f"{text}\n".encode()),
    "child": lambda text: subprocess.run(["echo", text], check=True),  # noqa: S607
    "thread": _speak_by_thread,
    "debug": lambda text: logging.getLogger("library").debug(text),
    "info": lambda text: logging.getLogger("library").info(text),
    "warning": lambda text: logging.getLogger("library.part").warning(text),
    "error": lambda text: logging.getLogger("library").error(text),
    "surrogate": lambda text: logging.getLogger("library").info("%s \udcff", text),
    "flood": _flood,
    "garbage": _garbage,
}
