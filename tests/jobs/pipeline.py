"""A pipeline whose jobs end in every way there is. Tests copy it to where they run it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import firedoor as fd

pipeline = fd.Pipeline("late", owner="ann@example.com")
rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
store = pipeline.sink("store", fd.parquet("out/"), reads=rows)

FOREVER = threading.Event()


@pipeline.job(parameters={"rounds": 3, "rate": 0.1, "loss": "log"})
def good(run: fd.Run) -> None:
    """End well."""
    rounds = run.parameters["rounds"]
    assert isinstance(rounds, int)
    for number in range(rounds):
        run.progress(number + 1, rounds, step="fit")
    print(f"seed {run.seed}")
    run.log_metric("auc", 0.5)
    run.log_metric("auc", 0.72)
    folder = run.scratch / "model"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"rounds": rounds, "seed": run.seed}))
    run.save("late", folder, inputs={"distance": "Int64"}, outputs={"late": "Boolean"})


@pipeline.job(reads=store)
def counts(run: fd.Run, folder: Path) -> None:
    """Read the sink's files, and try to change them."""
    run.log_metric("files", len(list(folder.glob("*.parquet"))))
    (folder / "mine.parquet").write_text("")


@pipeline.job()
def raises(run: fd.Run) -> None:
    """Fail, after a metric and a model."""
    run.progress(1, 4, step="split")
    run.log_metric("auc", 0.7)
    folder = run.scratch / "m"
    folder.mkdir()
    (folder / "w").write_text("w")
    run.save("late", folder)
    print("last words")
    message = "no rows of class 1"
    raise ValueError(message)


@pipeline.job(attempts=2)
def crashes(run: fd.Run) -> None:
    """Die of a bad pointer."""
    run.progress(2, 4, step="native")
    ctypes.string_at(0)


@pipeline.job(memory="256MiB")
def grows(run: fd.Run) -> None:
    """Take more and more memory."""
    held = []
    while True:
        held.append(bytearray(os.urandom(1024)) * 4096)
        run.heartbeat()


@pipeline.job(memory="256MiB")
def leaps(run: fd.Run) -> None:
    """Take far too much at once."""
    run.heartbeat()
    bytearray(2**40)


@pipeline.job(hang_s=1)
def hangs(run: fd.Run) -> None:
    """Wait for what never comes, while a thread of its own goes on."""
    run.progress(3, 9, step="wait")
    threading.Thread(target=FOREVER.wait, daemon=True).start()
    FOREVER.wait()


@pipeline.job(timeout_s=1)
def dawdles(run: fd.Run) -> None:
    """Tell that it lives, and get nowhere."""
    while not FOREVER.wait(0.05):
        run.heartbeat()


@pipeline.job(cpu_s=1, timeout_s=60)
def burns(run: fd.Run) -> None:
    """Compute for ever."""
    number = 0
    while True:
        number += 1
        if number % 1_000_000 == 0:
            run.heartbeat()


@pipeline.job(cpu_s=1, timeout_s=60)
def delegates(run: fd.Run) -> None:
    """Have children compute for it, one after another, and none of them for long."""
    code = "import time\nwhile time.process_time() < 0.4: pass"
    while True:
        subprocess.run([sys.executable, "-c", code], check=True)
        run.heartbeat()


@pipeline.job(processes_max=4, timeout_s=60)
def forks(run: fd.Run) -> None:
    """Start more processes than it may."""
    for _ in range(8):
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    while not FOREVER.wait(0.05):
        run.heartbeat()


@pipeline.job(disk="8MiB", timeout_s=60)
def fills(run: fd.Run) -> None:
    """Write file after file."""
    number = 0
    while not FOREVER.wait(0.01):
        number += 1
        (run.scratch / f"{number}").write_bytes(os.urandom(2**20))
        run.heartbeat()


@pipeline.job()
def hoards(run: fd.Run) -> None:
    """Keep under ever new names."""
    for number in range(200):
        with run.checkpoint(f"c{number}") as folder:
            (folder / "n").write_text("n")


