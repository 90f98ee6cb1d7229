"""From inside a sealed process.

What is denied is tried sealed and unsealed, to know that it is the seal that denies it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from firedoor.compute import granting, seal

SOURCE = str(Path(seal.__file__).parents[2])
needs_landlock = pytest.mark.skipif(seal.supported() == 0, reason="this kernel has no Landlock")
needs_scopes = pytest.mark.skipif(
    seal.supported() < 6, reason="this kernel's Landlock cannot scope signals and sockets"
)
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root has such privileges")

SCRIPT = """
import json, os, sys
sys.path[:] = ["", *{path!r}]
from firedoor.compute import landlock, seal
if {sealed!r}:
    plan = seal.plan(
        project={project!r}, libraries=sys.path, reads={reads!r}, scratch={scratch!r},
        network={network!r},
    )
    sealed = seal.apply(plan)
try:
    {body}
except OSError as error:
    print(json.dumps([type(error).__name__, error.errno]))
else:
    print(json.dumps(["done", 0]))
"""
DENIED = "PermissionError"


@dataclass(frozen=True)
class Place:
    """A project with secrets in it, a scratch folder, and a secret elsewhere."""

    project: Path
    scratch: Path
    outside: Path

    def run(
        self,
        body: str,
        *,
        sealed: bool = True,
        network: bool | tuple[int, ...] = True,
        reads: tuple[str, ...] = (),
    ) -> list[str]:
        """Run some lines in a process of their own; return what they print."""
        script = SCRIPT.format(
            path=[SOURCE, *filter(None, sys.path)],
            sealed=sealed,
            project=str(self.project),
            reads=reads,
            scratch=str(self.scratch),
            network=network,
            body=textwrap.indent(textwrap.dedent(body).strip(), "    ").lstrip(),
        )
        done = subprocess.run(
            [sys.executable, "-S", "-c", script],  # without site: half the time
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def outcome(self, body: str, *, sealed: bool, network: bool | tuple[int, ...] = True) -> str:
        """Return ``done``, or the name of the error, of some lines."""
        name: str = json.loads(self.run(body, sealed=sealed, network=network)[-1])[0]
        return name


@pytest.fixture
def place(tmp_path: Path) -> Place:
    project = tmp_path / "project"
    for name in (".firedoor", ".git", "data", "scratch"):
        (project / name).mkdir(parents=True)
    for name in (".firedoor/store", ".git/config", ".env", "data/rows.csv", "steps.py"):
        (project / name).write_text("x = 1\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Place(project, scratch, outside)


@pytest.fixture
def listener() -> Iterator[int]:
    """A TCP port of this machine at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def only_sealed_is_denied(place: Place, body: str, *, network: bool = True) -> None:
    assert place.outcome(body, sealed=True, network=network) == DENIED
    assert place.outcome(body, sealed=False, network=network) == "done"


@needs_landlock
@pytest.mark.parametrize("path", [".firedoor/store", ".git/config", ".env"])
def test_a_hidden_entry_of_the_project_cannot_be_read(place: Place, path: str) -> None:
    only_sealed_is_denied(place, f"open({str(place.project / path)!r}).read()")


@needs_landlock
@pytest.mark.parametrize("path", ["data/rows.csv", "steps.py"])
def test_the_rest_of_the_project_can_be_read(place: Place, path: str) -> None:
    assert place.outcome(f"open({path!r}).read()", sealed=True) == "done"


@needs_landlock
def test_a_module_of_the_project_can_be_imported(place: Place) -> None:
    assert place.outcome("import steps; assert steps.x == 1", sealed=True) == "done"


@needs_landlock
def test_a_link_in_the_project_to_a_hidden_entry_does_not_open_it(place: Place) -> None:
    (place.project / "link").symlink_to(place.project / ".git")
    only_sealed_is_denied(place, "open('link/config').read()")


@needs_landlock
def test_a_link_in_the_project_to_itself_or_above_ends_and_opens_nothing(place: Place) -> None:
    (place.project / "self").symlink_to(place.project)
    (place.project / "above").symlink_to(place.project.parent)
    only_sealed_is_denied(place, "open('above/outside/secret').read()")


@needs_landlock
def test_a_file_outside_cannot_be_read(place: Place) -> None:
    only_sealed_is_denied(place, f"open({str(place.outside / 'secret')!r}).read()")


@needs_landlock
def test_what_is_declared_can_be_read(place: Place) -> None:
    body = f"open({str(place.outside / 'secret')!r}).read()"
    assert json.loads(place.run(body, reads=(str(place.outside),))[-1]) == ["done", 0]


@needs_landlock
def test_the_passwords_file_cannot_be_read(place: Place) -> None:
    only_sealed_is_denied(place, "open('/etc/passwd').read()")


