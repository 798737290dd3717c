"""From `edge-release` to a model that runs: the commands as their users type them."""

from __future__ import annotations

import json
import re
import signal

import numpy as np
import pytest

from edge_runtime.commands.verbs import Verb, standard

from ..brokers import wait_until
from ..needs import ROOT
from .update_site import Site, stopped


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def test_a_release_comes_from_the_maker_to_the_results_and_back_by_hand(site):
    site.released("9.1.0", percent=0)
    assert "9.1.0: not-in-cohort" in site.device("check")
    site.maker("promote", "ecg-beats", "9.1.0")
    assert "9.1.0 is for this device" in site.device("check")
    process = site.started()
    done = json.loads(site.device("apply", "--wait", "90", "--json"))
    assert (done["state"], done["active"]["version"]) == ("committed", "9.1.0")
    assert done["gate"]["passed"]
    assert site.versions()[-1] == "9.1.0"
    assert "9.1.0: current" in site.device("apply")

    assert "the factory model" in site.device("rollback")
    own = re.search('version = "(.*)"', (ROOT / "models/ecg-beats/model.toml").read_text())[1]
    wait_until(lambda: site.versions()[-1] == "9.1.0" and len(site.versions()) == 2, 1)
    count = (site.folder / "out.jsonl").stat().st_size
    wait_until(lambda: (site.folder / "out.jsonl").stat().st_size > count + 5000, 60)
    last = json.loads((site.folder / "out.jsonl").read_text().splitlines()[-1])
    assert last["model"]["version"] == own
    stopped(process)

    told = json.loads(site.device("history", "--json"))
    events = [event["event"] for event in told["events"]]
    assert events[-1] == "rolled_back"
    assert events.index("validated") < events.index("trial") < events.index("committed")
    assert not told["broken"]


def test_the_json_documents_have_these_keys_and_no_others(site):
    site.released("9.1.0")
    state = [
        "state",
        "active",
        "previous",
        "candidate",
        "approved",
        "starts",
        "reason",
        "floor",
        "time_floor",
        "quarantine",
        "job",
    ]
    checked = json.loads(site.device("check", "--json"))
    assert list(checked) == ["offer", "why", "expires", "refused", *state]
    assert list(site.status()) == [*state, "store", "waits_for_approval"]
    applied = json.loads(site.device("apply", "--json"))
    assert list(applied) == ["release", "why", "gate", *state]
    assert applied["release"] == checked["offer"]
    assert list(applied["active"]) == ["digest", "name", "version", "counter"]
    assert list(applied["gate"]) == ["passed", "checks", "sandbox"]
    assert list(applied["gate"]["checks"][0]) == ["name", "passed", "expected", "seen"]
    told = json.loads(site.device("history", "--json"))
    assert list(told) == ["head", "broken", "events"]
    assert list(told["events"][0]) == ["at", "event", "version", "digest", "reason"]
    site.maker("revoke", "ecg-beats", "9.1.0", "--reason", "wrong")
    refused = json.loads(site.device("check", "--json"))["refused"]
    assert refused == [{"version": "9.1.0", "counter": 1, "reason": "revoked"}]


def test_a_wait_that_is_no_number_ends_at_once(site):
    site.released("9.1.0")
    assert "no verdict within nan s" in site.device("apply", "--wait", "nan", code=1)


def test_a_person_says_yes_before_a_candidate_is_tried(site):
    site.write("require_approval = true")
    site.released("9.1.0")
    site.device("apply")
    process = site.started()
    wait_until(lambda: (site.folder / "out.jsonl").exists(), 60)
    assert site.status()["waits_for_approval"]
    assert "approve" in site.device("status")
    assert "9.1.0" in site.device("approve")
    wait_until(lambda: site.status()["state"] == "committed", 60)
    stopped(process)


