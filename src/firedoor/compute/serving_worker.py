"""A worker that answers requests with a model: it reads, predicts and answers in small batches.

Whatever waits in the socket when a batch is done is the next batch: nobody waits for others to
come. Requests are answered in the order in which they came. How many it has begun and how many it
has answered stands in a file that outlives it: whoever finds it dead knows what it died of.
"""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from firedoor.compute import blame, seal
from firedoor.compute.formats import load_model
from firedoor.compute.models import verify
from firedoor.compute.serving_batch import Framer, Predicted, Row, Taker, Unfit, differs, scores_of
from firedoor.compute.serving_examples import read_examples
from firedoor.compute.serving_line import Inlet, Progress
from firedoor.compute.step import follow
from firedoor.errors import ModelUnloadable, shorten
from firedoor.wire.answers import Wanted, datatypes_of, write_answer, write_rows
from firedoor.wire.bundle import Manifest, Unsound
from firedoor.wire.payload import BadPayload, Reader
from firedoor.wire.serving import (
    Ask,
    Form,
    Outcome,
    Told,
    encode_good,
    encode_told,
)
from firedoor.wire.serving_load import ServingLoad, ServingReady

if TYPE_CHECKING:
    import polars as pl

MESSAGE_CHARACTERS_MAX = 500
RETRY_SHARE = 0.5
"""Of the time that a batch may take, for running its requests one by one after it failed."""
TOLERANCE = 1e-4
"""Relative: example rows were predicted with other versions of libraries, perhaps of 32 bits."""
EXAMPLES_MAX = 64
GARBAGE = (10_000, 20, 50)
"""Thresholds of the garbage collector: requests make none that goes in circles, models may."""


class Item(NamedTuple):
    """A request that was read."""

    number: int
    form: Form
    rows: list[Row]
    wanted: Wanted


