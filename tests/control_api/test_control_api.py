"""The control API at a real socket: who may, what is kept, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from control_api.served import Api, serving
from firedoor.api.app import BODY_BYTES
from firedoor.api.server import CONNECTIONS_MAX, serve_control
from firedoor.control.rollout_kept import Kept, encode_rollouts
from firedoor.errors import DeclarationError
from firedoor.gateway.http_server import bind
from firedoor.rollout.guardrails import Trial
from firedoor.rollout.state import Rollout, ServiceState, Target
from firedoor.wire.change import Change
from firedoor.wire.rollout_order import RolloutOrders
from firedoor.wire.route import Arm, Route, encode_route
from gateway.scripted import until

BECAUSE = {"because": "it lies"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with serving(tmp_path) as served:
        yield served


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One for all tests that leave nothing behind in it."""
    with serving(tmp_path_factory.mktemp("untouched")) as served:
        yield served


def answer(response: httpx.Response, status: int) -> dict[str, object]:
    assert response.status_code == status, response.text
    found = response.json()
    assert isinstance(found, dict)
    return found


# ---- who may


def test_nobody_without_a_token_is_told_anything_but_that_it_is_alive(api: Api) -> None:
    with api.client("") as client:
        assert answer(client.get("/healthz"), 200) == {"status": "ok", "broker": True}
        for path in ("/rollouts", "/rollouts/predict", "/flags", "/changes"):
            refused = client.get(path)
            assert "Authorization: Bearer" in str(answer(refused, 401)["error"])
            assert refused.headers["www-authenticate"] == "Bearer"
        answer(client.post("/kill/predict/route", json=BECAUSE), 401)
    assert api.value("flags") is None


@pytest.mark.parametrize("given", ["Bearer guessed", "Bearer", "Basic YTpi", "guessed", "Bearer ü"])
def test_a_token_of_nobody_is_refused(untouched: Api, given: str) -> None:
    with untouched.client("") as client:
        answer(client.get("/flags", headers=[(b"Authorization", given.encode())]), 401)


def test_a_token_that_reads_changes_nothing(api: Api) -> None:
    with api.client("reader") as client:
        assert answer(client.get("/flags"), 200)["flags"] == []
        changes = [
            client.put("/flags/new", json={"value": True, **BECAUSE}),
            client.delete("/flags/new", params=BECAUSE),
            client.post("/flags/new/confirm", json=BECAUSE),
            client.post("/kill/predict/route", json=BECAUSE),
            client.post("/rollouts/predict/start", json=BECAUSE),
        ]
        for refused in changes:
            assert "only reads" in str(answer(refused, 403)["error"])
    assert api.store.values == {}


def test_a_token_is_taken_away_by_editing_the_file(api: Api) -> None:
    with api.client("admin") as client:
        assert client.get("/flags").status_code == 200
        text = api.tokens.path.read_text()
        api.tokens.path.write_text(text.replace(api.token("admin"), "z" * 43))
        assert client.get("/flags").status_code == 401


def test_tokens_that_others_can_read_open_nothing(api: Api) -> None:
    with api.client("admin") as client:
        api.tokens.path.write_text(api.tokens.path.read_text() + " ")
        api.tokens.path.chmod(0o644)
        assert "chmod 600" in str(answer(client.get("/flags"), 409)["error"])


# ---- rollouts


def test_an_order_is_kept_with_who_and_why(api: Api) -> None:
    with api.client() as client:
        given = client.post("/rollouts/predict/start", json={**BECAUSE, "version": 4})
        assert answer(given, 202) == {
            "service": "predict", "verb": "start", "number": 1, "taken": False, "said": [],
        }  # fmt: skip
        answer(client.post("/rollouts/predict/abort", json=BECAUSE), 202)
        (start, abort) = api.value("orders.predict")["orders"]
        assert (start["verb"], start["by"], start["version"]) == ("start", "admin", 4)
        assert (abort["number"], abort["verb"], abort["because"]) == (2, "abort", "it lies")
        (latest, first) = client.get("/changes").json()
        assert (first["what"], first["about"]) == ("rollout start ordered", "predict")
        assert (latest["by"], latest["because"]) == ("admin", "it lies")


def test_whoever_waits_hears_what_came_of_an_order_or_that_nobody_takes_it(api: Api) -> None:
    order, kept = "/rollouts/predict/start?wait_s=20", "orders.predict"

    def see_to(number: int, what: str) -> None:
        """Do what the control process does with an order."""
        change = Change(
            at_s=time.time(), by="admin", because="so it is", what=what, about="predict"
        )
        asyncio.run(api.said(change))
        asyncio.run(api.streams.put(kept, msgspec.json.encode(RolloutOrders(next_number=number))))

    with api.client() as client, ThreadPoolExecutor(1) as pool:
        waits = answer(client.post(order, json=BECAUSE), 202)
        assert (waits["number"], waits["taken"], waits["said"]) == (1, False, []), "nobody drives"
        asyncio.run(api.streams.beat("lease.predict", b"1"))
        for number, what, status in ((2, "rollout started", 202), (3, "order refused", 409)):
            given = pool.submit(client.post, order, json=BECAUSE)
            until(lambda number=number: (api.value(kept) or {}).get("next_number") == number + 1)  # type: ignore[misc]
            see_to(number + 1, what)
            told = answer(given.result(20), status)
            if status == 202:
                assert (told["taken"], told["said"]) == (True, ["rollout started: so it is"])
            else:
                assert told["error"] == "order 3 was refused: so it is"


