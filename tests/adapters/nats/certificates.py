"""Certificates for tests, made by the openssl program."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OPENSSL = shutil.which("openssl")
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
HERE = "IP:127.0.0.1,DNS:localhost"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A CA of our own."""

    folder: Path
    name: str

    @property
    def pair(self) -> Pair:
        return Pair(self.folder / f"{self.name}.pem", self.folder / f"{self.name}.key")

    def sign(self, name: str, *, names: str = HERE, expired: bool = False) -> Pair:
        """Return a certificate for whoever has ``names``."""
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        openssl("req", *KEY, "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}")
        sign = ("x509", "-req", "-in", request, "-out", pair.certificate, "-extfile", extensions)
        mine = (
            "-CA",
            self.pair.certificate,
            "-CAkey",
            self.pair.key,
            "-set_serial",
            str(len(name)),
        )
        openssl(*sign, *mine, "-days", "-1" if expired else "2")
        return pair


def make_authority(folder: Path, name: str) -> Authority:
    """Make a CA."""
    made = Authority(folder, name)
    pair = made.pair
    openssl(
        "req", "-x509", *KEY, "-keyout", pair.key, "-out", pair.certificate,
        "-subj", f"/CN={name}", "-days", "2",
    )  # fmt: skip
    return made


def openssl(*arguments: str | Path) -> None:
    """Run the program."""
    assert OPENSSL is not None, "these tests are left out without it"
    command = [OPENSSL, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
