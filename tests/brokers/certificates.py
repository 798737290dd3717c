"""Certificates that openssl makes for one run of the tests."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..needs import program


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, a certificate for localhost, one for a client, and a stranger."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    other_ca: Path
    other_host: Path
    other_host_key: Path

    def listener(self) -> tuple[str, ...]:
        """What mosquitto needs to speak TLS with them."""
        return (f"cafile {self.ca}", f"certfile {self.server}", f"keyfile {self.server_key}")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made by openssl for this run of the tests."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def make_certificates(folder: Path) -> Certificates:
    openssl = program("openssl", "openssl")

    def run(*words: object) -> None:
        subprocess.run([openssl, *map(str, words)], cwd=folder, check=True, capture_output=True)

    def authority(name: str) -> Path:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", 2,
            "-subj", f"/CN={name}")  # fmt: skip
        return folder / f"{name}.pem"

    def certificate(name: str, host: str) -> tuple[Path, Path]:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", 2,
            "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
        return folder / f"{name}.pem", folder / f"{name}.key"

    ca, other_ca = authority("ca"), authority("stranger")
    server = certificate("server", "DNS:localhost,IP:127.0.0.1")
    client = certificate("client", "DNS:client")
    other_host = certificate("otherhost", "DNS:broker.invalid")
    return Certificates(ca, *server, *client, other_ca, *other_host)
