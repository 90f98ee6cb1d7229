"""Sends real flights of September to December to the service, and holds each answer to its model.

    python examples/flights/load.py http://127.0.0.1:8080 [--rate 150] [--seconds 60]

The flights are sent in the order in which they left, at a steady rate however slowly answers come
(an open loop). Each answer names a version; the chance it gives is compared with what that version
says of that very flight, so that an answer to another request would be seen. What became of the
flight is told afterwards, as its label.
"""

from __future__ import annotations

import argparse
import http.client
import json
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

import delays
import firedoor as fd
import scoring
import stream
from pipeline import STORE
from weather_service import MEASURED
from year import ROOT

RATE = 150.0
THREADS = 16
TIMEOUT_S = 5.0
ORDER = ("time_hour", "carrier", "flight", "origin")
OFF_MAX = 1e-9
"""Largest difference between an answer and what its version says: floats are sent in full."""
LABELS_TOGETHER = 50
SENT = (*[name for name in delays.INPUTS if name not in MEASURED], "month", "day", "hour")


@dataclass(slots=True)
class Seen:
    """What clients saw. Locked by whoever changes it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Requests without a prediction, by what was said."""
    wrong: int = 0
    """Answers that are not what their version says of that flight."""
    by_version: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Return how many got a prediction."""
        return sum(self.by_version.values())

    def quantile_s(self, share: float) -> float:
        """Return how long so many took at most."""
        ordered = sorted(self.took_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Expected:
    """What each version says of each flight, asked once a version."""

    def __init__(self, project: Path, flights: pl.DataFrame) -> None:
        """Know where models are, and which flights there will be."""
        self._models = fd.Models(project)
        self._flights = flights
        self._known: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def of(self, version: str, number: int) -> float:
        """Return the chance that a version gives a flight."""
        with self._lock:
            if version not in self._known:
                model = self._models.load(f"delays@{version}")
                assert isinstance(model, delays.Delays)
                self._known[version] = model.chance(self._flights).to_list()
            return self._known[version][number]

    def is_wrong(self, version: str, number: int, chance: object) -> bool:
        """Return whether an answer is not what the version that it names says of that flight."""
        try:
            known = self.of(version, number)
        except (fd.NotKnown, fd.ModelRefused):
            return True  # there is no such version
        return not isinstance(chance, float) or abs(chance - known) > OFF_MAX


class Load:
    """Clients that send flights at a rate, and tell what became of them."""

    def __init__(
        self,
        address: str,
        project: Path,
        *,
        rate: float = RATE,
        versions: Sequence[int] = (),
        flights: pl.DataFrame | None = None,
        batch_rows: int = 0,
    ) -> None:
        """Read the flights; nothing is sent yet.

        Args:
            address: where the service is.
            project: where the models are.
            rate: flights a second.
            versions: asked beforehand what they say of each flight: later it would hold up the
                clients.
            flights: as `flights_sent` returns them, which is what there is by itself.
            batch_rows: rows of a batch of the source, if flights are sent as they were read there:
                each request says then which row it is about.
        """
        self.seen = Seen()
        self._place = urlsplit(address).netloc
        self._rate = rate
        flights = flights_sent() if flights is None else flights
        self._batch_rows = batch_rows
        self._late = flights[delays.LABEL].to_list()
        self._bodies = [json.dumps(row) for row in flights.select(*SENT).iter_rows(named=True)]
        self._expected = Expected(project, flights)
        for version in versions:
            self._expected.of(str(version), 0)
        self._due: queue.Queue[tuple[int, float] | None] = queue.Queue()
        self._labels: queue.Queue[tuple[str, int] | None] = queue.Queue()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"load-{number}", daemon=True)
            for number, work in enumerate(
                [self._keep_time, self._tell_labels, *[self._send_all] * THREADS]
            )
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> Seen:
        """End when all that was due is answered; return what was seen."""
        self._over.set()
        self._threads[0].join()
        for thread in self._threads[2:]:
            thread.join()
        self._labels.put(None)
        self._threads[1].join()
        return self.seen

    def _keep_time(self) -> None:
        """Say when which flight is due; flights begin again when all have left."""
        began_s, number = time.monotonic(), 0
        while not self._over.wait(max(0.0, began_s + number / self._rate - time.monotonic())):
            self._due.put((number, time.monotonic()))
            number += 1
        for _ in self._threads[2:]:
            self._due.put(None)

    def _send_all(self) -> None:
        """Send what is due, over one connection."""
        with closing(http.client.HTTPConnection(self._place, timeout=TIMEOUT_S)) as connection:
            while (due := self._due.get()) is not None:
                number, due_s = due
                self._send(connection, number, due_s)

    def _send(self, connection: http.client.HTTPConnection, sent: int, due_s: float) -> None:
        """Send one flight, and look at the answer."""
        number = sent % len(self._bodies)
        try:
            connection.request("POST", "/predict", self._bodies[number], self._headers(sent))
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            self._failed(type(error).__name__)
            return
        if answer.status != http.HTTPStatus.OK:
            self._failed(f"{answer.status}: {said.get('error', '')}"[:100])
            return
        version, chance = said["version"], said["predictions"][0]["chance"]
        # What was answered for want of the weather, or of a model, is no version's own answer.
        own = not said["degraded"] or said["degraded"] == "previous_version"
        wrong = own and self._expected.is_wrong(version, number, chance)
        with self.seen.lock:
            self.seen.sent += 1
            self.seen.by_version[version or "none"] += 1
            self.seen.degraded[said["degraded"] or "no"] += 1
            self.seen.wrong += wrong
            self.seen.took_s.append(time.monotonic() - due_s)
        if said["prediction"] and self._late[number] is not None:
            self._labels.put((said["prediction"], int(self._late[number])))

    def _headers(self, sent: int) -> dict[str, str]:
        """Return what is said beside a flight."""
        headers = {"Content-Type": "application/json"}
        if self._batch_rows:
            batch, row = divmod(sent, self._batch_rows)
            headers["X-Firedoor-Source"] = f"flights-{batch:06d}/{row}"
        return headers

    def _failed(self, how: str) -> None:
        """Count a request that got no prediction."""
        with self.seen.lock:
            self.seen.sent += 1
            self.seen.failed[how] += 1

    def _tell_labels(self) -> None:
        """Tell what became of flights, many at a time."""
        with closing(http.client.HTTPConnection(self._place, timeout=TIMEOUT_S)) as connection:
            going_on = True
            while going_on:
                labels: list[dict[str, object]] = []
                while going_on and len(labels) < LABELS_TOGETHER:
                    told = self._labels.get()
                    going_on = told is not None
                    if told is not None:
                        labels.append({"prediction": told[0], "label": told[1]})
                if labels:
                    tell(connection, labels)


def tell(connection: http.client.HTTPConnection, labels: Sequence[dict[str, object]]) -> None:
    """Send labels; those that are lost are only missing as evidence."""
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/labels", json.dumps(labels), headers)
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        connection.close()


def flights_sent() -> pl.DataFrame:
    """Return what is known of each flight of September to December before it leaves, and after.

    The weather is among it, for comparing; clients send only by what hour it is looked up.
    """
    stored = stream.read_rows(STORE).filter(pl.col("day") >= scoring.FIRST_DAY).sort(*ORDER)
    left = pl.col("time_hour").dt.convert_time_zone("America/New_York").dt
    return stored.with_columns(month=left.month(), day=left.day(), hour=left.hour())


def main() -> int:
    """Send, print what was seen, and return 0 if no request failed and no answer was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address", help="where the service is: http://127.0.0.1:8080")
    parser.add_argument("--rate", type=float, default=RATE, help="flights a second (default: 150)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default: 60)")
    parser.add_argument("--project", type=Path, default=ROOT, help="where .firedoor is")
    arguments = parser.parse_args()
    load = Load(arguments.address, arguments.project, rate=arguments.rate)
    load.start()
    time.sleep(arguments.seconds)
    seen = load.stop()
    print(told(seen))
    return 1 if seen.wrong or seen.failed else 0


def told(seen: Seen) -> str:
    """Return what clients saw, in lines."""
    versions = ", ".join(f"{count:,} by {name}" for name, count in seen.by_version.most_common())
    failed = ", ".join(f"{count:,} {how}" for how, count in seen.failed.most_common(3)) or "none"
    degraded = ", ".join(f"{count:,} {how}" for how, count in seen.degraded.items() if how != "no")
    p50_ms, p99_ms = (seen.quantile_s(share) * 1e3 for share in (0.5, 0.99))
    return "\n".join(
        [
            f"sent       {seen.sent:,} flights; answered {seen.answered:,}: {versions}",
            f"failed     {failed}",
            f"wrong      {seen.wrong:,} of {seen.answered:,} are not what their version says",
            f"degraded   {degraded or 'none'}",
            f"took       p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
