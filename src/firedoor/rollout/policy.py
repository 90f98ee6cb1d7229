"""When a new version is given more requests, and when it is taken back."""

from __future__ import annotations

from dataclasses import dataclass

from firedoor.bounds import within
from firedoor.errors import DeclarationError

STEPS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPolicy:
    """The numbers of a rollout. ``time_scale`` divides its times, and no number of requests."""

    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5, 1.0)
    """Share of the subjects at each step, rising, the last one 1. ``(1.0,)`` is blue-green."""
    shadow: bool = True
    """Whether it first answers copies that nobody waits for."""
    shadow_requests: int = 1_000
    """Copies that it has to answer well before it is given anything else. 1 to 10,000,000."""
    look_s: float = 10.0
    """Time between two looks at the counts. 0.1 to 3,600."""
    alpha: float = 0.01
    """Chance that a version that is as good is rolled back, all tests together. 0.0001 to 0.2."""
    beta: float = 0.05
    """Chance that a version that is ``ratio_bad`` times worse is promoted. 0.001 to 0.2."""
    ratio_good: float = 1.1
    """Ratio of rates up to which the candidate counts as good. 1 to 10."""
    ratio_bad: float = 2.0
    """Ratio of rates from which it counts as bad. Above ``ratio_good``, to 100."""
    allowance: float = 0.02
    """Rate of bad answers from which it counts as bad, whatever the champion's is: what it is
    promoted by where neither has any. 0.0001 to 0.5."""
    requests_min: int = 200
    """Requests of the candidate at each step. 1 to 10,000,000."""
    step_s: float = 60.0
    """Least time of each step. 0 to 86,400."""
    looks_min: int = 5
    """Least looks at each step. 1 to 1,000."""
    step_timeout_s: float = 1_800.0
    """Time of a step after which it is held, with a word to the owner; after four times that it is
    rolled back. 1 to 604,800."""
    bake_s: float = 1_800.0
    """How long the champion stays warm after the last step, and is returned to. 0 to 604,800."""
    lease_s: float = 300.0
    """Without a sign of life of the control plane for so long, all goes back to the champion.
    1 to 86,400."""
    masked_max: float = 0.3
    """Share of looks at which the champion itself was sick, beyond which it is held. 0 to 1."""
    loss_margin: float = 0.005
    """By how much its mean loss may be higher, in units of the loss. 0 to 10."""
    loss_max: float | None = None
    """The largest loss of one prediction, in units of the loss; more is cut to it. None: 6.91 nats
    for ``log_loss``; ``squared`` and ``absolute`` need it. 0.000001 to 1e12."""
    labels_min: int = 200
    """Labels below which nothing is said of its loss. 1 to 10,000,000."""
    need_labels: bool = False
    """Whether it is promoted only if its loss was seen to be no worse."""
    need_drill: bool = False
    """Whether a version that follows a rollback waits until a drill has shown, since then, that
    what the last one failed at stays in the service. One that has shown the opposite always holds
    it."""
    mirror: float = 1.0
    """Share of the champion's requests that the candidate is given besides, in shadow. 0 to 1."""
    max_rollbacks: int = 2
    """Rollbacks of the versions of a model within 7 days after which a person has to agree."""
    time_scale: float = 1.0
    """Divides all times: for demonstrations. It makes no requests. 1 to 1,000."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        _check_steps(self.steps)
        within("shadow_requests", self.shadow_requests, 1, 10**7, "requests", whole=True)
        within("look_s", self.look_s, 0.1, 3_600, "seconds")
        within("alpha", self.alpha, 0.0001, 0.2, "as a probability")
        within("beta", self.beta, 0.001, 0.2, "as a probability")
        within("ratio_good", self.ratio_good, 1, 10, "as a ratio")
        within("ratio_bad", self.ratio_bad, self.ratio_good * 1.05, 100, "as a ratio")
        within("allowance", self.allowance, 0.0001, 0.5, "as a share")
        within("requests_min", self.requests_min, 1, 10**7, "requests", whole=True)
        within("step_s", self.step_s, 0, 86_400, "seconds")
        within("looks_min", self.looks_min, 1, 1_000, "looks", whole=True)
        within("step_timeout_s", self.step_timeout_s, 1, 604_800, "seconds")
        within("bake_s", self.bake_s, 0, 604_800, "seconds")
        within("lease_s", self.lease_s, 1, 86_400, "seconds")
        within("masked_max", self.masked_max, 0, 1, "as a share")
        within("loss_margin", self.loss_margin, 0, 10, "of loss")
        if self.loss_max is not None:
            within("loss_max", self.loss_max, 1e-6, 1e12, "of loss")
        within("labels_min", self.labels_min, 1, 10**7, "labels", whole=True)
        within("mirror", self.mirror, 0, 1, "as a share")
        within("max_rollbacks", self.max_rollbacks, 1, 1_000, "rollbacks", whole=True)
        within("time_scale", self.time_scale, 1, 1_000, "as a factor")


def _check_steps(steps: tuple[float, ...]) -> None:
    """Refuse steps that do not lead to everybody."""
    remedy = "write steps=(0.01, 0.05, 0.25, 0.5, 1.0)"
    if not isinstance(steps, tuple) or not 0 < len(steps) <= STEPS_MAX:
        raise DeclarationError("steps", steps, f"is no tuple of 1 to {STEPS_MAX} shares", remedy)
    for share in steps:
        within("steps", share, 0.0001, 1, "as a share of the subjects")
    if list(steps) != sorted(set(steps)) or steps[-1] != 1:
        raise DeclarationError("steps", steps, "do not rise to 1", remedy)
