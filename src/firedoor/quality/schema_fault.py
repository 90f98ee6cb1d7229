"""What is raised when a schema cannot be applied at all: no row is to blame for that."""

from __future__ import annotations

from typing import Literal

Code = Literal["wrong_schema", "rule_fails"]


class SchemaBroken(Exception):
    """A frame and a schema do not fit, or a rule of the schema cannot be evaluated.

    Internal to firedoor: the wall turns it into ``StepAtFault`` with the same fields.

    Attributes:
        code: ``wrong_schema`` (a column is missing, undeclared, or of a dtype that can never
            fit) or ``rule_fails`` (a rule raises, or does not answer with true or false).
        rule: the rule at fault, as dataframely names it (``distance|dtype``), or None.
        columns: the columns concerned.
    """

    def __init__(
        self, message: str, *, code: Code, rule: str | None = None, columns: tuple[str, ...] = ()
    ) -> None:
        """Say what is wrong, why, and what to do."""
        super().__init__(message)
        self.code = code
        self.rule = rule
        self.columns = columns
