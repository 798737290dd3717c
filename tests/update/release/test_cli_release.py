"""`edge-release` as a person meets it: what it says, what it exits with, what it never shows."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from edge_runtime.cli import release as program
from edge_runtime.update.store import bundle

from ...brokers import wait_until
from .release_kit import SECRET, Device, maker, model, now

NAME = "half-plus-two"
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from .release_kit import NO_TERMS

    folder = tmp_path_factory.mktemp("maker")
    maker(folder).add(model(folder), NO_TERMS)
    return folder


@pytest.fixture
def place(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with repo, keys and model, where the environment leads to."""
    for name in ("repo", "keys"):
        shutil.copytree(prepared / name, tmp_path / name)
    monkeypatch.setenv("EDGE_RELEASE_REPO", str(tmp_path / "repo"))
    monkeypatch.setenv("EDGE_RELEASE_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("EDGE_RELEASE_PASSPHRASE", SECRET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program in this process: exit code, and all that it said."""

    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # this process is pytest's

    def called(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["edge-release", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            program.main()
        said = capsys.readouterr()
        text = said.out + said.err
        assert SECRET not in text
        assert "Traceback" not in text
        return left.value.code, text

    return called


def test_help_of_every_verb_loads_no_heavy_module():
    asked = [["--help"], *([verb, "--help"] for verb in program.PLACES)]
    code = (
        "from edge_runtime.cli.release import cli\n"
        "import contextlib, io, sys\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    for words in {asked!r}:\n"
        "        try: cli.main(words)\n"
        "        except SystemExit as exit: assert exit.code == 0\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    heavy = {"tuf", "securesystemslib", "cryptography", "numpy", "urllib3", "onnxruntime"}
    assert not heavy & set(done.stdout.split())


def test_every_verb_shows_an_example(run):
    for verb in program.PLACES:
        code, said = run(verb, "--help")
        assert code == 0
        assert f"edge-release {verb}" in said


def test_a_first_release_from_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_RELEASE_PASSPHRASE", SECRET)
    monkeypatch.chdir(tmp_path)
    made, options = model(tmp_path), ("--keys", "keys", "--repo", "repo")

    assert run("init", "repo", "--keys", "keys")[0] == 0
    code, said = run("add", made, *options)
    assert code == 0
    assert "left out, not named by model.toml: make.py, run.toml" in said
    assert "is release 1, " in said
    wanted = ("rollout", NAME, "1.0.0", "--percent", 12.5, "--profile", "raspberry-pi-5")
    code, said = run(*wanted, "--devices", "bed-7, bed-8", *options)
    assert (code, said) == (0, f"{NAME} 1.0.0: 12.5 % of raspberry-pi-5 + 2 by name\n")
    facts = Device(tmp_path / "device", tmp_path / "repo").releases()[f"{NAME}/1.0.0.tar"]
    assert facts["basis_points"] == 1250
    assert facts["devices"] == ["bed-7", "bed-8"]


def test_keys_are_private_and_only_the_offline_ones_are_locked(place):
    keys = sorted((place / "keys").iterdir())

    assert (place / "keys").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    locked = [path.name.partition("-")[0] for path in keys if b"ENCRYPTED" in path.read_bytes()]
    assert locked == ["root", "root", "root", "targets"]


@pytest.mark.parametrize("verb", ["promote", "remove", "revoke", "rollout"])
def test_a_release_that_is_not_there_is_told_with_the_nearest(run, place, verb):
    more = {"revoke": ("--reason", "x"), "rollout": ("--percent", 1)}.get(verb, ())

    assert run(verb, "half-plus-tow", "1.0.0", *more) == (
        2,
        "edge-release: half-plus-tow: no release of that name; did you mean 'half-plus-two'?\n",
    )
    code, said = run(verb, NAME, "2.0.0", *more)
    assert (code, said) == (2, f"edge-release: {NAME} 2.0.0: not released; there is 1.0.0\n")


def test_a_rollout_only_ever_widens(run, place):
    run("rollout", NAME, "1.0.0", "--percent", 10, "--profile", "raspberry-pi-5")
    code, said = run("rollout", NAME, "1.0.0", "--percent", 9)
    assert code == 2
    assert (
        f"devices that took it keep it; to take it back: edge-release revoke {NAME} 1.0.0" in said
    )
    code, said = run("rollout", NAME, "1.0.0", "--profile", "jetson-orin-nano")
    assert said == f"{NAME} 1.0.0: 10 % of jetson-orin-nano, raspberry-pi-5\n"
    assert (
        run("rollout", NAME, "1.0.0", "--profile", "any")[1]
        == f"{NAME} 1.0.0: 10 % of all boards\n"
    )
    assert run("rollout", NAME, "1.0.0", "--profile", "raspberry-pi-4")[0] == 2
    assert run("promote", NAME, "1.0.0")[1] == f"{NAME} 1.0.0: 100 % of all boards\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--percent", "12.345"), "in steps of 0.01"),
        (("--percent", "101"), "range"),
        (("--percent", "nan"), "percent"),
        (("--profile", "raspbery-pi-5"), "did you mean 'raspberry-pi-5'"),
        (("--devices", "missing.txt"), "missing.txt: no such file"),
        (("--devices", ""), "neither a file"),
        (("--devices", "ward.csv"), "neither a file with one name a line"),
        (("--not-before", "tomorrow"), "write it as 2026-12-01T06:00Z"),
        (("--not-before", "9999-12-31T23:59-10:00"), "write it as 2026-12-01T06:00Z"),
    ],
)
def test_what_a_rollout_cannot_be_is_refused(run, place, words, says):
    before = (place / "repo/metadata/timestamp.json").read_bytes()
    (place / "ward.csv").write_text("bed-1,window\n")

    code, said = run("rollout", NAME, "1.0.0", *words)

    assert code == 2
    assert says in said
    assert (place / "repo/metadata/timestamp.json").read_bytes() == before


