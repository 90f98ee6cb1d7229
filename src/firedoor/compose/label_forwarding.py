"""Labels taken to the gateway of this machine that made their predictions.

Gateways share a port, so that a label comes to any of them; each listens besides on a port of its
own, on loopback, which the others find in the project's folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import urllib.parse
from collections.abc import Sequence
from typing import Literal

import msgspec

from firedoor.compose.serving_folder import GATEWAYS_MAX, ServingFolder
from firedoor.gateway.identity import tag_of
from firedoor.gateway.labels import Forward
from firedoor.gateway.services import Label, Labelled

ANSWER_S = 2.0
ANSWER_BYTES_MAX = 16 * 2**20


class _Outcome(msgspec.Struct):
    outcome: Literal["joined", "kept", "unknown", "refused"]
    message: str = ""


class _Answer(msgspec.Struct):
    labels: list[_Outcome]


def forwarder(folder: ServingFolder, service: str) -> Forward:
    """Return what takes labels of a service to other gateways."""

    async def forward(tag: str, labels: Sequence[Label]) -> list[Labelled] | None:
        return await asyncio.to_thread(_forward, folder, service, tag, labels)

    return forward


def _forward(
    folder: ServingFolder, service: str, tag: str, labels: Sequence[Label]
) -> list[Labelled] | None:
    """Hand labels to a gateway; None: it is not to be reached. Blocks."""
    states = (folder.said(number) for number in range(1, GATEWAYS_MAX + 1))
    address = next((one.own for one in states if one and one.own and tag_of(one.name) == tag), "")
    if not address:
        return None
    parts = urllib.parse.urlsplit(address)
    body = msgspec.json.encode(
        [{"prediction": one.prediction, "label": one.value, "row": one.row} for one in labels]
    )
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
    try:
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/labels/{service}", body, headers)
            said = connection.getresponse().read(ANSWER_BYTES_MAX)
        answer = msgspec.json.decode(said, type=_Answer)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return None
    return [Labelled(one.outcome, one.message) for one in answer.labels]
