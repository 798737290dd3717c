"""The embedded broker of the demo: amqtt (MQTT 3.1.1) in a child process, on loopback only.

For trying things out, not for production: it knows no users, keeps nothing on disk and forgets
everything when it ends. It ends with its parent, however that ends, because it watches a pipe.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import select
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, ClassVar

from edge_runtime.errors import MissingExtraError, SinkError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0  # importing amqtt takes seconds on a small board
STOP_TIMEOUT_S = 3.0
ATTEMPTS = 3  # another process may be quicker to take the free port
_CONNECT = bytes.fromhex("100c00044d515454040200050000")  # MQTT 3.1.1, clean session, no client id
_ACCEPTED = bytes.fromhex("20020000")
_UP, _TAKEN = "up", "taken"  # what the child says


class Broker:
    """`with Broker() as broker:` is a running broker at `broker.url`.

    Args:
        port: where to listen; 0 takes a free port.
    """

    protocol: ClassVar[str] = "3.1.1"  # the newest that it speaks

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        self._wanted = port
        self._child: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """What to give to sink mqtt and to `edge-run watch`."""
        return f"mqtt://{HOST}:{self.port}"

    def open(self) -> None:
        """Start it; return when it takes connections.

        Raises MissingExtraError without amqtt, SinkError when the port is in use or it fails.
        """
        if importlib.util.find_spec("amqtt") is None:
            cause = ModuleNotFoundError("No module named 'amqtt'")
            raise MissingExtraError("the embedded broker", "broker", cause)
        for _ in range(ATTEMPTS):
            self.port = self._wanted or _free_port()
            said = self._start()
            if said == _UP:
                return
            self.close()
        if said == _TAKEN:
            raise SinkError(f"the embedded broker cannot listen: port {self.port} is in use")
        raise SinkError(f"the embedded broker did not start within {START_TIMEOUT_S:g} s")

    def close(self) -> None:
        """Stop it and wait for its end."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin and child.stdout:
            child.stdin.close()
            child.stdout.close()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> str:
        """Start a child; give what it said, or "" when it ended or stayed silent."""
        until = time.monotonic() + START_TIMEOUT_S
        self._child = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime.mqtt.broker", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent, which still has to deliver
        )
        out = self._child.stdout
        if out is None or not select.select([out], [], [], START_TIMEOUT_S)[0]:
            return ""
        said = out.readline().strip()
        if said == _UP and not _answers(self.port, until):
            return ""
        return said


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, until: float) -> bool:
    """Whether a CONNECT is accepted before the monotonic time `until`."""
    while time.monotonic() < until:
        try:
            with socket.create_connection((HOST, port), timeout=1.0) as probe:
                probe.sendall(_CONNECT)
                if probe.recv(4) == _ACCEPTED:
                    return True
        except OSError as exc:
            logging.getLogger(__name__).debug("port %d: %s", port, exc)
        select.select([], [], [], 0.05)
    return False


async def _serve(port: int) -> int:
    """Be the broker until standard input ends."""
    from amqtt.broker import Broker as Amqtt
    from amqtt.errors import BrokerError

    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    broker = Amqtt(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {anonymous: {"allow_anonymous": True}},
        }
    )
    try:
        await broker.start()
    except BrokerError:
        sys.stdout.write(f"{_TAKEN}\n")
        sys.stdout.flush()
        return 1
    sys.stdout.write(f"{_UP}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await broker.shutdown()
    return 0


def main() -> int:
    """The child: `python -m edge_runtime.mqtt.broker PORT`."""
    logging.disable(logging.CRITICAL)
    return asyncio.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
