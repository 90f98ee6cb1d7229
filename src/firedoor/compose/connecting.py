"""Reach a broker as an endpoint says: its addresses, user, password and files for TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from firedoor.compose.project import Endpoint
from firedoor.ports.clock import Clock

if TYPE_CHECKING:
    from firedoor.adapters.nats.streams import NatsStreams


class Patience(TypedDict, total=False):
    """How long a broker that is away is waited for; see ``adapters.nats.streams.connect``."""

    write_s: float
    read_s: float
    open_s: float


async def connect_to(
    endpoint: Endpoint,
    *,
    pipeline: str,
    zone: str | None = None,
    clock: Clock | None = None,
    **patience: Unpack[Patience],
) -> NatsStreams:
    """Connect as a zone, or as the one that may do everything (None).

    Raises:
        StreamsUnavailable: if nobody answers there.
        StoreRefused: if the password is wrong, or the broker is not trusted.
    """
    # A zone's process imports this at its start, before it needs the client.
    from firedoor.adapters.nats.session import Trust  # noqa: PLC0415
    from firedoor.adapters.nats.streams import connect  # noqa: PLC0415

    return await connect(
        endpoint.url,
        pipeline=pipeline,
        user=endpoint.user,
        password=endpoint.password,
        zone=zone,
        trust=Trust(ca=endpoint.ca, certificate=endpoint.certificate, key=endpoint.key),
        clock=clock,
        **patience,
    )
