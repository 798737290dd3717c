"""Updates against the odds: wrong clocks, a year without a network, moved addresses, floods."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from ..brokers import wait_until
from ..needs import program
from .update_site import Site, stopped

COMMANDS = """\
[[sink]]
kind = "mqtt"
url = "{url}"
[sink.commands]
verbs = ["update"]
allow_unsigned = true
per_minute = 600
"""


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def test_a22_a_clock_at_1970_installs_nothing_and_is_named(site):
    site.released("9.1.0")
    site.clock = (program("faketime", "faketime"), "1970-01-02 00:00:00")
    assert "the clock of this device" in site.device("apply", code=4)
    site.clock = ()
    assert "validated" in site.device("apply")


def test_a07_a_repository_that_nobody_refreshed_is_expired_and_the_old_model_stays(site):
    site.released("9.1.0")
    site.clock = (program("faketime", "faketime"), "-f", "+9d")
    assert "expired" in site.device("apply", code=4)
    assert site.status()["state"] == "idle"


def test_a_year_offline_is_caught_up_with_in_one_apply(site):
    site.released("9.1.0")
    site.device("check")
    site.clock = (program("faketime", "faketime"), "-f", "+360d")
    site.maker("refresh", "--root", "--targets")
    site.released("9.2.0")
    site.clock = (program("faketime", "faketime"), "-f", "+366d")
    done = json.loads(site.device("apply", "--json"))
    assert done["release"]["version"] == "9.2.0"


def test_three_rotations_of_root_keys_and_a_moved_repository_are_followed(site):
    site.released("9.1.0")
    site.device("check")
    for _ in range(3):
        root = json.loads(newest_root(site))["signed"]
        site.maker("rotate", "root", "--key", root["roles"]["root"]["keyids"][0], "--no-passphrase")
    assert json.loads(newest_root(site))["signed"]["version"] == 4
    (site.folder / "repo").rename(site.folder / "moved")
    assert "repo" in site.device("apply", code=1)
    site.write(repository="moved")
    assert "validated" in site.device("apply")


def test_an_old_copy_of_the_repository_is_a_rollback(site):
    shutil.copytree(site.folder / "repo", site.folder / "old")
    site.released("9.1.0")
    site.device("check")
    site.write(repository="old")
    assert "edge-run: " in site.device("check", code=4)


def test_a_stick_is_one_more_copy_and_verified_as_any(site):
    site.released("9.1.0")
    site.write(repository="https://127.0.0.1:9")
    (site.folder / "repo").rename(site.folder / "stick")
    site.device("apply", code=1)
    assert "validated" in site.device("apply", "--from", "stick")


def test_a24_a_flood_of_commands_a_retained_and_a_forged_one_look_once(site, mosquitto, listen):
    from paho.mqtt import publish

    broker = mosquitto()
    topic = "edge/bed-1/ward/command/update"

    def letter(number: int, **args: str) -> str:
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 50))
        told = {"id": f"n{number}", "counter": number, "expires": expires, "args": args}
        return json.dumps(told)

    old, forged = letter(1), letter(2, url="http://evil/", version="6.6.6")
    publish.single(topic, old, qos=1, retain=True, hostname="localhost", port=broker.port)
    site.released("9.1.0")
    with (site.folder / "ward.toml").open("a") as file:
        file.write(COMMANDS.format(url=broker.url))
    listener = listen(broker.url)
    process = site.started()
    wait_until(lambda: b"online" in listener.on("/status"), 60)
    flood = [(topic, letter(number), 1, False) for number in range(3, 500)]
    publish.multiple([(topic, forged, 1, False), *flood], hostname="localhost", port=broker.port)
    wait_until(lambda: site.status()["state"] == "committed", 90)
    told = stopped(process)
    assert told.count("INFO update: ") == 1, told
    assert site.status()["active"]["version"] == "9.1.0"


def newest_root(site: Site) -> str:
    roots = (site.folder / "repo/metadata").glob("[0-9]*.root.json")
    return max(roots, key=lambda path: int(path.name.partition(".")[0])).read_text()
