"""Schemas of a model's rows and tensors, as its signature has them."""

from __future__ import annotations

import re
from typing import Any, Final

from firedoor.gateway.face_request import TIMEOUT_S_MAX
from firedoor.gateway.features import KEY_CHARACTERS_MAX
from firedoor.gateway.services import ServiceMetadata
from firedoor.wire.bundle import Field
from firedoor.wire.serving import ROWS_MAX
from firedoor.wire.tensors import PACKED, RANK_MAX

Schema = dict[str, Any]
_INTEGER = re.compile(r"(U?)Int(8|16|32|64)")


def row(fields: tuple[Field, ...], *, takes: bool) -> Schema:
    """Return the schema of a row; of one that nobody has described: any object."""
    if not fields:
        return {} if not takes else {"type": "object"}
    if not takes and len(fields) == 1 and not fields[0].name:
        return _value(fields[0], takes=False)
    return {
        "type": "object",
        "properties": {field.name: _value(field, takes=takes) for field in fields},
        "required": [field.name for field in fields],
    }


def _value(field: Field, *, takes: bool) -> Schema:
    """Return the schema of one value. What a model takes may be missing: ``null``."""
    schema = _single(field.dtype)
    for size in reversed(field.shape):
        schema = {"type": "array", "items": schema}
        if size is not None:
            schema |= {"minItems": size, "maxItems": size}
    return {"anyOf": [schema, {"type": "null"}]} if takes and not field.shape else schema


def _single(dtype: str) -> Schema:
    """Return the schema of a single value of a column."""
    integer = _INTEGER.fullmatch(dtype)
    if integer is not None:
        bits = int(integer[2])
        if integer[1]:
            return {"type": "integer", "minimum": 0, "maximum": 2**bits - 1}
        return {"type": "integer", "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}
    if dtype.startswith("Datetime"):
        return {"type": "string", "format": "date-time"}
    return dict(_SINGLE.get(dtype, {"type": "string"}))


def with_others(told: Schema, metadata: ServiceMetadata | None) -> Schema:
    """Return the schema of a row with the columns that are not the model's."""
    if metadata is None or not (metadata.keys or metadata.about):
        return told
    properties = dict(told.get("properties", {}))
    properties |= dict.fromkeys(metadata.keys, _KEY) | dict.fromkeys(metadata.about, _ABOUT)
    required = [*told.get("required", []), *metadata.keys]
    return {**told, "properties": properties, **({"required": required} if required else {})}


def infer_request(inputs: tuple[Field, ...], metadata: ServiceMetadata | None) -> Schema:
    """Return the schema of a request in tensors."""
    names: Schema = {"type": "string", "description": "Inputs of other names are not looked at."}
    if inputs and metadata is not None:
        names["examples"] = [*(one.name for one in inputs), *metadata.keys, *metadata.about]
    tensor = {
        "type": "object",
        "properties": {
            "name": names,
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": ROWS_MAX},
                "minItems": 1,
                "maxItems": RANK_MAX,
            },
            "datatype": {"enum": [*PACKED, "BYTES"]},
            "data": {"type": "array", "description": "Flat, or nested as the shape says."},
        },
        "required": ["name", "shape", "datatype", "data"],
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {"timeout": _TIMEOUT, "binary_data_output": _BINARY},
            },
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": "array", "items": _OUTPUT},
        },
        "required": ["inputs"],
    }


_TIMEOUT: Final[Schema] = {
    "description": "Microseconds; 0: as the service declares.",
    "type": "integer",
    "minimum": 0,
    "maximum": 1_000_000 * int(TIMEOUT_S_MAX),
}
_BINARY: Final[Schema] = {
    "description": "Whether it is answered as bytes behind the JSON.",
    "type": "boolean",
}
_OUTPUT: Final[Schema] = {
    "description": "One that is wanted; without any, all are.",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "parameters": {"type": "object", "properties": {"binary_data": _BINARY}},
    },
    "required": ["name"],
}
_KEY: Final[Schema] = {
    "description": "By which features are looked up.",
    "anyOf": [
        {"type": "string", "maxLength": KEY_CHARACTERS_MAX},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        {"type": "number"},
        {"type": "boolean"},
    ],
}
_ABOUT: Final[Schema] = {"description": "By which a rollout is split, or judged."}
_SINGLE: Final[dict[str, Schema]] = {
    "Boolean": {"type": "boolean"},
    "Date": {"type": "string", "format": "date"},
    "Float16": {"type": "number"},
    "Float32": {"type": "number"},
    "Float64": {"type": "number"},
}
INFER_RESPONSE: Final[Schema] = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {
            "description": "What the headers X-Firedoor-... say, too.",
            "type": "object",
            "properties": {
                name: {"type": "string"}
                for name in (
                    "variant",
                    "model_version",
                    "arm",
                    "degraded",
                    "request_id",
                    "prediction_id",
                    "features",
                )
            },
        },
        "outputs": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["model_name", "model_version", "id", "parameters", "outputs"],
}
