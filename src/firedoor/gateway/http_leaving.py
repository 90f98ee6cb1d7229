"""How a socket leaves a port that others share without a client that is turned away.

Whoever connects while a socket closes is reset by the kernel, and closing takes what was let in but
not taken with it. So the socket first lets go of whoever comes anew: a filter drops the first
packet of a connection, which its client repeats after a second, and finds another server there.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

SETTLE_S = 0.005
"""Time for those to arrive whom the kernel has answered already: several round trips nearby."""

_ATTACH_FILTER = 26
"""``SO_ATTACH_FILTER`` of ``asm-generic/socket.h``, which Python does not name."""
_INSTRUCTION = struct.Struct("=HBBI")
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags: what a filter of a TCP socket sees begins with TCP
    (0x45, 0, 1, 0x02),  # if SYN is set, go on, else skip one
    (0x06, 0, 0, 0),  # keep nothing of the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
)
"""In the classic language of packet filters, see ``Documentation/networking/filter.rst``."""


def let_nobody_in(opened: socket.socket) -> bool:
    """Have a listening socket overlook who connects from now on; return whether it does.

    It does on Linux. Elsewhere whoever connects at the very moment in which it closes is reset.
    """
    if sys.platform != "linux":
        return False
    code = b"".join(_INSTRUCTION.pack(*one) for one in _DROP_SYN)
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(held))
    with contextlib.suppress(OSError):
        opened.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
        return True
    return False
