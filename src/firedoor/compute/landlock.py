"""The kernel's side of the seal: Landlock, a system-call filter, capabilities, through ctypes.

Only the standard library is imported here: the caller is a process that was just forked, or that
has not imported polars yet, since Landlock binds the calling thread and those it starts afterwards.

Sources: linux/landlock.h; Documentation/userspace-api/landlock.rst (rights by ABI);
linux/seccomp.h; capabilities(7). The numbers of the three Landlock system calls are the same on
every architecture.
"""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import struct
import sys
from collections.abc import Iterable

LINUX = sys.platform == "linux"

_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_RULE_NET_PORT = 2
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
_MAKE_CHAR = 1 << 6
_MAKE_BLOCK = 1 << 11
TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | _IOCTL_DEV

READ = EXECUTE | READ_FILE | READ_DIR
# A device node is a way around every rule about paths: root could make one for the disk.
WRITE = ((1 << 15) - 1) & ~(_MAKE_CHAR | _MAKE_BLOCK)

ABI_TRUNCATE = 3
ABI_NETWORK = 4
ABI_SCOPES = 6
_RIGHTS_BY_ABI = ((1, 13), (2, 14), (3, 15), (5, 16))
_BIND_TCP = 1 << 0
_CONNECT_TCP = 1 << 1
_SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0
_SCOPE_SIGNAL = 1 << 1

# Files of others stay readable to root, as everywhere; all other privileges go.
_KEPT_CAPABILITIES = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4  # CHOWN, DAC_OVERRIDE, FOWNER, FSETID
_CAPABILITY_VERSION_3 = 0x20080522

_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Machine: its number in an audit record, and the number of socket(2)."""
_X32 = 0x4000_0000
_IO_URING_SETUP = 425
_AF_INET, _AF_INET6, _AF_NETLINK = 2, 10, 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def abi() -> int:
    """Return the version of Landlock that the running kernel offers, 0 for none."""
    if not LINUX:
        return 0
    found = _libc.syscall(
        ctypes.c_long(_CREATE_RULESET),
        ctypes.c_void_p(None),
        ctypes.c_size_t(0),
        ctypes.c_uint32(_CREATE_RULESET_VERSION),
    )
    return max(0, int(found))


def rights(version: int) -> int:
    """Return all rights on files that a version of Landlock knows, of those known here."""
    bits = max((count for since, count in _RIGHTS_BY_ABI if version >= since), default=0)
    return (1 << bits) - 1


def set_no_new_privileges() -> None:
    """Give up, for good, gaining privileges by executing a program.

    Raises:
        OSError: if the kernel refuses.
    """
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


class Ruleset:
    """What is allowed; everything else that ``version`` knows of is denied once in force."""

    def __init__(self, version: int, *, restrict_network: bool) -> None:
        """Make an empty ruleset.

        Raises:
            OSError: if the kernel refuses.
        """
        self._handled = rights(version)
        attr = struct.pack(
            "QQQ",
            self._handled,
            _BIND_TCP | _CONNECT_TCP if restrict_network and version >= ABI_NETWORK else 0,
            _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if version >= ABI_SCOPES else 0,
        )
        # An older kernel refuses fields that it does not know, even when they are empty.
        size = 24 if version >= ABI_SCOPES else 16 if version >= ABI_NETWORK else 8
        self._fd = _check(
            _libc.syscall(
                ctypes.c_long(_CREATE_RULESET),
                attr,
                ctypes.c_size_t(size),
                ctypes.c_uint32(0),
            ),
            "landlock_create_ruleset",
        )

    def allow(self, paths: Iterable[str], access: int) -> None:
        """Allow ``access`` to each file, or to everything in each folder. Skips what is gone."""
        for path in paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                folder = stat.S_ISDIR(os.fstat(fd).st_mode)
                allowed = access & self._handled & (-1 if folder else _OF_FILES)
                if allowed:
                    self._add(_RULE_PATH_BENEATH, struct.pack("=Qi", allowed, fd))
            finally:
                os.close(fd)

    def allow_connecting(self, ports: Iterable[int]) -> None:
        """Allow connecting to TCP ports. Needs ABI 4."""
        for port in ports:
            self._add(_RULE_NET_PORT, struct.pack("QQ", _CONNECT_TCP, port))

    def enforce(self) -> None:
        """Put the ruleset in force for this thread and whatever it starts, for good.

        Raises:
            OSError: if the kernel refuses, for example because 16 rulesets are in force already.
        """
        result = _libc.syscall(
            ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(self._fd), ctypes.c_uint32(0)
        )
        _check(result, "landlock_restrict_self")

    def close(self) -> None:
        """Close the ruleset; what is in force stays in force."""
        os.close(self._fd)

    def _add(self, kind: int, attr: bytes) -> None:
        """Add one rule."""
        result = _libc.syscall(
            ctypes.c_long(_ADD_RULE),
            ctypes.c_int(self._fd),
            ctypes.c_int(kind),
            attr,
            ctypes.c_uint32(0),
        )
        _check(result, "landlock_add_rule")


def drop_capabilities() -> bool:
    """Give up root's privileges over the machine, for good; return whether there were any.

    Kept are those about the owner and mode of files. Gone are, among others, raising one's own
    limits, tracing, making device nodes, mounting, loading kernel modules and rebooting. Needs
    ``set_no_new_privileges`` first: root would gain them again by executing a program.

    Raises:
        OSError: if the kernel refuses.
    """
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data), "capget")
    words = struct.unpack("6I", data.raw)
    permitted = words[1] | words[4] << 32
    if not permitted & ~_KEPT_CAPABILITIES:
        return False
    kept = permitted & _KEPT_CAPABILITIES
    low, high = kept & 0xFFFF_FFFF, kept >> 32
    _check(_libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)), "capset")
    return True


def deny_sockets(*, all_of_them: bool) -> bool:
    """Deny making sockets: all, or all but TCP and UDP; return whether that is in force.

    Landlock restricts TCP only. Socket pairs stay possible, and sockets held already stay usable.
    Needs ``set_no_new_privileges`` first.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if not LINUX or known is None or sys.maxsize < 2**32:
        return False
    audit_number, socket_number = known
    program = _socket_filter(audit_number, socket_number, all_of_them=all_of_them)
    attr = _Program(len(program) // 8, program)
    return bool(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(attr), 0, 0) == 0)


def _socket_filter(audit_number: int, socket_number: int, *, all_of_them: bool) -> bytes:
    """Return the program for seccomp: jumps are counted from the following instruction."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, deny = 0x7FFF_0000, 0x0005_0000 | 13  # EACCES
    families = () if all_of_them else (_AF_INET, _AF_INET6, _AF_NETLINK)
    count = len(families)
    code = [
        (load, 0, 0, 4),  # the architecture: no 32-bit calls, whose numbers differ
        (equal, 0, 5 + count, audit_number),
        (load, 0, 0, 0),  # the number of the call
        (at_least, 3 + count, 0, _X32),
        (equal, 2 + count, 0, _IO_URING_SETUP),  # it can make sockets out of the filter's sight
        (equal, 0, 2 + count, socket_number),
        (load, 0, 0, 16),  # its first argument, the address family
        *((equal, count - index, 0, family) for index, family in enumerate(families)),
        (give, 0, 0, deny),
        (give, 0, 0, allow),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _check(result: int, what: str) -> int:
    """Return a system call's result, or raise its error."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return int(result)
