"""A better model is let in and stays, a worse one is taken back; nobody has to watch.

    python examples/flights/serve.py [--data ARCHIVE] [--json FILE] [--project FOLDER]

Takes the model that `make train` left live, or trains one. Clients send the flights of September to
December all the while and check every answer; what became of each flight is told as its label. The
exit code is 0 only if the better version went live, the worse one was rolled back, no request
failed, and no answer was another flight's or another version's.

The worse one ranks flights exactly as the better one does, and is far too sure of itself: no error,
no NaN, the same AUC. What becomes of the flights shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

import delays
import firedoor as fd
import serving
import show_serving as show
import stream
import training
from data import DataMissing
from firedoor.registry.model import ModelState
from load import RATE, Load, Seen
from pipeline import STORE
from train import Project, fill_store
from year import ARCHIVE, ROOT, YEAR, write_year

SERVICE, MODEL = "predict", "delays"
TAKEN_BACK = ("rolled_back", "quarantined")
SURER = 3.0
"""By which the worse one multiplies its log odds."""
TIME_SCALE = 20
"""Divides the times of a rollout: windows of seconds; it makes no flights."""
START_MAX_S = 60.0
ROLLOUT_MAX_S = 100.0
LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """One rollout, from the order to its end."""

    version: int
    phase: str
    """``rolled_back`` or ``live``."""
    verdict: str
    took_s: float


def main() -> int:
    """Tell the story, and return the exit code."""
    arguments = parse_arguments()
    try:
        write_year(arguments.data, YEAR)
    except DataMissing as error:
        show.error(str(error))
        return 2
    project = Project(arguments.project)
    show.act("1. A champion, and two that would follow it")
    models = fd.Models(project.folder, by="the example")
    prepare_champion(project, models, arguments.boosters)
    better = learn(project, models, boosters=arguments.boosters)
    worse = too_sure(models, better, project.folder / ".firedoor" / "too-sure")
    show.registered(better, worse)
    forget_rollouts(project)
    with stream.started_weather() as weather, served(project, weather) as address:
        _, champion = models.find(MODEL)
        versions = (champion.number, better, worse)
        load = Load(address, project.folder, rate=arguments.rate, versions=versions)
        began_s = time.monotonic()
        load.start()
        show.act(f"2. Version {better} is let in")
        first = roll_out(project, better, "learnt with another seed")
        show.act(f"3. Version {worse} is let in: it ranks as well, and is far too sure")
        second = roll_out(project, worse, "exported in a hurry")
        took_s = time.monotonic() - began_s
        seen = load.stop()
    show.closing_lines(first, second, seen, took_s)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures_of(first, second, seen, took_s), indent=2))
    as_meant = first.phase == "live" and second.phase in TAKEN_BACK
    return 0 if as_meant and not seen.failed and not seen.wrong else 1


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ARCHIVE, help="what `make data` fetched")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument(
        "--project", type=Path, default=ROOT, help="where .firedoor is (default: the repository)"
    )
    parser.add_argument("--boosters", type=int, default=5, help="of each model (default: 5)")
    parser.add_argument("--rate", type=float, default=RATE, help="flights a second")
    return parser.parse_args()


def prepare_champion(project: Project, models: fd.Models, boosters: int) -> None:
    """Have a store, and a version that is live: those that are there, or new ones."""
    known = known_versions(models)
    if known is not None and known.champion is not None and any(STORE.glob("*.parquet")):
        return
    fill_store(project)
    version = learn(project, models, boosters=boosters)
    project.command("models", "promote", f"delays@{version}")


def learn(project: Project, models: fd.Models, *, boosters: int) -> int:
    """Train a version, and have it judged; return its number."""
    known = known_versions(models)
    # A seed of its own: the same seed would make the very model that is there.
    seed = 1 if known is None else known.next_number
    words = ("--seed", str(seed), "--param", f"boosters={boosters}")
    project.command("job", "run", "train", "--pipeline", training.__file__, *words)
    # Held is fine: a person lets it in all the same, below.
    judged = ("job", "run", "evaluate", "--pipeline", training.__file__)
    project.command(*judged, may_end=(0, 3))
    return int(project.latest("train")["model"].partition("@")[2])


def too_sure(models: fd.Models, version: int, folder: Path) -> int:
    """Register a copy of a version whose probabilities are sharpened; return its number."""
    stream.remove(folder)
    name = f"{MODEL}@{version}"
    manifest = models.get(name, folder)
    file = folder / "model.json"
    file.chmod(0o600)
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "slope": SURER * told["slope"]}))
    model = delays.load(folder)
    example = pl.read_parquet(folder / manifest.example)
    (folder / manifest.example).unlink()
    example.with_columns(model.chance(example)).write_parquet(folder / manifest.example)
    made = models.add(
        MODEL, folder, loader=manifest.loader, example=manifest.example,
        inputs=delays.INPUTS, outputs=delays.OUTPUTS,
    )  # fmt: skip
    stream.remove(folder)
    return made.number


def forget_rollouts(project: Project) -> None:
    """Begin with no rollout behind: after one that was taken back, the next is judged longer."""
    for name in ("nats", "serving"):
        stream.remove(project.folder / ".firedoor" / name)


def known_versions(models: fd.Models) -> ModelState | None:
    """Return what is known of the model; None: nobody has made one."""
    try:
        return models.read(MODEL).state
    except fd.ModelsUnavailable:
        return None


@contextmanager
def served(
    project: Project, weather: str, *, pipeline: str = serving.__file__, log: Path | None = None
) -> Iterator[str]:
    """Run `firedoor serve` until it is left, and give its address.

    Args:
        project: whose models answer.
        weather: address of the weather service.
        pipeline: the file that declares the service.
        log: what it prints goes there, and by itself to the logs of the project.

    Raises:
        SystemExit: if it does not begin; its log says why.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = ("serve", pipeline, "--port", str(port))
    show.typed(words)
    command = stream.firedoor(*words, "--project", project.folder)
    environ = {**os.environ, "FLIGHTS_WEATHER": weather, "FLIGHTS_TIME_SCALE": str(TIME_SCALE)}
    log = log or project.folder / ".firedoor" / "logs" / "serve.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environ, stdout=out, stderr=out)  # noqa: S603 - our own program
        try:
            wait_until_ready(server, port, log)
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=START_MAX_S)


def wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a version answers."""
    until_s = time.monotonic() + START_MAX_S
    while time.monotonic() < until_s and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
                line.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if line.recv(16).split(b" ")[1:2] == [b"200"]:
                    return
        except OSError:
            pass
        time.sleep(LOOK_S)
    sys.exit(f"nothing answers at port {port}:\n{log.read_text()}")


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def roll_out(project: Project, version: int, because: str) -> Rolled:
    """Have a version rolled out, print what it waits for, and return how that ended."""
    began_s = time.monotonic()
    # Nobody has judged the worse one, so that it takes a person's word to let it in.
    words = ("rollout", "start", SERVICE, "--version", str(version), "--override")
    project.command(*words, "--because", because)
    before, said, until_s = "", "", began_s + ROLLOUT_MAX_S
    while time.monotonic() < until_s:
        picture = look(project)
        said = f"{phase_of(picture)}: {picture['why']}"
        if phase_of(picture) != before:
            show.step(time.monotonic() - began_s, said)
            before = phase_of(picture)
        ended = [one for one in picture["state"]["ended"] if one["version"] == version]
        if ended and not picture["state"]["current"]:
            last = ended[-1]
            took_s = time.monotonic() - began_s
            show.step(took_s, f"{last['phase']}: {last['verdict']}")
            return Rolled(
                version=version, phase=last["phase"], verdict=last["verdict"], took_s=took_s
            )
        time.sleep(LOOK_S)
    return Rolled(version=version, phase=before, verdict=said, took_s=ROLLOUT_MAX_S)


def look(project: Project) -> dict[str, Any]:
    """Return how the service's rollouts are."""
    command = stream.firedoor("rollout", "status", SERVICE, "--json", "--project", project.folder)
    told = subprocess.run(command, capture_output=True, timeout=START_MAX_S, check=True)  # noqa: S603 - our own program
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def phase_of(picture: dict[str, Any]) -> str:
    """Return where a rollout is: ``shadow``, ``canary 25 %`` ..."""
    current, route = picture["state"]["current"], picture["route"]
    if not current:
        return "ended"
    share = f" {100 * route['weight']:g} %" if current["phase"] == "canary" else ""
    return f"{current['phase']}{share}"


def figures_of(first: Rolled, second: Rolled, seen: Seen, took_s: float) -> dict[str, object]:
    """Return the figures."""
    return {
        "rollouts": [
            {"version": one.version, "phase": one.phase, "seconds": round(one.took_s, 1)}
            for one in (first, second)
        ],
        "sent": seen.sent, "answered": seen.answered, "wrong": seen.wrong,
        "failed": dict(seen.failed), "by_version": dict(seen.by_version),
        "degraded": dict(seen.degraded), "p50_s": seen.quantile_s(0.5),
        "p99_s": seen.quantile_s(0.99), "seconds": round(took_s, 1),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
