"""nats-py's client, which trusts only whom it was told to trust, and knows if there is a cluster.

nats-py encrypts if the server asks for it, and sends the password in clear if it does not, whatever
the address says; it reads certificates once, and so never sees renewed ones; and where a handshake
failed, or a server hangs, it waits for long, or for ever, until a connection is closed.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import ParseResult

import nats.aio.client
import nats.aio.transport
from nats.errors import Error as NatsError

BUFFER_BYTES = 2**20
"""Batches are half a megabyte: nats-py reads 32 KiB at a time otherwise."""
nats.aio.client.DEFAULT_BUFFER_SIZE = BUFFER_BYTES

TLS = "tls://"
CLOSE_S = 1.0
"""For which the other side is waited for when a connection is closed."""
OUT_OF_TIME = frozenset({9, 10})
OF_ANOTHER = frozenset({62, 64})
"""OpenSSL's numbers: not valid yet, expired; another name, another address."""


class Untrusted(NatsError):
    """One of both sides cannot show who it is. The text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Files (PEM) by which both sides show who they are. Naming any insists on TLS."""

    ca: str | None = None
    """Whose certificates are trusted; None: those of this machine."""
    certificate: str | None = None
    """Of this client, where the broker asks for one."""
    key: str | None = None
    """Its key; None: it is in the same file."""

    def __bool__(self) -> bool:
        """Return whether anything is named."""
        return bool(self.ca or self.certificate)


class _Wire(nats.aio.transport.TcpTransport):
    """One connection, which is closed soon, whatever the other side does."""

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        """Encrypt. What a failed handshake leaves can be neither used nor waited for."""
        try:
            await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        except BaseException:
            if self._bare_io_writer is not None:
                self._bare_io_writer.transport.abort()
            self._bare_io_reader = self._bare_io_writer = None
            self._io_reader = self._io_writer = None
            raise

    async def wait_closed(self) -> None:
        """Wait until it is closed, or cut it off."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await super().wait_closed()  # type: ignore[no-untyped-call]
        except TimeoutError:
            if self._io_writer is not None:
                self._io_writer.transport.abort()


class Session(nats.aio.client.Client):
    """One connection of nats-py."""

    def __init__(self, addresses: list[str], trust: Trust) -> None:
        """Prepare; ``connect`` connects."""
        super().__init__()
        self.cluster = ""
        """Name of the cluster that the server is of, empty if it is one by itself."""
        self._trust = trust
        self._insists = bool(trust) or any(one.startswith(TLS) for one in addresses)

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """The context of the connection that is being made: files are read each time."""
        return context_of(self._trust)

    @property
    def asked(self) -> str:
        """``host:port`` of the server that is connected, or was tried last."""
        server = self._current_server
        return server.uri.netloc if server is not None else ""

    async def _connect_to_server(self, s: nats.aio.client.Srv) -> None:
        """Open a connection; close one that came to nothing, which nats-py forgets."""
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        self._transport = wire = _Wire()  # type: ignore[no-untyped-call]
        s.last_attempt = asyncio.get_running_loop().time()
        await wire.connect(s.uri, BUFFER_BYTES, self.options["connect_timeout"])

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002 - nats-py's signature
        """Take what a server says of itself, before anything is said to it.

        Raises:
            Untrusted: if it does not encrypt, and has to.
        """
        if initial_connection:
            if self._insists and not info.get("tls_required"):
                message = "does not offer TLS: nothing was said to it; correct its address"
                raise Untrusted(f"{message} or its settings")
            self.cluster = info.get("cluster") or ""
        await super()._process_info(info, initial_connection)


def context_of(trust: Trust) -> ssl.SSLContext:
    """Return the context in which a broker is met.

    Raises:
        Untrusted: if a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=trust.ca)
    except OSError as error:
        message = f"was not asked: {trust.ca} has no certificate of a CA to read ({error})"
        raise Untrusted(message) from error
    if trust.certificate is not None:
        try:
            # A key with a password would be asked for on the terminal.
            context.load_cert_chain(trust.certificate, trust.key, password="")
        except OSError as error:
            files = " and ".join(file for file in (trust.certificate, trust.key) if file)
            message = f"was not asked: {files} are no certificate with its key, unlocked ({error})"
            raise Untrusted(message) from error
    return context


def why_untrusted(error: Exception, trust: Trust) -> str | None:
    """Return why somebody could not show who it is, and what to do; None if it was not that."""
    if isinstance(error, Untrusted):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in OUT_OF_TIME:
            remedy = "renew it on the broker, or set this machine's clock"
        elif error.verify_code in OF_ANOTHER:
            remedy = "name the broker as its certificate does, or have one made for this name"
        else:
            known = trust.ca or "the CAs of this machine"
            remedy = f"it is not of {known}: name the file of its CA in FIREDOOR_NATS_CA"
        return f"has a certificate that is not trusted ({error.verify_message}): {remedy}"
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        mine = trust.certificate or "none"
        return (
            f"refuses the certificate of this client, {mine} ({error.reason}): name one that it "
            "trusts in FIREDOOR_NATS_CERTIFICATE and FIREDOOR_NATS_KEY"
        )
    return None
