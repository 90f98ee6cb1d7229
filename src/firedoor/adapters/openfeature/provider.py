"""An OpenFeature provider over a table in memory, which somebody feeds; no flag is waited for.

The client calls resolvers by keyword, and takes a ``TypeError`` for an error of the flag: with
other names of parameters every flag would have the code's default, and nobody would notice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata, ProviderStatus

from firedoor.wire.flags import Flag, Flags, resolve

if TYPE_CHECKING:
    from openfeature.evaluation_context import EvaluationContext

STALE_S = 30.0
READY_S = 5.0
"""For which the first table is waited for, at the start."""
Structure = Sequence[FlagValueType] | Mapping[str, FlagValueType]
V = TypeVar("V", bool, int, float, str)


class Feed(Protocol):
    """What hands tables to a provider, from its own thread."""

    def start(self, take: Callable[[Flags | None, float], None]) -> None:
        """Call ``take`` again and again: the table, and for how long no broker has answered."""
        ...

    def stop(self) -> None:
        """Call it no more; returns when that is so."""
        ...


class TableProvider(AbstractProvider):
    """Answers from a table in memory."""

    def __init__(self, feed: Feed, *, stale_s: float = STALE_S, ready_s: float = READY_S) -> None:
        """Take what feeds it; it is started by ``initialize``.

        Args:
            feed: hands over tables.
            stale_s: after which values are stale that nobody has said again.
            ready_s: how long ``initialize`` waits for the first table.
        """
        super().__init__()
        self._feed = feed
        self._stale_s = stale_s
        self._ready_s = ready_s
        self._flags: Flags | None = None
        self._stale = False
        self._told: ProviderStatus = ProviderStatus.NOT_READY
        self._first = threading.Event()

    # ---- life

    def get_metadata(self) -> Metadata:
        """Return its name."""
        return Metadata(name="firedoor")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Start the feed, and wait for the first table.

        Raises:
            ProviderNotReadyError: if there is none yet: defaults hold, and it gets ready later.
        """
        del evaluation_context
        self._feed.start(self.take)
        if not self._first.wait(self._ready_s):
            self._told = ProviderStatus.ERROR
            message = "neither the broker nor a file says anything of flags: defaults hold"
            raise ProviderNotReadyError(message)
        self._told = ProviderStatus.READY

    def shutdown(self) -> None:
        """End the feed."""
        self._feed.stop()

    def take(self, flags: Flags | None, silent_s: float) -> None:
        """Take the table that holds now; None: there is none. Called by the feed alone.

        Args:
            flags: the table.
            silent_s: for how long no broker has answered.
        """
        before = self._flags
        if flags is not None:
            self._flags = flags
        if self._flags is None:
            return
        self._stale = silent_s >= self._stale_s
        changed = changed_names(before, self._flags)
        if self._first.is_set() and changed:
            details = ProviderEventDetails(flags_changed=changed)
            self.emit_provider_configuration_changed(details)
        self._first.set()
        self._tell(silent_s)

    def _tell(self, silent_s: float) -> None:
        """Say that values are stale, or are not any more; once each."""
        if self._told is ProviderStatus.NOT_READY:  # ``initialize`` says it
            return
        now = ProviderStatus.STALE if self._stale else ProviderStatus.READY
        if now is self._told:
            return
        self._told = now
        if self._stale:
            message = f"no broker has answered for {silent_s:.0f} s: the last values hold"
            self.emit_provider_stale(ProviderEventDetails(message=message))
        else:
            self.emit_provider_ready(ProviderEventDetails())

    # ---- values; the names of parameters are the interface's

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - as above
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return whether a flag is on."""
        return self._resolve(flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Return a text."""
        return self._resolve(flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Return a whole number."""
        return self._resolve(flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Return a number."""
        return self._resolve(flag_key, float(default_value), evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Structure,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Structure]:
        """Return the default: flags are single values."""
        del evaluation_context
        flags = self._flags
        if flags is None or flag_key not in flags.flags:
            return FlagResolutionDetails(default_value, reason=Reason.DEFAULT)
        return FlagResolutionDetails(
            default_value,
            error_code=ErrorCode.TYPE_MISMATCH,
            error_message=f"flag {flag_key!r} is a single value, no object",
            reason=Reason.ERROR,
        )

    def _resolve(
        self, name: str, default: V, context: EvaluationContext | None
    ) -> FlagResolutionDetails[V]:
        """Return the value of a flag for a subject, or the default, with the reason."""
        flags = self._flags
        flag = None if flags is None else flags.flags.get(name)
        if flags is None or flag is None:
            return FlagResolutionDetails(default, reason=Reason.DEFAULT)
        subject = None if context is None else context.targeting_key
        found = resolve(flags, name, default, subject)
        if found.reason == "TYPE_MISMATCH":
            return _refused(
                default,
                ErrorCode.TYPE_MISMATCH,
                f"flag {name!r} is {flag.value!r}, and the code asks for a value like {default!r}",
            )
        if found.reason == "SPLIT" and subject is None:
            return _refused(
                default,
                ErrorCode.TARGETING_KEY_MISSING,
                f"flag {name!r} is for a share of the subjects: give a targeting key",
            )
        assert isinstance(found.value, type(default)), "the table's value has the default's type"
        stale = self._stale and found.reason != "KILLED"
        return FlagResolutionDetails(
            found.value,
            reason=Reason.STALE if stale else found.reason,
            variant=_variant(found.value, default, flag),
            flag_metadata={
                "by": flag.by,
                "because": flag.because,
                "at_s": flag.at_s,
                "generation": flags.generation,
            },
        )


def changed_names(before: Flags | None, after: Flags) -> list[str]:
    """Return the names of flags that are not what they were."""
    was = {} if before is None else before.flags
    names = was.keys() | after.flags.keys()
    return sorted(name for name in names if was.get(name) != after.flags.get(name))


def _variant(value: V, default: V, flag: Flag) -> str:
    """Return which of both it is, for whoever counts them."""
    return "default" if flag.share < 1 and value == default != flag.value else "value"


def _refused(default: V, code: ErrorCode, message: str) -> FlagResolutionDetails[V]:
    """Return the default, and why the flag's value is not taken."""
    return FlagResolutionDetails(
        default, error_code=code, error_message=message, reason=Reason.ERROR
    )
