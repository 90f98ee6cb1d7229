"""The quality gate over a window of rows: pass, dead-letter, throttle, halt.

| What the window shows | Verdict |
|---|---|
| few dead rows, none of them in the batch | ``Pass`` |
| few dead rows, some of them in the batch | ``DeadLetter`` |
| a share above ``throttle_share``, wherever they are | ``Throttle``: the more, the longer |
| a share above ``dead_max``, some of them in the batch | ``Halt`` |

Fewer than ``rows_min`` rows show nothing. Throttling ends at half of ``throttle_share``, so that it
does not flap. The batch that tips the window over is not counted in it: it is given back as it
came, and nothing of it is buried. With a new generation (``resume``, ``restart``, ``deploy``) the
window starts empty. Contrast, a fault of the step in one batch, is judged in the wall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

PIECES = 64
"""The window slides in so many pieces, so that batches of a row each do not make it long."""
SIGNATURES_MAX = 16
"""Signatures remembered a piece; further ones count, but cannot be named."""
CODE = "dead_max"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPolicy:
    """When bad rows slow a zone down, and when they halt it."""

    throttle_share: float = 0.02
    """Share of dead rows above which the pull is slowed. Range 0 to 1; 1 disables."""
    dead_max: float = 0.1
    """Share of dead rows above which the zone halts. Range 0 to 1; 1 disables."""
    window_rows: int = 100_000
    """Rows that are looked at, the latest ones. At least 1."""
    rows_min: int = 1_000
    """Rows below which neither is judged. From 1 to ``window_rows``."""
    throttle_max_s: float = 5.0
    """Longest wait between two batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some batches running: a piece of the window."""

    rows: int = 0
    dead: int = 0
    signatures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The latest rows, oldest first, and whether the pull is slowed for them."""

    pieces: tuple[Piece, ...] = ()
    rows: int = 0
    dead: int = 0
    throttled: bool = False

    @property
    def share(self) -> float:
        """Share of dead rows, 0 to 1."""
        return self.dead / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing is wrong."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Bury the dead rows of the batch, and go on."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Bury what is dead, and wait so long before the next batch."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Halt:
    """Bury nothing, give the batch back, and stop."""

    code: str
    why: str
    signature: str = ""


Verdict = Pass | DeadLetter | Throttle | Halt


def judge(
    window: Window, rows: int, dead: Mapping[str, int], policy: VerdictPolicy
) -> tuple[Window, Verdict]:
    """Return the window with a batch of so many rows in it, and what to do with the batch.

    ``dead`` holds its dead rows by signature. On ``Halt`` the window is the one that came in.
    """
    count = sum(dead.values())
    seen = _slide(window, Piece(rows=rows, dead=count, signatures=dead), policy)
    judged = seen.rows >= policy.rows_min
    if judged and count and seen.share > policy.dead_max:
        return window, _halt(seen, policy)
    leave = policy.throttle_share / 2
    bound = leave if window.throttled else policy.throttle_share
    throttled = judged and seen.share > bound
    seen = replace(seen, throttled=throttled)
    if throttled:
        return seen, Throttle(_wait_s(seen.share, leave, policy))
    return seen, DeadLetter() if count else Pass()


def _wait_s(share: float, leave: float, policy: VerdictPolicy) -> float:
    """Return a wait that grows from nothing to its maximum, reached where the zone would halt."""
    room = policy.dead_max - leave
    part = (share - leave) / room if room > 0 else 1.0
    return policy.throttle_max_s * min(1.0, part)


def _halt(window: Window, policy: VerdictPolicy) -> Halt:
    """Name the most frequent way in which rows of the window died."""
    counts: Counter[str] = Counter()
    for piece in window.pieces:
        counts.update(piece.signatures)
    signature, rows = max(counts.items(), key=lambda item: (item[1], item[0]))
    why = (
        f"{window.dead:,} of the latest {window.rows:,} rows are bad, more than the "
        f"{policy.dead_max:.1%} of dead_max; {rows:,} of them by: {signature}"
    )
    return Halt(CODE, why, signature)


def _slide(window: Window, batch: Piece, policy: VerdictPolicy) -> Window:
    """Return the rows of a window and a batch, without what is older than the window."""
    pieces = list(window.pieces)
    if pieces and pieces[-1].rows + batch.rows <= policy.window_rows / PIECES:
        batch = _join(pieces.pop(), batch)
    pieces.append(_shorten(batch))
    rows = sum(piece.rows for piece in pieces)
    gone = 0
    while rows - pieces[gone].rows >= policy.window_rows:
        rows -= pieces[gone].rows
        gone += 1
    del pieces[:gone]
    return Window(
        pieces=tuple(pieces),
        rows=rows,
        dead=sum(piece.dead for piece in pieces),
    )


def _join(first: Piece, second: Piece) -> Piece:
    """Return two pieces as one."""
    counts = Counter(first.signatures)
    counts.update(second.signatures)
    return Piece(rows=first.rows + second.rows, dead=first.dead + second.dead, signatures=counts)


def _shorten(piece: Piece) -> Piece:
    """Forget the rarest signatures where there are too many."""
    if len(piece.signatures) <= SIGNATURES_MAX:
        return piece
    ranked = sorted(piece.signatures.items(), key=lambda item: (-item[1], item[0]))
    return replace(piece, signatures=dict(ranked[:SIGNATURES_MAX]))
