"""What is known of a dataframely schema where it is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firedoor.errors import DeclarationError
from firedoor.spec.plan import SchemaNote

if TYPE_CHECKING:
    import dataframely as dy


def check_schema(field: str, schema: object) -> type[dy.Schema] | None:
    """Return a schema that can be used, or None for none.

    Raises:
        DeclarationError: if it is no dataframely schema, or has no columns.
    """
    if schema is None:
        return None
    import dataframely as dy  # noqa: PLC0415 - costs 0.2 s, and many pipelines have no schema

    if not (isinstance(schema, type) and issubclass(schema, dy.Schema)):
        raise DeclarationError(
            field, schema, "is not a dataframely schema", "pass a subclass of dataframely.Schema"
        )
    if not schema.columns():
        raise DeclarationError(
            field, schema, "declares no columns", f"declare at least one, or leave {field}= out"
        )
    return schema


def check_times(field: str, schema: type[dy.Schema] | None) -> type[dy.Schema] | None:
    """Return the schema of a source, whose times say in which zone they are.

    Raises:
        DeclarationError: if one does not.
    """
    if schema is None:
        return None
    import polars as pl  # noqa: PLC0415 - as dataframely above, which has imported it

    for name, column in schema.columns().items():
        dtype = column.dtype
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
            why = f"declares {name!r} as a time without a zone"
            remedy = f'write {name} = dy.Datetime(time_zone="UTC"), or the zone that it is in'
            raise DeclarationError(field, schema, why, remedy)
    return schema


def note_schema(field: str, schema: type[dy.Schema] | None) -> SchemaNote | None:
    """Return a schema as a plain value.

    Raises:
        DeclarationError: if one of its rules cannot be built.
    """
    if schema is None:
        return None
    from firedoor.quality.rules import columns_read, rules_of  # noqa: PLC0415 - imports polars
    from firedoor.quality.schema_fault import SchemaBroken  # noqa: PLC0415

    columns = schema.columns()
    try:
        rules = {name: columns_read(rule) for name, rule in rules_of(schema).items()}
    except SchemaBroken as error:
        raise DeclarationError(field, schema, str(error), "correct the rule") from error
    return SchemaNote(
        name=schema.__name__,
        columns={name: str(column.dtype) for name, column in columns.items()},
        nullable=tuple(name for name, column in columns.items() if column.nullable),
        rules=rules,
    )
