"""Two subscribers of one group, on Mosquitto: they share the work, and one may be killed."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import wait_until
from tests.messages import IDENTITY, result
from tests.needs import program

TOPIC = "$share/store/edge/+/+/+/result"


class Member:
    """A subscriber in a process of its own, with a session that outlives it."""

    def __init__(self, port: int, name: str, folder: Path) -> None:
        tool = program("mosquitto_sub", "mosquitto-clients")
        session = ["-V", "5", "-i", name, "-c", "-x", "3600", "-q", "1"]
        self._command = [tool, "-p", str(port), *session, "-t", TOPIC]
        self._file = folder / name

    def start(self) -> None:
        with self._file.open("ab") as out:
            self._process = subprocess.Popen(self._command, stdout=out)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @property
    def seqs(self) -> list[int]:
        return [json.loads(line)["seq"] for line in self._file.read_text().splitlines(True)
                if line.endswith("\n")]  # fmt: skip


def test_a_group_shares_results_and_loses_none_when_a_member_is_killed(mosquitto, tmp_path):
    broker = mosquitto("log_type subscribe", "log_dest stderr", durable=True)
    members = [Member(broker.port, name, tmp_path) for name in ("one", "two")]
    for member in members:
        member.start()
    wait_until(lambda: broker.log.read_text().count("store/edge") >= 2)
    sink = Mqtt(identity=IDENTITY, url=broker.url)
    sink.open()

    def publish(start: int, stop: int) -> None:
        for seq in range(start, stop):
            sink.publish(result(seq))
        wait_until(lambda: sink.delivery.acknowledged == stop)

    def together() -> set[int]:
        return set(members[0].seqs) | set(members[1].seqs)

    publish(0, 200)
    wait_until(lambda: len(together()) == 200)
    shares = [len(member.seqs) for member in members]
    members[0].kill()
    publish(200, 400)
    wait_until(lambda: len(members[1].seqs) >= shares[1] + 80)
    members[0].start()
    wait_until(lambda: together() == set(range(400)))
    for member in members:
        member.kill()
    sink.close()

    assert min(shares) >= 60
    assert len(members[0].seqs) + len(members[1].seqs) <= 400 + 20  # what was in flight, twice
