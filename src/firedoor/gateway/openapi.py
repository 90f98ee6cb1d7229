"""The gateway's OpenAPI document, made from the signatures of the models that it serves."""

from __future__ import annotations

import re
from typing import Any, Final

from firedoor.gateway.face_request import ID_MAX, KEY_MAX, SOURCE_MAX, TIMEOUT_S_MAX
from firedoor.gateway.face_v2 import datatype_of
from firedoor.gateway.features import KEY_CHARACTERS_MAX
from firedoor.gateway.services import Service, ServiceMetadata
from firedoor.guards.shedding import PRIORITIES
from firedoor.wire.bundle import Field
from firedoor.wire.serving import ROWS_MAX

VERSION: Final = "3.1.0"
Schema = dict[str, Any]

_INTEGER = re.compile(r"(U?)Int(8|16|32|64)")
_JSON: Final = "application/json"
_REFUSED: Final = {
    "400": "It is not what the model takes; the message says what is.",
    "408": "The request did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "There is no room for a request of this class.",
    "431": "The headers are too large.",
    "500": "The model fails at this request, or the gateway does.",
    "503": "Nobody can answer now; Retry-After says when to come again.",
    "504": "It was not answered in the time that it names.",
}
_HEADERS: Final = {
    "X-Request-Id": {
        "description": "Your own id of the request, told again.",
        "schema": {"type": "string", "maxLength": ID_MAX},
    },
    "X-Firedoor-Key": {
        "description": "The subject that a rollout's split sticks to.",
        "schema": {"type": "string", "maxLength": KEY_MAX},
    },
    "X-Firedoor-Timeout-S": {
        "description": "How long you wait, in seconds.",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": TIMEOUT_S_MAX},
    },
    "X-Firedoor-Priority": {
        "description": "Who is refused last when there is no room.",
        "schema": {"enum": list(PRIORITIES)},
    },
    "X-Firedoor-Source": {
        "description": "Where the rows are from.",
        "schema": {"type": "string", "maxLength": SOURCE_MAX},
    },
}


def document(services: list[Service], *, release: str) -> Schema:
    """Return the document as values for JSON; ``release``: of firedoor."""
    paths: Schema = _about_the_server()
    paths["/labels"] = {"post": _labels("", "labels")}
    schemas: Schema = {"Error": _ERROR, "Said": _SAID, "Label": _LABEL, "Labelled": _LABELLED}
    for service in services:
        name = service.name
        metadata = service.metadata()
        inputs = metadata.inputs if metadata is not None else ()
        outputs = metadata.outputs if metadata is not None else ()
        schemas[f"{name}.Row"] = _with_others(_row(inputs, takes=True), metadata)
        schemas[f"{name}.Prediction"] = _row(outputs, takes=False)
        schemas[f"{name}.Predictions"] = _predictions(name)
        schemas[f"{name}.InferRequest"] = _infer_request(inputs, metadata)
        schemas[f"{name}.InferResponse"] = _INFER_RESPONSE
        doc = metadata.doc if metadata is not None else ""
        paths[f"/predict/{name}"] = {"post": _predict(name, doc)}
        paths[f"/labels/{name}"] = {"post": _labels(name)}
        paths[f"/v2/models/{name}"] = {"get": _get(f"metadata_{name}", _OBJECT)}
        paths[f"/v2/models/{name}/ready"] = {"get": _get(f"ready_{name}", _OBJECT, away=True)}
        paths[f"/v2/models/{name}/infer"] = {"post": _infer(name, doc)}
        paths[f"/v2/models/{name}/labels"] = {"post": _labels(name, "labels_v2")}
    if len(services) == 1:
        only = services[0].name
        paths["/predict"] = {"post": _predict(only, "", "predict")}
    return {
        "openapi": VERSION,
        "info": {"title": "firedoor", "version": release},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _about_the_server() -> Schema:
    """Return the paths that say how the gateway is."""
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/livez": {"get": _get("livez", _OBJECT)},
        "/readyz": {"get": _get("readyz", _OBJECT, away=True)},
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "responses": {"200": {"description": "Prometheus' text.", "content": text}},
            }
        },
        "/openapi.json": {"get": _get("openapi", _OBJECT)},
        "/v2": {"get": _get("server", _OBJECT)},
        "/v2/health/live": {"get": _get("live", _OBJECT)},
        "/v2/health/ready": {"get": _get("ready", _OBJECT, away=True)},
        "/v2/models": {"get": _get("models", _OBJECT)},
    }


def _get(operation: str, schema: Schema, *, away: bool = False) -> Schema:
    """Return an operation that tells something."""
    responses = {"200": _content("It is so.", schema)}
    if away:
        responses["503"] = _content("It is not, and why.", _OBJECT)
    return {"operationId": operation, "responses": responses}


