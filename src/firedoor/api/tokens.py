"""Who may use the control API: tokens in a file that nobody else can read.

``.firedoor/serving/tokens.json`` is made at the first start, with one token that reads and one that
writes. It is read again when it changes, so that a token is given or taken away by editing it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Literal

import msgspec

from firedoor.compose.files import FOLDER_MODE, explain, write_atomically
from firedoor.errors import StoreRefused

FILE = Path("serving") / "tokens.json"
BYTES_MAX = 2**20
TOKENS_MAX = 1_000
TOKEN_MIN = 20
"""Characters of a token at least: shorter ones are guessed."""
OTHERS = 0o077
Role = Literal["read", "write"]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token."""

    name: str
    """Who uses it: in every change that is made with it."""
    role: Role
    """``write`` may read as well."""
    token: str

    def __repr__(self) -> str:
        """Leave the secret out: this lands in logs and tracebacks."""
        return f"Token(name={self.name!r}, role={self.role!r})"


class _File(msgspec.Struct, frozen=True):
    """What is in the file."""

    tokens: tuple[Token, ...]


class Tokens:
    """The tokens of one project."""

    def __init__(self, folder: Path) -> None:
        """Name the file; ``folder`` is ``.firedoor``. Nothing is made or read."""
        self.path = folder / FILE
        self._stamp: tuple[int, int, int] | None = None
        self._known: tuple[tuple[bytes, Token], ...] = ()

    def create(self) -> bool:
        """Make the file, unless there is one; return whether it was made.

        Raises:
            StoreRefused: if it cannot be made, or what is there cannot be used.
        """
        if self.path.exists():
            self._read()
            return False
        made = _File(
            tokens=(
                Token(name="reader", role="read", token=secrets.token_urlsafe(32)),
                Token(name="admin", role="write", token=secrets.token_urlsafe(32)),
            )
        )
        data = msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"
        try:
            self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_atomically(self.path, data, durable=True)
        except OSError as error:
            message = f"the control API has no tokens: {explain(error)}"
            raise StoreRefused(message) from error
        return True

    def who(self, given: str) -> Token | None:
        """Return whose token this is; None if nobody's. Takes as long for any.

        Raises:
            StoreRefused: if the file cannot be read, or others can read it too.
        """
        self._read()
        digest, found = _digest(given), None
        for known, token in self._known:
            if hmac.compare_digest(known, digest):
                found = token
        return found

    def _read(self) -> None:
        """Read the file, if it is another one than before. Its mode changes no time of it.

        Raises:
            StoreRefused: if it cannot be used.
        """
        try:
            found = os.stat(self.path)  # noqa: PTH116 - a path's stat makes more of it
            if found.st_mode & OTHERS:
                message = f"{self.path} can be read by others: run `chmod 600 {self.path}`"
                raise StoreRefused(message)
            stamp = found.st_ino, found.st_mtime_ns, found.st_size
            if stamp == self._stamp:
                return
            with self.path.open("rb") as file:
                told = msgspec.json.decode(file.read(BYTES_MAX), type=_File)
        except OSError as error:
            message = f"the control API has no tokens: {explain(error)}"
            raise StoreRefused(message) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            message = f"{self.path} is damaged ({error}): mend it, or remove it and start anew"
            raise StoreRefused(message) from error
        short = [each.name for each in told.tokens if len(each.token) < TOKEN_MIN]
        if short or len(told.tokens) > TOKENS_MAX:
            what = f"tokens of {', '.join(short[:5])} have less than {TOKEN_MIN} characters"
            message = f"{self.path}: {what if short else f'more than {TOKENS_MAX} tokens'}"
            raise StoreRefused(message)
        self._known = tuple((_digest(token.token), token) for token in told.tokens)
        self._stamp = stamp


def _digest(text: str) -> bytes:
    """Return what is compared: of one length, whatever was given."""
    return hashlib.sha256(text.encode(errors="replace")).digest()
