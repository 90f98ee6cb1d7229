"""Who is listened to by nobody pays nothing for telemetry."""

from __future__ import annotations

import subprocess
import sys

UNHEARD = """
import sys
from firedoor.adapters.clock import SystemClock
from firedoor.compose import gateway_view, observed, zone_process, zone_view

about = {"process": "here-1", "clock": SystemClock(), "release": "1"}
assert observed.listening("shop", "priced", environ={}, **about) is None
assert observed.listening("shop", "priced", environ={"OTEL_SDK_DISABLED": "true"}, **about) is None
loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "opentelemetry")
assert not loaded, loaded
found = observed.listening(
    "shop", "priced", environ={"OTEL_TRACES_EXPORTER": "otlp"}, **about
)
assert found is not None and "opentelemetry" in sys.modules
found.close(0)
"""


def test_nothing_of_opentelemetry_is_imported_where_nobody_listens() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNHEARD], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
