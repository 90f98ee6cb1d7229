"""The Open Inference Protocol, version 2, over REST: heads of requests, and answers.

Of a request's body its head alone is read (id, timeout): tensors go on as they came, to be read in
a worker. Sources: the protocol's ``rest_predict_v2.yaml``; Triton's ``extension_binary_data.md``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from firedoor.errors import shorten
from firedoor.gateway.exchange import Answer
from firedoor.gateway.face_request import (
    OK,
    Refusal,
    answer_headers,
    failed_response,
    sound_timeout,
    variant_of,
)
from firedoor.gateway.http_message import JSON, Head, Response, header_line
from firedoor.gateway.services import ServiceMetadata
from firedoor.wire.bundle import Field
from firedoor.wire.serving import Form

PLATFORM: Final = "firedoor"
EXTENSIONS: Final = ("binary_tensor_data",)
_OCTETS: Final = b"application/octet-stream"
_DATATYPES: Final = {"Boolean": "BOOL", "Float16": "FP16", "Float32": "FP32", "Float64": "FP64"}
_INTEGER = re.compile(r"(U?)Int(8|16|32|64)")


class _Parameters(msgspec.Struct):
    timeout: int | None = None
    """Microseconds; 0: as the service declares."""


class _Tensor(msgspec.Struct):
    name: str


class _Head(msgspec.Struct):
    inputs: list[_Tensor]
    id: str = ""
    parameters: _Parameters | None = None


class V2Head(NamedTuple):
    """What is read of a request."""

    form: Form
    json_bytes: int
    id: str
    timeout_s: float | None


_heads = msgspec.json.Decoder(_Head)


def read_v2(head: Head, body: bytes) -> V2Head:
    """Return what a request says before its tensors.

    Raises:
        Refusal: if it is no request of the protocol.
    """
    announced = head.header(b"inference-header-content-length")
    binary = b"inference-header-content-length" in head.headers
    json_bytes = len(body)
    if binary:
        if not (announced.isascii() and announced.isdigit() and len(announced) < len("9" * 12)):
            raise Refusal(400, "Inference-Header-Content-Length is not a number of bytes")
        json_bytes = int(announced)
        if json_bytes > len(body):
            raise Refusal(
                400,
                f"Inference-Header-Content-Length says {json_bytes} bytes of JSON, and the body "
                f"has {len(body)}: count them anew",
            )
    text = body[:json_bytes] if binary else body
    try:
        said = _heads.decode(text)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"this is no inference request: {shorten(str(error))}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {shorten(str(error))}") from error
    timeout = said.parameters.timeout if said.parameters is not None else None
    timeout_s = sound_timeout(timeout / 1e6, "parameters.timeout") if timeout else None
    form = Form.V2_BINARY if binary else Form.V2
    return V2Head(form, json_bytes if binary else 0, said.id, timeout_s)


def v2_response(service: str, answer: Answer, *, caller_id: str) -> Response:
    """Return an answer as the protocol has it.

    Args:
        service: the name that was asked for.
        answer: what is said.
        caller_id: the id that the caller gave, which it is told again; else the answer's own.
    """
    if answer.status != OK:
        return failed_response(answer)
    head = msgspec.json.encode(
        {
            "model_name": service,
            "model_version": answer.version,
            "id": caller_id or answer.id,
            "parameters": v2_parameters(answer),
        }
    )
    text = b"".join((head[:-1], b',"outputs":', answer.fragment, b"}"))
    headers = answer_headers(answer)
    if not answer.tail:
        return Response(OK, text, headers, JSON)
    headers += header_line("Inference-Header-Content-Length", str(len(text)))
    return Response(OK, text + answer.tail, headers, _OCTETS)


def v2_parameters(answer: Answer) -> dict[str, str]:
    """Return what an answer is, as parameters of the protocol."""
    said = {
        "variant": variant_of(answer),
        "model_version": answer.version,
        "arm": answer.arm,
        "degraded": answer.degraded,
        "request_id": answer.id,
        "prediction_id": answer.prediction,
    }
    if answer.features:
        said["features"] = answer.features
    return said


def v2_metadata(service: str, metadata: ServiceMetadata) -> dict[str, object]:
    """Return a model's metadata. Keys of look-ups may be of any type: they are told as texts."""
    return {
        "name": service,
        "versions": list(metadata.versions),
        "platform": PLATFORM,
        "inputs": [
            *(_tensor(field) for field in metadata.inputs),
            *({"name": key, "datatype": "BYTES", "shape": [-1]} for key in metadata.keys),
        ],
        "outputs": [_tensor(field) for field in metadata.outputs],
    }


def datatype_of(dtype: str) -> str:
    """Return the protocol's datatype of a column: ``Int64`` -> ``INT64``; of texts ``BYTES``."""
    integer = _INTEGER.fullmatch(dtype)
    if integer is not None:
        return f"{'U' if integer[1] else ''}INT{integer[2]}"
    return _DATATYPES.get(dtype, "BYTES")


def _tensor(field: Field) -> dict[str, object]:
    """Return one input or output; -1: any, first the rows."""
    shape = [-1, *(-1 if size is None else size for size in field.shape)]
    return {"name": field.name, "datatype": datatype_of(field.dtype), "shape": shape}
