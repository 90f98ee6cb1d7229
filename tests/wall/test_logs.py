"""What a step prints and logs comes out under the wall's name, and never where it does harm."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import polars as pl
import pytest

import firedoor as fd
from wall import probing
from wall.watching import Said, listening, numbers, run_script

LONG = 100_000


@pytest.fixture(scope="module")
def wall() -> Iterator[fd.Wall]:
    """Return one wall for all tests here, declared batchwise so that no row is tried twice."""
    with fd.Wall(probing.speak, name="speaker", timeout_s=30, batchwise=True) as wall:
        wall(numbers(1, where="debug", text=""))  # the first rows run twice, as a trial
        yield wall


def say(wall: fd.Wall, *said: tuple[str, str]) -> Said:
    """Have a worker say this, and return what came out."""
    frame = pl.DataFrame(said, schema=["where", "text"], orient="row")
    with listening(wall.name) as heard:
        assert wall(frame).good.height == len(said)
    return heard


@pytest.mark.parametrize("where", ["print", "stderr", "descriptor", "child", "thread"])
def test_what_a_step_prints_comes_out_as_info(wall: fd.Wall, where: str) -> None:
    heard = say(wall, (where, "hello from inside"))
    (record,) = heard.records
    assert record.getMessage() == "hello from inside"
    assert record.levelno == logging.INFO
    assert record.name == "firedoor.wall.speaker"


@pytest.mark.parametrize(
    ("where", "level", "logger"),
    [
        ("info", logging.INFO, "library"),
        ("warning", logging.WARNING, "library.part"),
        ("error", logging.ERROR, "library"),
    ],
)
def test_what_a_step_logs_keeps_its_level_and_its_logger(
    wall: fd.Wall, where: str, level: int, logger: str
) -> None:
    (record,) = say(wall, (where, "careful")).records
    assert (record.getMessage(), record.levelno) == ("careful", level)
    assert record.name == "firedoor.wall.speaker"
    assert record.__dict__["worker_logger"] == logger


def test_debug_records_of_libraries_stay_in_the_worker(wall: fd.Wall) -> None:
    assert say(wall, ("debug", "chatter"), ("info", "word")).texts == ["word"]


def test_prints_and_records_come_out_in_the_order_in_which_they_were_made(wall: fd.Wall) -> None:
    order = [(("print", "warning", "stderr", "info")[i % 4], f"line {i}") for i in range(40)]
    assert say(wall, *order).texts == [text for _, text in order]


def test_a_record_of_several_lines_stays_one_record(wall: fd.Wall) -> None:
    (text,) = say(wall, ("warning", "first\nsecond")).texts
    assert text == "first\\nsecond"


def test_nothing_that_a_step_says_is_on_the_parent_s_own_output() -> None:
    said = run_script(
        """
        import firedoor as fd
        import polars as pl
        from wall import probing
        frame = pl.DataFrame({"where": ["print", "stderr", "child", "info"], "text": "quiet"})
        with fd.Wall(probing.speak) as wall:
            assert wall(frame).good.height == 4
        print("loud")
        """
    )
    assert said == ["loud"]  # and nothing on standard error


def test_a_flood_of_output_neither_blocks_the_step_nor_loses_a_line(wall: fd.Wall) -> None:
    count = 60_000  # some 1.4 MB, far over what a pipe holds
    texts = say(wall, ("flood", f"a line of the flood x {count}")).texts
    assert texts == [f"a line of the flood {n}" for n in range(count)]


def test_a_very_long_line_comes_out_in_pieces_of_bounded_length(wall: fd.Wall) -> None:
    texts = say(wall, ("print", "x" * LONG), ("print", "after")).texts
    assert texts[-1] == "after"
    assert set("".join(texts[:-1])) == {"x"}
    assert max(len(text) for text in texts) <= 65_536 + 8_192
    assert sum(len(text) for text in texts[:-1]) >= 8_192


def test_a_very_long_record_is_cut(wall: fd.Wall) -> None:
    texts = say(wall, ("warning", "y" * LONG), ("warning", "after")).texts
    assert texts[-1] == "after"
    assert texts[0].startswith("yyyy")
    assert len(texts) == 2
    assert 1_000 <= len(texts[0]) <= 8_192


def test_a_record_that_is_no_text_for_a_file_is_escaped(wall: fd.Wall) -> None:
    assert say(wall, ("surrogate", "a file name")).texts == ["a file name \\udcff"]


def test_garbage_on_the_output_harms_nobody(wall: fd.Wall) -> None:
    heard = say(wall, ("garbage", ""), ("warning", "after"))
    assert heard.records[-1].getMessage() == "after"
    assert heard.records[-1].levelno == logging.WARNING
    assert wall.report().workers_lost == 0


def test_a_line_without_an_end_comes_out_when_the_worker_ends() -> None:
    with listening("speak") as heard:
        with fd.Wall(probing.speak, batchwise=True) as wall:
            wall(numbers(1, where="debug", text=""))
            wall(numbers(1, where="unfinished", text="no end of line"))
            assert heard.texts == []
        assert heard.texts == ["no end of line"]


@pytest.mark.parametrize("where", ["print", "stderr", "warning", "unfinished"])
def test_what_a_step_says_before_it_crashes_is_not_lost(where: str) -> None:
    with fd.Wall(probing.speak_and_crash) as wall, listening(wall.name) as heard:
        outcome = wall(numbers(1, where=where, text="last words"))
    assert outcome.dead.reasons["code"].to_list() == ["crash"]
    # At least twice: it was tried alone again before it was found guilty.
    assert len([text for text in heard.texts if "last words" in text]) >= 2


def test_a_handler_that_raises_does_not_break_the_wall() -> None:
    """As a user's handler may when its service is away; logging itself only prints it."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ConnectionError(record.getMessage())

    logger = logging.getLogger("firedoor.wall.speak")
    broken = Broken()
    logger.addHandler(broken)
    logger.setLevel(logging.DEBUG)
    try:
        with fd.Wall(probing.speak, batchwise=True) as wall:
            with pytest.raises(ConnectionError, match="hello"):
                wall(numbers(1, where="print", text="hello"))
            logger.removeHandler(broken)
            assert wall(numbers(1, where="print", text="hello")).good.height == 1
            assert wall.report().dead == 0
    finally:
        logger.removeHandler(broken)
        logger.setLevel(logging.NOTSET)
