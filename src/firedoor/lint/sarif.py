"""What the rules say as SARIF 2.1.0, which code hosts show beside the lines of a change.

Sources: the OASIS standard, and what GitHub's code scanning reads of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from firedoor.lint.finding import Finding
from firedoor.lint.judging import EXEMPTION, EXEMPTION_TITLE, RULES, Judgement
from firedoor.lint.telling import place_of
from firedoor.spec.plan import Plan

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
STEP_FAILS, INPUT_MISSING = "FD001", "FD002"
OTHERS = (
    (STEP_FAILS, "a step that fails on no rows", "Run each transform on no rows."),
    (INPUT_MISSING, "an input that is missing", "Look for the files of sources and lookups."),
    (EXEMPTION, EXEMPTION_TITLE, "Look for exemptions that are over, or soon, or of no use."),
)
Json = dict[str, object]


def sarif(
    plan: Plan,
    judgement: Judgement,
    *,
    version: str,
    root: PurePath,
    problems: Sequence[Finding] = (),
) -> Json:
    """Return a SARIF log.

    Args:
        plan: the pipeline.
        judgement: what the rules say of it.
        version: of firedoor.
        root: folder that paths are relative to, the root of the repository.
        problems: what was found otherwise, as findings of rules FD001 and FD002.
    """
    ids = [*(one[0] for one in OTHERS), *(rule.id for rule in RULES)]
    results = [_result(plan, one, ids, root) for one in (*problems, *judgement.findings)]
    for excused in judgement.excused:
        by = excused.by
        said = f"until {by.until}, {by.owner}: {by.reason}"
        suppressed: Json = {"kind": "inSource", "status": "accepted", "justification": said}
        results.append({**_result(plan, excused.finding, ids, root), "suppressions": [suppressed]})
    unjudged = [
        {
            "level": "note",
            "message": {"text": f"{one.zone}: not judged: {one.why}"},
            "associatedRule": {"id": one.rule, "index": ids.index(one.rule)},
        }
        for one in judgement.unjudged
    ]
    driver = {
        "name": "firedoor check",
        "semanticVersion": version,
        "rules": list(_descriptors()),
    }
    run: Json = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"uri": f"{root.as_uri()}/"}},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": unjudged}],
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _descriptors() -> Iterable[Json]:
    """Yield what is known of each rule."""
    docs = [*OTHERS, *((rule.id, rule.title, rule.doc) for rule in RULES)]
    for id_, title, doc in docs:
        first, _, rest = doc.partition("\n\n")
        yield {
            "id": id_,
            "name": title.title().replace(" ", ""),
            "shortDescription": {"text": title},
            "fullDescription": {"text": " ".join(first.split())},
            "help": {"text": rest.strip() or first},
        }


def _result(plan: Plan, finding: Finding, ids: Sequence[str], root: PurePath) -> Json:
    """Return one finding."""
    named = f"{plan.pipeline}/{finding.rule}/{finding.zone}/{finding.about}"
    file, line = place_of(plan, finding.zone) or (plan.file, 1)
    return {
        "ruleId": finding.rule,
        "ruleIndex": ids.index(finding.rule),
        "level": finding.severity,
        "message": {"text": f"{finding.about}: {finding.why}; {finding.remedy}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _artifact(PurePath(file), root),
                    "region": {"startLine": line},
                },
            }
        ],
        "partialFingerprints": {
            "firedoor/v1": hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
        },
    }


def _artifact(file: PurePath, root: PurePath) -> Json:
    """Return where a file is: relative to the root, if it is below it."""
    if not file.is_relative_to(root):
        return {"uri": file.as_uri() if file.is_absolute() else file.as_posix()}
    # as_uri escapes what a URI may not hold; what is left of it is relative.
    below = file.as_uri()[len(root.as_uri()) :].lstrip("/")
    return {"uri": below, "uriBaseId": "SRCROOT"}
