"""Run a user's file for the pipeline that it declares, and say clearly what is wrong with it."""

from __future__ import annotations

import runpy
import sys
import traceback
import types
from pathlib import Path

import firedoor
from firedoor.compute.blame import said_by
from firedoor.compute.step import MAIN_ALIAS
from firedoor.errors import DeclarationError, PipelineUnloadable, shorten
from firedoor.spec.pipeline import Pipeline

FRAMES_SHOWN = 6
_OURS = str(Path(firedoor.__file__).parent)


def check_file(path: Path) -> Path:
    """Return the absolute path of a file that can be read.

    Raises:
        PipelineUnloadable: if there is none.
    """
    path = Path(path).absolute()
    if path.is_dir():
        inside = sorted(file.name for file in path.glob("*.py"))[:5]
        named = f"name a file in it: {', '.join(inside)}" if inside else "name a Python file"
        raise PipelineUnloadable(f"{path}: is a folder; {named}")
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        message = f"{path}: there is no such file; name the Python file that declares the pipeline"
        raise PipelineUnloadable(message) from None
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); mend its permissions"
        raise PipelineUnloadable(message) from error
    return path


def load_pipeline(path: Path) -> Pipeline:
    """Run a file in this process and return the pipeline that it declares, frozen.

    Its folder becomes the first entry of ``sys.path``, as with ``python FILE``; its module is
    ``__mp_main__``, so that what stands under ``if __name__ == "__main__":`` is not run.

    Raises:
        PipelineUnloadable: as ``load_plan``, but for hangs and crashes, which are this process's.
    """
    path = check_file(path)
    _compile(path)
    folder = str(path.parent)
    sys.path[:] = [folder, *(entry for entry in sys.path if entry not in {folder, ""})]
    try:
        names = runpy.run_path(str(path), run_name=MAIN_ALIAS)
    except SystemExit as error:
        message = (
            f"{path}: its import calls sys.exit({error.code!r}){_frames(error, path)}\n"
            '  put what is to run under if __name__ == "__main__":'
        )
        raise PipelineUnloadable(message) from error
    except DeclarationError as error:
        raise PipelineUnloadable(f"{_place(error, path)}: {error}") from error
    except Exception as error:
        # Whatever the user's file raises: it is told, and nothing has happened.
        kind = type(error).__name__
        said = shorten(said_by(error), 500)
        message = f"{path}: its import fails: {kind}: {said}{_frames(error, path)}"
        raise PipelineUnloadable(message) from error
    module = types.ModuleType(MAIN_ALIAS)
    module.__dict__.update(names)
    sys.modules[MAIN_ALIAS] = module
    pipeline = _choose(names, path)
    try:
        pipeline.freeze()
    except DeclarationError as error:
        raise PipelineUnloadable(f"{path}: {error}") from error
    return pipeline


def _compile(path: Path) -> None:
    """Refuse what is no Python, with the line."""
    source = path.read_bytes()
    try:
        compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        text = (error.text or "").rstrip()
        shown = f"\n  {shorten(text, 200)}" if text.isprintable() and text.strip() else ""
        line = f":{error.lineno}" if error.lineno else ""
        raise PipelineUnloadable(f"{path}{line}: is not Python: {error.msg}{shown}") from error
    except ValueError as error:
        raise PipelineUnloadable(f"{path}: is not Python: {error}") from error


def _choose(names: dict[str, object], path: Path) -> Pipeline:
    """Return the one pipeline among a module's names, or the one that is called ``pipeline``."""
    found: dict[int, tuple[str, Pipeline]] = {}
    for name, value in names.items():
        if isinstance(value, Pipeline):
            found.setdefault(id(value), (name, value))
    named = names.get("pipeline")
    if isinstance(named, Pipeline):
        return named
    if len(found) == 1:
        return next(iter(found.values()))[1]
    if not found:
        makers = [name for name, value in names.items() if _makes_pipeline(value)]
        hint = f" {makers[0]}() returns one: write pipeline = {makers[0]}()" if makers else ""
        message = (
            f"{path}: declares no pipeline at its top level; "
            f'write pipeline = fd.Pipeline("name").{hint}'
        )
        raise PipelineUnloadable(message)
    listed = ", ".join(name for name, _ in found.values())
    message = (
        f"{path}: declares {len(found)} pipelines ({listed}); "
        "call the one to run `pipeline`, or give each a file of its own"
    )
    raise PipelineUnloadable(message)


def _makes_pipeline(value: object) -> bool:
    """Return whether a function is annotated to return a pipeline."""
    returned = getattr(value, "__annotations__", {}).get("return")
    return isinstance(value, types.FunctionType) and (
        returned is Pipeline or (isinstance(returned, str) and returned.endswith("Pipeline"))
    )


def _frames(error: BaseException, path: Path) -> str:
    """Return the last frames of a failure, from the user's file on, one a line."""
    passed = list(traceback.extract_tb(error.__traceback__))
    first = next((n for n, frame in enumerate(passed) if frame.filename == str(path)), 0)
    frames = [frame for frame in passed[first:] if not frame.filename.startswith("<frozen")]
    return "".join(
        f"\n  {frame.filename}:{frame.lineno}, in {frame.name}: {shorten(frame.line or '', 120)}"
        for frame in frames[-FRAMES_SHOWN:]
    )


def _place(error: BaseException, path: Path) -> str:
    """Return ``file:line`` of the last frame that is the user's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((_OURS, "<frozen"))]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else str(path)
