"""Ids of requests and predictions."""

from __future__ import annotations

import random
import re

REQUEST_ID_MAX = 128
TAG_MAX = 24
_ID = re.compile(r"(?P<ms>[0-9a-f]{12})-(?P<tag>[0-9a-z]{1,24})-(?P<chance>[0-9a-f]{12})")


class Identities:
    """Makes the ids of one gateway's predictions."""

    __slots__ = ("_chance", "_head", "_middle", "_ms", "tag")

    def __init__(self, gateway: str, chance: random.Random) -> None:
        """Begin; ids of two gateways differ if their names or their chances do."""
        self.tag = tag_of(gateway)
        self._middle = f"-{self.tag}-"
        self._chance = chance
        self._ms, self._head = -1, ""

    def make(self, utc_s: float) -> str:
        """Return an id: 12 hexadecimal digits of milliseconds since 1970, tag, chance."""
        ms = int(utc_s * 1000)
        if ms != self._ms:  # many ids are made in one millisecond
            self._ms, self._head = ms, f"{ms:012x}{self._middle}"
        return f"{self._head}{self._chance.getrandbits(48):012x}"


def tag_of(gateway: str) -> str:
    """Return the part of ids that names a gateway: its letters and digits, in lower case.

    >>> tag_of("Host-7/gateway_1")
    'host7gateway1'
    """
    kept = "".join(letter for letter in gateway.lower() if letter.isascii() and letter.isalnum())
    return kept[-TAG_MAX:] or "gateway"


def gateway_of(prediction: str) -> str:
    """Return the tag of the gateway that made a prediction; empty: it is no id of a prediction."""
    found = _ID.fullmatch(prediction)
    return found["tag"] if found else ""


def clean(request_id: str) -> str:
    r"""Return a caller's id with what can stand in a header and a log line; at most 128 characters.

    >>> clean("order 7\r\nX-Evil: 1")
    'order 7X-Evil: 1'
    """
    cut = request_id[:REQUEST_ID_MAX]
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(letter for letter in cut if letter.isascii() and letter.isprintable())