def _predict(name: str, doc: str, operation: str = "") -> Schema:
    """Return the operation that predicts from plain rows."""
    row = _ref(f"{name}.Row")
    many = {"type": "array", "items": row, "minItems": 1, "maxItems": ROWS_MAX}
    return {
        "operationId": operation or f"predict_{name}",
        "summary": f"Predict by {name}",
        "description": doc,
        "parameters": _parameters(),
        "requestBody": _body({"anyOf": [row, many]}),
        "responses": _responses(_ref(f"{name}.Predictions")),
    }


def _infer(name: str, doc: str) -> Schema:
    """Return the operation that predicts from tensors."""
    return {
        "operationId": f"infer_{name}",
        "summary": f"Predict by {name}, Open Inference Protocol",
        "description": doc,
        "parameters": _parameters(),
        "requestBody": _body(_ref(f"{name}.InferRequest")),
        "responses": _responses(_ref(f"{name}.InferResponse")),
    }


def _labels(name: str, operation: str = "labels") -> Schema:
    """Return the operation that takes labels."""
    label = _ref("Label")
    many = {"type": "array", "items": label, "maxItems": 10_000}
    responses = _responses(_ref("Labelled"))
    responses["404"] = _content("Nobody here knows this prediction.", _ref("Error"))
    return {
        "operationId": f"{operation}_{name}" if name else operation,
        "summary": "Say what turned out to be true of predictions",
        "requestBody": _body({"anyOf": [label, many]}),
        "responses": responses,
    }


def _parameters() -> list[Schema]:
    """Return the headers that a request may have."""
    return [
        {"name": name, "in": "header", "required": False, **told} for name, told in _HEADERS.items()
    ]


def _body(schema: Schema) -> Schema:
    """Return a body of JSON."""
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _content(told: str, schema: Schema) -> Schema:
    """Return a response of JSON."""
    return {"description": told, "content": {_JSON: {"schema": schema}}}


def _responses(schema: Schema) -> Schema:
    """Return the good response and the bad ones."""
    refused = {code: _content(told, _ref("Error")) for code, told in _REFUSED.items()}
    return {"200": _content("As the headers X-Firedoor-... say.", schema), **refused}


def _ref(name: str) -> Schema:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _row(fields: tuple[Field, ...], *, takes: bool) -> Schema:
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


def _predictions(name: str) -> Schema:
    """Return the schema of an answer in plain JSON."""
    items = _ref(f"{name}.Prediction")
    return {
        "allOf": [
            _ref("Said"),
            {
                "type": "object",
                "properties": {"predictions": {"type": "array", "items": items}},
                "required": ["predictions"],
            },
        ]
    }


def _with_others(row: Schema, metadata: ServiceMetadata | None) -> Schema:
    """Return the schema of a row with the columns that are not the model's."""
    if metadata is None or not (metadata.keys or metadata.about):
        return row
    properties = dict(row.get("properties", {}))
    properties |= dict.fromkeys(metadata.keys, _KEY) | dict.fromkeys(metadata.about, _ABOUT)
    required = [*row.get("required", []), *metadata.keys]
    return {**row, "properties": properties, **({"required": required} if required else {})}


def _infer_request(inputs: tuple[Field, ...], metadata: ServiceMetadata | None) -> Schema:
    """Return the schema of a request in tensors."""
    names: Schema = {"type": "string"}
    if inputs and metadata is not None:
        names["enum"] = [*(field.name for field in inputs), *metadata.keys, *metadata.about]
    datatypes = sorted({datatype_of(field.dtype) for field in inputs}) or ["FP64"]
    tensor = {
        "type": "object",
        "properties": {
            "name": names,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
            "datatype": {"type": "string", "examples": datatypes},
            "data": {"type": "array"},
        },
        "required": ["name", "shape", "datatype", "data"],
    }
    timeout = {
        "type": "integer",
        "minimum": 1,
        "maximum": 3_600_000_000,
        "description": "Microseconds.",
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": {"timeout": timeout}},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
        },
        "required": ["inputs"],
    }


_OBJECT: Final[Schema] = {"type": "object"}
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
_ERROR: Final[Schema] = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_SAID: Final[Schema] = {
    "type": "object",
    "properties": {
        name: {"type": "string"}
        for name in (
            "model",
            "version",
            "variant",
            "arm",
            "degraded",
            "id",
            "prediction",
            "features",
        )
    },
    "required": ["model", "version", "variant", "degraded", "id", "prediction"],
}
_LABEL: Final[Schema] = {
    "type": "object",
    "properties": {
        "prediction": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
        "label": {"type": ["number", "boolean"]},
        "row": {"type": "integer", "minimum": 0, "maximum": ROWS_MAX - 1},
    },
    "required": ["prediction", "label"],
    "additionalProperties": False,
}
_LABELLED: Final[Schema] = {
    "type": "object",
    "properties": {
        "labels": {"type": "array", "items": {"type": "object"}},
        **{kind: {"type": "integer"} for kind in ("joined", "kept", "unknown", "refused")},
    },
    "required": ["labels"],
}
_INFER_RESPONSE: Final[Schema] = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["model_name", "id", "outputs"],
}
