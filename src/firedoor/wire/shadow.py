"""New code of a zone that runs beside the old: what is wanted, and what was seen so far."""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.flow.code import CodePolicy, CodeVerdict, Evidence, judge

ShadowState = Literal["running", "switching", "live", "failed", "aborted"]


class Shadow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of ``shadow.<zone>``, changed by compare-and-set alone."""

    version: str
    """Of the new code."""
    beside: str
    """The version that was live when it began: beside another one nothing is compared."""
    declared: str
    """The version that the pipeline's own file declared then."""
    file: str
    """Where the zone's new plan is, in the project folder."""
    code: str
    """The folder that it was loaded from."""
    at_s: float
    by: str = ""
    because: str = ""
    auto: bool = True
    """Whether it takes over by itself where it makes the same."""
    batches_min: int = 20
    rows_min: int = 10_000
    allow: tuple[str, ...] = ()
    state: ShadowState = "running"
    ended: str = ""
    """By whom and why it ended; empty while it has not."""
    evidence: Evidence = Evidence()

    @property
    def policy(self) -> CodePolicy:
        """What has to be seen."""
        return CodePolicy(batches_min=self.batches_min, rows_min=self.rows_min, allow=self.allow)

    @property
    def verdict(self) -> CodeVerdict:
        """What was seen says."""
        return judge(self.evidence, self.policy)


def shadow_key(zone: str) -> str:
    """Return where a zone's shadow is kept."""
    return f"shadow.{zone}"


def read_shadow(value: bytes | None) -> Shadow | None:
    """Return what is kept; None for nothing, or what another version wrote."""
    try:
        return msgspec.json.decode(value, type=Shadow) if value else None
    except msgspec.DecodeError:
        return None
