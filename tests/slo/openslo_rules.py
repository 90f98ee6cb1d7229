"""What a document of ``openslo/v1`` has to be, read off its specification and written down anew.

https://github.com/OpenSLO/OpenSLO : the README's object types, and the schemas under ``schemas/v1``
(Apache-2.0). Only what firedoor writes is known here: a field that is not is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Check = Callable[[object, str], None]
NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
KEY = r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?"
DURATION = r"[1-9][0-9]*[mhdwMQY]"
DESCRIPTION_MAX = 1_050


class NotOpenSLO(AssertionError):
    """A document is none, with where and why."""


def _refuse(where: str, value: object, why: str) -> None:
    raise NotOpenSLO(f"{where}: {value!r} {why}")


def word(pattern: str = ".+", most: int = 100_000) -> Check:
    """Return a check for a text."""

    def check(value: object, where: str) -> None:
        if not isinstance(value, str) or len(value) > most:
            _refuse(where, value, f"is no text of at most {most}")
        elif not re.fullmatch(pattern, value, re.DOTALL):
            _refuse(where, value, f"does not match {pattern}")

    return check


def one(*values: object) -> Check:
    """Return a check for one of some values."""

    def check(value: object, where: str) -> None:
        if not any(value == each and type(value) is type(each) for each in values):
            _refuse(where, value, f"is none of {values}")

    return check


def number(low: float, high: float) -> Check:
    """Return a check for a number from ``low`` to below ``high``."""

    def check(value: object, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(where, value, "is no number")
        elif not low <= value < high:
            _refuse(where, value, f"is not from {low} to below {high}")

    return check


def items(each: Check, least: int = 1, most: int = 1_000) -> Check:
    """Return a check for a list."""

    def check(value: object, where: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            _refuse(where, value, f"is no list of {least} to {most}")
        else:
            for place, item in enumerate(value):
                each(item, f"{where}[{place}]")

    return check


def texts(keys: str) -> Check:
    """Return a check for a mapping of texts."""

    def check(value: object, where: str) -> None:
        if not isinstance(value, dict) or not value:
            _refuse(where, value, "is no mapping")
        else:
            for key, text in value.items():
                word(keys)(key, f"{where} key")
                word()(text, f"{where}.{key}")

    return check


def fields(needed: Mapping[str, Check], allowed: Mapping[str, Check] | None = None) -> Check:
    """Return a check for an object: all that is needed, and nothing that is not known."""
    known = {**needed, **(allowed or {})}

    def check(value: object, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(where, value, "is no object")
            return
        for name in needed:
            if name not in value:
                _refuse(where, sorted(value), f"lacks {name}")
        for name, inner in value.items():
            if name not in known:
                _refuse(where, name, "is not known")
            known[name](inner, f"{where}.{name}")

    return check


DESCRIPTION = {"description": word(most=DESCRIPTION_MAX)}
METADATA = fields(
    {"name": word(NAME)}, {"displayName": word(), "labels": texts(KEY), "annotations": texts(KEY)}
)
SOURCE = fields(
    {"spec": fields({"query": word()})}, {"metricSourceRef": word(NAME), "type": word()}
)
METRIC = fields({"metricSource": SOURCE})
RATIO = fields({"counter": one(True, False), "good": METRIC, "total": METRIC})  # noqa: FBT003
INDICATOR = fields({"metadata": METADATA, "spec": fields({"ratioMetric": RATIO})})
CONDITION = fields(
    {
        "kind": one("burnrate"), "op": one("lte", "gte", "lt", "gt"), "threshold": number(0, 1e9),
        "lookbackWindow": word(DURATION), "alertAfter": word(DURATION),
    }
)  # fmt: skip
ALERT_CONDITION = fields(
    {
        "kind": one("AlertCondition"), "metadata": METADATA,
        "spec": fields({"severity": word(), "condition": CONDITION}, DESCRIPTION),
    }
)  # fmt: skip
BOOLEAN = one(True, False)  # noqa: FBT003
SPECS: dict[str, Check] = {
    "DataSource": fields({"type": word(), "connectionDetails": texts(KEY)}, DESCRIPTION),
    "Service": fields({}, DESCRIPTION),
    "SLO": fields(
        {
            "service": word(NAME),
            "indicator": INDICATOR,
            "budgetingMethod": one("Occurrences", "Timeslices", "RatioTimeslices"),
            "objectives": items(fields({"target": number(0, 1)}, {"displayName": word()})),
        },
        {
            **DESCRIPTION,
            "timeWindow": items(
                fields({"duration": word(DURATION), "isRolling": one(True)}),  # noqa: FBT003
                most=1,
            ),
            "alertPolicies": items(fields({"alertPolicyRef": word(NAME)})),
        },
    ),
    "AlertPolicy": fields(
        {
            "alertWhenNoData": BOOLEAN, "alertWhenResolved": BOOLEAN, "alertWhenBreaching": BOOLEAN,
            "conditions": items(ALERT_CONDITION, most=1),
            "notificationTargets": items(fields({"targetRef": word(NAME)})),
        },
        DESCRIPTION,
    ),
    "AlertNotificationTarget": fields({"target": word()}, DESCRIPTION),
}  # fmt: skip


def check_document(document: object) -> None:
    """Refuse what is no document of ``openslo/v1``.

    Raises:
        NotOpenSLO: with where and why.
    """
    kind = document.get("kind", "") if isinstance(document, dict) else ""
    one(*SPECS)(kind, "kind")
    fields(
        {
            "apiVersion": one("openslo/v1"), "kind": one(kind), "metadata": METADATA,
            "spec": SPECS[str(kind)],
        }
    )(document, str(kind))  # fmt: skip
