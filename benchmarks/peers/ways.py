"""Each peer as its documentation shows it: one worker, a limit of 2 s where there is a limit.

Every way gets elements, which are frames of 10,000 rows or of one, and hands each result to
``deliver`` as it comes; an element that is given up goes to ``dead``.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, set_start_method

import polars as pl

from benchmarks.peers.sink import dead, deliver, mark
from benchmarks.work import WEATHER, add_features

LIMIT_S = 2.0

Elements = Sequence[pl.DataFrame]


def plain_loop(elements: Elements) -> None:
    """Catch exceptions around the function, in this process."""
    mark("ready")
    for element in elements:
        try:
            deliver(add_features(element))
        except Exception:  # noqa: BLE001 - lose the element, go on
            dead(element.height)


def firedoor(elements: Elements) -> None:
    """A wall. It takes frames, so it gets what it is made for: batches."""
    from firedoor import Wall  # noqa: PLC0415

    with Wall(add_features, timeout_s=LIMIT_S, reads=[WEATHER]) as wall:
        wall(elements[0].head(1))
        mark("ready")
        for good, letters in wall.map(elements):
            deliver(good)
            if len(letters):
                dead(len(letters))


def pebble(elements: Elements) -> None:
    """ProcessPool.map with a timeout: kills the worker of a late task, survives its death."""
    from pebble import ProcessExpired, ProcessPool  # noqa: PLC0415

    with ProcessPool(max_workers=1, context=get_context("spawn")) as pool:
        pool.schedule(add_features, args=[elements[0].head(1)]).result()
        mark("ready")
        results = pool.map(add_features, elements, timeout=LIMIT_S).result()
        for element in elements:
            try:
                deliver(next(results))
            except (FutureTimeoutError, ProcessExpired, ValueError, MemoryError):
                dead(element.height)


def loky(elements: Elements) -> None:
    """The reusable executor, asked for again after each death or late result."""
    from loky import get_reusable_executor  # noqa: PLC0415

    get_reusable_executor(max_workers=1).submit(add_features, elements[0].head(1)).result()
    mark("ready")
    for element in elements:
        executor = get_reusable_executor(max_workers=1)
        try:
            deliver(executor.submit(add_features, element).result(LIMIT_S))
        except (BrokenProcessPool, FutureTimeoutError):
            executor.shutdown(kill_workers=True)
            dead(element.height)
        except (ValueError, MemoryError):
            dead(element.height)
    get_reusable_executor().shutdown(kill_workers=True)


def beam(elements: Elements) -> None:
    """with_exception_handling(use_subprocess=True, timeout=...), good and bad as two outputs."""
    import apache_beam as beam  # noqa: PLC0415
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner  # noqa: PLC0415

    # Beam forks its subprocess by default; after polars has run, a fork may never wake up.
    set_start_method("spawn")
    mark("ready")
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        good, bad = (
            pipeline
            | beam.Create(elements, reshuffle=False)
            | beam.Map(add_features).with_exception_handling(use_subprocess=True, timeout=LIMIT_S)
        )
        good | "deliver" >> beam.Map(deliver)
        bad | "dead" >> beam.Map(lambda failed: dead(failed[0].height))


def ray_data(elements: Elements) -> None:
    """map_batches with max_errored_blocks=-1: blocks that fail are dropped, the job goes on.

    A task whose worker dies is tried again for ever by default; here never, or nothing comes out.
    """
    import ray  # noqa: PLC0415

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().max_errored_blocks = -1
    dataset = ray.data.from_arrow([element.to_arrow() for element in elements])
    mark("ready")
    for table in dataset.map_batches(
        _on_arrow, batch_format="pyarrow", batch_size=None, num_cpus=1, max_retries=0
    ).iter_batches(batch_size=None, batch_format="pyarrow"):
        deliver(pl.DataFrame(table))


def _on_arrow(table):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Wrap the step for Ray, which hands out pyarrow tables."""
    return add_features(pl.DataFrame(table)).to_arrow()


WAYS: dict[str, Callable[[Elements], None]] = {
    "plain loop": plain_loop,
    "firedoor": firedoor,
    "apache-beam": beam,
    "ray": ray_data,
    "pebble": pebble,
    "loky": loky,
}
"""By the name of the distribution, where there is one."""
