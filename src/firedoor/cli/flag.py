"""``firedoor flag``: the table of flags, and other tools' files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, answer, ask
from firedoor.cli.changed import changed
from firedoor.cli.flagging import (
    HOUR_S,
    BecauseOption,
    HoursOption,
    desk,
    tell_offline,
    tell_row,
)
from firedoor.compose.flag_table import Changed
from firedoor.control.board import align
from firedoor.control.flagd import Imported, export_flagd, import_flagd
from firedoor.control.flags import Verb, known_switch
from firedoor.errors import DeclarationError
from firedoor.wire.flags import KILL, Flags, Value

HEAD = ("flag", "value", "since", "by", "", "because")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Read and change flags, and see who did.",
)
NameArgument = Annotated[str, typer.Argument(help="The flag's name.")]
FormatOption = Annotated[Literal["flagd"], typer.Option("--format", help="Of the file.")]


@app.command(name="list")
def show(
    *, as_json: JsonOption = False, project: ProjectOption = Path(), nats: NatsOption = None
) -> None:
    """Show the flags that are set, kill switches among them."""
    flags, answered = ask(_read(project, nats))
    if as_json:
        print(msgspec.json.encode(flags).decode())
        return
    if not answered:
        print("the broker does not answer: this is what this machine knew last")
    now_s = SystemClock().utc_s()
    rows = [
        tell_row(name, flag, now_s=now_s, offline=name in flags.offline)
        for name, flag in sorted(flags.flags.items())
    ]
    for line in align([HEAD, *rows]) if rows else ["no flag is set: the code's defaults hold"]:
        print(line)


@app.command(name="set")
def set_flag(
    name: NameArgument,
    value: Annotated[str, typer.Argument(help="true, false, a number, or a text.")],
    *,
    because: BecauseOption,
    share: Annotated[
        float, typer.Option("--share", help="Of the subjects that get it, 0 to 1.")
    ] = 1.0,
    hours: HoursOption = None,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Set a flag, for everybody or for a share of the subjects."""
    due_s = None if hours is None else hours * HOUR_S

    async def work() -> tuple[Changed, Path]:
        async with desk(project, nats) as at:
            if name.startswith(KILL):
                known_switch(at.plan, name)
            changed = await at.change(
                "set",
                name,
                because=because,
                value=read_value(value),
                share=share,
                confirm_after_s=due_s,
            )
            return changed, at.file

    _tell(*ask(work()))


@app.command()
def unset(
    name: NameArgument,
    *,
    because: BecauseOption,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Have the code's default hold again."""
    _tell(*ask(_change("unset", name, because, project, nats)))


@app.command()
def confirm(
    name: NameArgument,
    *,
    because: BecauseOption,
    hours: HoursOption = None,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Say that a flag is still wanted as it is, for a day or as long as --hours says."""
    due_s = None if hours is None else hours * HOUR_S
    _tell(*ask(_change("confirm", name, because, project, nats, due_s)))


app.command(name="log")(changed)


@app.command()
def export(
    *,
    to: Annotated[Path | None, typer.Option("--to", help="The file; else it is printed.")] = None,
    form: FormatOption = "flagd",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Write the flags as another tool reads them."""
    del form

    async def work() -> bytes:
        async with desk(project, nats) as at:
            flags, _ = await at.table.read()
            return export_flagd(flags, pipeline=at.plan.pipeline)

    data = ask(work())
    if to is None:
        print(data.decode(), end="")
    else:
        to.write_bytes(data)
        print(f"written to {to}")


@app.command(name="import")
def import_file(
    file: Annotated[Path, typer.Argument(help="The file.", exists=True, dir_okay=False)],
    *,
    because: BecauseOption,
    form: FormatOption = "flagd",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Set the flags that another tool's file names; others stay as they are."""
    del form
    imported: Imported = answer(lambda: import_flagd(file.read_bytes()))

    async def work() -> None:
        async with desk(project, nats) as at:
            for name in imported.flags:
                if name.startswith(KILL):
                    known_switch(at.plan, name)
            for name, (value, share) in imported.flags.items():
                changed = await at.change("set", name, because=because, value=value, share=share)
                _tell(changed, at.file)

    ask(work())
    for name, why in imported.left_out.items():
        print(f"{name} is left out: {why}")


def read_value(text: str) -> Value:
    """Return the value that a word on the command line spells; a text if it is nothing else.

    >>> [read_value(word) for word in ("true", "0.5", "7", "blue", '"7"')]
    [True, 0.5, 7, 'blue', '7']
    """
    try:
        value: Value = msgspec.json.decode(text, type=Value)
    except msgspec.ValidationError:
        why, remedy = "is an object, a list or nothing", "give true, false, a number or a text"
        raise DeclarationError("value", text, why, remedy) from None
    except msgspec.DecodeError:
        return text
    return value


async def _read(project: Path, nats: str | None) -> tuple[Flags, bool]:
    """Return the table, and whether the broker answered."""
    async with desk(project, nats) as at:
        return await at.table.read()


async def _change(
    verb: Verb,
    name: str,
    because: str,
    project: Path,
    nats: str | None,
    due_s: float | None = None,
) -> tuple[Changed, Path]:
    """Make a change; return it, and the file."""
    async with desk(project, nats) as at:
        return await at.change(verb, name, because=because, confirm_after_s=due_s), at.file


def _tell(changed: Changed, file: Path) -> None:
    """Say what was changed."""
    change = changed.change
    print(f"{change.about}: {change.before or 'not set'} -> {change.after or 'not set'}")
    for line in tell_offline(changed, file):
        print(line)
