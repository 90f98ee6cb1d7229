"""Models as tables and lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firedoor.cli.asking import one_line
from firedoor.cli.verdict_shown import compared
from firedoor.control.board import ago, align
from firedoor.registry.model import ModelState, Version
from firedoor.units import format_bytes
from firedoor.wire.bundle import Field, Manifest
from firedoor.wire.models import Entry, Kept, told
from firedoor.wire.verdict import VerdictNote

if TYPE_CHECKING:
    from rich.table import Table

SHORT = 12
TEXT_CHARACTERS = 60
METRICS_SHOWN = 3
FILES_SHOWN = 20

Side = tuple[Version, Manifest, VerdictNote | None]


def standing_of(kept: Kept) -> dict[str, object]:
    """Return how a model stands, for JSON."""
    state = kept.state
    return {
        "generation": kept.generation,
        "champion": state.champion,
        "challenger": state.challenger,
        "previous": state.previous,
        "versions": len(state.versions),
        "quarantined": len(state.barred),
    }


def models_table(kept: dict[str, Kept], *, now_s: float) -> Table:
    """Return a line a model."""
    table = _table("model", "champion", "challenger", "previous", "versions", "latest change")
    for name, one in kept.items():
        state, latest = one.state, one.latest
        aliases = (state.champion, state.challenger, state.previous)
        when = ""
        if latest is not None:
            when = f"{one_line(told(latest), TEXT_CHARACTERS)}, {ago(now_s - latest.at_s)}"
        shown = ["-" if number is None else str(number) for number in aliases]
        table.add_row(name, *shown, str(len(state.versions)), _plain(when))
    return table


def versions_table(state: ModelState, *, now_s: float) -> Table:
    """Return a line a version."""
    table = _table("version", "state", "alias", "bundle", "figures", "since", "because")
    for version in state.versions:
        figures = [f"{name} {value:.4g}" for name, value in version.metrics.items()]
        more = ["..."] if len(figures) > METRICS_SHOWN else []
        table.add_row(
            str(version.number),
            version.state,
            _alias(state, version.number),
            version.digest[:SHORT],
            _plain(", ".join([*figures[:METRICS_SHOWN], *more])),
            ago(now_s - version.changed_s),
            _plain(one_line(version.because, TEXT_CHARACTERS)),
        )
    return table


def version_lines(model: str, state: ModelState, version: Version, manifest: Manifest) -> list[str]:
    """Return all that is known of a version."""
    alias = _alias(state, version.number)
    because = f" ({one_line(version.because, TEXT_CHARACTERS)})" if version.because else ""
    rows = [
        ("version", f"{model}@{version.number}" + (f", {alias}" if alias else "")),
        ("state", f"{version.state}{because}"),
        ("bundle", version.digest),
        ("content", version.content),
        ("format", f"{manifest.format} {manifest.loader}".strip()),
        ("made by", version.run or "-"),
        ("stored", _when(manifest.created_s)),
        ("made of", " ".join(digest[:SHORT] for digest in version.lineage) or "-"),
        ("example", manifest.example or "-"),
        ("inputs", _fields(manifest.signature.inputs)),
        ("outputs", _fields(manifest.signature.outputs)),
        ("libraries", " ".join(f"{k}={v}" for k, v in sorted(manifest.environment.items())) or "-"),
    ]
    rows += [(name, f"{value:.6g}") for name, value in sorted(version.metrics.items())]
    files = manifest.files
    rows += [(format_bytes(one.bytes), one.path) for one in files[:FILES_SHOWN]]
    if len(files) > FILES_SHOWN:
        rows.append(("", f"and {len(files) - FILES_SHOWN} more files"))
    return [line.rstrip() for line in align(rows)]


def comparison(one: Side, other: Side) -> dict[str, dict[str, tuple[object, object]]]:
    """Return what two versions say, side by side; of all but figures, only what differs."""
    judged = [{} if side[2] is None else compared(side[2]) for side in (one, other)]
    pairs: dict[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
        "figures": (one[0].metrics, other[0].metrics),
        **({"evaluation": (judged[0], judged[1])} if any(judged) else {}),
        "inputs": (_by_name(one[1].signature.inputs), _by_name(other[1].signature.inputs)),
        "outputs": (_by_name(one[1].signature.outputs), _by_name(other[1].signature.outputs)),
        "libraries": (one[1].environment, other[1].environment),
        "files": (
            {entry.path: entry.sha256[:SHORT] for entry in one[1].files},
            {entry.path: entry.sha256[:SHORT] for entry in other[1].files},
        ),
    }
    return {
        what: {
            name: (left.get(name), right.get(name))
            for name in sorted({*left, *right})
            if what in {"figures", "evaluation"} or left.get(name) != right.get(name)
        }
        for what, (left, right) in pairs.items()
    }


def comparison_lines(
    one: str, other: str, compared: dict[str, dict[str, tuple[object, object]]]
) -> list[str]:
    """Return a comparison as lines."""
    rows = [("", one, other, "")]
    for what, found in compared.items():
        for name, (left, right) in found.items():
            more = ""
            if isinstance(left, int | float) and isinstance(right, int | float):
                more = f"{right - left:+.4g}"
            rows.append((f"{what}: {name}", _shown(left), _shown(right), more))
    same = [what for what, found in compared.items() if not found]
    lines = [line.rstrip() for line in align(rows)]
    return [*lines, f"the same: {', '.join(same)}"] if same else lines


def history_lines(entries: list[Entry]) -> list[str]:
    """Return a line a change."""
    rows = [("when", "who", "what", "champion")]
    for entry in entries:
        pruned = f" {', '.join(map(str, entry.pruned))}" if entry.pruned else ""
        before, after = entry.before.champion, entry.after.champion
        moved = "" if before == after else f"{before or '-'} -> {after or '-'}"
        rows.append((_when(entry.at_s), entry.by, one_line(told(entry) + pruned, 120), moved))
    return [line.rstrip() for line in align(rows)]


def _table(*columns: str) -> Table:
    """Return an empty table."""
    from rich import box  # noqa: PLC0415 - not needed where JSON is wanted
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _plain(text: str) -> str:
    """Return text in which rich sees no markup."""
    from rich.markup import escape  # noqa: PLC0415 - see above

    return escape(text)


def _alias(state: ModelState, number: int) -> str:
    """Return what a version is called."""
    named = (
        ("champion", state.champion),
        ("challenger", state.challenger),
        ("previous", state.previous),
    )
    return ", ".join(name for name, meant in named if meant == number)


def _fields(fields: tuple[Field, ...]) -> str:
    """Return a signature's side in a line."""
    return one_line(", ".join(f"{k} {v}" for k, v in _by_name(fields).items()) or "-", 1000)


def _by_name(fields: tuple[Field, ...]) -> dict[str, str]:
    """Return each field's type as it was declared."""
    return {
        one.name: one.dtype
        + (f"[{', '.join('?' if n is None else str(n) for n in one.shape)}]" if one.shape else "")
        for one in fields
    }


def _shown(value: object) -> str:
    """Return a value of a comparison."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else one_line(str(value), TEXT_CHARACTERS)


def _when(at_s: float) -> str:
    """Return a time as a person reads it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
