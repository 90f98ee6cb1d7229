"""The gateway's OpenAPI document, made from the signatures of the models that it serves."""

from __future__ import annotations

from typing import Final

from firedoor.gateway.face_request import ID_MAX, KEY_MAX, SOURCE_MAX, TIMEOUT_S_MAX
from firedoor.gateway.openapi_rows import INFER_RESPONSE, Schema, infer_request, row, with_others
from firedoor.gateway.services import Service
from firedoor.guards.shedding import PRIORITIES
from firedoor.wire.serving import ROWS_MAX

VERSION: Final = "3.1.0"
_JSON: Final = "application/json"
_OCTETS: Final = "application/octet-stream"
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
        "description": "Where the rows are from: flights-000123/17.",
        "schema": {"type": "string", "maxLength": SOURCE_MAX},
    },
    "X-Firedoor-Route": {
        "description": "Which arm of a rollout answers a tester; it is no evidence.",
        "schema": {"enum": ["candidate", "champion"]},
    },
    "traceparent": {
        "description": "W3C's: the span that this request is below.",
        "schema": {"type": "string"},
    },
}
_TOLD: Final = {
    "X-Request-Id": "Your own id of the request, or one that was made.",
    "X-Firedoor-Prediction-Id": "Names the prediction in the log, and for labels.",
    "X-Firedoor-Arm": (
        "Who answered: champion, candidate, previous, cached, constant, function or none."
    ),
    "X-Firedoor-Variant": "The version whose prediction it is; missing where it is of none.",
    "X-Firedoor-Model-Version": "Its number.",
    "X-Firedoor-Degraded": "Why it is not what was asked for; missing where it is.",
    "X-Firedoor-Features": "Looked-up features that are not live.",
}
_ALWAYS: Final = frozenset({"X-Request-Id", "X-Firedoor-Prediction-Id", "X-Firedoor-Arm"})
_WAITS: Final = frozenset({"429", "503"})
_VERSION: Final = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "Of the model, as GET /v2/models/NAME lists them.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,20}$"},
}
_NO_VERSION: Final = "There is no such version here; the message lists those that there are."


def document(services: list[Service], *, release: str) -> Schema:
    """Return the document as values for JSON; ``release``: of firedoor."""
    paths: Schema = _about_the_server()
    paths["/labels"] = {"post": _labels("", "labels")}
    schemas: Schema = {"Error": _ERROR, "Said": _SAID, "Label": _LABEL, "Labelled": _LABELLED}
    for service in services:
        name, metadata = service.name, service.metadata()
        inputs = metadata.inputs if metadata is not None else ()
        outputs = metadata.outputs if metadata is not None else ()
        schemas[f"{name}.Row"] = with_others(row(inputs, takes=True), metadata)
        schemas[f"{name}.Prediction"] = row(outputs, takes=False)
        schemas[f"{name}.Predictions"] = _predictions(name)
        schemas[f"{name}.InferRequest"] = infer_request(inputs, metadata)
        schemas[f"{name}.InferResponse"] = INFER_RESPONSE
        paths |= _of_service(name, metadata.doc if metadata is not None else "")
    if len(services) == 1:
        only = services[0].name
        paths["/predict"] = {"post": _predict(only, "", "predict")}
    return {
        "openapi": VERSION,
        "info": {"title": "firedoor", "version": release},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _of_service(name: str, doc: str) -> Schema:
    """Return the paths of one service."""
    paths: Schema = {
        f"/predict/{name}": {"post": _predict(name, doc)},
        f"/labels/{name}": {"post": _labels(name)},
        f"/readyz/{name}": {"get": _get(f"readyz_{name}", _OBJECT, away=True)},
    }
    root = f"/v2/models/{name}"
    paths |= {root + end: page for end, page in _of_model(name, doc, "").items()}
    for end, page in _of_model(name, doc, "_version").items():
        ((method, operation),) = page.items()
        operation["parameters"] = [_VERSION, *operation.get("parameters", ())]
        operation["responses"].setdefault("404", _content(_NO_VERSION, _ref("Error")))
        paths[f"{root}/versions/{{version}}{end}"] = {method: operation}
    return paths


def _of_model(name: str, doc: str, suffix: str) -> Schema:
    """Return what the Open Inference Protocol has of a model, by the ends of its paths."""
    return {
        "": {"get": _get(f"metadata_{name}{suffix}", _OBJECT)},
        "/ready": {"get": _get(f"ready_{name}{suffix}", _OBJECT, away=True)},
        "/infer": {"post": _infer(name, doc, suffix)},
        "/labels": {"post": _labels(name, f"labels_v2{suffix}")},
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
    one = _ref(f"{name}.Row")
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": ROWS_MAX}
    return {
        "operationId": operation or f"predict_{name}",
        "summary": f"Predict by {name}",
        "description": doc,
        "parameters": _parameters(),
        "requestBody": _body({"anyOf": [one, many]}),
        "responses": _responses(_ref(f"{name}.Predictions")),
    }


def _infer(name: str, doc: str, suffix: str = "") -> Schema:
    """Return the operation that predicts from tensors, in JSON or as bytes behind it."""
    octets = {"schema": {"type": "string", "format": "binary"}}
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "required": False,
        "description": "Of a body with binary tensors: how many bytes of it are JSON.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,11}$"},
    }
    responses = _responses(_ref(f"{name}.InferResponse"))
    responses["200"]["content"][_OCTETS] = octets
    body = _body(_ref(f"{name}.InferRequest"))
    body["content"][_OCTETS] = octets
    return {
        "operationId": f"infer_{name}{suffix}",
        "summary": f"Predict by {name}, Open Inference Protocol",
        "description": doc,
        "parameters": [*_parameters(), length],
        "requestBody": body,
        "responses": responses,
    }


def _labels(name: str, operation: str = "labels") -> Schema:
    """Return the operation that takes labels."""
    label = _ref("Label")
    many = {"type": "array", "items": label, "maxItems": 10_000}
    responses = _responses(_ref("Labelled"), told={})
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


def _responses(schema: Schema, told: Schema | None = None) -> Schema:
    """Return the good response, with headers, and the bad ones."""
    headers = {
        name: {"description": text, "required": name in _ALWAYS, "schema": {"type": "string"}}
        for name, text in _TOLD.items()
    }
    again = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    good = _content("As the headers X-Firedoor-... say.", schema)
    refused = {code: _content(text, _ref("Error")) for code, text in _REFUSED.items()}
    for code in _WAITS:
        refused[code] |= {"headers": again}
    return {"200": good | {"headers": headers if told is None else told}, **refused}


def _ref(name: str) -> Schema:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


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


_OBJECT: Final[Schema] = {"type": "object"}
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
