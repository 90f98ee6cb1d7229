"""A broker that shows who it is, and one that cannot."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.nats.certificates import OPENSSL, Authority, Pair, make_authority
from adapters.nats.cluster import free_ports
from adapters.nats.world import PIPELINE
from firedoor.adapters.nats.configs import PAYLOAD_BYTES
from firedoor.adapters.nats.server import find_server
from firedoor.adapters.nats.session import Trust
from firedoor.adapters.nats.streams import NatsStreams, connect
from firedoor.adapters.nats.users import users_config
from firedoor.errors import StoreRefused, StreamsUnavailable
from firedoor.testing.conformance.store import SMALL, make_plan, publish

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl, which makes certificates")

PASSWORD = "the-admin's"  # noqa: S105 - of a server that lives for a second
OPEN_S = 20.0
"""Far more than a refusal takes: one that is not noticed fails by its message."""


@dataclass(frozen=True)
class Certificates:
    """What servers and clients of these tests show."""

    ours: Authority
    theirs: Authority
    server: Pair
    expired: Pair
    elsewhere: Pair
    strange: Pair
    client: Pair


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = make_authority(folder, "ours"), make_authority(folder, "theirs")
    return Certificates(
        ours=ours,
        theirs=theirs,
        server=ours.sign("server"),
        expired=ours.sign("expired", expired=True),
        elsewhere=ours.sign("elsewhere", names="DNS:nats.example.com"),
        strange=theirs.sign("strange"),
        client=ours.sign("client", names="DNS:zone-clean"),
    )


@contextmanager
def served(
    folder: Path, shown: Pair, *, asks: Authority | None = None, port: int = 0
) -> Iterator[str]:
    """Run a server that shows a certificate, and may ask for one; give its address."""
    port = port or free_ports(1)[0]
    asked = (
        "" if asks is None else f"ca_file: {json.dumps(str(asks.pair.certificate))}, verify: true"
    )
    config = folder / f"{port}.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\n'
        f"max_payload: {PAYLOAD_BYTES}\n"
        f"log_file: {json.dumps(str(folder / f'{port}.log'))}\n"
        f"jetstream {{ store_dir: {json.dumps(str(folder / f'{port}'))} }}\n"
        f"tls {{ cert_file: {json.dumps(str(shown.certificate))},"
        f" key_file: {json.dumps(str(shown.key))}, {asked} }}\n"
        f"{users_config(make_plan(), {None: PASSWORD})}"
    )
    server = subprocess.Popen([str(find_server()), "-c", str(config)])
    try:
        yield f"tls://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait(10)


async def meet(url: str, trust: Trust | None = None, *, open_s: float = OPEN_S) -> NatsStreams:
    """Connect; a server that is just being started is waited for."""
    return await connect(
        url,
        pipeline=PIPELINE,
        user="admin",
        password=PASSWORD,
        trust=trust,
        write_s=20,
        read_s=20,
        open_s=open_s,
    )


def trusting(authority: Authority, pair: Pair | None = None) -> Trust:
    """Return the files of a client."""
    return Trust(
        ca=str(authority.pair.certificate),
        certificate=None if pair is None else str(pair.certificate),
        key=None if pair is None else str(pair.key),
    )


def refusal(url: str, trust: Trust | None = None) -> str:
    """Return why a client refuses, or is refused."""

    async def within() -> str:
        with pytest.raises(StoreRefused) as caught:
            await meet(url, trust)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a refused client leaves tasks"
        assert PASSWORD not in str(caught.value)
        return str(caught.value)

    return asyncio.run(within())


def carries(url: str, trust: Trust, *, number: int = 1) -> None:
    """Assert that a batch goes through."""

    async def within() -> None:
        streams = await meet(url, trust)
        await streams.declare(make_plan())
        await publish(streams, number, bytes(500_000))
        (delivery,) = await streams.inbox(SMALL).fetch(1, 10)
        assert len(delivery.payload) == 500_000
        await delivery.ack()
        await streams.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(within())


def test_a_broker_of_our_ca_carries_batches(tmp_path: Path, certificates: Certificates) -> None:
    with served(tmp_path, certificates.server) as url:
        carries(url, trusting(certificates.ours))
        carries(url.replace("tls://", "nats://"), trusting(certificates.ours), number=2)


def test_a_broker_of_another_ca_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    with served(tmp_path, certificates.server) as url:
        for trust, named in ((None, "this machine"), (trusting(certificates.theirs), "theirs.pem")):
            said = refusal(url, trust)
            assert "has a certificate that is not trusted" in said
            assert named in said
            assert "FIREDOOR_NATS_CA" in said
            assert url.removeprefix("tls://") in said


def test_an_expired_certificate_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    with served(tmp_path, certificates.expired) as url:
        said = refusal(url, trusting(certificates.ours))
        assert "expired" in said
        assert "renew it" in said


def test_a_certificate_of_another_name_is_refused(
    tmp_path: Path, certificates: Certificates
) -> None:
    with served(tmp_path, certificates.elsewhere) as url:
        said = refusal(url, trusting(certificates.ours))
        assert "127.0.0.1" in said
        assert "name the broker as its certificate does" in said


def test_a_broker_may_ask_for_a_certificate(tmp_path: Path, certificates: Certificates) -> None:
    ours = certificates.ours
    with served(tmp_path, certificates.server, asks=ours) as url:
        carries(url, trusting(ours, certificates.client))
        for pair, named in ((None, "none"), (certificates.strange, "strange.pem")):
            said = refusal(url, trusting(ours, pair))
            assert "refuses the certificate of this client" in said
            assert named in said
            assert "FIREDOOR_NATS_CERTIFICATE" in said


def test_files_that_cannot_be_used_are_named(tmp_path: Path, certificates: Certificates) -> None:
    pair = certificates.client
    nothing, empty = str(tmp_path / "nothing.pem"), tmp_path / "empty.pem"
    empty.touch()
    with served(tmp_path, certificates.server) as url:
        for ca in (nothing, str(empty), str(pair.key)):
            assert f"{ca} has no certificate of a CA to read" in refusal(url, Trust(ca=ca))
        wrong = Trust(certificate=str(pair.certificate), key=str(certificates.server.key))
        assert "are no certificate with its key" in refusal(url, wrong)


def test_a_password_is_never_sent_to_a_broker_that_does_not_encrypt() -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say what nats-server says without TLS, and listen."""
        writer.write(b'INFO {"server_id":"x","max_payload":1048576,"auth_required":true}\r\n')
        heard.append(await reader.read(4096))
        writer.close()

    async def within() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            url = f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(StoreRefused, match="does not offer TLS"):
                await meet(url)
        assert heard == [b""]

    asyncio.run(within())


def test_one_server_that_is_not_trusted_leaves_the_others(
    tmp_path: Path, certificates: Certificates
) -> None:
    ours = trusting(certificates.ours)
    with (
        served(tmp_path, certificates.expired) as old,
        served(tmp_path, certificates.server) as good,
    ):
        for number, url in enumerate((f"{old},{good}", f"{good},{old}")):
            carries(url, ours, number=number)
        assert "expired" in refusal(f"{old},{old}", ours)


def test_renewed_certificates_are_read_when_the_connection_is_made_again(
    tmp_path: Path, certificates: Certificates
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.ours.pair.certificate.read_bytes())

    async def within() -> None:
        with served(tmp_path, certificates.server) as url:
            streams = await meet(url, Trust(ca=str(ca)))
            await streams.declare(make_plan())
        port = int(url.rpartition(":")[2])
        with served(tmp_path, certificates.strange, port=port):
            streams.link.read_s = 1.0
            with pytest.raises(StreamsUnavailable, match="not trusted"):
                await streams.depth(SMALL)
            ca.write_bytes(certificates.theirs.pair.certificate.read_bytes())
            streams.link.read_s = 20.0
            assert (await streams.depth(SMALL)).messages == 0
            await streams.close()

    asyncio.run(within())
