"""A certificate authority that can do what real ones do: late, early, revoked, renewed."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from tests.needs import program

CONFIG = """\
[ca]
default_ca = here
[here]
database = index.txt
new_certs_dir = .
serial = serial
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_crl_days = 1
policy = any
unique_subject = no
[any]
commonName = supplied
"""


class Pair(NamedTuple):
    """A certificate and its key, PEM."""

    cert: Path
    key: Path

    def listener(self, ca: Path) -> tuple[str, ...]:
        """What mosquitto needs to speak TLS with it."""
        return (f"cafile {ca}", f"certfile {self.cert}", f"keyfile {self.key}")

    def copy_to(self, other: Pair) -> None:
        """Replace the other's files, as a renewal does."""
        for mine, theirs in zip(self, other, strict=True):
            fresh = theirs.with_suffix(".new")
            fresh.write_bytes(mine.read_bytes())
            fresh.chmod(0o600)
            fresh.replace(theirs)


class Authority:
    """Made by `openssl ca` in `folder`; its certificate is `ca`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._openssl = program("openssl", "openssl")
        self._folder = folder
        self.ca = folder / "ca.pem"
        (folder / "ca.cnf").write_text(CONFIG)
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000\n")
        self._run("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3",
                  "-subj", f"/CN={name}")  # fmt: skip

    def issue(
        self, name: str, host: str = "DNS:localhost", *, start_days: float = -1, end_days: float = 1
    ) -> Pair:
        """A certificate that is valid between these days from now."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        self._run("req", *_KEY, "-keyout", pair.key, "-out", "request", "-subj", f"/CN={name}")
        (self._folder / "extensions").write_text(f"subjectAltName={host}\n")
        self._run("ca", "-batch", "-config", "ca.cnf", "-notext", "-in", "request",
                  "-out", pair.cert, "-extfile", "extensions",
                  "-startdate", _day(start_days), "-enddate", _day(end_days))  # fmt: skip
        return pair

    def revoke(self, pair: Pair) -> None:
        self._run("ca", "-config", "ca.cnf", "-revoke", pair.cert)

    def crl(self) -> Path:
        """The list of what is revoked by now."""
        self._run("ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem")
        return self._folder / "crl.pem"

    def _run(self, *words: object) -> None:
        done = subprocess.run(
            [self._openssl, *map(str, words)], cwd=self._folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _day(days: float) -> str:
    moment = datetime.now(timezone.utc) + timedelta(days=days)
    return moment.strftime("%Y%m%d%H%M%SZ")
