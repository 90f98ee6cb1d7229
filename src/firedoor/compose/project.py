"""The project folder, ``.firedoor``: what a pipeline keeps beside the user's files.

| In it | What |
|---|---|
| ``version`` | of the folder's layout |
| ``lock`` | held by who hosts the broker, as long as it lives: its process id is in it |
| ``run.lock`` | held by a run; services that host the broker meanwhile hand it over |
| ``plan.json`` | the pipeline as plain values |
| ``endpoint.json``, ``credentials/ZONE.json`` | where the broker is, and as whom to ask it |
| ``nats/`` | the broker's store |
| ``lookups/NAME/VERSION.parquet``, ``lookups/current.json`` | tables that steps join to |
| ``models/`` | bundles, their registry, and copies that workers load: ``models/loaded/DIGEST`` |
| ``models/`` | bundles and the registry of models |
| ``runs/`` | what jobs did, and their checkpoints; see ``compose.runs`` |
| ``mlflow/`` | what tracking servers have of it; see ``compose.mirroring`` |
| ``serving/`` | what gateways go on with while nobody answers: ``flags.json`` and the like |
| ``deployed/ZONE-VERSION.json`` | zones whose code was replaced |
| ``logs/ZONE.log``, ``status.json``, ``report.json`` | what happened |
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firedoor.compose.files import FOLDER_MODE, write_atomically
from firedoor.errors import NotKnown, ProjectBusy, StoreRefused
from firedoor.spec.plan import PLAN_VERSION, Plan, ZonePlan, decode_plan, encode_plan

FOLDER = ".firedoor"
LAYOUT_VERSION = 1
LOCK_TRIES = 5
LOCK_WAIT_S = 0.05
HANDOVER_S = 20.0
"""For so long a run waits for services to hand the broker over: it takes them a second."""
LOCK, RUN_LOCK = "lock", "run.lock"
SERVICES = "services"
"""What services write into the lock, which they let go of for a run."""
FOLDERS = ("credentials", "lookups", "deployed", "logs", "nats")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the broker is, and as whom to ask it."""

    url: str
    """One address, or several of a cluster, joined by commas."""
    user: str | None = None
    password: str | None = None
    ca: str | None = None
    """File (PEM) of whose certificates are trusted; None: those of this machine."""
    certificate: str | None = None
    """File (PEM) by which this side shows who it is."""
    key: str | None = None
    """Its key; None: it is in the same file."""
    external: bool = False
    """Whether the broker is one that firedoor has not started."""

    def __repr__(self) -> str:
        """Leave the password out: this lands in logs and tracebacks."""
        return f"Endpoint(url={self.url!r}, user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Project:
    """One project folder."""

    folder: Path
    """``.firedoor`` itself, absolute."""

    @classmethod
    def at(cls, directory: Path) -> Project:
        """Return the project whose folder is in ``directory``; nothing is made or read."""
        return cls(directory.absolute() / FOLDER)

    # ---- places

    @property
    def plan_file(self) -> Path:
        """The pipeline that runs, or ran last."""
        return self.folder / "plan.json"

    @property
    def endpoint_file(self) -> Path:
        """Where the broker is, for the supervisor and for commands."""
        return self.folder / "endpoint.json"

    @property
    def status_file(self) -> Path:
        """The last snapshot."""
        return self.folder / "status.json"

    @property
    def report_file(self) -> Path:
        """The figures of the last run."""
        return self.folder / "report.json"

    @property
    def lookups(self) -> Path:
        """Tables that steps join to."""
        return self.folder / "lookups"

    @property
    def nats(self) -> Path:
        """The broker's store."""
        return self.folder / "nats"

    def log_file(self, zone: str) -> Path:
        """Return the log of a zone's processes."""
        return self.folder / "logs" / f"{zone}.log"

    def credentials_file(self, zone: str) -> Path:
        """Return the file with a zone's credentials."""
        return self.folder / "credentials" / f"{zone}.json"

    def deployed_file(self, zone: ZonePlan) -> Path:
        """Return the file for a zone whose code was replaced."""
        return self.folder / "deployed" / f"{zone.name}-{zone.version[:24]}.json"

    # ---- the folder

    def create(self) -> None:
        """Make what is missing.

        Raises:
            StoreRefused: if the folder was written by another version of firedoor.
            OSError: if it cannot be made or written.
        """
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self.folder.chmod(FOLDER_MODE)
        version = self.folder / "version"
        if version.exists():
            self.check()
        else:
            write_atomically(version, f"{LAYOUT_VERSION}\n".encode(), durable=True)
        for name in FOLDERS:
            (self.folder / name).mkdir(mode=FOLDER_MODE, exist_ok=True)

    def check(self) -> None:
        """Refuse a folder that is not there, or was written by another version.

        Raises:
            NotKnown: if it is not there.
            StoreRefused: if it is of another version.
        """
        try:
            written = (self.folder / "version").read_bytes()[:20].decode("ascii", "replace").strip()
        except FileNotFoundError:
            message = (
                f"{self.folder} is no project folder: start the pipeline with `firedoor run "
                "PIPELINE.py`, or name the folder that .firedoor is in with --project DIR"
            )
            raise NotKnown(message) from None
        if written != str(LAYOUT_VERSION):
            message = (
                f"{self.folder} was written by another version of firedoor (layout {written!r}, "
                f"this one writes {LAYOUT_VERSION}): finish the run with that version, or name "
                "another folder with --project DIR"
            )
            raise StoreRefused(message)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one process. The system lets go of it however a process ends.

        Raises:
            ProjectBusy: if another process holds it.
        """
        with self._held(LOCK):
            yield

    @contextmanager
    def hosting(self) -> Iterator[None]:
        """Hold the folder for services that host the broker; whoever does lets go for a run.

        Raises:
            ProjectBusy: if another process holds it.
        """
        with self._held(LOCK, SERVICES):
            yield

    @contextmanager
    def running(self, *, handover_s: float = HANDOVER_S) -> Iterator[None]:
        """Hold the folder for a run, for which services let go of it.

        Raises:
            ProjectBusy: if another run or a command is at work, or services do not let go.
        """
        with self._held(RUN_LOCK), self._held(LOCK, wait_s=handover_s):
            yield

    def run_pid(self) -> int | None:
        """Return the process that runs the pipeline, or is just beginning to; None if none does."""
        return self._holder(RUN_LOCK)

    def supervisor_pid(self) -> int | None:
        """Return the process that hosts the broker of this project; None if none does."""
        return self._holder(LOCK)

    @contextmanager
    def _held(self, name: str, word: str = "", *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold a lock, and say in it who does."""
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _taken(descriptor, wait_s):
                raise ProjectBusy(self._busy(_said(descriptor)))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {word}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _holder(self, name: str) -> int | None:
        """Return the process that holds a lock; None if none does."""
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _said(descriptor)[0]
            return int(pid) if pid.isdigit() else 0
        else:
            return None
        finally:
            os.close(descriptor)

    def _busy(self, holder: tuple[str, str]) -> str:
        """Return what to say to the second of two runs."""
        pid, word = holder[0] or "unknown", holder[1]
        if word == SERVICES:
            return (
                f"the services that are served in {self.folder} (process {pid}) do not hand their "
                f"broker over: start again, or end them with `kill {pid}`"
            )
        return (
            f"another run is at work in {self.folder} (process {pid}): wait for it, end it with "
            f"`kill {pid}`, or name another folder with --project DIR"
        )

    # ---- what is in it

    def write_plan(self, plan: Plan) -> None:
        """Keep the pipeline for the processes that run its zones."""
        write_atomically(self.plan_file, encode_plan(plan), durable=True)

    def read_plan(self) -> Plan:
        """Return the pipeline that runs, or ran last.

        Raises:
            NotKnown: if none did.
            StoreRefused: if it was written by another version.
        """
        self.check()
        try:
            plan = decode_plan(self.plan_file.read_bytes())
        except FileNotFoundError:
            message = (
                f"no pipeline has run in {self.folder} yet: start one with `firedoor run "
                "PIPELINE.py`"
            )
            raise NotKnown(message) from None
        except msgspec.DecodeError as error:
            message = f"{self.plan_file} is no plan of this version: {error}; run the pipeline anew"
            raise StoreRefused(message) from error
        if plan.version != PLAN_VERSION:
            message = (
                f"{self.plan_file} has version {plan.version}, and this firedoor reads "
                f"{PLAN_VERSION}: run the pipeline anew"
            )
            raise StoreRefused(message)
        return plan

    def write_endpoint(self, endpoint: Endpoint, *, zone: str | None = None) -> None:
        """Keep where the broker is: for a zone, or for the supervisor and commands."""
        file = self.endpoint_file if zone is None else self.credentials_file(zone)
        write_atomically(file, msgspec.json.encode(endpoint))

    def elsewhere(self) -> bool:
        """Return whether the broker is one that firedoor has not started, and so may be at work."""
        try:
            return self.endpoint().external
        except (NotKnown, StoreRefused):
            return False

    def endpoint(self, zone: str | None = None) -> Endpoint:
        """Return where the broker is: for a zone, or for the supervisor and commands.

        Raises:
            NotKnown: if that was never written.
        """
        file = self.endpoint_file if zone is None else self.credentials_file(zone)
        try:
            return msgspec.json.decode(file.read_bytes(), type=Endpoint)
        except FileNotFoundError:
            whom = "it" if zone is None else f"zone {zone!r}"
            message = (
                f"{file} is not there, so where {whom} finds its broker is not known: start the "
                "pipeline with `firedoor run PIPELINE.py`, or name the broker with --nats URL"
            )
            raise NotKnown(message) from None
        except msgspec.DecodeError as error:
            message = f"{file} does not say where the broker is: {error}; start the pipeline anew"
            raise StoreRefused(message) from error


def _said(descriptor: int) -> tuple[str, str]:
    """Return what is in a lock: the process that holds it, and a word about it."""
    pid, _, word = os.pread(descriptor, 40, 0).decode("ascii", "replace").strip().partition(" ")
    return pid, word


def _taken(descriptor: int, wait_s: float) -> bool:
    """Take the lock; where services hold it, wait for so long until they let go of it.

    Whoever only looks holds it for a moment, so try more than once.
    """
    patient = False
    for number in range(max(LOCK_TRIES, round(wait_s / LOCK_WAIT_S))):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            patient = patient or (wait_s > 0 and _said(descriptor)[1] == SERVICES)
            if number + 1 >= LOCK_TRIES and not patient:
                return False
            threading.Event().wait(LOCK_WAIT_S)
        else:
            return True
    return False
