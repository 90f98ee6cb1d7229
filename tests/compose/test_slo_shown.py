"""What judges make of promises is shown as metrics, wherever the judge is."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from firedoor.compose.gateway_view import GatewayView
from firedoor.compose.metrics_endpoint import shown
from firedoor.compose.slo_files import STALE_S, judged, status_file
from firedoor.errors import StreamsUnavailable
from firedoor.events.exposition import expose
from firedoor.gateway.promises import Promises
from firedoor.slo.status import ObjectiveStatus, SloStatus, encode_slo
from firedoor.testing.loop import VirtualClock, run

AT_S = 1_767_225_600.0
LEFT = 'firedoor_budget_left_ratio{zone="predict",indicator="availability",pipeline="shop"} 0.25'
STATUS = SloStatus(
    pipeline="shop",
    at_s=AT_S,
    judge="services",
    objectives=(
        ObjectiveStatus(
            zone="predict", indicator="availability", promise="99.5 %", verdict="kept",
            left=0.25, target=0.995, period_days=30,
        ),
    ),
)  # fmt: skip


def keep(folder: Path) -> None:
    file = status_file(folder, "services")
    file.parent.mkdir(parents=True)
    file.write_bytes(encode_slo(STATUS))


def test_a_gateway_tells_what_is_left_of_the_budgets_of_its_services(tmp_path: Path) -> None:
    async def main() -> None:
        view = GatewayView(
            pipeline="shop", counts={}, watch=None, _listening=None,
            promises=Promises([], {}, gateway="g1", clock=VirtualClock()),
            judged=lambda: judged(tmp_path, "services", now_s=AT_S + 2),
        )  # fmt: skip
        assert list(view.further()) == []
        keep(tmp_path)
        assert LEFT in expose(view.further(), pipeline=view.pipeline).decode().splitlines()

    run(main())


def test_what_a_judge_said_that_is_gone_is_told_no_more(tmp_path: Path) -> None:
    keep(tmp_path)
    assert list(judged(tmp_path, "services", now_s=AT_S + STALE_S))
    assert not list(judged(tmp_path, "services", now_s=AT_S + STALE_S + 1))
    assert not list(judged(tmp_path, "zones", now_s=AT_S))
    status_file(tmp_path, "services").write_bytes(b"{")
    assert not list(judged(tmp_path, "services", now_s=AT_S))


def asked(beats: Callable[[], Mapping[str, bytes]], path: str = "/metrics") -> tuple[int, str]:
    """Return what is answered where metrics are shown."""

    async def answer() -> Mapping[str, bytes]:
        return beats()

    def get(url: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 - our own
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    async def main() -> tuple[int, str]:
        async with shown(0, answer, pipeline="shop") as address:
            return await asyncio.to_thread(get, address.removesuffix("/metrics") + path)

    return asyncio.run(main())


def test_a_judge_where_a_scheduler_runs_the_processes_shows_budgets_and_zones() -> None:
    code, text = asked(lambda: {"slo.services": encode_slo(STATUS)})
    assert code == 200
    assert LEFT in text.splitlines()
    assert asked(dict, "/other")[0] == 404


def test_without_the_broker_there_is_a_gap_and_no_old_number() -> None:
    def away() -> Mapping[str, bytes]:
        message = "the broker does not answer"
        raise StreamsUnavailable(message)

    assert asked(away) == (503, "the broker does not answer\n")