@needs_landlock
@pytest.mark.parametrize("name", ["environ", "status", "cmdline", "maps"])
def test_the_parents_entries_in_proc_cannot_be_read(place: Place, name: str) -> None:
    only_sealed_is_denied(place, f"open(f'/proc/{{os.getppid()}}/{name}', 'rb').read()")


@needs_landlock
def test_its_own_entries_in_proc_can_be_read(place: Place) -> None:
    assert place.outcome("open('/proc/self/status').read()", sealed=True) == "done"


@needs_landlock
@needs_root
def test_the_parents_memory_cannot_be_read(place: Place) -> None:
    body = """
        import ctypes
        class Piece(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(1)
        here, there = Piece(ctypes.addressof(buffer), 1), Piece(0, 1)
        libc.process_vm_readv(os.getppid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        if ctypes.get_errno() != 14:  # EFAULT: it was allowed, and there is nothing at address 0
            raise OSError(ctypes.get_errno(), "process_vm_readv")
    """
    only_sealed_is_denied(place, body)


@needs_landlock
@needs_root
def test_the_parent_cannot_be_traced(place: Place) -> None:
    body = """
        import ctypes, subprocess
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(0x4206, os.getppid(), None, None) != 0:  # PTRACE_SEIZE does not stop it
            raise OSError(ctypes.get_errno(), "ptrace")
    """
    only_sealed_is_denied(place, body)


@needs_scopes
def test_the_parent_cannot_be_signalled(place: Place) -> None:
    only_sealed_is_denied(place, "os.kill(os.getppid(), 0)")


@needs_scopes
def test_the_parent_cannot_be_signalled_through_a_descriptor(place: Place) -> None:
    body = """
        import signal
        signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)
    """
    only_sealed_is_denied(place, body)


@needs_scopes
def test_its_own_child_can_be_signalled(place: Place) -> None:
    body = """
        import subprocess
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        child.kill()
        assert child.wait() == -9
    """
    assert place.outcome(body, sealed=True) == "done"


@needs_scopes
def test_an_abstract_socket_outside_cannot_be_reached(place: Place) -> None:
    name = f"\0firedoor-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        body = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        only_sealed_is_denied(place, body)


@needs_landlock
@pytest.mark.parametrize("where", ["outside", "project"])
def test_nothing_can_be_written_outside_the_scratch_folder(place: Place, where: str) -> None:
    target = getattr(place, where) / "new"
    only_sealed_is_denied(place, f"open({str(target)!r}, 'w')")


@needs_landlock
@pytest.mark.parametrize("change", ["os.truncate('steps.py', 0)", "os.unlink('steps.py')"])
def test_a_file_that_can_be_read_cannot_be_changed_or_removed(place: Place, change: str) -> None:
    assert place.outcome(change, sealed=True) == DENIED
    assert place.outcome(change, sealed=False) == "done"


@needs_landlock
def test_the_scratch_folder_can_be_used_freely(place: Place) -> None:
    body = f"""
        os.chdir({str(place.scratch)!r})
        os.makedirs("a/b")
        open("a/one", "w").write("1")
        os.rename("a/one", "a/b/two")
        open("/dev/null", "w").write("x")
        os.unlink("a/b/two")
        os.removedirs("a/b")
    """
    assert place.outcome(body, sealed=True) == "done"


@needs_landlock
@needs_root
def test_root_cannot_make_a_device_to_reach_a_disk(place: Place) -> None:
    body = f"os.mknod({str(place.scratch / 'disk')!r}, 0o060600, os.makedev(7, 0))"
    only_sealed_is_denied(place, body)


@needs_root
def test_root_gives_up_its_privileges_and_so_do_programs_it_runs(place: Place) -> None:
    body = """
        import subprocess
        print(open("/proc/self/status").read())
        child = subprocess.run(
            [sys.executable, "-c", "import os; os.chroot('.')"], capture_output=True, text=True
        )
        assert "PermissionError" in child.stderr, child.stderr
    """
    lines = place.run(body)
    held = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))
    assert held == 0b11011
    assert json.loads(lines[-1]) == ["done", 0]


@needs_landlock
def test_what_a_sealed_process_starts_is_sealed_too(place: Place) -> None:
    code = f"open({str(place.outside / 'secret')!r})"
    body = f"""
        import subprocess
        child = subprocess.run([sys.executable, "-c", {code!r}], capture_output=True, text=True)
        if "PermissionError" in child.stderr:
            raise PermissionError(13, child.stderr)
    """
    only_sealed_is_denied(place, body)


def test_without_network_nothing_can_be_connected_to(place: Place, listener: int) -> None:
    body = f"import socket; socket.create_connection(('127.0.0.1', {listener}), 5)"
    only_sealed_is_denied(place, body, network=False)


