"""One connection to the broker: requests that are repeated until they are answered.

nats-py's own requests neither notice a refused permission nor a lost connection before their time
is up, and give up then. Here a request waits for a connection, is sent, and is sent again with the
same bytes until there is an answer or patience is at its end; whoever asks has to see to it that
being asked twice does no harm (ids, expected sequences).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

import msgspec
from nats.errors import Error as NatsError

from firedoor.adapters.nats.answers import (
    ALL_SENT,
    NO_RESPONDERS,
    NOT_FOUND,
    Message,
    Refusal,
    consumed,
    fault_of,
    passes,
    status_of,
)
from firedoor.adapters.nats.asked import Absent, Again, Asked, NotYet
from firedoor.adapters.nats.naming import API, replies_of, user_of
from firedoor.adapters.nats.session import Session, Trust, why_untrusted
from firedoor.errors import StoreRefused, StreamsUnavailable
from firedoor.ports.clock import Clock

T = TypeVar("T")

WRITE_S = 30.0
READ_S = 2.0
OPEN_S = 5.0
AGAIN_S = 0.5
"""After which it is given up once more, if that went unheard."""
EACH_S = 5.0
"""How long an answer is waited for before the request is sent again."""
ASK_S = 2.0
"""The same for what stores nothing: a cluster without a leader does not answer it."""
PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 1.0
PING_S = 5
PENDING_BYTES = 64 * 2**20
SETTINGS: dict[str, Any] = {
    "connect_timeout": 2,
    "reconnect_time_wait": 0.1,
    "max_reconnect_attempts": -1,
    "ping_interval": PING_S,
    "max_outstanding_pings": 2,
    "pending_size": PENDING_BYTES,
}

_FORBIDDEN = re.compile(r'permissions violation for publish to "([^"]*)"')


class Link:
    """A user's connection; made again whenever it is lost."""

    def __init__(
        self,
        url: str,
        *,
        user: str | None,
        password: str | None,
        zone: str | None,
        clock: Clock,
        trust: Trust | None = None,
        write_s: float = WRITE_S,
        read_s: float = READ_S,
    ) -> None:
        """Prepare; ``open`` connects. ``url`` is one address, or several, joined by commas."""
        self.clock = clock
        self.write_s, self.read_s = write_s, read_s
        self.url = url
        self._addresses = [one.strip() for one in url.split(",")]
        self._user, self._password, self._zone = user, password, zone
        self._trust = Trust() if trust is None else trust
        self._client = Session(self._addresses, self._trust)
        self._untrusted: dict[str, str] = {}
        """Why a server is not trusted, while there is no connection."""
        self._begun = False
        self.losses = 0
        """How often the connection was lost."""
        self.unanswered = 0
        """How often a request was sent again of which it is not known what became of it."""
        self._asked: dict[str, Asked] = {}
        self._up = asyncio.Event()
        self._opening = asyncio.Lock()
        self._state: Literal["new", "open", "closed"] = "new"
        self._why = "not connected yet"
        self._base = ""
        self._count = 0

    # ---- the connection

    async def open(self, patience_s: float = OPEN_S) -> None:
        """Connect.

        Raises:
            StreamsUnavailable: if nobody answers there.
            StoreRefused: if the password is wrong, or none of the servers is trusted.
        """
        async with self._opening:
            if self._client.is_connected:
                return
            await self._let_go()
            self._client = client = Session(self._addresses, self._trust)
            self._untrusted.clear()
            self._begun = True
            try:
                # Twice: `wait_for` of Python 3.11, which the client loops over, may drop the first.
                async with asyncio.timeout(patience_s + AGAIN_S), asyncio.timeout(patience_s):
                    await client.connect(
                        self._addresses,
                        name=user_of(self._zone),
                        user=self._user,
                        password=self._password,
                        inbox_prefix=replies_of(self._zone),
                        error_cb=self._on_error,
                        disconnected_cb=self._on_lost,
                        reconnected_cb=self._on_back,
                        closed_cb=self._on_lost,
                        **SETTINGS,
                    )
                    # An id of this connection: answers to one that was lost are not taken for its.
                    self._base = client.new_inbox()
                    await client.subscribe(
                        f"{self._base}.>", cb=self._on_message, pending_bytes_limit=-1
                    )
            except (TimeoutError, OSError, NatsError) as error:
                await self._let_go()
                raise self._unavailable(str(error)) from error
            except BaseException:
                await self._let_go()
                raise
            self._state = "open"
            self._untrusted.clear()
            self._up.set()

    @property
    def clustered(self) -> bool:
        """Whether there is more than one server, so that one alone may not know everything."""
        return bool(self._client.cluster)

    @property
    def payload_max(self) -> int:
        """Bytes of the largest message that the server takes."""
        return self._client.max_payload

    async def up(self, patience_s: float) -> None:
        """Return when there is a connection.

        Raises:
            StreamsUnavailable: if there is none in time.
        """
        if self._state == "closed":
            message = "this connection to the broker was closed"
            raise StreamsUnavailable(message)
        if self._up.is_set() and self._client.is_connected:
            return
        if self._client.is_closed:  # for good: the broker said something that ends a connection
            await self.open(patience_s)
            return
        try:
            async with asyncio.timeout(patience_s):
                await self._up.wait()
        except TimeoutError:
            raise self._unavailable() from None

    async def close(self) -> None:
        """Let go of the broker; nothing stays behind in the event loop."""
        self._state = "closed"
        self._up.clear()
        self._fail(StreamsUnavailable("this connection to the broker was closed"))
        await self._let_go()

    async def _let_go(self) -> None:
        """Close the client, and let its tasks come to their ends."""
        if not self._begun or self._client.is_closed:
            return
        try:
            await self._client.close()
        except (OSError, NatsError):
            self._why = "lost while it was closed"
        for _ in range(3):
            await self.clock.wait(0)

    def _unavailable(self, why: str = "") -> StreamsUnavailable:
        """Return the error that says that nobody is there, and what to do."""
        why = why or "; ".join(self._untrusted.values()) or self._why
        return StreamsUnavailable(
            f"the broker at {self.url} does not answer ({why}): nothing is lost; see that it runs, "
            "firedoor doctor says what is wrong with it"
        )

    async def _on_error(self, error: Exception) -> None:
        """Keep what the broker or the client says; hand a refused permission to who asked."""
        self._why = str(error) or type(error).__name__
        text = self._why.lower()
        if self._state != "open" and "authorization" in text:
            message = f"the broker at {self.url} refuses user {self._user!r}: wrong password"
            raise StoreRefused(message)
        untrusted = why_untrusted(error, self._trust)
        if untrusted is not None:
            server = self._client.asked
            self._why = self._untrusted[server] = f"the server {server} {untrusted}"
            # The others may be fine.
            if self._state != "open" and len(self._untrusted) >= len(set(self._addresses)):
                raise StoreRefused(self._why)
        forbidden = _FORBIDDEN.search(text)
        for asked in list(self._asked.values()) if forbidden else ():
            if forbidden and asked.subject.lower() == forbidden[1]:
                message = f"{self._user} may not use {asked.subject}: it is not of its zone"
                asked.answers.put_nowait(StoreRefused(message))

    async def _on_lost(self) -> None:
        """Have every request sent again."""
        self.losses += 1
        self._up.clear()
        self._fail(Again("the connection was lost"))

    def _fail(self, error: Exception) -> None:
        """Answer everything that is under way."""
        for asked in list(self._asked.values()):
            asked.answers.put_nowait(error)

    async def _on_back(self) -> None:
        """Let requests go on."""
        self._untrusted.clear()
        if self._state == "open":
            self._up.set()

    async def _on_message(self, message: Message) -> None:
        """Give a message to whoever asked for it.

        What a consumer delivers has the subject under which it was published; the subject to
        acknowledge it by says whose it is.
        """
        if message.subject.startswith(self._base):
            key = message.subject[len(self._base) + 1 :].partition(".")[0]
        else:
            key = consumed(message).consumer if message.reply else ""
        asked = self._asked.get(key)
        if asked is not None:
            asked.answers.put_nowait(message)

    # ---- requests

    async def ask(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        read: Callable[[Message], T],
        headers: dict[str, str] | None = None,
        patience_s: float | None = None,
        each_s: float = EACH_S,
        wait_for_it: bool = True,
    ) -> T:
        """Send a request until it is answered; return what ``read`` makes of the answer.

        ``read`` raises ``Again`` if the answer is a temporary one. ``patience_s`` None means as
        long as for what reads; with ``wait_for_it`` it is asked again if nobody keeps such things.

        Raises:
            Absent: if nobody does, and it is not waited for.
            StreamsUnavailable: if patience is at its end.
            StoreRefused: if this user may not.
        """

        async def once(left_s: float) -> T:
            asked = self.expect(subject)
            try:
                await self.send(asked, payload, headers=headers)
                answer = await asked.next(min(left_s, each_s))
            finally:
                self.forget(asked)
            if status_of(answer) == NO_RESPONDERS:
                message = f"nobody keeps {subject}: it was not declared, or is not ready"
                raise Again(message) if wait_for_it else Absent(message)
            return read(answer)

        return await self.patiently(
            once, patience_s=self.read_s if patience_s is None else patience_s
        )

    async def ask_many(
        self, subject: str, payload: bytes, *, wait_for_it: bool = True
    ) -> list[Message]:
        """Send a request that is answered by many messages and a last one that says so."""

        async def once(left_s: float) -> list[Message]:
            asked = self.expect(subject)
            answers: list[Message] = []
            try:
                await self.send(asked, payload)
                while True:
                    answer = await asked.next(min(left_s, EACH_S))
                    status = status_of(answer)
                    if status in {ALL_SENT, NOT_FOUND}:
                        return answers
                    if status == NO_RESPONDERS and not wait_for_it:
                        raise Absent(subject)
                    if status:
                        message = f"{subject} answers {status}"
                        raise Again(message)
                    answers.append(answer)
            finally:
                self.forget(asked)

        return await self.patiently(once, patience_s=self.read_s)

    async def api(
        self, verb: str, body: object = None, *, answer: type[T], patience_s: float | None = None
    ) -> T:
        """Ask the broker's management; return its answer.

        Raises:
            Refusal: what it refused, and would again.
            StreamsUnavailable, StoreRefused: as ``ask``.
        """

        def read(message: Message) -> T:
            fault = fault_of(message.data)
            if fault is not None:
                if passes(fault):
                    raise Again(fault.description)
                raise Refusal(fault, verb)
            return msgspec.json.decode(message.data, type=answer)

        payload = b"" if body is None else msgspec.json.encode(body)
        return await self.ask(
            f"{API}.{verb}", payload, read=read, patience_s=patience_s, each_s=ASK_S
        )

    async def patiently(
        self, once: Callable[[float], Coroutine[object, object, T]], *, patience_s: float
    ) -> T:
        """Repeat what raises ``Again``, with longer and longer pauses.

        Raises:
            StreamsUnavailable: if patience is at its end.
        """
        ends_s = self.clock.now_s() + patience_s
        pause_s = PAUSE_FIRST_S
        while True:
            left_s = max(ends_s - self.clock.now_s(), PAUSE_FIRST_S)
            await self.up(left_s)
            try:
                return await once(max(ends_s - self.clock.now_s(), PAUSE_FIRST_S))
            except Again as error:
                self.unanswered += not isinstance(error, NotYet)
                left_s = ends_s - self.clock.now_s()
                if left_s <= 0:
                    raise self._unavailable(str(error)) from error
            await self.clock.wait(min(pause_s, left_s))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def unique(self) -> str:
        """Return a name that nobody else makes."""
        return self._client.new_inbox().rpartition(".")[2]

    def expect(self, subject: str, *, consumer: str = "") -> Asked:
        """Take answers to requests to ``subject`` until ``forget``.

        So are the deliveries of ``consumer``, if one is named: ``stream.consumer``.
        """
        self._count += 1
        asked = Asked(subject, str(self._count))
        self._asked[asked.key] = asked
        if consumer:
            self._asked[consumer] = asked
        return asked

    async def send(
        self, asked: Asked, payload: bytes, *, headers: dict[str, str] | None = None, tag: str = ""
    ) -> str:
        """Send a request once; return the subject that it is answered to.

        Raises:
            Again: if it could not be sent.
        """
        reply = f"{self._base}.{asked.key}{tag}"
        try:
            await self._client.publish(asked.subject, payload, reply=reply, headers=headers)
        except (OSError, NatsError) as error:
            raise Again(str(error)) from error
        return reply

    def forget(self, asked: Asked) -> None:
        """Take no more answers."""
        for key in [key for key, other in self._asked.items() if other is asked]:
            del self._asked[key]
