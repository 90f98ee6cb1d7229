"""What kinds of entries the ledger has, how long each is kept, and what is told together.

The ledger is two books. In ``happenings`` what is past the pipeline's retention goes, and so does
the oldest where there is no room; zones write there, each under its own name. In ``acts`` is what
people did, or somebody did in their name, and what became of models: it never goes, and zones may
not write there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from firedoor.events.happened import Happened, Kind

Book = Literal["happenings", "acts"]
BOOKS: tuple[Book, ...] = get_args(Book)


class About(NamedTuple):
    """What is to be known of one kind."""

    what: str
    """In a few words, for people who read the ledger."""
    book: Book
    """Which says how long it is kept."""
    together: Literal["", "all", "code", "about"] = ""
    """What may come in crowds is told at a pace: as one are then told all of a zone, those with the
    same ``code`` or the same ``about``. Empty: each is told."""


KINDS: dict[Kind, About] = {
    "zone.state": About("a zone is in another state: halted, paused ...", "happenings", "all"),
    "zone.note": About("what a zone has to say that is no state", "happenings", "code"),
    "process.began": About("a process of firedoor began", "happenings"),
    "process.died": About("one died, or could not be started", "happenings", "code"),
    "worker.died": About("user code ended its process", "happenings", "code"),
    "batch.trouble": About("a batch came to nothing, and will come again", "happenings", "code"),
    "dead_letters": About("rows were dead-lettered, and why", "happenings", "code"),
    "edge": About("an edge was cut from its reader, or joined again", "happenings", "about"),
    "breaker": About("a breaker has opened, closed or is trying", "happenings", "about"),
    "shed": About("rows or requests were refused for want of room", "happenings", "about"),
    "degraded": About("something worse than promised is used instead", "happenings", "code"),
    "model": About("a version of a model was added, promoted, refused ...", "acts"),
    "job": About("a run of a job began or ended", "happenings"),
    "rollout": About("a rollout was ordered, took a step or was ended", "acts"),
    "flag": About("a flag or a kill switch was set or lifted", "acts"),
    "order": About("somebody wants something of a zone", "acts"),
    "deploy": About("new code of a zone was tried beside it, or took over", "acts"),
    "lookup": About("a lookup has another version, or could not be read", "happenings", "about"),
    "broker": About("the broker died, is ill, or is well again", "happenings", "code"),
    "control": About("who drives rollouts has changed", "happenings", "code"),
    "alert": About("an objective is at risk, or no more", "happenings"),
    "drill": About("a drill began, ended or was broken off", "acts"),
    "drill.not_recovered": About("a zone was not well again in time after a drill", "acts"),
    "fault": About("a fault was injected, or has ended", "happenings", "about"),
    "gap": About("entries that were lost, and how many", "happenings"),
}


def book_of(kind: Kind) -> Book:
    """Return the book that an entry belongs to."""
    return KINDS[kind].book


def crowd(happened: Happened) -> tuple[str, ...] | None:
    """Return what tells the entries that may be told as one; None: this is told by itself.

    >>> crowd(Happened(at_s=0, kind="worker.died", zone="enrich", text="", code="crash"))
    ('worker.died', 'enrich', 'crash')
    >>> crowd(Happened(at_s=0, kind="flag", text="", about="kill.predict.route"))
    """
    match KINDS[happened.kind].together:
        case "":
            return None
        case "all":
            return happened.kind, happened.zone
        case "code":
            return happened.kind, happened.zone, happened.code
        case "about":
            return happened.kind, happened.zone, happened.about
