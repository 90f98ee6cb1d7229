"""The evidence pack: what a rolled-back version failed at, for its successor to be tried on."""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.wire.prediction import Feature
from firedoor.wire.serving import FAILURES, Outcome

PACK_VERSION = 1
DEATHS = ("hang", "memory")
"""Of which workers are ended; ``hang``: also of keeping processors busy."""


class Replayable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request as a version was given it, features included."""

    kind: Literal["failing", "good"]
    """``failing``: the candidate failed. ``good``: the champion answered it well."""
    form: int
    body: bytes
    json_bytes: int = 0
    extra: bytes = b""
    """Looked-up columns as they were used, msgpack."""
    features: tuple[Feature, ...] = ()
    outcome: int = 0
    """Of the candidate, ``wire.serving.Outcome``; of good ones OK."""
    signature: str = ""
    """What the failure is counted by."""
    message: str = ""
    slices: tuple[str, ...] = ()
    scores: bytes = b""
    """Of good ones: what the champion said, float64 a row."""
    prediction: str = ""
    at_s: float = 0.0


class Pack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one gateway kept of one rollout; packs of several gateways are read one by one."""

    version: int = PACK_VERSION
    service: str
    gateway: str
    rollout: str
    model: str = ""
    candidate: int = 0
    digest: str = ""
    """Of the candidate's bundle."""
    seen: dict[str, int] = {}
    """Failures by signature, of which only some are kept."""
    requests: tuple[Replayable, ...] = ()


class Replayed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a pack's requests, asked again of another version."""

    failing: dict[str, tuple[int, int]] = {}
    """By signature of failure: how many were asked, how many failed again."""
    good: int = 0
    """Requests asked that had been answered well."""
    broken: int = 0
    """How many of them failed now."""
    kinds: tuple[str, ...] = ()
    """Ways in which the version failed that was rolled back, see ``kind_of``."""
    missing: str = ""
    """Why not all could be asked; empty: they were."""


class ReplayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The value of ``replay.SERVICE``: which pack is to be replayed on which version."""

    number: int
    """Of the order; a report names it."""
    pack: str
    """The rollout whose pack it is."""
    digest: str
    """Of the version's bundle."""


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """The value of ``replayed.SERVICE``: what one gateway found, for all."""

    number: int
    gateway: str
    replayed: Replayed


def kind_of(request: Replayable) -> str:
    """Return in which way a request was failed at: an outcome, or of what its worker died.

    Empty of good ones, and of what another version of firedoor calls a failure.

    >>> kind_of(Replayable(kind="failing", form=1, body=b"", outcome=13, signature="SIGSEGV"))
    'died'
    >>> kind_of(Replayable(kind="failing", form=1, body=b"", outcome=13, signature="hang in a:b"))
    'hang'
    """
    if request.outcome == Outcome.DIED:
        cause = request.signature.partition(" ")[0]
        return cause if cause in DEATHS else "died"
    return _KINDS.get(request.outcome, "")


_KINDS = {int(outcome): outcome.name.lower() for outcome in FAILURES}
_packs = msgspec.msgpack.Decoder(Pack)


def encode_pack(pack: Pack) -> bytes:
    """Return it as msgpack."""
    return msgspec.msgpack.encode(pack)


def decode_pack(data: bytes) -> Pack:
    """Return the pack.

    Raises:
        ValueError: if it is none, or of a version that is not known here.
    """
    try:
        pack = _packs.decode(data)
    except msgspec.MsgspecError as error:
        message = f"it is no evidence pack: {error}"
        raise ValueError(message) from error
    if pack.version != PACK_VERSION:
        message = f"the pack has version {pack.version}, this firedoor reads {PACK_VERSION}"
        raise ValueError(message)
    return pack