def test_devices_come_from_a_file_too(run, place):
    (place / "ward.txt").write_text("\ufeffbed-1\r\n# the spare\n  bed-2  # window\n\n")

    run("rollout", NAME, "1.0.0", "--devices", "ward.txt", "--not-before", "2027-01-01T06:00+01:00")

    listed = json.loads(run("status", "--json")[1])["releases"][0]
    assert listed["devices"] == ["bed-1", "bed-2"]
    assert listed["not_before"] == 1798779600


def test_a_device_may_be_called_by_its_host_name(run, place):
    names = [
        f"bed-{number}.ward.example" for number in range(100, 200)
    ]  # longer than a path may be

    run("rollout", NAME, "1.0.0", "--devices", "bed-7.ward.example")
    run("rollout", NAME, "1.0.0", "--devices", ",".join(names))

    listed = json.loads(run("status", "--json")[1])["releases"][0]
    assert listed["devices"] == [*names, "bed-7.ward.example"]


def test_an_empty_folder_may_become_a_repository(run, place):
    (place / "new").mkdir()

    assert run("init", "new")[0] == 0
    assert run("status", "--repo", "new")[0] == 0
    assert run("init", "new")[0] == 2
    assert (place / "new").stat().st_mode & 0o777 == 0o755


def test_the_folder_one_stands_in_may_become_a_repository(run, place, monkeypatch):
    (place / "new").mkdir()
    monkeypatch.chdir(place / "new")

    assert run("init", ".", "--keys", "../new-keys")[0] == 0
    assert run("status", "--repo", ".")[0] == 0
    assert {path.name for path in place.joinpath("new").iterdir()} == {"metadata"}
    assert run("add", ".", model(place), "--keys", "../new-keys")[0] == 0
    Device(place / "device", place / "new").download(f"{NAME}/1.0.0.tar")


@pytest.mark.parametrize(
    "words", [("--arch", "arm64"), ("--min-version", "new"), ("--min-memory-mb", -1)]
)
def test_a_condition_that_no_device_fulfils_is_refused(run, place, words):
    code, said = run("add", model(place, "1.0.1"), *words)

    assert code == 2
    assert words[0] in said
    assert "1.0.1" not in run("status")[1]


@pytest.mark.parametrize("reason", [" ", "", "\x1b[31m", "\udcff", "x" * 201])
def test_a_reason_that_devices_could_not_publish_is_refused(run, place, reason):
    before = (place / "repo/metadata/timestamp.json").read_bytes()

    code, said = run("revoke", NAME, "1.0.0", "--reason", reason)

    assert code == 2
    assert "--reason: say why" in said
    assert (place / "repo/metadata/timestamp.json").read_bytes() == before


