"""Which messages, batches and requests a fault hits: always the same ones for the same seed."""

from __future__ import annotations

import hashlib

from firedoor.drill.fault import Fault

_RANGE = 2**64


def number_of(seed: int, key: str) -> int:
    """Return a number from 0 to 2**64 that hangs on nothing but the seed and the key.

    >>> number_of(1, "flights-000123") == number_of(1, "flights-000123")
    True
    """
    secret = seed.to_bytes(8, "big")
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, key=secret).digest(), "big")


def chance_of(seed: int, key: str) -> float:
    """Return a number from 0 to 1, likewise."""
    return number_of(seed, key) / _RANGE


def hits(fault: Fault, key: str) -> bool:
    """Return whether what has this key is of the share that a fault hits."""
    return fault.share >= 1 or chance_of(fault.seed, key) < fault.share