def test_without_network_there_is_no_udp_and_no_socket_with_a_path(place: Place) -> None:
    for family, kind in (("AF_INET", "SOCK_DGRAM"), ("AF_UNIX", "SOCK_STREAM")):
        body = f"import socket; socket.socket(socket.{family}, socket.{kind})"
        only_sealed_is_denied(place, body, network=False)


def test_without_network_socket_pairs_and_event_loops_work(place: Place) -> None:
    body = "import asyncio; asyncio.new_event_loop().close()"
    assert place.outcome(body, sealed=True, network=False) == "done"


def test_with_network_a_service_can_be_reached(place: Place, listener: int) -> None:
    body = f"import socket; socket.create_connection(('127.0.0.1', {listener}), 5)"
    assert place.outcome(body, sealed=True, network=True) == "done"


@pytest.mark.skipif(seal.supported() < 4, reason="this kernel's Landlock knows no ports")
def test_only_declared_ports_can_be_connected_to(place: Place, listener: int) -> None:
    body = f"import socket; socket.create_connection(('127.0.0.1', {listener}), 5)"
    assert place.outcome(body, sealed=True, network=(listener,)) == "done"
    assert place.outcome(body, sealed=True, network=(listener - 1,)) == DENIED


@pytest.mark.skipif(seal.supported() < 4, reason="this kernel's Landlock knows no ports")
def test_with_declared_ports_no_port_can_be_listened_at(place: Place) -> None:
    body = "import socket; socket.create_server(('127.0.0.1', 0))"
    assert place.outcome(body, sealed=False) == "done"
    assert place.outcome(body, sealed=True, network=(5432,)) == DENIED


@needs_landlock
def test_polars_and_dataframely_work_inside(place: Place) -> None:
    body = f"""
        import io
        import dataframely as dy
        import polars as pl
        class Rows(dy.Schema):
            a = dy.Int64(min=0)
        frame = pl.DataFrame({{"a": range(10_000)}})
        assert len(Rows.filter(frame)[0]) == 10_000
        groups = frame.lazy().group_by(pl.col("a") % 7).len().collect(engine="streaming")
        assert groups.height == 7
        frame = frame.cast(pl.Datetime("us", "America/New_York"))
        frame.write_parquet(r"{place.scratch}/a.parquet")
        assert pl.scan_parquet(r"{place.scratch}/a.parquet").collect().height == 10_000
    """
    assert place.outcome(body, sealed=True) == "done"


@needs_scopes
def test_the_level_is_full_where_files_and_signals_are_held(place: Place) -> None:
    lines = place.run("from dataclasses import asdict; print(json.dumps(asdict(sealed)))")
    found = json.loads(lines[0])
    assert found["level"] == "full"
    assert {"files", "signals", "sockets", "truncate"} <= set(found["what"])
    assert found["missing"] == []


def test_without_landlock_the_seal_is_advisory_and_says_why(place: Place) -> None:
    body = """
        from dataclasses import asdict
        landlock.abi = lambda: 0
        print(json.dumps(asdict(seal.apply(seal.SealPlan(reads=())))))
    """
    found = json.loads(place.run(body, sealed=False)[0])
    assert found["level"] == "advisory"
    assert found["abi"] == 0
    assert "no Landlock" in dict(found["missing"])["files"]


@needs_scopes
def test_an_old_kernel_gives_a_partial_seal_and_names_what_is_missing(place: Place) -> None:
    body = """
        from dataclasses import asdict
        landlock.abi = lambda: 3
        print(json.dumps(asdict(seal.apply(seal.SealPlan(reads=("/",), network=(80,))))))
    """
    found = json.loads(place.run(body, sealed=False)[0])
    assert found["level"] == "partial"
    assert {name for name, _ in found["missing"]} == {"signals", "sockets", "network"}


@needs_landlock
def test_a_seal_put_on_while_threads_run_is_only_advisory(place: Place) -> None:
    body = """
        import threading
        stop = threading.Event()
        threading.Thread(target=stop.wait, daemon=True).start()
        print(seal.apply(seal.SealPlan(reads=("/",))).level)
        stop.set()
    """
    assert place.run(body, sealed=False)[0] == "advisory"


def test_a_plan_is_plain_strings(place: Place) -> None:
    plan = seal.plan(
        project=str(place.project), libraries=sys.path, scratch=str(place.scratch), network=[80]
    )
    assert json.loads(json.dumps(asdict(plan)))["network"] == [80]
    assert plan.writes == (str(place.scratch), "/dev/null")


def test_a_folder_around_the_home_folder_is_not_granted_and_this_is_told(place: Place) -> None:
    home = place.project / "me"
    home.mkdir()
    plan = seal.plan(
        project=str(place.project),
        libraries=[],
        scratch=str(place.scratch),
        environ={"HOME": str(home)},
    )
    assert not [path for path in plan.reads if path.startswith(str(place.project))]
    assert str(place.project) in plan.notes[0]