def test_a_release_is_removed_once_it_is_revoked(run, place):
    run("promote", NAME, "1.0.0")
    code, said = run("remove", NAME, "1.0.0")
    assert code == 2
    assert "is out to 100 %; a release that devices have is not removed: edge-release rev" in said
    run("revoke", NAME, "1.0.0", "--reason", "wrong")

    code, said = run("remove", NAME, "1.0.0")

    assert (code, said) == (0, f"{NAME} 1.0.0 is removed, 8192 bytes\n")
    assert not list((place / "repo/targets").rglob("*.tar"))
    assert Device(place / "device", place / "repo").releases() == {}
    assert run("status")[1].startswith("no releases yet\n")


def test_what_is_revoked_stays_so(run, place):
    code, said = run("revoke", NAME, "1.0.0", "--reason", "wrong by a half")
    assert (code, said) == (0, f"{NAME} 1.0.0: 0 % of all boards, revoked: wrong by a half\n")
    code, said = run("promote", NAME, "1.0.0")
    assert code == 2
    assert "is revoked (wrong by a half); add a new version" in said


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (lambda d: (d / "model.toml").unlink(), 2, "model.toml"),
        (lambda d: (d / "golden.npz").unlink(), 2, "names golden.npz, which is not there"),
        (lambda d: (d / "half_plus_two.onnx").write_bytes(b"x"), 3, "sha256 is"),
        (lambda d: edit(d, r"\[golden\][^\[]*", ""), 2, "[golden] is missing"),
        (lambda d: edit(d, r'sha256 = "5e.*"', ""), 2, 'add sha256 = "5e39'),
        (lambda d: edit(d, r'version = "1.0.0"', 'version = "1/../.."'), 2, "version = '1/../..'"),
        (lambda d: edit(d, r'name = "half-plus-two"', 'name = ".x"'), 2, "name = '.x'"),
        (lambda d: edit(d, r'"golden.npz"', '"../../etc/passwd"'), 2, "must lie inside"),
        (lambda d: edit(d, r'"golden.npz"', '"https://example.org/g.npz"'), 2, "https:"),
    ],
)
def test_a14_a_model_directory_that_is_not_whole_is_not_released(run, place, spoil, code, says):
    made = model(place, "1.0.0")
    spoil(made)
    before = (place / "repo/metadata/timestamp.json").read_bytes()

    left, said = run("add", made)

    assert left == code
    assert says in said
    assert len(said.splitlines()) == 1
    assert (place / "repo/metadata/timestamp.json").read_bytes() == before


def test_a_model_that_computes_something_else_is_not_released(run, place):
    made = model(place, "1.0.0")
    shutil.copy(made / "half_plus_two.tflite", made / "x")
    import numpy as np

    with np.load(made / "golden.npz") as stored:
        arrays = {name: stored[name] + 1 for name in stored.files}
    np.savez(made / "golden.npz", **arrays)

    code, said = run("add", made)

    assert code == 3
    assert "golden vectors differ" in said


def edit(directory: Path, pattern: str, text: str) -> None:
    path = directory / "model.toml"
    path.write_text(re.sub(pattern, text, path.read_text(), count=1))


def test_a14_a_link_out_of_the_model_directory_is_not_followed(run, place):
    made = model(place, "1.0.0")
    (made / "README.md").unlink()
    (made / "README.md").symlink_to("/etc/hostname")

    code, said = run("add", made)

    assert code == 2
    assert "no regular file" in said


def test_a_wrong_passphrase_or_none_is_told_without_showing_any(run, place, monkeypatch):
    monkeypatch.setenv("EDGE_RELEASE_PASSPHRASE", "not it at all")
    code, said = run("promote", NAME, "1.0.0")
    assert code == 2
    assert "the passphrase is not this key's" in said
    assert "not it" not in said
    monkeypatch.delenv("EDGE_RELEASE_PASSPHRASE")
    code, said = run("promote", NAME, "1.0.0")
    assert code == 2
    assert "is locked; set EDGE_RELEASE_PASSPHRASE" in said
    assert run("refresh")[0] == 0  # the timer needs none


