"""deploy/recipes: run where their other half runs here, else checked against real results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.frame import Identity
from edge_runtime.sinks.mqtt import Mqtt
from edge_runtime.wire import Encoder
from tests.brokers import Mosquitto, free_port, is_open, wait_until
from tests.brokers.others import npm_packages
from tests.messages import IDENTITY, INFO, OUTCOMES, result
from tests.needs import ROOT, program

from .commands import edge_run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = ROOT / "deploy" / "recipes"
USER, PASSWORD = "bed-7", "s3cret"
NODE_RED = {"node-red": "4.1.8"}  # the last that runs on Node.js 18 and 20


@pytest.fixture
def users(tmp_path) -> Path:
    path = tmp_path / "users"
    tool = program("mosquitto_passwd", "mosquitto")
    subprocess.run([tool, "-b", "-c", str(path), USER, PASSWORD], check=True)
    return path


def seqs(listener) -> list[int]:
    return [json.loads(payload)["seq"] for payload in listener.on("/result")]


def filled(text: str, changes: dict[str, str]) -> str:
    """The recipe with every one of these replaced; each must be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class Bridge(Mosquitto):
    """The broker of the recipe, with places and passwords of the test."""

    def __init__(self, folder: Path, central: Mosquitto, ca: Path) -> None:
        super().__init__(folder, (), durable=True, tls=False)
        recipe = (RECIPES / "mosquitto-bridge" / "mosquitto.conf").read_text(encoding="utf-8")
        changes = {
            "listener 1883": f"listener {self.port}",
            "/var/lib/mosquitto/": f"{folder}/",
            "central.example:8883": f"localhost:{central.port}",
            "/etc/ssl/certs/ca-certificates.crt": str(ca),
            "CHANGE-ME": PASSWORD,
        }
        user = "user root\n" if os.getuid() == 0 else ""
        self.config.write_text(user + filled(recipe, changes))


def test_a_bridge_on_the_device_keeps_results_while_the_central_broker_is_gone(
    mosquitto, certificates, users, listen, tmp_path
):
    plain = free_port()
    central = mosquitto(
        *certificates.listener(),
        f"listener {plain} 127.0.0.1",
        f"password_file {users}",
        anonymous=False,
        durable=True,
        tls=True,
    )
    wait_until(lambda: is_open(plain))
    listener = listen(f"mqtt://localhost:{plain}", durable=True, username=USER, password=PASSWORD)
    folder = tmp_path / "bridge"
    folder.mkdir()
    local = Bridge(folder, central, certificates.ca)
    local.start()
    try:
        sink = Mqtt(identity=IDENTITY, url=local.url)
        sink.open()
        sink.announce(INFO)
        for seq in range(100):
            sink.publish(result(seq))
        wait_until(lambda: len(seqs(listener)) == 100)

        central.kill()
        for seq in range(100, 300):
            sink.publish(result(seq))
        wait_until(lambda: sink.delivery.waiting == 0)  # the local broker has them
        sink.close()
        local.stop()
        local.start()
        central.start()
        wait_until(lambda: set(seqs(listener)) == set(range(300)), 40)
    finally:
        local.close()

    assert listener.on("/info")
    assert len(seqs(listener)) - 300 <= 100  # what central had delivered just before its end


@pytest.mark.parametrize("vendor", ["aws-iot", "emqx", "hivemq"])
def test_the_run_files_for_vendors_pass_check(mosquitto, certificates, users, tmp_path, vendor):
    """Against Mosquitto in the vendor's stead: the same TLS and the same kind of login."""
    shutil.copytree(RECIPES / vendor, tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "run.toml").read_text(encoding="utf-8")
    written = tomllib.loads(text)["sink"][0]
    lines = [*certificates.listener(), f"password_file {users}"]
    changes = {written["url"].partition("://")[2].partition(":")[0]: "localhost"}
    if vendor == "aws-iot":
        identified = ("require_certificate true", "use_identity_as_username true")
        lines = [*certificates.listener(), *identified]
        for key, path in (
            ("ca_file", certificates.ca),
            ("cert_file", certificates.client),
            ("key_file", certificates.client_key),
        ):
            changes[f'"{written[key]}"'] = f'"{path}"'
    else:
        (tmp_path / "password").write_text(PASSWORD)
        (tmp_path / "password").chmod(0o600)
        changes["password_file ="] = f'ca_file = "{certificates.ca}"\npassword_file ='
    broker = mosquitto(
        "per_listener_settings false", *lines, anonymous=vendor == "aws-iot", tls=True
    )
    changes[f":{written['url'].rpartition(':')[2]}"] = f":{broker.port}"
    (tmp_path / "run.toml").write_text(filled(text, changes), encoding="utf-8")

    found = edge_run("check", tmp_path / "run.toml", cwd=tmp_path)

    assert found.code == 0, found.out
    assert found.out.splitlines()[-1] == "all is well"


