"""`firedoor run` ends with every row accounted for, or says in one message why it cannot begin."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.main import app
from pipelines.shops import BATCH, POST, ROWS, Shop, opened

LOOKS_AROUND = "assert not [n for n in __import__('os').environ if 'NATS' in n]; return orders"
MALFORMED = {3: b'{"id": 3, "price"', 700: b'{"id": 700, "price": "\xff"}'}
"""Lines by number."""


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, str]]:
    """A pipeline that has run to its end once, and what that printed."""
    with opened(tmp_path_factory.mktemp("through")) as shop:
        file = shop.folder / "orders.jsonl"
        lines = file.read_bytes().splitlines()
        file.write_bytes(b"\n".join(MALFORMED.get(n, line) for n, line in enumerate(lines)))
        shop.write(LOOKS_AROUND, more=POST)
        code, told = shop.call("run", "shop.py", "--json", "figures.json")
        assert code == 0, told
        shop.start("run", "shop.py", "--project", "elsewhere", "--nats", "nats://127.0.0.1:9")
        yield shop, told


def expected(shop: Shop) -> list[int]:
    """Return the orders that are no malformed lines."""
    return [number for number in range(shop.rows) if number not in MALFORMED]


class TestABoundedRun:
    def test_every_row_is_stored_once_and_the_report_says_so(
        self, through: tuple[Shop, str]
    ) -> None:
        shop, told = through
        assert shop.stored()["id"].to_list() == expected(shop)
        assert "shop is through after" in told
        assert f"{ROWS - 2:,} rows in store" in told
        assert "2 rows in orders" in told
        assert "every row is accounted for" in told
        assert "try: firedoor trace orders-000000/0" in told

    def test_malformed_lines_cost_these_lines(self, through: tuple[Shop, str]) -> None:
        code, told = through[0].call("dlq", "show", "--json")
        assert code == 0, told
        named = {f"orders-{n // BATCH:06}/{n % BATCH}" for n in MALFORMED}
        assert named == {f"{row['dead_batch']}/{row['dead_row']}" for row in json.loads(told)}, told

    def test_zones_are_told_in_plain_lines_where_there_is_no_terminal(
        self, through: tuple[Shop, str]
    ) -> None:
        assert "priced: " in through[1]
        assert "\x1b" not in through[1]

    def test_the_figures_are_written(self, through: tuple[Shop, str]) -> None:
        shop, _ = through
        figures = json.loads((shop.folder / "figures.json").read_text())
        assert figures["exit_code"] == 0
        assert figures["conservation"] is True
        assert figures["ended"] == "through"
        assert (figures["rows_in"], figures["dead"]) == (ROWS, 2)
        assert figures["sinks"] == {"store": ROWS - 2, "post": ROWS - 2}
        assert json.loads((shop.project / "report.json").read_text()) == figures

    def test_a_function_as_sink_is_called_with_each_batch_and_its_key(
        self, through: tuple[Shop, str]
    ) -> None:
        logged = (through[0].project / "logs" / "post.log").read_text()
        assert "posted post/orders-000007 500" in logged

    def test_nobody_else_may_look_into_the_project(self, through: tuple[Shop, str]) -> None:
        project = through[0].project
        assert stat.S_IMODE(project.stat().st_mode) == 0o700
        secrets = [project / "endpoint.json", *project.glob("credentials/*")]
        assert len(secrets) == 5
        assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}

    def test_a_port_that_is_taken_is_named(self, through: tuple[Shop, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            said = through[0].refused("zone", "run", "priced", "--health", port)
        assert said.startswith("health=")
        assert f"{port}': cannot be listened to (" in said
        assert "end what listens there, or give 0 for any free port" in said

    def test_a_store_of_another_version_is_refused_and_the_next_run_takes_what_is_new(
        self, through: tuple[Shop, str]
    ) -> None:
        shop, _ = through
        shop.add(40)
        store = shop.project / "nats" / "version.json"
        for file, theirs, says in (
            (shop.project / "version", "99\n", "(layout '99', this one writes 1): finish the run"),
            (store, '{"store":"99"}', "written by store version 99, this firedoor reads 1: use"),
        ):
            ours = file.read_text()
            file.write_text(theirs)
            said = shop.refused("run", "shop.py")
            assert says in said
            assert "another --project folder" in said or "another folder with --project" in said
            assert file.read_text() == theirs, "what is not ours is left alone"
            file.write_text(ours)

        code, told = shop.run()
        assert code == 0, told
        assert shop.stored()["id"].to_list() == expected(shop)


class TestWhatCannotBegin:
    def refused(self, folder: Path, *words: str) -> str:
        """Return the one error of `firedoor run` in a folder."""
        done = CliRunner().invoke(app, ["run", *words, "--project", str(folder)])
        assert done.exit_code == 2, done.output
        assert not done.stdout
        assert done.stderr.startswith("firedoor: ")
        assert done.stderr.count("firedoor: ") == 1
        return done.stderr

    @pytest.fixture
    def file(self, through: tuple[Shop, str]) -> str:
        return str(through[0].folder / "shop.py")

    def test_no_such_file(self, tmp_path: Path) -> None:
        assert "there is no such file" in self.refused(tmp_path, str(tmp_path / "no.py"))

    def test_a_file_where_the_folder_should_be(self, file: str, tmp_path: Path) -> None:
        (tmp_path / ".firedoor").write_text("")
        assert "name another folder with --project" in self.refused(tmp_path, file)

    def test_a_folder_that_cannot_be_written(self, file: str) -> None:
        assert "/proc/self/.firedoor" in self.refused(Path("/proc/self"), file)

    def test_a_password_in_the_address(self, file: str, tmp_path: Path) -> None:
        said = self.refused(tmp_path, file, "--nats", "nats://user:secret@host:4222")
        assert "FIREDOOR_NATS_PASSWORD" in said
        assert "secret" not in said

    def test_a_broker_that_does_not_answer(self, through: tuple[Shop, str]) -> None:
        shop, _ = through
        begun = shop.started[1]  # it is patient, so it was begun while the others were tried
        assert "127.0.0.1:9 does not answer" in shop.refusal(begun)
