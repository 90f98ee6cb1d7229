"""A child process that runs a user's file: started, heard out in bounds, and ended.

Its answer comes through a pipe that user code does not know of: what that prints spoils nothing.
"""

from __future__ import annotations

import faulthandler
import io
import os
import re
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from firedoor.adapters.clock import SystemClock
from firedoor.errors import PipelineUnloadable

ANSWER_MAX_BYTES = 64 * 2**20
OUTPUT_KEPT_BYTES = 32 * 2**10
OUTPUT_SHOWN = 12
"""Lines of its last output that an error shows."""
LOOK_S = 0.1
"""How often the child is looked at while it says nothing: a grandchild may hold its pipes open."""
GRACE_S = 5.0
"""The child ends itself at its limit, telling where it hangs; this much later it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a child said, and how it ended."""

    answer: bytes
    output: bytes
    """The last of what it printed."""
    code: int | None
    """Exit code; negative for a signal; None if it still ran at its limit."""


def ask_child(module: str, path: Path, *, timeout_s: float, python: str) -> bytes:
    """Return the answer of ``python -m MODULE`` about a user's file.

    Args:
        module: one of ours, whose main calls ``be_child``.
        path: the user's file.
        timeout_s: longest time that it may take.
        python: the interpreter.

    Raises:
        PipelineUnloadable: if it gives none, with what is known of why.
    """
    took, gave = os.pipe()
    # -P: no module is found by chance, because it lies where the command was typed
    command = [python, "-P", "-m", module, str(path), str(gave), f"{timeout_s}"]
    try:
        child = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(gave,),
            start_new_session=True,
        )
    except OSError as error:
        os.close(took)
        message = f"{path}: cannot be loaded, since no process can be started: {error}"
        raise PipelineUnloadable(message) from error
    finally:
        os.close(gave)
    assert child.stdout is not None, "it is a pipe"
    with child.stdout, io.FileIO(took) as answer:
        try:
            heard = _hear(child, answer, child.stdout, limit_s=timeout_s + GRACE_S)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if not heard.answer:
        raise PipelineUnloadable(_why(path, heard, timeout_s))
    return heard.answer


def be_child(arguments: list[str], work: Callable[[Path], bytes]) -> None:
    """Do the child's part, and end without clean-up: user code has no say in when that is.

    Args:
        arguments: the user's file, the descriptor for the answer, and seconds.
        work: returns the answer.
    """
    path, gave, timeout_s = Path(arguments[0]), int(arguments[1]), float(arguments[2])
    os.set_inheritable(gave, False)  # noqa: FBT003 - the signature of os
    faulthandler.enable()
    faulthandler.dump_traceback_later(timeout_s, exit=True)
    view = memoryview(work(path))
    while view:
        view = view[os.write(gave, view) :]
    sys.stdout.flush()
    os._exit(0)


def _hear(
    child: subprocess.Popen[bytes], answer: io.FileIO, output: IO[bytes], *, limit_s: float
) -> Heard:
    """Read both pipes until the child has ended or its time is over."""
    said, printed = bytearray(), bytearray()
    clock = SystemClock()
    until_s = clock.now_s() + limit_s
    with selectors.DefaultSelector() as selector:
        selector.register(answer, selectors.EVENT_READ, said)
        selector.register(output, selectors.EVENT_READ, printed)
        while clock.now_s() < until_s:
            ended = child.poll() is not None
            ready = selector.select(0 if ended else LOOK_S)
            for key, _ in ready:
                chunk = os.read(key.fd, 2**16)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.extend(chunk)
            del printed[:-OUTPUT_KEPT_BYTES]
            if (ended and not ready) or len(said) > ANSWER_MAX_BYTES:
                break
    # what was said before a death is no answer: it may be half of one
    whole = child.poll() == 0 and len(said) <= ANSWER_MAX_BYTES
    return Heard(answer=bytes(said) if whole else b"", output=bytes(printed), code=child.returncode)


def _why(path: Path, heard: Heard, timeout_s: float) -> str:
    """Say why a child gave no answer, where its file was, and what it printed last."""
    output = heard.output.decode(errors="replace")
    where = _line_in(output, path)
    if heard.code is None or "\nTimeout (" in f"\n{output}":
        message = (
            f"{path}: did not end within {timeout_s:g} s{where}; a pipeline's file declares zones "
            "and reads no data: move slow work into steps and functions"
        )
    elif heard.code < 0:
        message = (
            f"{path}: its import ended the process by {signal.Signals(-heard.code).name}{where}; "
            "run it with `python -X faulthandler` to find the library that does"
        )
    else:
        message = (
            f"{path}: its import ended the process with exit code {heard.code}; "
            "take out os._exit and the like"
        )
    last = output.rstrip().splitlines()[-OUTPUT_SHOWN:]
    return message + "".join(f"\n  | {line[:200]}" for line in last)


def _line_in(output: str, path: Path) -> str:
    """Return where in a file faulthandler saw the process, as `` (at line 12, in load)``."""
    found = re.search(rf'File "{re.escape(str(path))}", line (\d+) in (\S+)', output)
    return f" (at line {found[1]}, in {found[2]})" if found else ""
