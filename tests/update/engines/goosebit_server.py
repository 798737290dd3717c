"""gooseBit, a server that speaks hawkBit's device API, run for real in a process of its own.

It is looked for in this environment, then in `.venv-goosebit`; `EDGE_RUN_GOOSEBIT` names the
Python of another one.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ...brokers.ports import HOST, free_port, wait_until
from ...needs import ROOT, missing

REMEDY = "pip install goosebit==0.2.12, or make an environment .venv-goosebit with it"
USER, PASSWORD = "admin@example.com", "hen-house"

# Its documented migration wants a source tree: the schema is made through its own ORM.
SCHEMA = """
import asyncio
from tortoise import Tortoise
from goosebit.db.config import TORTOISE_CONF

async def make():
    await Tortoise.init(config=TORTOISE_CONF)
    await Tortoise.generate_schemas()
    await Tortoise.close_connections()

asyncio.run(make())
"""


def python() -> str:
    """The Python that has it. Skips by name without one."""
    named = os.environ.get("EDGE_RUN_GOOSEBIT")
    candidates = (named, sys.executable, str(ROOT / ".venv-goosebit/bin/python"))
    look = "import importlib.util as u, sys; sys.exit(u.find_spec('goosebit') is None)"
    for candidate in candidates:
        there = candidate and Path(candidate).exists()
        if there and subprocess.run([candidate, "-c", look], check=False).returncode == 0:
            return candidate
    return missing("gooseBit", REMEDY)


class GooseBit:
    """One server with an empty database that lets in only devices with their token."""

    def __init__(self, folder: Path, *, poll: str = "00:00:07") -> None:
        self._python = python()
        self._port = free_port()
        self._log = folder / "goosebit.log"
        self._environment = {
            **os.environ,
            "GOOSEBIT_DB_URI": f"sqlite://{folder}/goosebit.sqlite3",
            "GOOSEBIT_ARTIFACTS_DIR": str(folder / "artifacts"),
            "GOOSEBIT_POLL_TIME": poll,
            "GOOSEBIT_DEVICE_AUTH__ENABLE": "true",
            "GOOSEBIT_DEVICE_AUTH__MODE": "strict",
        }
        self._folder = folder
        self._bearer = ""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def __enter__(self) -> GooseBit:  # noqa: PYI034 - Self is not in Python 3.10
        options = {"env": self._environment, "cwd": self._folder}
        with self._log.open("wb") as log:
            outputs = {"stdout": log, "stderr": log}
            subprocess.run([self._python, "-c", SCHEMA], check=True, **options, **outputs)
            command = ["-m", "uvicorn", "goosebit:app", "--host", HOST, "--port", str(self._port)]
            self._process = subprocess.Popen([self._python, *command], **options, **outputs)
        wait_until(lambda: self._process.poll() is not None or self._listens(), 60.0)
        assert self._process.poll() is None, self._log.read_text()
        form = urlencode({"username": USER, "password": PASSWORD})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        self._bearer = self._request("POST", "/setup", form, kind)["access_token"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def api(self, method: str, path: str, body: object = None) -> Any:
        """A call of its management API, as its user."""
        headers = {"Authorization": f"Bearer {self._bearer}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        return self._request(method, f"/api/v1{path}", content, headers)

    def release(self, name: str, version: str, folder: Path) -> int:
        """Upload an artifact with nothing in it but its description: SWUpdate's, for any board."""
        artifact = folder / name
        described = f'software = {{ version = "{version}"; }};'
        artifact.write_bytes(_archive(b"sw-description", described.encode()))
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        content = head.encode() + b"\r\n" + artifact.read_bytes() + f"\r\n--{mark}--\r\n".encode()
        headers = {
            "Authorization": f"Bearer {self._bearer}",
            "Content-Type": f"multipart/form-data; boundary={mark}",
        }
        return self._request("PUT", "/api/v1/software", content, headers)["id"]

    def enrol(self, device: str, token: str) -> None:
        self.api("PUT", "/devices", {"devices": [device], "auth_token": token})

    def assign(self, device: str, software: int) -> None:
        self.api("PATCH", "/devices", {"devices": [device], "software": str(software)})

    def device(self, name: str) -> dict[str, Any]:
        """What it knows of a device; of its one-device view 0.2.12 makes an internal error."""
        listed = self.api("GET", "/devices")["devices"]
        return next(one for one in listed if one["id"] == name)

    def log_of(self, device: str) -> str:
        return self.api("GET", f"/devices/{device}/log")["log"] or ""

    def _request(self, method: str, path: str, content: Any, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=20)
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, f"{method} {path}: {answer.status} {text!r}"
            return json.loads(text)
        finally:
            connection.close()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self._port)) == 0


def _archive(name: bytes, content: bytes) -> bytes:
    """A cpio archive of one file, "new ASCII format" (cpio(5))."""
    return _entry(name, content) + _entry(b"TRAILER!!!", b"")


def _entry(name: bytes, content: bytes) -> bytes:
    numbers = [0, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name + b"\0"
    return _padded(head) + _padded(content)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)