class Bench:
    """A model and the function that predicts with it."""

    def __init__(self, load: ServingLoad) -> None:
        """Verify and load the model, and import the function.

        Raises:
            ModelUnloadable: if it is not what was stored, cannot be loaded, or takes what no
                request can carry.
            Exception: whatever user code raises.
        """
        self.manifest, self._folder, model = _model(load)
        self.signature = self.manifest.signature if self.manifest else load.signature
        step, _, _ = follow(load.pickled, main_path=load.main_path, main_module=load.main_module)
        self._step: Callable[..., object] = step
        self._arguments = () if load.model is None else (model,)
        try:
            self.reader = Reader(self.signature, nan_is_missing=load.nan_is_missing)
            self._framer = Framer(self.signature, load.takes)
            self._taker = Taker(self.signature.outputs)
            self._datatypes = datatypes_of(self.signature.outputs)
        except (ValueError, KeyError) as error:
            message = f"its signature cannot be served: {error}"
            raise ModelUnloadable(message) from error
        self.alone = False
        """Whether requests are predicted one by one, because others change what they get."""
        self._retry_s = load.hang_s * RETRY_SHARE

    def warm(self, sealed: seal.Sealed, elapsed_s: Callable[[], float]) -> ServingReady:
        """Predict the example rows, and say that all is well.

        Raises:
            ModelUnloadable: if they do not come out.
        """
        notes: list[str] = []
        examples = self._examples()
        if examples is None:
            notes.append("its bundle has no example rows: it was not tried on any")
        else:
            self._try(examples)
            if self.alone:
                notes.append("rows change what others get: requests are predicted one by one")
        return ServingReady(
            seconds=elapsed_s(),
            seal_level=sealed.level,
            seal_missing=sealed.missing,
            examples=0 if examples is None else examples.height,
            notes=tuple(notes),
        )

    def predict(self, names: tuple[str, ...], rows: list[Row]) -> tuple[Predicted, float]:
        """Return predictions of rows, and the seconds that the function took.

        Raises:
            BadPayload: if the rows make no frame.
            Unfit: if there is not one prediction a row.
            Exception: whatever the function raises.
        """
        frame = self._framer.frame(names, rows)
        began_s = time.perf_counter()
        returned = self._step(*self._arguments, frame)
        seconds = time.perf_counter() - began_s
        return self._taker.take(returned, len(rows)), seconds

    def answers(self, names: tuple[str, ...], items: list[Item]) -> Iterator[list[bytes]]:
        """Yield frames to send, in order: all at once, or one by one where something is wrong."""
        rows = items[0].rows if len(items) == 1 else [row for item in items for row in item.rows]
        try:
            predicted, seconds = self.predict(names, rows)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything at all
            if len(items) == 1:
                yield [encode_told(items[0].number, _failed(error, names))]
                return
            yield from self._one_by_one(names, items)
            return
        yield self._all_told(items, predicted, seconds)

    def _one_by_one(self, names: tuple[str, ...], items: list[Item]) -> Iterator[list[bytes]]:
        """Yield an answer for each request of a batch that failed."""
        over_s = time.perf_counter() + self._retry_s
        for item in items:
            if time.perf_counter() > over_s:
                told = Told(
                    Outcome.RAISED,
                    message="its batch failed, and there was no time to run it alone",
                    signature="batch failed",
                )
                yield [encode_told(item.number, told)]
            else:
                yield from self.answers(names, [item])

    def _all_told(self, items: list[Item], predicted: Predicted, seconds: float) -> list[bytes]:
        """Return the answers to the requests of a batch."""
        told, at = [], 0
        first = next(iter(predicted.columns.values()))
        scores = b"" if predicted.bad else scores_of(first)
        plain = len(predicted.columns) == 1 and not predicted.bad
        for item in items:
            until = at + len(item.rows)
            if plain and scores and item.form is Form.ROWS:  # nothing can go wrong with it
                fragment = write_rows({self._taker.names[0]: first[at:until]})
                told.append(
                    encode_good(
                        item.number, until - at, scores[8 * at : 8 * until], fragment,
                        seconds=seconds,
                    )
                )  # fmt: skip
            else:
                told.append(self._told(item, predicted, at, seconds))
            at = until
        return told

    def _told(self, item: Item, predicted: Predicted, at: int, seconds: float) -> bytes:
        """Return the answer to one request of a batch."""
        until = at + len(item.rows)
        for row in range(at, until) if predicted.bad else ():
            if row in predicted.bad:
                told = Told(
                    Outcome.NON_FINITE,
                    message=f"row {row - at}: the prediction is missing, NaN or infinite",
                    signature="non-finite prediction",
                    seconds=seconds,
                )
                return encode_told(item.number, told)
        columns = {name: values[at:until] for name, values in predicted.columns.items()}
        try:
            fragment, tail = write_answer(item.form, columns, self._datatypes, item.wanted)
        except Exception as error:  # noqa: BLE001 - texts that are none, numbers beyond every bound
            why = f"predictions cannot be written: {shorten(str(error), 300)}"
            return encode_told(item.number, _failed(Unfit(Outcome.MISSHAPED, why), ()))
        scores = scores_of(next(iter(columns.values())))
        told = Told(Outcome.OK, until - at, scores, fragment, tail, seconds=seconds)
        return encode_told(item.number, told)

    def _examples(self) -> pl.DataFrame | None:
        """Return the example rows of the bundle, if it has some."""
        if self.manifest is None or not self.manifest.example:
            return None
        return read_examples(self._folder / self.manifest.example).head(EXAMPLES_MAX)

    def _try(self, examples: pl.DataFrame) -> None:
        """Predict the example rows as requests are, whole and in halves.

        Raises:
            ModelUnloadable: if something is wrong with what comes out.
        """
        outputs = set(self._taker.names)
        inputs = [field.name for field in self.signature.inputs] or [
            name for name in examples.columns if name not in outputs
        ]
        missing = [name for name in inputs if name not in examples.columns]
        if missing or examples.is_empty():
            what = f"lack {missing[0]!r}, which it takes" if missing else "are none"
            raise ModelUnloadable(f"the bundle's example rows {what}: store some that are whole")
        try:
            body = examples.select(inputs).fill_nan(None).write_json().encode()
            taken = self.reader.read(Ask(Form.ROWS, body))
            whole, _ = self.predict(taken.names, taken.rows)
            half = len(taken.rows) // 2
            parts = [taken.rows[:half], taken.rows[half:]] if half else []
            halves = [self.predict(taken.names, part)[0] for part in parts]
        except Exception as error:
            blamed = blame.of_exception(error, inputs)
            message = f"the bundle's example rows do not come out: {shorten(blamed.message, 1000)}"
            raise ModelUnloadable(message) from error
        if whole.bad:
            message = f"the bundle's example row {min(whole.bad)} has no finite prediction"
            raise ModelUnloadable(message)
        for name, values in whole.columns.items():
            apart = [value for part in halves for value in part.columns[name]]
            if apart and differs(values, apart, TOLERANCE) is not None:
                self.alone = True
            if name in examples.columns:
                self._compare(name, values, examples[name].to_list())

    def _compare(self, name: str, found: list[object], stored: list[object]) -> None:
        """Refuse a model that predicts its example rows otherwise than its bundle says."""
        at = differs(found, stored, TOLERANCE)
        if at is not None:
            message = (
                f"the bundle's example row {at} has {name} {stored[at]}, and the model predicts "
                f"{found[at]}: it was made with other code or libraries than there are here"
            )
            raise ModelUnloadable(message)


