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
from dataclasses import dataclass
from typing import Literal

from firedoor.compute import landlock
from firedoor.compute.granting import Grants, above_of, outermost

Level = Literal["full", "partial", "advisory"]

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
    handed: Sequence[str] = (),
    denies: Sequence[str] = (),
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
        handed: what firedoor hands over: allowed whole, whatever it lies in.
        denies: what is left out like what is hidden, with all that is in it. A path that is not
            there has its folder opened entry by entry, so that what comes later is left out too.
        scratch: the worker's own folder, the only one that it may write to.
        network: True, False, or the TCP ports that may be connected to.
        environ: names the home folder and certificates; by default that of this process.
    """
    environ = os.environ if environ is None else environ
    home = os.path.realpath(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111
    denied = frozenset(os.path.realpath(path) for path in denies)
    grants = Grants(
        project=os.path.realpath(project) if project else None,
        home=home,
        denies=denied,
        denied_in=frozenset(above for path in denied for above in above_of(path)),
    )
    for path in (*_SYSTEM, *(environ.get(name, "") for name in _CERTIFICATES)):
        if path and os.path.exists(path):  # noqa: PTH110 - thousands of checks: plain strings
            grants.declare(path)
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
        reads=outermost([*grants.reads, *(os.path.realpath(path) for path in handed)]),
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
            and not looks_secret(name, value)
        )
    }


def looks_secret(name: str, value: str) -> bool:
    """Return whether the name or the value of a variable looks like a secret.

    >>> looks_secret("API_TOKEN", "x"), looks_secret("LANG", "C.UTF-8")
    (True, False)
    """
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


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
