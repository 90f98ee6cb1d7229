"""Who holds a store, and which firedoor can read it.

nats-server locks nothing: two of them on one store both acknowledge, and both are wrong. The lock
is a descriptor that the server inherits, so that it is held for exactly as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import select
from pathlib import Path

import msgspec

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats.configs import STORE_VERSION
from firedoor.adapters.nats.users import write_private
from firedoor.errors import ProjectBusy, StoreRefused

POLL_S = 0.01
_CLOCK = SystemClock()


class StoreVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Which firedoor can read a store."""

    store: str


def take_lock(nats: Path, wait_s: float) -> int:
    """Return the descriptor of the lock that the server inherits.

    Raises:
        ProjectBusy: if a server holds it.
    """
    descriptor = os.open(nats / "alone", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    ends_s = _CLOCK.now_s() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _CLOCK.now_s() < ends_s:
                select.select([], [], [], POLL_S)
                continue
            os.close(descriptor)
            pid = server_pid(nats)
            message = (
                f"a nats-server (pid {pid or 'unknown'}) is at work on {nats / 'store'}: let its "
                f"run end, or use another --project folder; if there is none, kill {pid or 'it'}"
            )
            raise ProjectBusy(message) from None
        else:
            return descriptor


def server_pid(nats: Path) -> int | None:
    """Return the process that the server's file names, running or not."""
    try:
        return int((nats / "pid").read_text())
    except (OSError, ValueError):
        return None


def locked(nats: Path) -> bool:
    """Return whether a server is at work on a store."""
    try:
        descriptor = os.open(nats / "alone", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_version(nats: Path) -> None:
    """Check that this firedoor can read a store; mark a new one.

    Raises:
        StoreRefused: if it cannot.
    """
    path, store = nats / "version.json", nats / "store"
    if not path.exists():
        if store.exists() and any(store.iterdir()):
            message = f"{store} has no version beside it: firedoor did not write it, or before 1"
            raise StoreRefused(f"{message}; use another --project folder")
        write_private(path, msgspec.json.encode(StoreVersion(store=STORE_VERSION)))
        return
    try:
        version = msgspec.json.decode(path.read_bytes(), type=StoreVersion).store
    except (msgspec.DecodeError, UnicodeError) as error:
        message = f"{path} cannot be read ({error}): restore it, or use another --project folder"
        raise StoreRefused(message) from error
    if version != STORE_VERSION:
        message = (
            f"{store} was written by store version {version}, this firedoor reads "
            f"{STORE_VERSION}: use the firedoor that wrote it, or another --project folder"
        )
        raise StoreRefused(message)