def serve(line: socket.socket, bench: Bench, load: ServingLoad) -> None:
    """Answer requests until the line closes."""
    inlet = Inlet(line)
    gc.freeze()  # model and libraries stay, and need not be looked through again and again
    gc.set_threshold(*GARBAGE)
    with Progress(load.scratch) as progress:
        while True:
            taken = inlet.take(1 if bench.alone else load.batch_rows)
            progress.begin(len(taken))
            for names, items, told in _grouped(bench, taken, load.batch_rows):
                answered = len(told)
                if told:
                    line.sendall(b"".join(told))
                    progress.end(answered)
                if items:
                    for frames in bench.answers(names, items):
                        line.sendall(b"".join(frames))
                        progress.end(len(frames))


def _grouped(
    bench: Bench, taken: list[tuple[int, Ask]], rows_max: int
) -> Iterator[tuple[tuple[str, ...], list[Item], list[bytes]]]:
    """Yield requests that are predicted together, and answers to those that are not, in order."""
    names: tuple[str, ...] = ()
    items: list[Item] = []
    rows = 0
    for number, ask in taken:
        refused = _refused(ask)
        found = None
        if refused is None:
            try:
                found = bench.reader.read(ask)
            except BadPayload as bad:
                refused = Told(Outcome.REFUSED, message=shorten(str(bad), MESSAGE_CHARACTERS_MAX))
        if found is None or found.names != names or rows + len(found.rows) > rows_max:
            if items:
                yield names, items, []
            items, rows = [], 0
        if found is None:
            assert refused is not None
            yield (), [], [encode_told(number, refused)]
            continue
        names = found.names
        items.append(Item(number, ask.form, found.rows, found.wanted))
        rows += len(found.rows)
    if items:
        yield names, items, []


def _refused(ask: Ask) -> Told | None:
    """Return what is said to a request that comes too late."""
    if ask.deadline_s and time.monotonic() >= ask.deadline_s:
        return Told(Outcome.EXPIRED, message="its deadline passed before it was begun")
    return None


def _failed(error: BaseException, names: tuple[str, ...]) -> Told:
    """Return what is said of a request that cannot be predicted."""
    if isinstance(error, BadPayload):
        return Told(Outcome.REFUSED, message=shorten(str(error), MESSAGE_CHARACTERS_MAX))
    if isinstance(error, Unfit):
        return Told(
            error.outcome, message=shorten(str(error), MESSAGE_CHARACTERS_MAX),
            signature=error.outcome.name.lower(),
        )  # fmt: skip
    blamed = blame.of_exception(error, names)
    return Told(
        Outcome.RAISED,
        message=shorten(blamed.message, MESSAGE_CHARACTERS_MAX),
        signature=shorten(blamed.signature.replace("\0", " "), 200),
    )


def _model(load: ServingLoad) -> tuple[Manifest | None, Path, object]:
    """Return a model with the manifest and folder of its bundle, verified."""
    files = load.model
    if files is None:
        return None, Path(load.scratch), None
    folder = Path(files.folder)
    try:
        manifest = verify(files)
    except (OSError, Unsound) as error:
        message = f"the files of model {files.name} are not what was stored: {error}"
        raise ModelUnloadable(message) from error
    return manifest, folder, load_model(folder, manifest, allow=files.allow)
