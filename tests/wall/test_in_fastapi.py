"""A wall inside a FastAPI handler: requests run at the same time, and a crash is nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import polars as pl
from fastapi import FastAPI, Request
from pydantic import BaseModel

import firedoor as fd
from wall import steps

REQUESTS = 24
ROWS = 40


class Flights(BaseModel):
    """What a client sends."""

    kind: list[int]
    number: list[int]


class Answer(BaseModel):
    """What a client gets: values in order, and which of its rows could not be used, and why."""

    doubled: list[int]
    rows: list[int]
    refused: dict[int, str]


def make_app() -> FastAPI:
    """Return an application with one wall, which lives as long as the application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with fd.Wall(steps.double, workers=2, timeout_s=10) as wall:
            app.state.wall = wall
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/double")
    async def double(flights: Flights, request: Request) -> Answer:
        frame = steps.rows(flights.kind).with_columns(number=pl.Series(flights.number))
        outcome = await request.app.state.wall.acall(frame)
        reasons = outcome.dead.reasons
        return Answer(
            doubled=outcome.good["doubled"].to_list(),
            rows=outcome.rows.to_list(),
            refused=dict(zip(reasons["row"].to_list(), reasons["code"].to_list(), strict=True)),
        )

    return app


def body(request: int) -> dict[str, list[int]]:
    """Return rows that no other request has; every third request holds a row that crashes."""
    kind = [steps.GOOD] * ROWS
    if request % 3 == 1:
        kind[request] = steps.SEGFAULTS
    if request % 3 == 2:
        kind[request] = steps.RAISES
    return {"kind": kind, "number": [request * 1_000 + i for i in range(ROWS)]}


async def ask_all(app: FastAPI) -> tuple[list[httpx.Response], fd.WallReport]:
    """Send every request at the same time."""
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        asyncio.TaskGroup() as group,
    ):
        sent = [
            group.create_task(client.post("/double", json=body(request)))
            for request in range(REQUESTS)
        ]
        responses = [await task for task in sent]
        report = app.state.wall.report()
    return responses, report


def test_concurrent_requests_get_their_own_rows_though_others_crash_the_worker() -> None:
    responses, report = asyncio.run(ask_all(make_app()))
    for request, response in enumerate(responses):
        assert response.status_code == 200, response.text
        sent, answer = body(request), response.json()
        good = [row for row, kind in enumerate(sent["kind"]) if kind == steps.GOOD]
        assert answer["rows"] == good
        assert answer["doubled"] == [2 * sent["number"][row] for row in good]
        bad = {str(i): steps.CODES[kind] for i, kind in enumerate(sent["kind"]) if kind}
        assert answer["refused"] == bad
    assert report.rows == REQUESTS * ROWS
    assert report.dead_by_code == {"crash": REQUESTS // 3, "exception": REQUESTS // 3}
    assert report.lost_by_cause["crash"] >= REQUESTS // 3


def test_the_event_loop_goes_on_while_a_wall_is_at_work() -> None:
    async def count_turns() -> int:
        turns = 0
        with fd.Wall(steps.double, timeout_s=1) as wall:
            work = asyncio.ensure_future(wall.acall(steps.rows([steps.GOOD, steps.SLEEPS])))
            while not work.done():
                await asyncio.sleep(0.01)
                turns += 1
            outcome = await work
        assert outcome.dead.reasons["code"].to_list() == ["hang"]
        return turns

    # The hung row takes over a second: a loop that was blocked would turn a handful of times.
    assert asyncio.run(count_turns()) > 50
