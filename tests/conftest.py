"""What tests of several folders use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def kept_fork_servers() -> Iterator[None]:
    """Keep the fork servers that walls borrow until the file ends: each costs a second of imports.

    For files whose tests open walls of their own, and are not about the servers themselves.
    """
    from firedoor.compute import server  # noqa: PLC0415 - not installed where only clients are

    borrow, kept = server.borrow, set[tuple[tuple[str, ...], int | None]]()

    def keep(preload: tuple[str, ...], threads: int | None = None) -> server.ForkServer:
        if (preload, threads) not in kept:
            kept.add((preload, threads))
            borrow(preload, threads)
        return borrow(preload, threads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "borrow", keep)
        yield
    for preload, threads in kept:
        server.give_back(preload, threads)
