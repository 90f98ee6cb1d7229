"""Whether what one zone publishes fits what another reads. Pure, on what is known of schemas.

The same type passes, a wider one, further columns, fewer categories of an enum; and text, which
is what sources read and the gate casts. Rules are not compared: rows that break them are dead
letters.
"""

from __future__ import annotations

import ast
import difflib

from firedoor.spec.plan import Plan, SchemaNote, ZonePlan

_SIGNED = ("Int8", "Int16", "Int32", "Int64", "Int128")
_UNSIGNED = ("UInt8", "UInt16", "UInt32", "UInt64")
_FLOATS = ("Float32", "Float64")
_UNITS = ("ms", "us", "ns")
_ANY = "Null"
"""The type of ``dy.Any``, which takes everything."""


def misfits(published: SchemaNote | None, read: SchemaNote | None) -> tuple[str, ...]:
    """Return why rows of one schema do not fit another, in words; empty if they do.

    Nothing is said where either is not declared: then rows are judged when they come.
    """
    if published is None or read is None:
        return ()
    return tuple(
        problem
        for name in read.columns
        if (problem := _column_misfit(published, read, name)) is not None
    )


def edge_misfits(publisher: ZonePlan, reader: ZonePlan) -> tuple[str, ...]:
    """Return why what a zone publishes does not fit what another reads, in words."""
    found = misfits(published_by(publisher), reader.schema)
    return tuple(f"{publisher.name} -> {reader.name}: {problem}" for problem in found)


def plan_misfits(plan: Plan) -> tuple[str, ...]:
    """Return what does not fit on any edge of a pipeline, in words."""
    return tuple(
        problem
        for edge in plan.edges
        for problem in edge_misfits(plan.zone(edge.publisher), plan.zone(edge.reader))
    )


def fits(old: ZonePlan, new: ZonePlan) -> tuple[str, ...]:
    """Return why a new version of a zone cannot take the place of the old one; empty if it can.

    It must read what the old one could read, and publish at least what the old one published.
    """
    problems = [f"{new.name}: {problem}" for problem in _other_zone(old, new)]
    reads = misfits(old.schema, new.schema)
    problems += [f"{new.name} no longer reads what it is sent: {problem}" for problem in reads]
    was, now = published_by(old), published_by(new)
    if was is not None and now is None:
        field = "schema" if new.kind == "source" else "out_schema"
        problems.append(
            f"{new.name} no longer declares what it publishes: {field}= was {was.name}; "
            "declare it again, so that its readers are safe"
        )
    gives = misfits(now, was)
    problems += [f"{new.name} no longer publishes what was promised: {text}" for text in gives]
    return tuple(problems)


def fits_beside(plan: Plan, new: ZonePlan) -> tuple[str, ...]:
    """Return why a new version of a zone does not fit its neighbours in a pipeline that runs.

    Raises:
        KeyError: if the pipeline has no zone of that name.
    """
    problems = list(fits(plan.zone(new.name), new))
    for edge in plan.inboxes(new.name):
        problems += edge_misfits(plan.zone(edge.publisher), new)
    for edge in plan.outlets(new.name):
        problems += edge_misfits(new, plan.zone(edge.reader))
    return tuple(problems)


def published_by(zone: ZonePlan) -> SchemaNote | None:
    """Return what is known of the rows that a zone publishes: a source's own schema."""
    return zone.schema if zone.kind == "source" else zone.out_schema


def widens(published: str, read: str) -> bool:
    """Return whether every value of one polars type, written out, is one of another.

    >>> widens("Int16", "Int64"), widens("Int64", "Int16")
    (True, False)
    """
    if _ANY in {published, read} or published == read:
        return True  # nothing but nulls fits as well: whether these may be is asked elsewhere
    if published == "String":
        # Text is what sources read, and the gate casts it: a value that is none costs its row.
        return not read.startswith(("Array(", "List(", "Struct("))
    if published.startswith("List(") and read.startswith("List("):
        return widens(published[5:-1], read[5:-1])
    if published.startswith(("Enum(", "Categorical")):
        return read == "String" or _fewer_categories(published, read)
    if published.startswith(("Date", "Duration(")):
        return _finer_time(published, read)
    return _wider_number(published, read)


def _column_misfit(published: SchemaNote, read: SchemaNote, name: str) -> str | None:
    """Return what is wrong with one column that is read, or None."""
    if name not in published.columns:
        spare = [column for column in published.columns if column not in read.columns]
        alike = difflib.get_close_matches(name, spare, n=1)
        hint = f"; was it renamed to {alike[0]!r}?" if alike else ""
        return f"column {name!r} is declared in {read.name} and not in {published.name}{hint}"
    gives, takes = published.columns[name], read.columns[name]
    if not widens(gives, takes):
        missing = _categories(gives) - _categories(takes) if takes.startswith("Enum(") else set()
        if missing and gives.startswith("Enum("):
            listed = ", ".join(sorted(map(repr, missing))[:5])
            return f"column {name!r} may be {listed} in {published.name}, which {read.name} lacks"
        return (
            f"column {name!r} is {gives} in {published.name} and {takes} in {read.name}; "
            "only a wider type passes"
        )
    if name in published.nullable and name not in read.nullable:
        return (
            f"column {name!r} may be null in {published.name}, and must not be in {read.name}; "
            "write nullable=True in the second, or nullable=False in the first"
        )
    return None


def _other_zone(old: ZonePlan, new: ZonePlan) -> list[str]:
    """Return what makes it another zone rather than a new version of the same one."""
    problems = []
    if old.kind != new.kind:
        problems.append(f"was a {old.kind} and is a {new.kind}")
    lacking = sorted(set(new.lookups.values()) - set(old.lookups.values()))
    if lacking:
        problems.append(
            f"joins to {', '.join(map(repr, lacking))}, which the running pipeline does not pin; "
            "start the pipeline anew for that"
        )
    return problems


def _wider_number(published: str, read: str) -> bool:
    """Return whether every number of one type is one of another, up to rounding in floats."""
    for family in (_SIGNED, _UNSIGNED, _FLOATS):
        if published in family and read in family:
            return family.index(read) >= family.index(published)
    if published in _UNSIGNED and read in _SIGNED:
        return _SIGNED.index(read) > _UNSIGNED.index(published)
    if published in {*_SIGNED, *_UNSIGNED}:
        small = published in {"Int8", "Int16", "UInt8", "UInt16"}
        return read == "Float64" or (read == "Float32" and small)
    return False


def _finer_time(published: str, read: str) -> bool:
    """Return whether two times differ in nothing but a finer unit on the reader's side."""
    if published == "Date":
        return read.startswith("Datetime(") and "time_zone=None" in read
    for unit in _UNITS[_unit_of(published) :]:
        if read == published.replace(f"'{_UNITS[_unit_of(published)]}'", f"'{unit}'", 1):
            return True
    return False


def _unit_of(written: str) -> int:
    """Return the place of a type's time unit among the units."""
    return next((place for place, unit in enumerate(_UNITS) if f"'{unit}'" in written), 0)


def _fewer_categories(published: str, read: str) -> bool:
    """Return whether one enum has no category that another lacks."""
    if not (published.startswith("Enum(") and read.startswith("Enum(")):
        return False
    return _categories(published) <= _categories(read)


def _categories(written: str) -> set[str]:
    """Return the categories of an enum as polars writes it; none for other types."""
    if not written.startswith("Enum(categories="):
        return set()
    return set(ast.literal_eval(written.removeprefix("Enum(categories=").removesuffix(")")))
