"""What each broker does with what edge-run sends: expected by the tests, shown in the manual.

`python -m tests.e2e.broker_matrix` prints the table of docs/brokers.md.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Abilities:
    """One column of the table; each field is measured by a test of the same name."""

    protocol: str  # that "auto" finds
    at_qos_2: str  # what becomes of results published at QoS 2
    retained: str  # which subscriptions get status and info that were published before
    lost_at_kill: str  # by a live subscriber, of what devices publish all the while
    session_after_kill: str  # of a persistent session whose owner was away, after SIGKILL
    retained_after_kill: str  # status and info of a device that has left, after SIGKILL
    shared: str  # what $share/group/filter does
    properties: str  # content type, expiry and model version
    dot: str  # a device named bed.7
    space: str  # a device named "bed 7"


ROWS = (
    "protocol that `auto` finds",
    "results at `qos = 2`",
    "retained `status` and `info` reach",
    "results lost when it is killed under load",
    "results kept for an absent subscriber, after SIGKILL",
    "`status` of a device that has left, after SIGKILL",
    "`$share/group/...`",
    "content type, expiry, model version",
    "device named `bed.7`",
    "device named `bed 7`",
)
BROKERS = {
    "mosquitto": Abilities(
        protocol="5",
        at_qos_2="arrive at 2",
        retained="all filters",
        lost_at_kill="none",
        session_after_kill="all",
        retained_after_kill="kept",
        shared="shares",
        properties="arrive",
        dot="kept",
        space="kept",
    ),
    "rabbitmq": Abilities(
        protocol="3.1.1",
        at_qos_2="arrive at 1",
        retained="exact topics",
        lost_at_kill="none",
        session_after_kill="all",
        retained_after_kill="kept",
        shared="silence",
        properties="no",
        dot="becomes two levels",
        space="kept",
    ),
    "nats": Abilities(
        protocol="3.1.1",
        at_qos_2="refused",
        retained="all filters",
        lost_at_kill="none",
        session_after_kill="all, at times none",
        retained_after_kill="kept",
        shared="silence",
        properties="no",
        dot="refused",
        space="refused",
    ),
    "aedes": Abilities(
        protocol="3.1.1",
        at_qos_2="arrive at 2",
        retained="all filters",
        lost_at_kill="what it held in memory",
        session_after_kill="none",
        retained_after_kill="lost",
        shared="silence",
        properties="no",
        dot="kept",
        space="kept",
    ),
    "amqtt": Abilities(
        protocol="3.1.1",
        at_qos_2="arrive at 2",
        retained="all filters",
        lost_at_kill="what it held in memory",
        session_after_kill="none",
        retained_after_kill="lost",
        shared="silence",
        properties="no",
        dot="kept",
        space="kept",
    ),
}
TITLES = {
    "mosquitto": "Mosquitto 2.0.11",
    "rabbitmq": "RabbitMQ 3.10.8",
    "nats": "NATS 2.9.10",
    "aedes": "aedes 1.2.0",
    "amqtt": "amqtt 0.12.1",
}


def table() -> str:
    """The rows in Markdown."""
    lines = [("", *TITLES.values()), ("---",) * (len(TITLES) + 1)]
    columns = [astuple(BROKERS[name]) for name in TITLES]
    lines += list(zip(ROWS, *columns, strict=True))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table())
