"""Flags for code that asks by OpenFeature; needs the extra ``firedoor[openfeature]``.

from openfeature import api
from firedoor.openfeature import FiredoorProvider

api.set_provider_and_wait(FiredoorProvider(), domain="firedoor")
api.get_client("firedoor").get_boolean_value("new.colour", False)

Wait for it: ``set_provider`` begins it in a thread, and until then every flag has its default,
kill switches among them.
"""

from __future__ import annotations

from pathlib import Path

from firedoor.adapters.openfeature.provider import STALE_S, TableProvider
from firedoor.compose.flag_feed import POLL_S, FlagFeed

__all__ = ["FiredoorProvider"]


class FiredoorProvider(TableProvider):
    """The flags of a project: a table in memory, kept up to date by a thread of its own.

    It begins with the project's last-known-good file, and goes on with it while the broker is away.
    """

    def __init__(
        self,
        project: Path | str = ".",
        *,
        nats: str | None = None,
        poll_s: float = POLL_S,
        stale_s: float = STALE_S,
    ) -> None:
        """Take the project; the thread begins when the provider is set.

        Args:
            project: the folder that ``.firedoor`` is in.
            nats: address of the broker, if it is not the project's own.
            poll_s: time between two looks at the table.
            stale_s: after which values are stale that no broker has said again.
        """
        super().__init__(FlagFeed(Path(project), nats=nats, poll_s=poll_s), stale_s=stale_s)
