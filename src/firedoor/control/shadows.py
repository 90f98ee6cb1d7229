"""What a person is told of new code that is tried beside the live one. Pure."""

from __future__ import annotations

from firedoor.flow.code import slower
from firedoor.wire.shadow import Shadow

WHY_MAX = 20
MESSAGE_LINES = 4


def in_short(zone: str, shadow: Shadow) -> str:
    """Return a line about what is tried now; empty once it has ended well, or was aborted."""
    if shadow.state in {"live", "aborted"}:
        return ""
    if shadow.state == "failed":
        return f"{zone}: version {shadow.version} did not take over: {_first(shadow.ended)}"
    words = f"{zone}: version {shadow.version} is tried beside {shadow.beside}: {_state(shadow)}"
    return f"{words}; next: {next_command(zone, shadow)}"


def in_full(zone: str, shadow: Shadow | None) -> list[str]:
    """Return lines about what is tried, or was tried last."""
    if shadow is None:
        return []
    by = f" by {shadow.by}" if shadow.by else ""
    because = f": {shadow.because}" if shadow.because else ""
    head = f"version {shadow.version} from {shadow.code}, tried beside {shadow.beside}{by}{because}"
    lines = [head]
    if shadow.state in {"live", "failed", "aborted"}:
        ended = f": {shadow.ended}" if shadow.ended else ""
        lines.append(f"  it is {shadow.state}{ended}")
    else:
        lines.append(f"  {_state(shadow)}")
        lines.append(f"  next: {next_command(zone, shadow)}")
    verdict = shadow.verdict
    for why in verdict.why[:WHY_MAX]:
        lines += [f"    {line}" for line in why.splitlines()[:MESSAGE_LINES]]
    return lines + [f"  {line}" for line in _costs(shadow)]


def next_command(zone: str, shadow: Shadow) -> str:
    """Return what a person should do."""
    verdict = shadow.verdict
    deploy = f"firedoor zone deploy {zone}"
    if shadow.state == "switching":
        return "nothing: it takes over now"
    match verdict.word:
        case "worse" if verdict.complete:
            return f"correct the code and try again, or {deploy} --abort"
        case "differs" if verdict.complete:
            return f"{deploy} --confirm if that is meant, else {deploy} --abort"
        case "same" | "allowed":
            return (
                f"nothing: it takes over now (without a supervisor, roll it out as you do; "
                f"{deploy} --confirm asks for it)"
                if shadow.auto
                else f"{deploy} --confirm"
            )
        case _:
            return f"wait for more batches; {deploy} --abort ends it"


def _state(shadow: Shadow) -> str:
    """Return the verdict in a few words, with how far it is."""
    verdict = shadow.verdict
    if shadow.state == "switching":
        return "it takes over"
    progress = "" if verdict.complete and verdict.word != "worse" else f" ({verdict.progress})"
    if verdict.word == "not yet":
        return f"not yet{progress}"
    return f"{verdict.word}{progress}: {_first(verdict.why[0])}"


def _costs(shadow: Shadow) -> list[str]:
    """Return what it costs, and what was not seen."""
    evidence = shadow.evidence
    lines = []
    ratio = slower(evidence)
    if ratio is not None:
        memory = ""
        if evidence.peak_bytes_old and evidence.peak_bytes_new:
            memory = f", {evidence.peak_bytes_new / evidence.peak_bytes_old:.2f} times the memory"
        lines.append(f"it takes {ratio:.2f} times as long in the step{memory}")
    if evidence.skipped:
        lines.append(f"{evidence.skipped:,} batches came while it was at work, and were not tried")
    if evidence.waited:
        lines.append(f"{evidence.waited:,} batches could not be tried: {_first(evidence.last)}")
    return lines


def _first(text: str) -> str:
    """Return the first line of a text."""
    return text.splitlines()[0] if text else ""