def test_a_service_is_shown_with_route_state_and_orders(api: Api) -> None:
    arm = Arm(model="delays", version=3, digest="d")
    api.store.values["route.predict"] = encode_route(Route(service="predict", champion=arm))
    api.store.values["rollout.predict"] = b'{"phase": "canary"}'
    with api.client("reader") as client:
        (shown,) = client.get("/rollouts").json()
        assert shown == answer(client.get("/rollouts/predict"), 200)
        assert shown["route"]["champion"]["version"] == 3
        assert shown["state"] == {"phase": "canary"}
        assert "another version of firedoor" in shown["why"], "told as it is, and no error"
        assert shown["orders"] == []


def test_a_service_says_in_a_sentence_what_its_rollout_waits_for(api: Api) -> None:
    with api.client("reader") as client:
        assert client.get("/rollouts/predict").json()["why"] == "nothing is rolled out"
        live, new = (Target(version=n, digest=f"{n}" * 64) for n in (1, 2))
        rollout = Rollout(
            number=1, candidate=new, last_live=live, by="ann", phase="shadow",
            trial=Trial(requests=312), step_from_s=time.time(),
        )  # fmt: skip
        state = ServiceState(service="predict", live=live, current=rollout)
        api.store.values["rollout.predict"] = encode_rollouts(Kept(state=state))
        shown = answer(client.get("/rollouts/predict"), 200)
        assert "shadow: 312 of at least 1,000 requests" in str(shown["why"])
        assert shown["controlled"] is False
        assert client.get("/rollouts").json()[0]["why"].startswith("shadow: 312 of")


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/rollouts/nobody/start", BECAUSE, 404, "it has predict"),
        ("/rollouts/predict/explode", BECAUSE, 422, "'start'"),
        ("/rollouts/predict/start", {}, 422, "because"),
        ("/rollouts/predict/start", {"because": " "}, 422, "because"),
        ("/rollouts/predict/start", {**BECAUSE, "version": 0}, 422, "version"),
        ("/rollouts/predict/start", {**BECAUSE, "force": True}, 422, "force"),
        ("/rollouts/predict/abort", {**BECAUSE, "version": 4}, 422, "are of `start`"),
        ("/kill/predict/everything", BECAUSE, 404, "predict.route"),
        ("/kill/nobody/route", BECAUSE, 404, "it has predict, flights"),
        ("/kill/predict/route", {**BECAUSE, "off": True}, 404, "no flag"),
    ],
)
def test_what_cannot_be_is_refused_and_says_what_can(
    untouched: Api, path: str, body: dict[str, object], status: int, told: str
) -> None:
    with untouched.client() as client:
        assert told in str(answer(client.post(path, json=body), status)["error"])
    assert untouched.store.values == {}


# ---- flags


def test_a_flag_is_set_shown_confirmed_and_unset(api: Api) -> None:
    with api.client() as client:
        put = client.put("/flags/new.colour", json={"value": "blue", "share": 0.1, **BECAUSE})
        assert answer(put, 200) == {
            "name": "new.colour", "before": "", "after": '"blue" for 10 % of the subjects',
            "offline": False, "generation": 1,
        }  # fmt: skip
        (flag,) = client.get("/flags").json()["flags"]
        assert (flag["name"], flag["value"], flag["share"]) == ("new.colour", "blue", 0.1)
        assert (flag["by"], flag["needs_confirmation"]) == ("admin", False)
        answer(client.post("/flags/new.colour/confirm", json=BECAUSE), 200)
        (flag,) = client.get("/flags").json()["flags"]
        assert flag["confirm_s"] > time.time() + 80_000
        answer(client.delete("/flags/new.colour", params=BECAUSE), 200)
        assert client.get("/flags").json()["flags"] == []
        answer(client.delete("/flags/new.colour", params=BECAUSE), 404)
        assert [change["what"] for change in client.get("/changes").json()] == [
            "flag unset", "flag confirmed", "flag set",
        ]  # fmt: skip


def test_a_switch_is_thrown_and_lifted(api: Api) -> None:
    with api.client() as client:
        answer(client.post("/kill/predict/route", json=BECAUSE), 200)
        assert api.value("flags")["flags"]["kill.predict.route"]["value"] is True
        lifted = {"because": "mended", "off": True}
        answer(client.post("/kill/predict/route", json=lifted), 200)
        assert "flags" not in api.value("flags")