def test_the_policy_for_aws_allows_what_is_published_and_nothing_else(mosquitto, listen):
    run = tomllib.loads((RECIPES / "aws-iot" / "run.toml").read_text(encoding="utf-8"))
    statements = json.loads((RECIPES / "aws-iot" / "policy.json").read_text())["Statement"]
    allowed = {item["Action"]: item["Resource"] for item in statements}
    client_id = run["sink"][0]["client_id"]
    broker = mosquitto()
    listener = listen(broker.url)
    identity = Identity(run["device"], run["name"])
    sink = Mqtt(identity=identity, url=broker.url, client_id=client_id)
    sink.open()
    sink.announce(INFO)
    sink.publish(result())
    sink.close()
    wait_until(lambda: listener.on("/status")[-1:] == [b"stopped"] and listener.on("/result"))

    topics = {item.topic for item in listener.messages}
    retained = {topic for topic in topics if not topic.endswith("/result")}
    prefix = allowed["iot:Publish"].partition(":topic/")[2].removesuffix("*")
    assert all(topic.startswith(prefix) and topic.count("/") <= 7 for topic in topics)
    assert {item.partition(":topic/")[2] for item in allowed["iot:RetainPublish"]} == retained
    assert allowed["iot:Connect"].endswith(f":client/{client_id}")


@pytest.mark.parametrize("kind", ["beats", "labels", "detections"])
def test_the_paths_of_telegraf_are_those_of_a_result(kind):
    conf = tomllib.loads((RECIPES / "telegraf" / "telegraf.conf").read_text(encoding="utf-8"))
    (consumer,) = conf["inputs"]["mqtt_consumer"]
    (parser,) = consumer["json_v2"]
    document = json.loads(Encoder(IDENTITY).result(result(7, OUTCOMES[kind])))

    def at(path: str):
        found = document
        for key in path.split("."):
            found = found[key]
        return found

    types = {"int": int, "float": float, "bool": bool}
    assert all(isinstance(at(tag["path"]), str) for tag in parser["tag"])
    assert all(type(at(field["path"])) is types[field["type"]] for field in parser["field"])
    (entry,) = (item for item in parser["object"] if item["path"] == f"result.{kind}")
    assert all(item["optional"] for item in parser["object"])
    for key in entry["included_keys"]:
        assert all(key in found for found in at(entry["path"]))
    zeros = parser["timestamp_format"].partition(".")[2]
    assert len(zeros) == len(document["timestamp"].partition(".")[2])
    assert consumer["topics"] == ["edge/+/+/+/result"]
    assert consumer["qos"] == 1
    assert consumer["persistent_session"]


def test_the_flow_of_node_red_shows_a_result(mosquitto, tmp_path):
    launcher = npm_packages("node-red", NODE_RED) / "node_modules" / "node-red" / "red.js"
    broker, port = mosquitto(), free_port()
    recipe = (RECIPES / "node-red" / "flow.json").read_text(encoding="utf-8")
    (tmp_path / "flow.json").write_text(filled(recipe, {'"1883"': f'"{broker.port}"'}))
    log = (tmp_path / "log").open("wb")
    command = [program("node", "nodejs"), str(launcher), "-u", str(tmp_path), "-p", str(port)]
    process = subprocess.Popen([*command, str(tmp_path / "flow.json")], stdout=log, stderr=log)
    sink = Mqtt(identity=IDENTITY, url=broker.url)
    try:
        wait_until(lambda: is_open(port), 60)
        wait_until(lambda: "Connected to broker" in (tmp_path / "log").read_text(), 30)
        sink.open()
        sink.announce(INFO)
        sink.publish(result(3, OUTCOMES["beats"]))
        wait_until(lambda: "bed-7 port 3: N 0.9" in (tmp_path / "log").read_text(), 30)
    finally:
        sink.close()
        process.terminate()
        process.wait(20)
        log.close()
