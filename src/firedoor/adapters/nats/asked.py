"""A request that is under way, and how it can fail for now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from firedoor.adapters.nats.answers import Message


class Again(Exception):
    """There was no answer, or a temporary one: ask again."""


class NotYet(Again):
    """The broker refused for now, and nothing was done: ask again."""


class NoAnswer(Again):
    """There was no answer, over a connection that holds."""


class Absent(Exception):
    """Nobody keeps such messages."""


@dataclass(slots=True)
class Asked:
    """A request that is under way, and what was answered so far."""

    subject: str
    key: str
    answers: asyncio.Queue[Message | Exception] = field(default_factory=asyncio.Queue)

    async def next(self, within_s: float) -> Message:
        """Return the next answer.

        Raises:
            NoAnswer: if there was none.
            Again: if the connection was lost.
            StoreRefused: if the user may not ask this.
        """
        try:
            async with asyncio.timeout(within_s):
                answer = await self.answers.get()
        except TimeoutError:
            message = "no answer"
            raise NoAnswer(message) from None
        if isinstance(answer, Exception):
            raise answer
        return answer
