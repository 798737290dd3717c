"""A line between a camera and its reader on which bits flip."""

from __future__ import annotations

import contextlib
import random
import socket
import threading


class NoisyLine:
    """Relays TCP to `port`; in what comes back, one byte in `every` is another one."""

    def __init__(self, port: int, every: int) -> None:
        self._target, self._every, self._random = port, every, random.Random(7)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._open += [near, far]
            for pair in ((near, far, 0), (far, near, self._every)):
                self._threads.append(threading.Thread(target=self._relay, args=pair))
                self._threads[-1].start()

    def _relay(self, source: socket.socket, target: socket.socket, every: int) -> None:
        passed = 0
        try:
            while data := bytearray(source.recv(4096)):
                passed += len(data)
                if every and passed > 4 * every and self._random.random() < len(data) / every:
                    data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
