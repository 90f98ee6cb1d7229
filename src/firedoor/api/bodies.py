"""What the control API takes and gives, as its OpenAPI describes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

TEXT_MAX = 1_000
CONFIRM_MAX_S = 365 * 86_400.0

Because = Annotated[
    str,
    Field(min_length=1, max_length=TEXT_MAX, pattern=r"\S", description="Why: kept, and shown."),
]
ConfirmAfter = Annotated[
    float | None,
    Field(
        ge=1,
        le=CONFIRM_MAX_S,
        allow_inf_nan=False,
        description="Seconds after which somebody is to look again; it holds all the same.",
    ),
]
FlagValue = StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, Field(max_length=TEXT_MAX)]


class _Body(BaseModel):
    """What is sent; a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


class RolloutBody(_Body):
    """An order for a rollout."""

    because: Because
    version: int | None = Field(
        None, ge=1, le=10**9, description="Of `start`: which version; none: the challenger."
    )
    supersede: bool = Field(
        default=False, description="Of `start`: end a rollout that is under way."
    )
    override: bool = Field(
        default=False,
        description="Of `start`: although the version is quarantined or not qualified.",
    )
    second: str = Field("", max_length=100, description="Who agrees, where two people are needed.")


class FlagBody(_Body):
    """A flag that is set."""

    value: FlagValue
    because: Because
    share: float = Field(
        1.0, ge=0, le=1, allow_inf_nan=False, description="Of the subjects that get the value."
    )
    confirm_after_s: ConfirmAfter = None


class ConfirmBody(_Body):
    """A flag that is still wanted."""

    because: Because
    confirm_after_s: ConfirmAfter = None


class KillBody(_Body):
    """A kill switch that is thrown or lifted."""

    because: Because
    off: bool = Field(default=False, description="Lift it.")
    confirm_after_s: ConfirmAfter = None


class ErrorAnswer(BaseModel):
    """What was wrong, and what to do."""

    error: str


class Health(BaseModel):
    """Whether the API is at work."""

    status: str
    broker: bool = Field(description="Whether the broker answers.")


class Given(BaseModel):
    """An order that is kept until whoever drives rollouts has seen to it."""

    service: str
    verb: str
    number: int
    taken: bool = Field(
        description="Whether somebody has seen to it by now; else it waits, see `wait_s`."
    )
    said: list[str] = Field(description="What came of it: `rollout started: build 812 is better`.")


class FlagAnswer(BaseModel):
    """A flag as it is."""

    name: str
    value: bool | int | float | str
    share: float
    by: str
    because: str
    at_s: float
    confirm_s: float | None
    needs_confirmation: bool
    offline: bool = Field(description="Only this machine knows of it: the broker was away.")


class FlagsAnswer(BaseModel):
    """The table."""

    generation: int
    broker: bool = Field(description="Whether the broker answered; else it is from the disk.")
    flags: list[FlagAnswer]


class Changed(BaseModel):
    """What was changed."""

    name: str
    before: str
    after: str
    offline: bool
    generation: int


class RolloutAnswer(BaseModel):
    """One service: its route, the state of its rollout, and orders that wait."""

    service: str
    why: str = Field(
        description="What the rollout waits for, in a sentence: evidence so far, and what it takes."
    )
    controlled: bool = Field(description="Whether a control process drives rollouts.")
    route: dict[str, object] | None
    state: dict[str, object] | None
    orders: list[dict[str, object]]


class ChangeAnswer(BaseModel):
    """One change."""

    at_s: float
    by: str
    because: str
    what: str
    about: str
    before: str
    after: str