@pipeline.job()
def leaves(run: fd.Run) -> None:
    """End well, and leave a process behind."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True
    )
    run.log_metric("child", child.pid)


@pipeline.job()
def exits(run: fd.Run) -> None:
    """End the process in a hurry."""
    run.heartbeat()
    os._exit(0)


@pipeline.job(parameters={"to": ""})
def writes(run: fd.Run) -> None:
    """Write where it may not."""
    run.heartbeat()
    Path(str(run.parameters["to"])).write_text("mine")


@pipeline.job(parameters={"at": ""})
def peeks(run: fd.Run) -> None:
    """Read what is not its own."""
    run.heartbeat()
    print(len(Path(str(run.parameters["at"])).read_bytes()))


@pipeline.job()
def calls(run: fd.Run) -> None:
    """Open a connection."""
    run.heartbeat()
    socket.create_connection(("127.0.0.1", 9), timeout=1)


@pipeline.job()
def asks(run: fd.Run) -> None:
    """Ask for a secret."""
    run.heartbeat()
    print(os.environ["API_TOKEN"])


@pipeline.job(env=["API_TOKEN", "PLACE"])
def blurts(run: fd.Run) -> None:
    """Tell its secret wherever it can."""
    told = os.environ["API_TOKEN"]
    run.progress(1, 2, step=f"calling with {told}")
    run.log_metric(f"{told} calls", 1)
    print("token is", told, "here in", os.environ["PLACE"])
    message = f"refused: {told}"
    raise ValueError(message)


@pipeline.job()
def diverges(run: fd.Run) -> None:
    """Measure nothing."""
    run.log_metric("loss", float("nan"))


@pipeline.job()
def links(run: fd.Run) -> None:
    """Save a model that leads out of its folder."""
    folder = run.scratch / "m"
    folder.mkdir()
    (folder / "w").symlink_to("/etc/passwd")
    run.save("late", folder)


@pipeline.job(parameters={"pause_at": 0, "total": 40})
def resumes(run: fd.Run) -> None:
    """Count to the total, keeping each number; crash or wait on the way if it is told to."""
    kept = run.kept("count")
    number = 0 if kept is None else int((kept / "n").read_text())
    run.log_metric("began_at", number)
    total = run.parameters["total"]
    assert isinstance(total, int)
    while number < total:
        number += 1
        with run.checkpoint("count") as folder:
            (folder / "n").write_text(str(number))
        run.progress(number, total, step="count")
        if number == run.parameters["pause_at"]:
            while not FOREVER.wait(0.02):
                run.heartbeat()
        if Path("stop").exists() and number == int(Path("stop").read_text()):
            os.kill(os.getpid(), signal.SIGSEGV)
    folder = run.scratch / "m"
    folder.mkdir()
    (folder / "n").write_text(str(number))
    run.save("counted", folder)


@pipeline.job(attempts=3)
def recovers(run: fd.Run) -> None:
    """Fail until there is a checkpoint of an attempt before."""
    if run.kept("seen") is None:
        with run.checkpoint("seen") as folder:
            (folder / "n").write_text(str(run.attempt))
        os.kill(os.getpid(), signal.SIGABRT)
    run.log_metric("attempt", run.attempt)


@pipeline.job(timeout_s=60)
def waits(run: fd.Run) -> None:
    """Live until it is ended."""
    while not FOREVER.wait(0.05):
        run.heartbeat()


@pipeline.job(timeout_s=1)
def prints(run: fd.Run) -> None:
    """Print more than anybody can read."""
    while True:
        run.heartbeat()
        os.write(1, b"x\n" * 30_000)


@pipeline.job(timeout_s=60)
def tells(run: fd.Run) -> None:
    """Tell of each round of a loop that takes no time."""
    for number in range(200_000):
        run.progress(number + 1, 200_000, step="loop")
