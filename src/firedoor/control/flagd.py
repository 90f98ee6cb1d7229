"""Flags in the file format of flagd (schema v0), so that a team may change providers. Pure.

Others than the share get the code's default there as here; but flagd hashes subjects in its own
way, so that it shares out other ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from firedoor.errors import DeclarationError
from firedoor.wire.flags import Flag, Flags, Value

SCHEMA = "https://flagd.dev/schema/v0/flags.json"
ON = "on"
OFF = "off"
PARTS = 1_000_000
NO_RULE = msgspec.Raw(b"{}")
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class _Told(msgspec.Struct, frozen=True):
    """A flag in the file, of which more may be said."""

    variants: dict[str, msgspec.Raw]
    state: str = "ENABLED"
    defaultVariant: str | None = None  # noqa: N815 - the format's name
    targeting: msgspec.Raw = NO_RULE


class _File(msgspec.Struct, frozen=True):
    """The file."""

    flags: dict[str, _Told]


class _Fractional(msgspec.Struct, frozen=True):
    """Variants, and how many of all subjects get each."""

    fractional: tuple[tuple[str, int], tuple[str, int]]


class _Equal(msgspec.Struct, frozen=True):
    """Whether a subject gets a variant."""

    parts: tuple[_Fractional, str] = msgspec.field(name="==")


class _If(msgspec.Struct, frozen=True):
    """Targeting by a share of the subjects, the only one that is read."""

    parts: tuple[_Equal, str, None] = msgspec.field(name="if")


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file says."""

    flags: dict[str, tuple[Value, float]]
    """Value and share, by name."""
    left_out: dict[str, str]
    """Why, by name."""


def export_flagd(flags: Flags, *, pipeline: str) -> bytes:
    """Return a table as a file of flagd."""
    told: dict[str, Json] = {name: _export(flag) for name, flag in sorted(flags.flags.items())}
    file = {
        "$schema": SCHEMA,
        "flags": told,
        "metadata": {"flagSetId": pipeline, "version": str(flags.generation)},
    }
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def import_flagd(data: bytes) -> Imported:
    """Return the flags of a file of flagd.

    What is disabled is left out, as flagd takes it for absent; so is what cannot be said in this
    table: objects, and targeting other than the one that ``export_flagd`` writes.

    Raises:
        DeclarationError: if it is no such file.
    """
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = f"is no flagd file: {error}"
        remedy = 'write {"flags": {NAME: {"state", "variants", "defaultVariant"}}}'
        raise DeclarationError("file", data[:60], why, remedy) from error
    flags: dict[str, tuple[Value, float]] = {}
    left_out: dict[str, str] = {}
    for name, told in file.flags.items():
        found = _import(told)
        if isinstance(found, str):
            left_out[name] = found
        else:
            flags[name] = found
    return Imported(flags, left_out)


def _export(flag: Flag) -> Json:
    """Return one flag."""
    metadata: dict[str, Json] = {"by": flag.by, "because": flag.because, "at_s": flag.at_s}
    if flag.confirm_s is not None:
        metadata["confirm_s"] = flag.confirm_s
    told: dict[str, Json] = {
        "state": "ENABLED",
        "variants": {ON: flag.value},
        "defaultVariant": ON,
        "metadata": metadata,
    }
    if flag.share < 1:
        # Both need variants; nobody gets the second one, but the code's default.
        told["variants"] = {ON: flag.value, OFF: flag.value}
        told["defaultVariant"] = None
        told["targeting"] = _targeting(flag.share)
    return told


def _targeting(share: float) -> dict[str, Json]:
    """Return the rule by which a share gets the value, and the others nothing."""
    inside = round(share * PARTS)
    fractional: Json = {"fractional": [[ON, inside], [OFF, PARTS - inside]]}
    return {"if": [{"==": [fractional, ON]}, ON, None]}


def _import(told: _Told) -> tuple[Value, float] | str:
    """Return value and share of a flag, or why it cannot be had."""
    if told.state != "ENABLED":
        return f"it is {told.state.lower()}, so the code's default holds"
    share, variant = 1.0, told.defaultVariant
    if bytes(told.targeting) != bytes(NO_RULE):
        inside = _share(told.targeting)
        if inside is None:
            return "its targeting cannot be said here: a value, and a share of the subjects"
        share, variant = inside, ON
    if variant is None:
        return "it has no default variant, so the code's default holds"
    if variant not in told.variants:
        return f"it has no variant {variant!r}"
    try:
        return msgspec.json.decode(told.variants[variant], type=Value), share
    except msgspec.MsgspecError:
        return "its value is an object or a list"


def _share(targeting: msgspec.Raw) -> float | None:
    """Return the share of a rule that ``_targeting`` has written; None for any other."""
    try:
        rule = msgspec.json.decode(targeting, type=_If)
    except msgspec.ValidationError:
        return None
    (_, inside), _ = rule.parts[0].parts[0].fractional
    share = inside / PARTS
    return share if msgspec.json.decode(targeting) == _targeting(share) else None
