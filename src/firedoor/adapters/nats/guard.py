"""Keep nats-server from outliving whoever started it.

Run as ``python -I -S guard.py LOCK COMMAND ...`` by ``server``, in a session of its own: it starts
the command, says its pid on standard output, and waits. Standard input is a pipe that the
supervisor holds and never writes to: its end of file, whichever way the supervisor ended, ends the
server. Should the guard itself be killed, Linux ends the server (the guard has one thread, so that
its death is its thread's). Imports nothing of firedoor: it starts in 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

STOP_S = 5.0
PR_SET_PDEATHSIG = 1
NOT_STARTED = 127


def main(arguments: list[str]) -> int:
    """Start the command, and return what it ended with."""
    lock, command = int(arguments[0]), arguments[1:]
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if sys.platform == "linux" else os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _nothing)
    guard = os.getpid()
    server = os.fork()
    if server == 0:
        _become(command, guard)
    os.close(lock)  # the server's copy is the lock: it is held for as long as the server lives
    os.write(1, f"{server}\n".encode())
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            numbers = os.read(woken, 64)
            ended, status = os.waitpid(server, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status) & 0xFF
            if signal.SIGTERM in numbers:
                break
        if 0 in ready and not os.read(0, 64):
            break
    return _stop(server, woken)


def _nothing(_number: int, _frame: object) -> None:
    """Take a signal: the pipe that it wakes is what counts."""


def _become(command: list[str], guard: int) -> None:
    """Turn this process into the server; does not return."""
    try:
        signal.set_wakeup_fd(-1)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != guard:
                os._exit(NOT_STARTED)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.execv(command[0], command)  # noqa: S606 - the command is firedoor's own
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def _stop(server: int, woken: int) -> int:
    """End the server, kindly first, and return what it ended with."""
    os.kill(server, signal.SIGTERM)
    while select.select([woken], [], [], STOP_S)[0]:
        os.read(woken, 64)
        ended, status = os.waitpid(server, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) & 0xFF
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
