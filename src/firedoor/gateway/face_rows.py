"""Plain JSON: rows in, predictions out; and labels."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from firedoor.errors import shorten
from firedoor.gateway.exchange import Answer
from firedoor.gateway.face_request import (
    ID_MAX,
    OK,
    Refusal,
    answer_headers,
    failed_response,
    is_plain,
    variant_lines,
)
from firedoor.gateway.http_message import (
    JSON,
    OK_JSON,
    Response,
    encode_response,
    error_response,
    json_response,
)
from firedoor.gateway.services import Label, Labelled, Service
from firedoor.wire.serving import ROWS_MAX

LABELS_MAX = 10_000
_ALONE: Final = {"unknown": 404, "refused": 400}


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    prediction: str
    label: bool | int | float
    row: int = 0


_encode = msgspec.json.Encoder().encode
_labels = msgspec.json.Decoder(_Label | list[_Label])


def rows_response(answer: Answer) -> Response:
    """Return an answer as plain JSON."""
    if answer.status != OK:
        return failed_response(answer)
    said = _said(answer.model, answer.version, answer.arm, answer.degraded)
    made = _encode(answer.prediction)
    known = made if answer.id is answer.prediction else _encode(answer.id)
    features = b',"features":' + _encode(answer.features) if answer.features else b""
    text = b'{"predictions":%b%b,"id":%b,"prediction":%b%b}' % (
        answer.fragment, said, known, made, features,
    )  # fmt: skip
    return Response(OK, text, answer_headers(answer), JSON)


def whole_rows(answer: Answer, lines: bytes) -> bytes:
    """Return the answer to a request that was predicted, as it is sent.

    Args:
        answer: with a prediction.
        lines: ``Date`` and ``Connection``, see ``http_message.Reply``.
    """
    if answer.id is not answer.prediction or answer.features:
        return encode_response(rows_response(answer), date=lines)
    known, fragment = answer.id.encode(), answer.fragment
    text, size = _whole(lines, answer.model, answer.version, answer.arm, answer.degraded)
    size += len(fragment) + 2 * len(known)
    return text % (size, known, known, fragment, known, known)


@functools.lru_cache(maxsize=64)
def _whole(lines: bytes, model: str, version: str, arm: str, degraded: str) -> tuple[bytes, int]:
    """Return an answer without length, ids and fragment, and how long its body is without them."""
    told = (
        OK_JSON,
        lines,
        variant_lines(model, version, arm, degraded),
        _said(model, version, arm, degraded),
    )
    ok, between, variant, said = (part.replace(b"%", b"%%") for part in told)
    ids = b"X-Request-Id: %b\r\nX-Firedoor-Prediction-Id: %b\r\n\r\n"
    body = b'{"predictions":%b' + said + b',"id":"%b","prediction":"%b"}'
    return ok + b"%d\r\n" + between + variant + ids + body, len(body % (b"", b"", b""))


@functools.lru_cache(maxsize=256)
def _said(model: str, version: str, arm: str, degraded: str) -> bytes:
    """Return that part of an object which many answers share, after a comma."""
    variant = f"{model}@{version}" if model and version else ""
    said = {
        "model": model,
        "version": version,
        "variant": variant,
        "arm": arm,
        "degraded": degraded,
    }
    return b"," + _encode(said)[1:-1]


def read_labels(body: bytes) -> tuple[list[Label], bool]:
    """Return labels, and whether it was one that was not in a list.

    Raises:
        Refusal: if these are none.
    """
    try:
        said = _labels.decode(body)
    except msgspec.ValidationError as error:
        message = (
            f'this is no label: {shorten(str(error))}; send {{"prediction": ID, "label": 0}}, '
            "or a list of them"
        )
        raise Refusal(400, message) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {shorten(str(error))}") from error
    alone = isinstance(said, _Label)
    several = [said] if isinstance(said, _Label) else said
    if len(several) > LABELS_MAX:
        raise Refusal(400, f"{len(several)} labels are more than {LABELS_MAX}: send fewer at once")
    return [_sound(label) for label in several], alone


async def take_labels(services: Sequence[Service], body: bytes) -> Response:
    """Hand labels to whichever service knows their predictions, and say what became of each.

    Raises:
        Refusal: if these are none.
    """
    labels, alone = read_labels(body)
    outcomes: dict[int, Labelled] = {}
    open_now = list(range(len(labels)))
    for service in services:
        told = await service.label([labels[at] for at in open_now])
        outcomes.update(zip(open_now, told, strict=True))
        open_now = [at for at in open_now if outcomes[at].outcome == "unknown"]
        if not open_now:
            break
    if alone and outcomes[0].outcome in _ALONE:
        return error_response(_ALONE[outcomes[0].outcome], outcomes[0].message)
    shown = [_shown(labels[at], outcomes[at]) for at in range(len(labels))]
    counts: Counter[str] = Counter(told.outcome for told in outcomes.values())
    kinds = ("joined", "kept", "unknown", "refused")
    return json_response(OK, {"labels": shown, **{kind: counts[kind] for kind in kinds}})


def _sound(label: _Label) -> Label:
    """Return one label, checked."""
    if not (0 < len(label.prediction) <= ID_MAX and is_plain(label.prediction)):
        raise Refusal(400, "prediction is not the id of one: it is in each answer")
    if not 0 <= label.row < ROWS_MAX:
        raise Refusal(400, f"row is not between 0 and {ROWS_MAX - 1}")
    try:
        value = float(label.label)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Refusal(400, "label is not a finite number")
    return Label(label.prediction, value, label.row)


def _shown(label: Label, told: Labelled) -> dict[str, object]:
    """Return what became of one label."""
    shown: dict[str, object] = {"prediction": label.prediction, "outcome": told.outcome}
    if told.message:
        shown["message"] = told.message
    return shown
