"""One peer, one kind of poison: ``python -m benchmarks.peers.run WAY KIND ROWS ELEMENT_ROWS``."""

import sys

from benchmarks.peers.sink import mark
from benchmarks.peers.ways import WAYS
from benchmarks.work import load, poisoned


def main(way: str, kind: str, rows: int, element_rows: int) -> None:
    """Make the elements, and let the peer go."""
    batches, _ = poisoned(load(), kind, batches=rows // 10_000)
    elements = [part for batch in batches for part in batch.iter_slices(element_rows)]
    try:
        WAYS[way](elements)
    except BaseException as error:
        mark("gave up", why=f"{type(error).__name__}: {error}"[:300])
        raise
    mark("end")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