def test_new_keys_are_never_left_unlocked_by_an_oversight(run, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_RELEASE_PASSPHRASE", "")
    code, said = run("init", tmp_path / "repo", "--keys", tmp_path / "keys")
    assert code == 2
    assert "say --no-passphrase" in said
    assert not (tmp_path / "repo").exists()
    assert run("init", tmp_path / "repo", "--keys", tmp_path / "keys", "--no-passphrase")[0] == 0


@pytest.mark.parametrize("secret", ["caf\udce9 au lait", "é" * 511])
def test_a_passphrase_of_any_bytes_opens_what_it_locked(run, tmp_path, monkeypatch, secret):
    monkeypatch.setenv("EDGE_RELEASE_PASSPHRASE", secret)
    monkeypatch.setenv("EDGE_RELEASE_REPO", str(tmp_path / "repo"))
    monkeypatch.setenv("EDGE_RELEASE_KEYS", str(tmp_path / "keys"))

    assert run("init")[0] == 0
    assert run("refresh", "--targets")[0] == 0
    monkeypatch.setenv("EDGE_RELEASE_PASSPHRASE", f"{secret}x")
    assert run("refresh", "--targets")[0] == 2


def test_a_passphrase_too_long_for_a_key_is_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_RELEASE_PASSPHRASE", "é" * 512)

    code, said = run("init", tmp_path / "repo", "--keys", tmp_path / "keys")

    assert (code, said) == (2, "edge-release: the passphrase has more than 1023 bytes\n")
    assert not list(tmp_path.iterdir())


def test_a_new_key_without_a_passphrase_comes_from_locked_ones(run, place):
    before = set((place / "keys").iterdir())

    assert run("rotate", "targets", "--no-passphrase")[0] == 0

    fresh = (set((place / "keys").iterdir()) - before).pop()
    assert b"ENCRYPTED" not in fresh.read_bytes()
    assert run("refresh", "--targets")[0] == 0


def test_a_key_that_others_may_read_is_refused(run, place):
    path = next((place / "keys").glob("timestamp-*"))
    path.chmod(0o640)

    code, said = run("refresh")

    assert code == 2
    assert f"run chmod 600 {path}" in said


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_one_line(run, place, content):
    path = next((place / "keys").glob("timestamp-*"))
    path.write_bytes(content)

    code, said = run("refresh")

    assert code == 2
    assert said == f"edge-release: {path}: not a private key in PEM, or the file is damaged\n"


def test_a_missing_key_is_named_with_the_folders_that_were_searched(run, place):
    path = next((place / "keys").glob("targets-*"))
    path.unlink()

    code, said = run("promote", NAME, "1.0.0")

    assert code == 2
    assert path.name in said
    assert str(place / "keys") in said


def test_keys_are_never_made_where_they_would_be_published(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    code, said = run("init", "repo", "--keys", "repo/keys")

    assert code == 2
    assert "which is published" in said
    assert not (tmp_path / "repo").exists()


def test_no_verb_takes_keys_from_what_is_published(run, place):
    shutil.copytree(place / "keys", place / "repo/keys")

    code, said = run("rotate", "timestamp", "--keys", place / "keys", "--keys", place / "repo/keys")

    assert code == 2
    assert "which is published" in said


def test_status_counts_what_is_left_and_fails_when_something_ended(run, tmp_path):
    for days, code, says in ((1, 0, ""), (6, 0, "warning: timestamp ends in 1."), (8, 1, "ended")):
        folder = tmp_path / str(days)
        maker(folder, now() - timedelta(days=days))
        left, said = run("status", "--repo", folder / "repo")
        assert left == code
        assert says in said
        facts = json.loads(run("status", "--repo", folder / "repo", "--json")[1])
        assert bool(facts["faults"]) == bool(code)
        assert len(facts["expiries"]) == 4


def test_status_as_json_has_these_keys_and_no_others(run, place):
    facts = json.loads(run("status", "--json")[1])

    assert list(facts) == ["releases", "expiries", "faults", "warnings"]
    assert list(facts["expiries"][0]) == ["role", "version", "expires", "seconds", "days"]
    assert [entry["role"] for entry in facts["expiries"]] == [
        "root",
        "targets",
        "snapshot",
        "timestamp",
    ]
    assert list(facts["releases"][0]) == [
        "path",
        "digest",
        "length",
        "name",
        "version",
        "counter",
        "task",
        "formats",
        "percent",
        "profiles",
        "devices",
        "archs",
        "min_memory_mb",
        "min_version",
        "not_before",
        "revoked",
        "allow_downgrade",
    ]


def test_a_refresh_says_what_is_signed_at_its_end(run, place):
    said = run("refresh", "--root", "--targets")[1]

    held = json.loads((place / "repo/metadata/timestamp.json").read_bytes())
    assert f"root 2 is published\ntimestamp {held['signed']['version']}, ends" in said


def test_status_misses_a_bundle(run, place):
    next((place / "repo/targets").rglob("*.tar")).unlink()

    code, said = run("status")

    assert code == 1
    assert "missing or cut short; add its directory again" in said


def test_where_no_repository_is_says_how_to_make_one(run, place, monkeypatch):
    for verb in ("status", "refresh"):
        code, said = run(verb, "--repo", place / "keys")
        assert code == 1
        assert "edge-release init makes one" in said


def test_a_root_is_signed_where_its_keys_are(run, place):
    sticks = []
    for number, path in enumerate(sorted((place / "keys").glob("root-*"))):
        stick = place / f"stick-{number}"
        stick.mkdir()
        sticks.append(path.rename(stick / path.name).parent)

    code, said = run("rotate", "timestamp")
    assert code == 0
    assert "not published: too few root keys are here" in said
    assert run("root-publish", "root.draft.json")[0] == 4
    assert "1 more must sign it" in run("root-sign", "root.draft.json", "--keys", sticks[0])[1]
    assert "whole" in run("root-sign", "root.draft.json", "--keys", sticks[1])[1]
    assert run("root-publish", "root.draft.json") == (
        0,
        "root 2 is published; root.draft.json is of no more use\n",
    )
    Device(place / "device", place / "repo").refresh()


def test_a_draft_is_not_written_over_another(run, place):
    for path in (place / "keys").glob("root-*"):
        path.rename(place / path.name)
    run("rotate", "timestamp")
    first, keys = (place / "root.draft.json").read_bytes(), set((place / "keys").iterdir())

    timestamp = place / "repo/metadata/timestamp.json"
    for words in (("rotate", "snapshot"), ("refresh", "--root")):
        before = timestamp.read_bytes()
        code, said = run(*words)
        assert code == 2
        assert (timestamp.read_bytes() != before) == (words[0] == "refresh")
        assert "root.draft.json: is there already; publish it first, or delete it" in said

    assert (place / "root.draft.json").read_bytes() == first
    assert set((place / "keys").iterdir()) == keys
    assert run("rotate", "snapshot", "--out", "second.json")[0] == 0


def test_a_full_or_missing_disk_is_named(run, place, monkeypatch):
    code, said = run("rotate", "snapshot", "--out", place / "nowhere/x.json")
    assert code == 0  # it is not needed
    for path in (place / "keys").glob("root-*"):
        path.unlink()
    code, said = run("rotate", "snapshot", "--out", place / "nowhere/x.json")
    assert code == 1
    assert said.startswith(f"edge-release: {place}/nowhere/x.json: No such file or directory; ")

    def full(directory: Path, to: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "pack", full)
    code, said = run("add", model(place, "1.0.1"))
    assert code == 1
    assert re.search(r"/edge-release-\w+/bundle.tar: No space left on device; ", said)


def test_a_draft_that_is_not_there_is_a_wrong_argument(run, place):
    for verb in ("root-sign", "root-publish"):
        code, said = run(verb, "draft.json")
        assert code == 2
        assert "'draft.json' does not exist" in said


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"signed": {"_type": "root"}}']
)
def test_a_draft_of_garbage_is_one_line(run, place, content):
    (place / "draft.json").write_bytes(content)

    for verb in ("root-sign", "root-publish"):
        code, said = run(verb, "draft.json")
        assert code == 4
        assert said.startswith("edge-release: draft.json: not metadata")


