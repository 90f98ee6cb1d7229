"""The seal: what a worker may still reach once it is sealed.

A plan is plain strings, made before; applying it is the last thing a worker does before it imports
the user's code. On Linux it is Landlock (files, signals, abstract sockets, TCP), a filter of
socket(2) where the network is restricted, and giving up root's privileges. Elsewhere there is no
seal: the level is then ``advisory``, and the report says so.

Not covered by any version of Landlock known here: looking at the name, size and mode of files
(stat), changing mode, owner or times of files one owns (chmod, chown, utime), UDP and Unix
sockets with a path where the network is allowed. Only the standard library is imported here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from firedoor.compute import landlock

Level = Literal["full", "partial", "advisory"]

ENTRIES_MAX = 1000
"""Entries of one folder that are allowed one by one; beyond, only folders and code."""

_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store"),
    # What the dynamic linker, the C library, OpenSSL and the resolver read.
    *(f"/etc/{name}" for name in ("ld.so.cache", "ld.so.preload")),
    *(f"/etc/{name}" for name in ("localtime", "timezone", "locale.alias", "mime.types")),
    *(f"/etc/{name}" for name in ("resolv.conf", "hosts", "host.conf", "nsswitch.conf")),
    *(f"/etc/{name}" for name in ("gai.conf", "services", "protocols", "os-release")),
    *(f"/etc/{name}" for name in ("ssl/certs", "ssl/openssl.cnf", "ssl/cert.pem")),
    *("/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf"),
    *("/etc/pki/ca-trust/extracted", "/etc/ca-certificates", "/etc/crypto-policies"),
    # numpy, OpenBLAS, Rust's thread pools and jemalloc size themselves by these.
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/loadavg"),
    *("/proc/filesystems", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/osrelease"),
    *("/proc/sys/kernel/cap_last_cap", "/sys/devices/system/cpu", "/sys/devices/system/node"),
    *("/sys/kernel/mm/transparent_hugepage", "/sys/fs/cgroup"),
    *("/dev/zero", "/dev/random", "/dev/urandom"),
)
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CODE = (".py", ".pyc", ".so", ".pth", ".zip")

_ENVIRONMENT = frozenset(
    # A list of words is read, and reviewed, more easily than a list of strings.
    """
    PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TZDIR TMPDIR TERM NO_COLOR HOSTNAME
    LD_LIBRARY_PATH LD_PRELOAD DYLD_LIBRARY_PATH MALLOC_CONF _RJEM_MALLOC_CONF
    VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV CUDA_VISIBLE_DEVICES
    PYTHONPATH PYTHONHOME PYTHONHASHSEED PYTHONWARNINGS PYTHONDONTWRITEBYTECODE PYTHONUTF8
    PYTHONIOENCODING PYTHONOPTIMIZE PYTHONNOUSERSITE PYTHONUSERBASE PYTHONPYCACHEPREFIX
    PYTHONUNBUFFERED PYTHONFAULTHANDLER PYTHONDEVMODE PYTHONSAFEPATH PYTHONMALLOC PYTHONPLATLIBDIR
    PYTHONCOERCECLOCALE PYTHON_GIL PYTHON_COLORS
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy
    """.split()  # noqa: SIM905
)
_ENVIRONMENT_PREFIXES = (
    *("LC_", "POLARS_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_", "NUMEXPR_"),
    *("VECLIB_", "RAYON_", "NUMBA_", "ARROW_", "LOKY_", "JOBLIB_", "MALLOC_", "MIMALLOC_"),
)
_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"://[^/\s@]*@")
"""A user, and most often a password, inside a URL, as in ``http://user:password@proxy``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPlan:
    """What a worker may reach: plain strings, so that it can be sent as a message."""

    reads: tuple[str, ...]
    """Files, and folders with everything in them, that may be read and executed."""
    lists: tuple[str, ...] = ()
    """Folders whose names may be listed, at any depth: importing looks for modules so."""
    writes: tuple[str, ...] = ()
    """Files and folders that may be changed."""
    network: bool | tuple[int, ...] = True
    """All of it, none of it, or the TCP ports that may be connected to."""
    notes: tuple[str, ...] = ()
    """What a person should know about this plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What is in force in a worker."""

    level: Level
    """``full``: everything asked for, files and signals included; ``advisory``: no Landlock."""
    abi: int
    """Version of Landlock that the kernel offers, 0 for none."""
    what: tuple[str, ...] = ()
    """Out of files, truncate, signals, sockets (abstract ones), network, filter, privileges."""
    missing: tuple[tuple[str, str], ...] = ()
    """What was asked for and is not in force, and why."""


