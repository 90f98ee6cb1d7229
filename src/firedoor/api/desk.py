"""What the routes of the control API stand on: streams, plan, flags, tokens, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from firedoor.api.tokens import Token, Tokens
from firedoor.compose.flag_table import FlagTable
from firedoor.compose.flags_file import FlagsFile
from firedoor.errors import NotKnown, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.spec.service_plan import ServicePlan

Reach = Callable[[], Streams | None]
"""Returns the broker's streams; None while it is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One pipeline, as the control API knows it."""

    plan: Plan
    reach: Reach
    file: FlagsFile
    tokens: Tokens
    clock: Clock

    def streams(self) -> Streams:
        """Return the broker's streams.

        Raises:
            StreamsUnavailable: if it is away.
        """
        streams = self.reach()
        if streams is None:
            message = "the broker is away: flags can be killed all the same; the rest waits for it"
            raise StreamsUnavailable(message)
        return streams

    def flags(self) -> FlagTable:
        """Return the table of flags, which is there without the broker, too."""
        return FlagTable(self.reach(), self.file)

    def service(self, name: str) -> ServicePlan:
        """Return a service.

        Raises:
            NotKnown: if there is none of that name.
        """
        try:
            return self.plan.service(name)
        except KeyError:
            known = ", ".join(service.name for service in self.plan.services) or "none"
            message = f"{self.plan.pipeline} has no service {name!r}: it has {known}"
            raise NotKnown(message) from None


def desk_of(request: Request) -> Desk:
    """Return the desk of the app that a request came to."""
    found = request.app.state.desk
    assert isinstance(found, Desk), "control_app puts it there"
    return found


At = Annotated[Desk, Depends(desk_of)]
_BEARER = HTTPBearer(auto_error=False, description="A token of .firedoor/serving/tokens.json.")
Said = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


def reader(said: Said, at: At) -> Token:
    """Return who asks.

    Raises:
        HTTPException: 401, if that is nobody we know.
    """
    token = at.tokens.who(said.credentials) if said is not None else None
    if token is None:
        what = "a token is needed" if said is None else "nobody has this token"
        told = f"{what}: send `Authorization: Bearer TOKEN` with one of {at.tokens.path}"
        raise HTTPException(401, told, headers={"WWW-Authenticate": "Bearer"})
    return token


Reader = Annotated[Token, Depends(reader)]


def writer(token: Reader, at: At) -> Token:
    """Return who wants a change.

    Raises:
        HTTPException: 403, if the token only reads.
    """
    if token.role != "write":
        told = (
            f"the token {token.name!r} only reads: use one whose role in {at.tokens.path} is write"
        )
        raise HTTPException(403, told)
    return token


Writer = Annotated[Token, Depends(writer)]
