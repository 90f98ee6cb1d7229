"""A pipeline to drill on paper: ``flights -> enrich -> store``, and the service ``predict``."""

from __future__ import annotations

from collections.abc import Mapping

from firedoor.drill.assembling import Course, doubt_for, make_row
from firedoor.drill.books import Conservation, Rows
from firedoor.drill.fault import Fault
from firedoor.drill.following import Following
from firedoor.drill.judging import Doubt
from firedoor.drill.matrix import Asked, Matrix
from firedoor.drill.measured import Measured
from firedoor.drill.planning import Exercise, plan_exercises
from firedoor.drill.report import Report, Row
from firedoor.drill.scoring import exit_code, in_words, joined, score
from firedoor.drill.stage import END_TO_END, Seat, Stage
from firedoor.events.objective import Kept, bucket_of

PROMISES = {"availability": 0.99, "latency_p99_s": 0.5, "freshness_s": 5.0}
STAGE = Stage(
    pipeline="year",
    seats=(
        Seat(
            name="flights", kind="source", promises=PROMISES,
            after=frozenset({"enrich", "store"}),
        ),
        Seat(name="enrich", kind="transform", promises=PROMISES, after=frozenset({"store"})),
        Seat(name="store", kind="sink", promises=PROMISES, ends=True),
        Seat(name="predict", kind="service", promises=PROMISES, ends=True),
    ),
)  # fmt: skip
NAMES = STAGE.names
DOUBT = doubt_for(doubt=0.01, cells=10, units_min=200)
EVEN = Conservation(checked=True, holds=True, rows=Rows(came_in=1_000, went_out=990, dead=10))


def second(
    rows: int = 100,
    *,
    lost: int = 0,
    lost_from: Mapping[str, int] | None = None,
    late: int = 0,
    stale: int = 0,
    stale_from: Mapping[str, int] | None = None,
    degraded: int = 0,
    batches: int = 5,
    took_s: float = 0.1,
    state: str = "running",
) -> Measured:
    """Return what a zone did in a second."""
    inherited = dict(lost_from or {})
    waits = dict(stale_from or {})
    through = rows - lost - sum(inherited.values())
    return Measured(
        seconds=1.0,
        said_s=1.0,
        availability=Kept(good=through, own=lost, inherited=inherited),
        latency=Kept(good=max(0, through - late), own=late),
        freshness=Kept(good=1 - stale - sum(waits.values()), own=stale, inherited=waits),
        degraded=degraded,
        latency_s={bucket_of(took_s): batches} if batches else {},
        states=(state,),
    )


def summed(one: Measured, count: int) -> Measured:
    """Return so many seconds of the same."""
    made = Measured()
    for _ in range(count):
        made = made.plus(one)
    return made


def exercise(
    fault: str = "kill",
    zone: str = "enrich",
    *,
    may_hurt: tuple[str, ...] = (),
    may_starve: bool = True,
    **more: float,
) -> Exercise:
    """Return one exercise."""
    asked = Asked(fault=fault, zone=zone, may_hurt=may_hurt, may_starve=may_starve)
    matrix = Matrix(rows=(asked,), **more)  # type: ignore[arg-type]
    return plan_exercises(matrix, STAGE, drill="d")[0]  # fmt: skip


def following(
    done: Exercise,
    during: Mapping[str, list[Measured]],
    *,
    well_s: int = 10,
    before: Measured | None = None,
    stage: Stage = STAGE,
) -> Following:
    """Return what is known after some seconds of each zone, and some in which all are well."""
    then = summed(second() if before is None else before, 20)
    made = Following(stage, done, dict.fromkeys(NAMES, then), NAMES)
    length = max((len(seconds) for seconds in during.values()), default=0)
    for at in range(length + well_s):
        look = {
            name: seconds[at] if at < len(seconds := during.get(name, [])) else second()
            for name in NAMES
        }
        made.add(look, float(at + 1))
    return made


def course(**more: object) -> Course:
    """Return how an exercise went that hit something and left nothing."""
    values = {
        "began_s": 1_000.0, "ended_s": 1_030.0, "lasted_s": 15.0, "hits": 1, "heard": True,
        "recovered_s": 2.0, "conservation": EVEN, **more,
    }  # fmt: skip
    return Course(**values)  # type: ignore[arg-type]


def row(
    during: Mapping[str, list[Measured]] | None = None,
    *,
    done: Exercise | None = None,
    doubt: Doubt = DOUBT,
    well_s: int = 10,
    **more: object,
) -> Row:
    """Return the row of an exercise in which zones did so."""
    made = following(exercise() if done is None else done, during or {}, well_s=well_s)
    return make_row(made, course(**more), doubt)


def report(*rows: Row, stopped: str = "") -> Report:
    """Return the report of rows."""
    by_name: dict[str, list[Row]] = {}
    for one in rows:
        by_name.setdefault(one.name, []).append(one)
    joined_rows = [joined(same) for same in by_name.values()]
    scored = score(joined_rows)
    code = exit_code(joined_rows, scored, stopped=stopped)
    return Report(
        drill="20261129-040000-abcd",
        pipeline="year",
        by="ann@laptop",
        began_s=1_000.0,
        ended_s=1_090.0,
        zones=(*NAMES, END_TO_END),
        rows=tuple(joined_rows),
        score=scored,
        exit_code=code,
        verdict=in_words(joined_rows, scored, code, stopped),
        stopped=stopped,
        settings={"for_s": 15.0},
        versions={"firedoor": "0.1.0"},
        matrix="abc",
    )


def fault(**more: object) -> Fault:
    """Return a fault."""
    values = {
        "id": "d-1", "drill": "d", "name": "kill", "of": "process", "zone": "enrich",
        "by": "supervisor", **more,
    }  # fmt: skip
    return Fault(**values)  # type: ignore[arg-type]
