"""Which paths a sealed worker is granted, one by one: Landlock forbids no part of what it allows.

Only the standard library is imported here, as in ``seal``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

ENTRIES_MAX = 1000
"""Entries of one folder that are allowed one by one; beyond, only folders and code."""

_CODE = (".py", ".pyc", ".so", ".pth", ".zip")


@dataclass(slots=True, kw_only=True)
class Grants:
    """What has been allowed so far, and what must not be."""

    project: str | None
    home: str
    denies: frozenset[str]
    denied_in: frozenset[str]
    """Folders that what is denied lies in."""
    reads: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, path: str) -> None:
        """Allow a file, or a folder without its hidden entries."""
        path = os.path.realpath(path)
        if self._is_denied(path):
            return
        if not os.path.isdir(path):  # noqa: PTH112
            if os.path.exists(path):  # noqa: PTH110
                self.reads.append(path)
            return
        if self._too_much(path):
            self.notes.append(
                f"{path} holds home folders or the whole system and is not readable in workers: "
                "keep the project in a folder of its own, or declare what is needed by reads=[...]"
            )
            return
        if path == self.home:
            self.notes.append(
                f"all of the home folder {path} but its hidden entries is readable in workers: "
                "keep the project in a folder of its own"
            )
        entries = _entries(path)
        hidden = any(name.startswith(".") for name, _ in entries)
        if hidden or self._holds_project(path) or self._holds_denied(path):
            self.lists.append(path)
            self._add_entries(path, entries)
        else:
            self.reads.append(path)

    def declare(self, path: str) -> None:
        """Allow what the user declares; of a folder around the project, not its hidden part."""
        path = os.path.realpath(path)
        if path == self.project or self._holds_project(path) or self._holds_denied(path):
            self.add(path)
        elif not self._is_denied(path):
            self.reads.append(path)

    def _add_entries(self, path: str, entries: list[tuple[str, bool]]) -> None:
        """Allow the entries of a folder one by one, but for hidden ones."""
        visible = [entry for entry in entries if not entry[0].startswith(".")]
        if len(visible) > ENTRIES_MAX:
            visible = [entry for entry in visible if entry[1] or entry[0].endswith(_CODE)]
            self.notes.append(
                f"{path} has more than {ENTRIES_MAX} entries: only folders and code in it are "
                "readable in workers; keep data in a folder below it"
            )
        for name, _ in visible[: 10 * ENTRIES_MAX]:
            child = f"{path.rstrip('/')}/{name}"
            target = os.path.realpath(child)
            opened = target == self.project or self._holds_project(target)
            if self._is_denied(target):
                continue
            if target == child and (opened or self._holds_denied(target)):
                self.add(target)
            elif target == child or not self._is_forbidden(target):
                self.reads.append(target)

    def _too_much(self, path: str) -> bool:
        """Return whether a folder is the root or holds the home folder."""
        return path == "/" or self.home.startswith(path.rstrip("/") + "/")

    def _holds_project(self, path: str) -> bool:
        """Return whether the project lies somewhere in a folder."""
        return self.project is not None and self.project.startswith(path.rstrip("/") + "/")

    def _is_denied(self, path: str) -> bool:
        """Return whether a path is, or lies in, what is denied."""
        return path in self.denies or any(above in self.denies for above in above_of(path))

    def _holds_denied(self, path: str) -> bool:
        """Return whether what is denied lies somewhere in a folder."""
        return path in self.denied_in

    def _is_forbidden(self, target: str) -> bool:
        """Return whether a link leads to far too much, or to something hidden in the project."""
        if self._too_much(target) or self._holds_project(target) or self._holds_denied(target):
            return True
        if target in {self.home, self.project}:
            return True
        if self.project is None or not target.startswith(self.project + "/"):
            return False
        return any(part.startswith(".") for part in target[len(self.project) :].split("/"))


def outermost(paths: Sequence[str]) -> tuple[str, ...]:
    """Return paths that do not lie within another: each costs a worker 10 us."""
    known = set(paths)

    return tuple(
        path for path in dict.fromkeys(paths) if not any(above in known for above in above_of(path))
    )


def above_of(path: str) -> list[str]:
    """Return the folders that a path lies in, but for the root."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(2, len(parts))]


def _entries(path: str) -> list[tuple[str, bool]]:
    """Return name and whether it is a folder of each entry, or nothing where that is refused."""
    try:
        with os.scandir(path) as found:
            return [(entry.name, _is_folder(entry)) for entry in found]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or leads to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False
