"""Kill switches of a service, as its path reads them: a look into a small table, no call anywhere.

| Flag | What it does |
|---|---|
| ``kill.SERVICE.route`` | no version is asked: cached, constant or function answers |
| ``kill.SERVICE.model`` | no worker at all is: cached or constant answers |
| ``kill.SERVICE.candidate`` | the candidate is given nothing, no copies either |
| ``kill.SERVICE.mirror`` | no copies are made |
| ``kill.SERVICE.retry`` | no version is asked twice |
| ``kill.SERVICE.features`` | nothing is fetched: what is kept, and defaults, are used |
| ``kill.SERVICE.features.GROUP`` | the same, of one group |
| ``kill.SERVICE.log`` | no copies of answers are logged |

The safe side is the code's: a flag that is missing, or whose value is not true, kills nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from firedoor.gateway.split import share
from firedoor.wire.flags import KILL, Flag, Flags, tell_kill


class Switches:
    """The switches of one service."""

    __slots__ = ("_killed", "generation", "thrown")

    def __init__(self, service: str, flags: Flags) -> None:
        """Pick out of a table what is about this service, and on."""
        self.generation = flags.generation
        prefix = f"{KILL}{service}."
        self._killed: Mapping[str, tuple[bytes, Flag]] = {
            name.removeprefix(prefix): (name.encode() + b"\0", flag)
            for name, flag in flags.flags.items()
            if name.startswith(prefix) and flag.value is True
        }
        self.thrown = bool(self._killed)
        """Whether anything is killed."""

    def __bool__(self) -> bool:
        """Return whether anything is killed."""
        return self.thrown

    def killed(self, capability: str, key: bytes | None = None) -> bool:
        """Return whether a capability is killed, for this subject where it is for a share only.

        Without a subject only what is killed for everybody is; ``route``, ``model`` and
        ``candidate`` have one. What is killed whole is killed in its parts: ``features`` for
        ``features.weather``.
        """
        found = self._killed.get(capability)
        if found is None:
            whole, dot, _ = capability.rpartition(".")
            return self.killed(whole, key) if dot else False
        name, flag = found
        return flag.share >= 1 or (key is not None and share(name, key) < flag.share)

    def told(self) -> tuple[str, ...]:
        """Return what is killed, by whom and why."""
        return tuple(
            tell_kill(flag, capability) for capability, (_, flag) in sorted(self._killed.items())
        )
