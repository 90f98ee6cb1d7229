"""Answers of the path, and the copies of them that go to the prediction log."""

from __future__ import annotations

from firedoor.gateway.attempt import Call
from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.ladder import Rung
from firedoor.gateway.pairing import unpack
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.prediction import PredictionRecord

BODY_BYTES_MAX = 64 * 2**10
BECAUSE_MAX = 300
SCORES_MAX = 1_000


def answer_of(call: Call, rung: Rung) -> Answer:
    """Return what is said to a request that was answered."""
    told, by = rung.told, rung.by
    degraded = rung.degraded
    if call.worse:
        degraded = f"features+{degraded}" if degraded else "features"
    return Answer(
        200, call.id, call.prediction, told.rows, told.fragment, told.tail,
        by.model if by else "", str(by.version) if by else "", rung.arm, degraded, call.quality,
        cause=call.blamed, ran=call.ran,
    )  # fmt: skip


def record_of(
    call: Call, rung: Rung, answer: Answer, *, plan: ServicePlan, gateway: str, utc_s: float,
    seconds: float, shadow: bytes = b"",
) -> PredictionRecord:  # fmt: skip
    """Return the copy for the log."""
    request, by, body = call.request, rung.by, call.request.body
    scores = rung.told.scores
    return PredictionRecord(
        id=call.prediction,
        at_s=utc_s,
        service=plan.name,
        gateway=gateway,
        arm=rung.arm,
        model=answer.model,
        version=by.version if by else None,
        digest=by.digest if by else "",
        degraded=answer.degraded,
        because=call.because[:BECAUSE_MAX] if answer.degraded else "",
        form=int(request.form),
        json_bytes=request.json_bytes,
        body=body if len(body) <= BODY_BYTES_MAX else b"",
        body_bytes=len(body),
        extra=call.extra,
        features=call.features,
        scores=tuple(unpack(scores[: 8 * SCORES_MAX])),
        shadow_scores=tuple(unpack(shadow[: 8 * SCORES_MAX])),
        seconds=seconds,
        key=request.key or call.key.decode("utf-8", "replace"),
        source=request.source,
        rollout=call.live.route.rollout,
        code=plan.version,
    )


def unserved_record(
    request: Request, rung: Rung, answer: Answer, *, plan: ServicePlan, gateway: str, because: str,
    utc_s: float, seconds: float,
) -> PredictionRecord:  # fmt: skip
    """Return the copy for the log of an answer that was given while no version was there."""
    body = request.body
    return PredictionRecord(
        id=answer.prediction,
        at_s=utc_s,
        service=plan.name,
        gateway=gateway,
        arm=rung.arm,
        degraded=answer.degraded,
        because=because[:BECAUSE_MAX],
        form=int(request.form),
        json_bytes=request.json_bytes,
        body=body if len(body) <= BODY_BYTES_MAX else b"",
        body_bytes=len(body),
        scores=tuple(unpack(rung.told.scores[: 8 * SCORES_MAX])),
        seconds=seconds,
        key=request.key,
        source=request.source,
        code=plan.version,
    )