def test_what_the_gate_refuses_is_exit_3_and_is_not_tried_again(site):
    def mislabelled(folder):
        labels = (folder / "labels.txt").read_text().split()
        (folder / "labels.txt").write_text("\n".join(reversed(labels)) + "\n")

    site.released("9.1.0", change=mislabelled)
    assert "labels" in site.device("apply", code=3)
    assert site.status()["state"] == "rejected"
    assert "quarantined" in site.device("apply")


def test_an_altered_bundle_is_exit_4_and_the_right_one_comes_all_the_same(site):
    site.released("9.1.0")
    bundle = next((site.folder / "repo/targets").rglob("*.tar"))
    good = bundle.read_bytes()
    bundle.write_bytes(good[:-2000] + bytes(np.frombuffer(good[-2000:], np.uint8) ^ 1))
    assert "edge-run: " in site.device("apply", code=4)
    bundle.write_bytes(good)
    assert "validated" in site.device("apply")


def test_a_revoked_model_goes_at_the_next_look(site):
    site.released("9.1.0")
    process = site.started()
    site.device("apply", "--wait", "90")
    stopped(process)
    site.maker("revoke", "ecg-beats", "9.1.0", "--reason", "misses beats")
    done = json.loads(site.device("apply", "--json"))
    assert done["state"] == "rolled_back"
    assert not done["active"]["digest"]
    assert "misses beats" in done["reason"]


def test_a_model_that_is_revoked_on_trial_goes_before_its_verdict(site):
    site.write(results=10**6)
    site.released("9.1.0")
    site.device("apply")
    process = site.started()
    wait_until(lambda: site.status()["state"] == "trial", 60)
    assert "its verdict first" in site.device("apply")
    site.maker("revoke", "ecg-beats", "9.1.0", "--reason", "misses beats")
    site.device("apply")
    wait_until(lambda: site.versions()[-1] == "9.1.0", 30)
    before = (site.folder / "out.jsonl").stat().st_size
    wait_until(lambda: (site.folder / "out.jsonl").stat().st_size > before + 9000, 60)
    last = json.loads((site.folder / "out.jsonl").read_text().splitlines()[-1])
    assert last["model"]["version"] != "9.1.0"
    stopped(process)
    assert "misses beats" in site.status()["reason"]


def test_out_of_reach_is_exit_1_and_a_run_file_without_update_exit_2(site):
    site.write(repository="https://127.0.0.1:9")
    assert "127.0.0.1" in site.device("apply", code=1)
    text = (site.folder / "ward.toml").read_text()
    (site.folder / "ward.toml").write_text(re.sub(r"\[update\][^[]*", "", text))
    assert "has no table [update]" in site.device("apply", code=2)
    site.write('[update.hawkbit]\nurl = "https://h"\n[update.aws]\nurl = "mqtts://a"')
    assert "one fleet server is enough" in site.device("check", code=2)


def test_check_looks_at_the_repository_and_its_root(site):
    def checked(code: int) -> str:
        return site.run(("-m", "edge_runtime", "check"), "ward.toml", code=code).stdout

    assert "trusts root 1 of" in checked(0)
    (site.folder / "root.json").write_text("{}")
    assert "is no metadata" in checked(2)
    (site.folder / "root.json").unlink()
    assert "metadata/1.root.json of the repository" in checked(2)
    site.write(repository="http://models.example.org")
    assert "must be https://" in checked(2)


def test_a24_a_command_only_makes_the_pipeline_look_and_at_most_once_a_minute(site):
    verb = standard(lambda: None, dict)["update"]
    assert isinstance(verb, Verb)
    assert verb.args == frozenset()  # no address, no version: nothing that anybody could choose
    site.released("9.1.0")
    process = site.started()
    wait_until(lambda: (site.folder / "out.jsonl").exists(), 60)
    for _ in range(200):
        process.send_signal(signal.SIGUSR1)
    wait_until(lambda: site.status()["state"] == "committed", 90)
    told = stopped(process)
    assert told.count("INFO update: ") == 1, told
