"""Pages about guards that are made from their code: states, defaults, and the order of mechanisms.

`make docs` writes them with the rest of `docs/reference/`. The transitions are found by driving the
pure functions through every state with everything that can happen; nothing is drawn by hand.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise

from firedoor.guards import breaker as b
from firedoor.guards import shedding
from firedoor.guards.budget import BudgetPolicy
from firedoor.guards.bulkhead import BulkheadPolicy
from firedoor.guards.deadline import DeadlinePolicy
from firedoor.guards.fallback import Previous, Stale
from firedoor.guards.limit import LimitPolicy
from firedoor.guards.order import ORDER
from firedoor.guards.rate import RatePolicy
from firedoor.guards.retry import RetryPolicy
from firedoor.guards.shedding import SheddingPolicy
from firedoor.guards.window import Counts

POLICIES: tuple[tuple[str, type], ...] = (
    ("breaker", b.BreakerPolicy),
    ("retry", RetryPolicy),
    ("budget", BudgetPolicy),
    ("limit (adaptive)", LimitPolicy),
    ("limit (fixed)", BulkheadPolicy),
    ("shedding", SheddingPolicy),
    ("rate", RatePolicy),
    ("timeout and deadline", DeadlinePolicy),
    ("fallback", Stale),
    ("fallback", Previous),
)
POLICY = b.BreakerPolicy()
NOW_S = 100.0
TOO_MANY = Counts(calls=10, bad=10, consecutive=10)
Edge = tuple[str, str, str]


def field_notes(kind: type) -> dict[str, str]:
    """Return the string under each field of a dataclass."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    notes = {}
    for field, note in pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(note, ast.Expr) and isinstance(note.value, ast.Constant):
            notes[field.target.id] = " ".join(str(note.value.value).replace("``", "`").split())
    return notes


def defaults() -> str:
    """Return the fields of every policy with their defaults."""
    parts = []
    for use, kind in POLICIES:
        notes = field_notes(kind)
        rows = [
            f"### `{kind.__name__}` ({use})",
            "",
            "| Field | Default | Meaning |",
            "|---|---|---|",
        ]
        for field in dataclasses.fields(kind):
            default = "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
            rows.append(f"| `{field.name}` | {default} | {notes[field.name]} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def order() -> str:
    """Return the order of mechanisms with its reasons."""
    rows = ["| | Mechanism | Why there |", "|---|---|---|"]
    rows += [f"| {n} | {position.name} | {position.why} |" for n, position in enumerate(ORDER, 1)]
    return "\n".join(rows)


def states() -> str:
    """Return the states of the breaker and of the queue, and what leads from one to another."""
    return "\n\n".join(
        [
            "### The breaker",
            "```text\n" + draw(breaker_edges()) + "\n```",
            "A result of a call that was let in before the latest change leads nowhere.",
            "### The queue of a limit",
            "```text\n" + draw(queue_edges()) + "\n```",
        ]
    )


def draw(edges: list[Edge]) -> str:
    """Return transitions as text, by the state that they leave."""
    width = max(len(source) for source, _, _ in edges)
    middle = max(len(what) for _, what, _ in edges)
    lines, last = [], ""
    for source, what, target in edges:
        name = source if source != last else ""
        lines.append(f"{name:<{width}} --[ {what:<{middle}} ]--> {target}".rstrip())
        last = source
    return "\n".join(lines)


def breaker_edges() -> list[Edge]:
    """Return every change of the breaker's mode, by trying everything in every mode."""
    found: list[Edge] = []
    for source in _breakers():
        for what, target in _tries(source):
            edge = (b.word(source), what, b.word(target))
            if target.generation != source.generation and edge[0] != edge[2]:
                found.append(edge)
    return found


def _breakers() -> Iterator[b.Breaker]:
    """Return a breaker in each mode."""
    closed = b.Breaker()
    opened, _ = b.step(closed, b.Bad(generation=0, counts=TOO_MANY), POLICY, NOW_S)
    half, _, _ = b.ask(opened, POLICY, NOW_S + 60, lease_s=1)
    forced, _ = b.step(closed, b.Ordered("open", "x", "x"), POLICY, NOW_S)
    disabled, _ = b.step(closed, b.Ordered("disable", "x", "x"), POLICY, NOW_S)
    yield from (closed, opened, half, forced, disabled)


def _tries(source: b.Breaker) -> Iterator[tuple[str, b.Breaker]]:
    """Return the breaker after each thing that can happen, in words."""
    mark = source.generation
    probe = isinstance(source.mode, b.HalfOpen)
    events: list[tuple[str, b.Event]] = [
        ("a good probe" if probe else "a good call", b.Good(mark)),
        ("a bad or slow probe" if probe else "a bad call", b.Bad(generation=mark)),
        ("a cancelled probe, or one of bad data", b.Neutral(mark)),
        ("another process probes", b.Denied(generation=mark, wait_s=1)),
    ]
    if not probe:
        too_many = b.Bad(generation=mark, counts=TOO_MANY)
        events.append(("half of twenty calls bad, or ten in a row", too_many))
    now_s = NOW_S + 60.1
    for what, event in events:
        yield what, b.step(source, event, POLICY, now_s)[0]
    lapsed = "the lease of the probe is over" if probe else "a call, when a probe is due"
    yield lapsed, b.ask(source, POLICY, NOW_S + 120, lease_s=1)[0]
    for order_name, verb in (("open", "force_open"), ("disable", "disable"), ("close", "reset")):
        event = b.Ordered(order_name, "x", "x")  # type: ignore[arg-type]
        yield f"guard.{verb}()", b.step(source, event, POLICY, now_s)[0]


def queue_edges() -> list[Edge]:
    """Return every change between an empty queue, a queue, and one that does not empty."""
    policy = SheddingPolicy()
    found: list[Edge] = []
    one, _ = shedding.step(
        shedding.Queue(), shedding.Came(number=1, priority="default"), policy, NOW_S
    )
    starts = [(shedding.Queue(), NOW_S), (one, NOW_S + 0.05), (one, NOW_S + 0.5)]
    for queue, now_s in starts:
        events: list[tuple[str, shedding.Came | shedding.Room | shedding.Left, float]] = [
            ("a call finds no room", shedding.Came(number=2, priority="default"), 0.0),
            ("there is room: who waits begins", shedding.Room(inflight=0, limit=10), 0.0),
            ("who waits gives up", shedding.Left(1), 0.0),
            ("100 ms pass without room", shedding.Room(inflight=9, limit=1), 0.06),
        ]
        for what, event, later_s in events:
            after = _queue_word(shedding.step(queue, event, policy, now_s)[0], now_s + later_s)
            if after != _queue_word(queue, now_s):
                found.append((_queue_word(queue, now_s), what, after))
    return found


def _queue_word(queue: shedding.Queue, now_s: float) -> str:
    """Return the state of a queue in words."""
    policy = SheddingPolicy()
    if not queue.waiting:
        return "empty"
    if shedding.overloaded(queue, policy, now_s):
        return f"not emptying (wait <= {policy.target_s * 1000:g} ms, newest first)"
    return f"waiting (wait <= {policy.interval_s * 1000:g} ms, oldest first)"


def page(written: str) -> str:
    """Return the page."""
    parts = [
        "# How guards behave",
        written,
        "## Order",
        "Outermost first; `firedoor.guards.order` is the source.",
        order(),
        "## States",
        states(),
        "## Defaults",
        defaults(),
    ]
    return "\n\n".join(parts) + "\n"
