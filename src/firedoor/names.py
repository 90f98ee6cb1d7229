"""Names that are safe everywhere: as subjects of a broker, labels of metrics, files, arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

from firedoor.errors import DeclarationError

NAME_MAX = 60
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_BATCH = re.compile(r"([a-z][a-z0-9_]{0,59})-([0-9]{6,12})((?:[~@][a-z0-9_]{1,61}){0,16})")


def check_name(field: str, name: object) -> str:
    """Return ``name`` if it can name a pipeline, zone, source, sink or lookup.

    Raises:
        DeclarationError: if it cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DeclarationError(
            field,
            name,
            "cannot be a subject, a label and a file name at once",
            f"use a small letter, then small letters, digits and _, at most {NAME_MAX}",
        )
    return name


@dataclass(frozen=True, slots=True)
class BatchId:
    """What names a batch from source to sink, for example ``flights-000123``.

    ``marks`` tell what became of it on its way: ``~r1`` the first replay of its dead letters,
    ``~f1`` its first backfill, ``@clean`` the way by which it came where it can come by several.

    >>> str(BatchId.parse("flights-000123~r1").root)
    'flights-000123'
    """

    source: str
    number: int
    marks: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the id that ``text`` spells.

        Raises:
            ValueError: if it spells none.
        """
        match = _BATCH.fullmatch(text)
        if match is None:
            message = f"{text!r} is no batch id: write it like flights-000123"
            raise ValueError(message)
        return cls(match[1], int(match[2]), tuple(re.findall(r"[~@][^~@]+", match[3])))

    def __str__(self) -> str:
        """Return the id as text: ASCII, no dots, no spaces."""
        return f"{self.source}-{self.number:06d}{''.join(self.marks)}"

    @property
    def root(self) -> Self:
        """The batch as its source cut it."""
        return replace(self, marks=())

    def replayed(self, times: int) -> Self:
        """Return the id of the ``times``-th replay of this batch's dead letters, from 1."""
        return replace(self, marks=(*self.marks, f"~r{times}"))

    def backfilled(self, times: int) -> Self:
        """Return the id under which this batch is run again for an edge that had been cut."""
        return replace(self, marks=(*self.marks, f"~f{times}"))

    def by_way_of(self, zone: str) -> Self:
        """Return the id where batches reach a zone by several ways: by ``zone``."""
        return replace(self, marks=(*self.marks, f"@{zone}"))
