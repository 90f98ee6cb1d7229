"""Every metric is in the guide, as the code has it."""

from __future__ import annotations

import metric_pages
from firedoor.events.metrics import TABLE


def test_the_guide_lists_every_metric_and_label_as_the_code_has_them() -> None:
    page = metric_pages.PAGE.read_text(encoding="utf-8")
    wrong = "run: python tools/metric_pages.py"
    assert page == metric_pages.with_tables(page), wrong
    assert all(f"| `{metric.name}` |" in page for metric in TABLE), wrong