def supported() -> int:
    """Return the version of Landlock that this kernel offers, 0 for none."""
    return landlock.abi()


def plan(
    *,
    project: str | None,
    libraries: Sequence[str],
    reads: Sequence[str] = (),
    scratch: str,
    network: bool | Sequence[int] = True,
    environ: Mapping[str, str] | None = None,
) -> SealPlan:
    """Work out what a worker may reach.

    Hidden entries of the project and of every folder with code (``.firedoor``, ``.git``, ``.env``,
    ``.ssh`` ...) are left out; Landlock cannot forbid a part of what it allows, so the other
    entries are allowed one by one. What the user declares is allowed whole, but for the project.

    Args:
        project: the project folder, usually the current one; None for none.
        libraries: entries of ``sys.path``; what does not exist is skipped.
        reads: what the user declares.
        scratch: the worker's own folder, the only one that it may write to.
        network: True, False, or the TCP ports that may be connected to.
        environ: names the home folder and certificates; by default that of this process.
    """
    environ = os.environ if environ is None else environ
    home = os.path.realpath(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111
    grants = _Grants(project=os.path.realpath(project) if project else None, home=home)
    for path in (*_SYSTEM, *(environ.get(name, "") for name in _CERTIFICATES)):
        if path and os.path.exists(path):  # noqa: PTH110 - thousands of checks: plain strings
            grants.reads.append(os.path.realpath(path))
    interpreter = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    for path in dict.fromkeys((*interpreter, os.path.dirname(os.__file__), sys.executable)):  # noqa: PTH120
        grants.add(path)
    for path in libraries:
        grants.add(path or os.curdir)
    if project:
        grants.add(project)
    for path in reads:
        grants.declare(path)
    return SealPlan(
        reads=_outermost(grants.reads),
        lists=tuple(dict.fromkeys(grants.lists)),
        writes=(os.path.realpath(scratch), "/dev/null"),
        network=network if isinstance(network, bool) else tuple(network),
        notes=tuple(dict.fromkeys(grants.notes)),
    )


def apply(wanted: SealPlan) -> Sealed:
    """Seal this process and whatever it starts, for good; say what is in force.

    Never raises for want of support. Call it while the process has one thread, and after
    ``limits.apply``, which writes to a file that is out of reach afterwards.
    """
    abi = landlock.abi()
    if not landlock.LINUX:
        return Sealed(level="advisory", abi=0, missing=(("files", f"no seal on {sys.platform}"),))
    what: list[str] = []
    missing: list[tuple[str, str]] = []
    try:
        landlock.set_no_new_privileges()
        if landlock.drop_capabilities():
            what.append("privileges")
    except OSError as error:
        missing.append(("privileges", str(error)))
    # The filter comes before Landlock: it needs no files and takes none away.
    filtered = wanted.network is not True and landlock.deny_sockets(
        all_of_them=wanted.network is False
    )
    restricted, why = _restrict(wanted, abi)
    for name, why_not in _in_force(wanted, abi if restricted else 0, why, filtered=filtered):
        if why_not:
            missing.append((name, why_not))
        else:
            what.append(name)
    threads = _thread_count()
    if threads > 1:
        missing.append(("threads", f"{threads} threads ran already when the worker was sealed"))
    level: Level = "partial" if missing else "full"
    if not restricted or threads > 1:
        level = "advisory"
    return Sealed(level=level, abi=abi, what=tuple(what), missing=tuple(missing))


def close_descriptors(keep: Sequence[int]) -> None:
    """Close every open descriptor of this process but those to keep."""
    listing = "/proc/self/fd" if landlock.LINUX else "/dev/fd"
    try:
        numbers = sorted(int(name) for name in os.listdir(listing))  # noqa: PTH208
    except OSError:
        numbers = list(range(os.sysconf("SC_OPEN_MAX")))
    for number in numbers:
        if number not in keep:
            try:
                os.close(number)
            except OSError:
                continue  # the descriptor of the listing itself


def scrub_environment(environ: Mapping[str, str], allowed_extra: Sequence[str]) -> dict[str, str]:
    """Return the variables a worker is given: harmless ones by name, and those declared.

    A variable whose name or value looks like a secret is left out unless it is declared; so a
    proxy passes, but not one with a user and password in its address. What a worker was started
    with stays readable in its ``/proc/self/environ``: start it, or the fork server it is forked
    from, with this environment, rather than removing names later.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in allowed_extra
        or (
            (name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES))
            and not _SECRET_NAME.search(name)
            and not _SECRET_VALUE.search(value)
        )
    }


@dataclass(slots=True, kw_only=True)
class _Grants:
    """What has been allowed so far, and what must not be."""

    project: str | None
    home: str
    reads: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, path: str) -> None:
        """Allow a file, or a folder without its hidden entries."""
        path = os.path.realpath(path)
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
        if self._holds_project(path) or any(name.startswith(".") for name, _ in entries):
            self.lists.append(path)
            self._add_entries(path, entries)
        else:
            self.reads.append(path)

    def declare(self, path: str) -> None:
        """Allow what the user declares; of a folder around the project, not its hidden part."""
        path = os.path.realpath(path)
        if path == self.project or self._holds_project(path):
            self.add(path)
        else:
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
            if target == child and (target == self.project or self._holds_project(target)):
                self.add(target)
            elif target == child or not self._is_forbidden(target):
                self.reads.append(target)

    def _too_much(self, path: str) -> bool:
        """Return whether a folder is the root or holds the home folder."""
        return path == "/" or self.home.startswith(path.rstrip("/") + "/")

    def _holds_project(self, path: str) -> bool:
        """Return whether the project lies somewhere in a folder."""
        return self.project is not None and self.project.startswith(path.rstrip("/") + "/")

    def _is_forbidden(self, target: str) -> bool:
        """Return whether a link leads to far too much, or to something hidden in the project."""
        if self._too_much(target) or self._holds_project(target):
            return True
        if target in {self.home, self.project}:
            return True
        if self.project is None or not target.startswith(self.project + "/"):
            return False
        return any(part.startswith(".") for part in target[len(self.project) :].split("/"))


def _outermost(paths: Sequence[str]) -> tuple[str, ...]:
    """Return paths that do not lie within another: each costs a worker 10 us."""
    known = set(paths)

    def is_inside(path: str) -> bool:
        parts = path.split("/")
        return any("/".join(parts[:end]) in known for end in range(2, len(parts)))

    return tuple(path for path in dict.fromkeys(paths) if not is_inside(path))


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


def _restrict(wanted: SealPlan, abi: int) -> tuple[bool, str]:
    """Put Landlock in force; return whether it is, and if not, why."""
    if abi == 0:
        return False, "no Landlock in this kernel (it needs Linux 5.13, and to be enabled at boot)"
    try:
        rules = landlock.Ruleset(abi, restrict_network=wanted.network is not True)
        try:
            rules.allow((*wanted.reads, f"/proc/{os.getpid()}"), landlock.READ)
            rules.allow(wanted.lists, landlock.READ_DIR)
            rules.allow(wanted.writes, landlock.READ | landlock.WRITE)
            if not isinstance(wanted.network, bool) and abi >= landlock.ABI_NETWORK:
                rules.allow_connecting(wanted.network)
            rules.enforce()
        finally:
            rules.close()
    except OSError as error:
        return False, str(error)
    return True, ""


def _in_force(wanted: SealPlan, abi: int, why: str, *, filtered: bool) -> Iterator[tuple[str, str]]:
    """Yield each thing that the plan asks for, with the reason where it is not in force."""
    since = {
        "files": 1,
        "truncate": landlock.ABI_TRUNCATE,
        "signals": landlock.ABI_SCOPES,
        "sockets": landlock.ABI_SCOPES,
    }
    if wanted.network is not True:
        # Without any socket there is no TCP either, whatever Landlock knows of it.
        none_at_all = wanted.network is False and filtered
        since["network"] = 0 if none_at_all else landlock.ABI_NETWORK
        yield "filter", "" if filtered else "no filter of system calls for this machine"
    for name, version in since.items():
        short = why or f"the kernel offers version {abi} of Landlock, this needs {version}"
        yield name, "" if abi >= version else short


def _thread_count() -> int:
    """Return how many threads this process has."""
    try:
        return os.stat("/proc/self/task").st_nlink - 2  # noqa: PTH116
    except OSError:
        return 1
