"""What a gateway gathers of one rollout: counts, hard faults, pairs, requests for a successor.

A request holds the trial that it began under; so what ends after the next rollout has begun is
still counted where it belongs, which is nowhere that anybody looks.
"""

from __future__ import annotations

import random

from firedoor.gateway.attempt import Call
from firedoor.gateway.capture import EVERYTHING, Capture
from firedoor.gateway.pairing import Pairing
from firedoor.gateway.tally import Tally
from firedoor.gateway.trips import Trips
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.evidence import ArmName
from firedoor.wire.pack import Pack, Replayable, encode_pack
from firedoor.wire.route import Arm, Cutoffs
from firedoor.wire.serving import FAILURES, Outcome, Told


class Trial:
    """One rollout, as this gateway sees it; also of steady times, when there is none."""

    __slots__ = ("candidate", "capture", "pairing", "rollout", "tally", "trips")

    def __init__(
        self, plan: ServicePlan, rollout: str, candidate: Arm | None, chance: random.Random
    ) -> None:
        """Begin with nothing."""
        self.rollout, self.candidate = rollout, candidate
        self.tally, self.trips = Tally(rollout), Trips()
        self.pairing = Pairing(
            plan.loss, margin=plan.rollout.loss_margin, loss_max=plan.rollout.loss_max
        )
        self.capture = Capture(chance)

    def saw(
        self, call: Call, arm: ArmName, told: Told, seconds: float, *, cutoffs: Cutoffs, at_s: float
    ) -> None:
        """Take the own attempt of an arm, or a copy that the candidate was given."""
        self.tally.count(
            arm, told.outcome, seconds, cutoffs=cutoffs, slices=call.slices, degraded=call.worse
        )
        if self.candidate is None:
            return
        if arm in ("candidate", "shadow"):
            self.trips.saw(told.outcome, told.message)
            if told.outcome in FAILURES:
                self.capture.failed(_replayable("failing", call, told, at_s))
        elif told.outcome is Outcome.OK:
            wanted = self.capture.wants(call.slices or (EVERYTHING,))
            if wanted:
                self.capture.went_well(_replayable("good", call, told, at_s), wanted)

    def turned_away(self, call: Call, arm: ArmName, *, cutoffs: Cutoffs) -> None:
        """Take a request that an arm was not asked, because its breaker is open.

        The arm failed so often that nobody asks it: left out, a version that fails for a minute at
        a time would look as if it had failed ten requests.
        """
        self.tally.count(
            arm, Outcome.RAISED, 0.0, cutoffs=cutoffs, slices=call.slices, degraded=call.worse
        )

    def pack(self, service: str, gateway: str) -> bytes:
        """Return what is kept for the candidate's successor, see ``wire.pack``."""
        arm = self.candidate
        pack = Pack(
            service=service,
            gateway=gateway,
            rollout=self.rollout,
            model=arm.model if arm else "",
            candidate=arm.version if arm else 0,
            digest=arm.digest if arm else "",
            seen=dict(self.capture.seen),
            requests=tuple(self.capture.requests()),
        )
        return encode_pack(pack)


def _replayable(kind: str, call: Call, told: Told, at_s: float) -> Replayable:
    """Return a request as it is kept."""
    request = call.request
    failing = kind == "failing"
    return Replayable(
        kind="failing" if failing else "good",
        form=int(request.form),
        body=request.body,
        json_bytes=request.json_bytes,
        extra=call.extra,
        features=call.features,
        outcome=int(told.outcome),
        signature=(told.signature or told.outcome.name) if failing else "",
        message=told.message if failing else "",
        slices=call.slices,
        scores=b"" if failing else told.scores,
        prediction=call.prediction,
        at_s=at_s,
    )