@pytest.mark.parametrize(
    "body",
    [
        b'{"value": NaN, "because": "x"}',
        b'{"value": 1e999, "because": "x"}',
        b'{"value": 1, "share": NaN, "because": "x"}',
        b'{"value": 9007199254740993, "because": "x"}',
        b'{"value": {"a": 1}, "because": "x"}',
        b'{"value": null, "because": "x"}',
        b'{"value": "\\ud800", "because": "x"}',
        b'{"value": 1, "because": "\\ud800"}',
        b'{"value": 1, "because": "x", "by": "somebody else"}',
        b'{"value": 1',
        b"\xff\xfe",
        b"[]",
        b"",
    ],
)
def test_what_is_no_flag_is_refused_and_nothing_is_kept(untouched: Api, body: bytes) -> None:
    with untouched.client() as client:
        headers = {"Content-Type": "application/json"}
        answer(client.put("/flags/new", content=body, headers=headers), 422)
    assert untouched.store.values == {}


# ---- limits, and a broker that is away


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(api: Api) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"because": "'
        for _ in range(BODY_BYTES // 1_000 + 2):
            yield b"x" * 1_000

    with api.client() as client:
        large = {"because": "x" * BODY_BYTES}
        answer(client.post("/kill/predict/route", json=large), 413)
        answer(client.post("/kill/predict/route", content=pieces()), 413)
        assert client.get("/healthz").status_code == 200


def test_a_request_that_breaks_off_changes_nothing(api: Api) -> None:
    """What came of it may be JSON all the same."""
    port, body = int(api.url.rpartition(":")[2]), b'{"because": "it lies"}'
    head = (
        f"POST /kill/predict/route HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {api.token('admin')}\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(head.encode() + body)
        wire.shutdown(socket.SHUT_WR)
        assert wire.recv(1_000) == b""
    with api.client() as client:
        assert client.get("/flags").json()["flags"] == []
    assert api.value("flags") is None


def test_clients_that_send_no_request_do_not_keep_others_out(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firedoor.api.server.REQUEST_S", 0.3)
    port = int(api.url.rpartition(":")[2])
    begun = b"POST /kill/predict/route HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n"
    with ExitStack() as held:
        for number in range(CONNECTIONS_MAX):
            wire = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            wire.sendall((b"", begun)[number % 2])

        def answered() -> bool:
            return httpx.get(f"{api.url}/healthz", trust_env=False).status_code == 200

        until(answered)  # once all places were taken: nobody has hung up
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(begun + b"\r\n{")
        assert wire.recv(1_000) == b"", "a body that does not come ends it as well"


def test_a_head_that_is_too_large_is_refused(api: Api) -> None:
    with api.client() as client:
        try:
            status = client.get("/flags", headers={"X-Large": "x" * 1_000_000}).status_code
        except httpx.TransportError:  # the connection was cut before all of it was sent
            status = 400
        assert status == 400
        assert client.get("/healthz").status_code == 200


def test_without_the_broker_flags_are_killed_and_the_rest_says_so(api: Api) -> None:
    api.store.down()
    with api.client() as client:
        assert client.get("/healthz").json() == {"status": "ok", "broker": False}
        thrown = client.post("/kill/predict/candidate", json=BECAUSE)
        assert answer(thrown, 200)["offline"] is True
        shown = client.get("/flags").json()
        assert shown["broker"] is False
        assert [flag["name"] for flag in shown["flags"]] == ["kill.predict.candidate"]
        assert shown["flags"][0]["offline"] is True
        refused = client.post("/rollouts/predict/start", json=BECAUSE)
        assert refused.headers["retry-after"] == "5"
        answer(refused, 503)
        api.store.up()
        answer(client.put("/flags/new", json={"value": 1, **BECAUSE}), 200)
    assert set(api.value("flags")["flags"]) == {"kill.predict.candidate", "new"}


def test_a_port_that_is_taken_is_refused_with_a_remedy(api: Api) -> None:
    port = int(api.url.rpartition(":")[2])
    with pytest.raises(DeclarationError, match="any free port"):
        asyncio.run(serve_control(api.app, "127.0.0.1", port))


def test_it_answers_at_a_port_that_is_held_for_it_and_the_next_one_does_too(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as held:  # as `firedoor serve` does
        port = held.getsockname()[1]
        for _ in range(2):
            with serving(tmp_path, port) as served:
                assert served.url == f"http://127.0.0.1:{port}"
                assert httpx.get(f"{served.url}/healthz", trust_env=False).status_code == 200


def test_it_lets_go_of_its_port_when_it_is_cancelled(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        port = int(served.url.rpartition(":")[2])
        assert httpx.get(f"{served.url}/healthz", trust_env=False).status_code == 200
    assert isinstance(served.code, asyncio.CancelledError)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_no_secret_is_told_in_errors_or_the_openapi(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = [api.token("admin"), api.token("reader")]
    with api.client() as client:
        texts = [client.get("/openapi.json").text, client.get("/nowhere").text]
        texts += [client.get("/flags").text, client.get("/rollouts/nobody").text, caplog.text]
    assert all(secret not in text for secret in secrets for text in texts)