def test_a_library_folder_around_the_project_does_not_open_the_project(place: Place) -> None:
    plan = seal.plan(
        project=str(place.project),
        libraries=[str(place.project.parent)],
        scratch=str(place.scratch),
    )
    assert str(place.outside) in plan.reads
    assert str(place.project / "data") in plan.reads
    assert not {str(place.project), str(place.project / ".git")} & set(plan.reads)


def test_declaring_the_project_does_not_open_its_hidden_entries(place: Place) -> None:
    plan = seal.plan(
        project=str(place.project),
        libraries=[],
        reads=[str(place.project)],
        scratch=str(place.scratch),
    )
    assert not {str(place.project), str(place.project / ".env")} & set(plan.reads)


def test_a_folder_with_thousands_of_entries_is_granted_in_part_and_this_is_told(
    place: Place,
) -> None:
    for number in range(granting.ENTRIES_MAX + 1):
        (place.project / f"{number}.csv").touch()
    plan = seal.plan(project=str(place.project), libraries=[], scratch=str(place.scratch))
    assert str(place.project / "steps.py") in plan.reads
    assert str(place.project / "0.csv") not in plan.reads
    assert "only folders and code" in plan.notes[0]


def granted(
    place: Place, path: Path, *denies: Path, reads: Sequence[str] = (), handed: Sequence[str] = ()
) -> bool:
    """Return whether a plan lets a file be read."""
    plan = seal.plan(
        project=str(place.project), libraries=[], scratch=str(place.scratch),
        denies=[str(one) for one in denies], reads=reads, handed=handed,
    )  # fmt: skip
    return any(path.is_relative_to(one) for one in plan.reads)


def test_what_is_denied_is_left_out_and_what_lies_beside_it_is_not(place: Place) -> None:
    data = place.project / "data"
    rows, planes, later = data / "rows.csv", data / "planes.csv", data / "more.csv"
    planes.touch()
    assert granted(place, rows)
    assert not granted(place, rows, rows)
    assert granted(place, planes, rows)
    assert not granted(place, rows, data)
    assert granted(place, later)
    assert not granted(place, later, data / "*.csv")  # nothing is called that: its folder is opened
    assert granted(place, planes, data / "*.csv")


def test_a_link_or_a_declaration_does_not_lead_to_what_is_denied(place: Place) -> None:
    rows = place.project / "data" / "rows.csv"
    (place.project / "link").symlink_to(place.project / "data")
    assert not granted(place, rows, rows)
    assert not granted(place, rows, rows.parent)
    assert not granted(place, rows, place.project / "link")
    declared = [str(rows), str(rows.parent), str(place.project / "link")]
    assert not granted(place, rows, rows, reads=declared)
    secret = place.outside / "secret"
    assert granted(place, secret, rows, reads=[str(place.outside)])
    assert not granted(place, secret, secret, reads=[str(place.outside)])


def test_what_is_handed_over_is_granted_though_it_lies_in_what_is_denied(place: Place) -> None:
    data = place.project / "data"
    assert granted(place, data / "rows.csv", data, handed=[str(data / "rows.csv")])


def test_only_descriptors_to_keep_stay_open(place: Place) -> None:
    body = """
        kept, lost = os.pipe()
        seal.close_descriptors([0, 1, 2, kept])
        os.fstat(kept)
        os.fstat(lost)
    """
    assert json.loads(place.run(body, sealed=False)[-1]) == ["OSError", 9]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("DATABASE_URL", "postgres://u:p@db/x"),
        ("POLARS_CLOUD_CLIENT_SECRET", "x"),
        ("HTTPS_PROXY", "http://user:password@proxy:3128"),
        ("MLFLOW_TRACKING_TOKEN", "x"),
        ("SSH_AUTH_SOCK", "/run/agent"),
    ],
)
def test_a_secret_is_not_passed_on_unless_it_is_declared(name: str, value: str) -> None:
    assert seal.scrub_environment({name: value}, []) == {}
    assert seal.scrub_environment({name: value}, [name]) == {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/usr/bin"),
        ("POLARS_MAX_THREADS", "2"),
        ("LC_ALL", "C.UTF-8"),
        ("PYTHONPATH", "src"),
        ("HTTPS_PROXY", "http://proxy:3128"),
    ],
)
def test_what_is_harmless_is_passed_on(name: str, value: str) -> None:
    assert seal.scrub_environment({name: value}, []) == {name: value}


def test_what_runs_before_the_seal_imports_nothing_heavy() -> None:
    code = (
        f"import sys; sys.path.insert(0, {SOURCE!r})\n"
        "from firedoor.compute import cgroup, limits, seal\n"
        "heavy = {'polars', 'numpy', 'psutil', 'dataframely', 'msgspec', 'threading'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"