def test_ctrl_c_at_any_moment_of_an_add_leaves_a_repository_that_goes_on(place):
    """A real process, a real signal, at moments spread over its life."""
    device = Device(place / "device", place / "repo")
    made = model(place, "1.0.1")
    outcomes = set()
    for wait_s in (0.1, 0.3, 0.5, 0.7, 0.9, 60.0):
        child = adding(made)
        with suppress(subprocess.TimeoutExpired):
            child.wait(wait_s)
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1].decode()
        outcomes.add(child.returncode)
        device.refresh()
        if child.returncode == 130:
            assert "Traceback" not in said

    assert 0 in outcomes
    assert f"{NAME}/1.0.1.tar" in device.releases()
    assert not list((place / "repo").rglob("*.new"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_takes_what_is_half_made_along(place, number, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(place / "scratch"))
    (place / "scratch").mkdir()
    child = adding(model(place, "1.0.1"))
    wait_until(lambda: list((place / "scratch").rglob("bundle.tar")), 60)

    child.send_signal(number)

    assert "Traceback" not in child.communicate(timeout=60)[1].decode()
    assert child.returncode == 130
    assert not list((place / "scratch").glob("edge-release-*"))
    Device(place / "device", place / "repo").refresh()


def adding(directory: Path) -> subprocess.Popen[bytes]:
    code = "from edge_runtime.cli.release import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "add", str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
