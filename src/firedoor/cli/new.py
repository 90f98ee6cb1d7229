"""``firedoor new``: a small project that runs."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from firedoor.cli import sample
from firedoor.cli.unloadable import refusals_told
from firedoor.names import check_name


def new(
    name: Annotated[str, typer.Argument(help="Names the pipeline and its folder.")],
    *,
    into: Annotated[
        Path, typer.Option("--into", help="Where the folder is made.", show_default="here")
    ] = Path(),
) -> None:
    """Write a small project that runs.

    A pipeline with sample data, a test, and a page that tells of them.
    """
    with refusals_told():
        check_name("name", name)
    folder = into / name
    try:
        write_project(folder, name)
    except FileExistsError as error:
        message = f"{folder} is there already; choose another name, or move it out of the way"
        print(f"firedoor: {message}", file=sys.stderr)
        raise typer.Exit(1) from error
    except OSError as error:
        message = f"{folder} cannot be written ({error.strerror}); choose another place with --into"
        print(f"firedoor: {message}", file=sys.stderr)
        raise typer.Exit(1) from error
    print(f"wrote {folder}: now try\n  cd {folder}\n  firedoor run pipeline.py")


def write_project(folder: Path, name: str) -> None:
    """Write the files of a new project: all of them, or none.

    Raises:
        FileExistsError: if anything has that name already.
        OSError: if it cannot be written.
    """
    if folder.exists() or folder.is_symlink():
        raise FileExistsError(str(folder))
    unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        for path, text in sample.files_of(name).items():
            target = unfinished / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
