"""The tables of docs/guide/faults.md: made of the catalogue, and compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from firedoor.drill.catalogue import CATALOGUE
from firedoor.drill.fault_kind import FaultKind

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "faults.md"
BEGIN, END = "<!-- catalogue -->\n", "<!-- end of the catalogue -->\n"


def page_of(kinds: Sequence[FaultKind]) -> str:
    """Return the tables, one a class."""
    text = ""
    for of in dict.fromkeys(kind.of for kind in kinds):
        text += f"\n**{of.capitalize()}**\n\n"
        text += "| Fault | What it does | In | By | Intensity (usual) | Share (usual) |\n"
        text += "|---|---|---|---|---|---|\n"
        text += "".join(_line(kind) for kind in kinds if kind.of == of)
    return text + "\n"


def written() -> str:
    """Return the tables as they stand in the guide."""
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0]


def _line(kind: FaultKind) -> str:
    says = kind.says + (f"; needs {kind.needs}" if kind.needs else "")
    intensity = f"{kind.low:g} to {kind.high:g} {kind.unit} ({kind.usual:g})" if kind.unit else ""
    share = f"{kind.of_what}, up to {kind.share_max:g} ({kind.share:g})" if kind.of_what else ""
    column = "; `column` names one" if kind.column else ""
    zones = ", ".join(kind.kinds)
    return f"| `{kind.name}` | {says}{column} | {zones} | {kind.at} | {intensity} | {share} |\n"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    made = page_of(list(CATALOGUE.values()))
    PAGE.write_text(f"{before}{BEGIN}{made}{END}{after}", encoding="utf-8")
