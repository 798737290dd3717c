"""Real brokers for the tests: mosquitto as often as needed, its certificates, a subscriber."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from .needs import program

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Return when `condition` holds; fail when it does not in time."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"still not so after {timeout_s} s"
        time.sleep(0.01)


class Mosquitto:
    """A mosquitto on a port of its own that can be killed and started again.

    `lines` are added to its configuration. With `durable`, subscriptions of persistent sessions
    and what waits for them survive a kill.
    """

    def __init__(self, folder: Path, lines: tuple[str, ...], *, durable: bool, tls: bool) -> None:
        self.port = free_port()
        self.log = folder / "mosquitto.log"
        self.config = folder / "mosquitto.conf"
        self._scheme = "mqtts" if tls else "mqtt"
        self._process: subprocess.Popen[bytes] | None = None
        persistence = [
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
        ]
        text = [
            "user root" if os.getuid() == 0 else "",
            f"listener {self.port} {HOST}",
            *(persistence if durable else ["persistence false"]),
            "max_queued_messages 1000000",
            *lines,
        ]
        self.config.write_text("\n".join(text) + "\n")

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [program("mosquitto", "mosquitto"), "-c", str(self.config)], stdout=log, stderr=log
            )
        wait_until(lambda: self._process.poll() is not None or is_open(self.port))
        assert self._process.poll() is None, self.log.read_text()

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Mosquitto]]:
    """A factory of running brokers: `mosquitto("max_packet_size 2000", durable=True)`."""
    program("mosquitto", "mosquitto")
    with ExitStack() as stack:

        def make(
            *lines: str,
            anonymous: bool = True,
            durable: bool = False,
            tls: bool = False,
            started: bool = True,
        ) -> Mosquitto:
            access = f"allow_anonymous {str(anonymous).lower()}"
            folder = tmp_path_factory.mktemp("mosquitto")
            broker = Mosquitto(folder, (access, *lines), durable=durable, tls=tls)
            stack.callback(broker.kill)
            if started:
                broker.start()
            return broker

        yield make


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
    openssl, folder = program("openssl", "openssl"), tmp_path_factory.mktemp("certificates")

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


class Listener:
    """Subscribes to everything and keeps it: topic, payload, retained, properties."""

    def __init__(self, url: str, *, version: int = 5, durable: bool = False, **login: str) -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.messages: list[SimpleNamespace] = []
        self._subscribed = threading.Event()
        host, _, port = url.partition("://")[2].partition(":")
        name = f"listener-{free_port()}"
        clean = {} if version == 5 else {"clean_session": not durable}
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
            **clean,
        )
        if login:
            self._client.username_pw_set(login["username"], login["password"])
        self._client.reconnect_delay_set(0.1, 0.3)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=2)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._keep
        if version == 5:
            session = Properties(PacketTypes.CONNECT)
            session.SessionExpiryInterval = 3600 if durable else 0
            self._client.connect(host, int(port), clean_start=not durable, properties=session)
        else:
            self._client.connect(host, int(port))
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _keep(self, client, userdata, message) -> None:
        self.messages.append(
            SimpleNamespace(
                topic=message.topic,
                payload=message.payload,
                retained=message.retain,
                properties=message.properties,
                qos=message.qos,
            )
        )

    def on(self, ending: str) -> list[bytes]:
        """Payloads of topics that end so, in order of arrival."""
        return [item.payload for item in list(self.messages) if item.topic.endswith(ending)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """A factory of subscribers: `listen(broker.url)`."""
    with ExitStack() as stack:

        def make(url: str, **options) -> Listener:
            listener = Listener(url, **options)
            stack.callback(listener.close)
            return listener

        yield make


class Gate:
    """A TCP relay in front of a broker that can misbehave.

    `admit` sees the first bytes of each connection and says what to do with it: "pass", "close"
    or "silence". A connection that carries `poison` is cut before it gets through. While `frozen`,
    nothing gets through either way, and nothing is closed.
    """

    def __init__(
        self,
        port: int,
        admit: Callable[[bytes], str] = lambda first: "pass",
        poison: bytes | None = None,
    ) -> None:
        self._poison = poison
        self.frozen = False
        self.connections = 0
        self._target = port
        self._admit = admit
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server((HOST, 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def cut(self) -> None:
        """End every connection."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(near)
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            first = near.recv(4096)
            verdict = self._admit(first)
            if verdict == "close":
                near.shutdown(socket.SHUT_RDWR)
                near.close()
            if verdict != "pass":
                return
            far = socket.create_connection((HOST, self._target))
            self._sockets.append(far)
            far.sendall(first)
        except OSError:
            near.close()
            return
        for ends in ((near, far), (far, near)):
            threading.Thread(target=self._relay, args=ends, daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while chunk := source.recv(65536):
                while self.frozen:
                    time.sleep(0.01)
                if self._poison is not None and self._poison in chunk:
                    break
                target.sendall(chunk)
        except OSError:
            pass
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@pytest.fixture
def gate() -> Iterator[Callable[..., Gate]]:
    """A factory of relays: `gate(broker.port)`."""
    with ExitStack() as stack:

        def make(port: int, *habits, **more) -> Gate:
            relay = Gate(port, *habits, **more)
            stack.callback(relay.close)
            return relay

        yield make
