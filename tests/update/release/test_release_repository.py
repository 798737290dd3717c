"""The maker's repository: a client accepts it after every verb, and whenever a verb is cut off."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import ExpiredMetadataError, UnsignedMetadataError
from tuf.ngclient.config import UpdaterConfig

from edge_runtime.errors import ConfigError, EdgeRunError, UpdateError, VerificationError
from edge_runtime.manifest import digest
from edge_runtime.release import files, publish, repository, roots, status
from edge_runtime.release.rollout import Rollout
from edge_runtime.release.tool import Tool
from edge_runtime.update.remote import metadata
from edge_runtime.update.remote.fetch import Fetcher

from .release_kit import DAYS, NO_TERMS, Device, keys_in, maker, model, now

NAME = "half-plus-two"
PATH = f"{NAME}/1.0.0.tar"
DRAFT = Path("/dev/null/draft.json")  # of what is published at once


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Path:
    """A repository with one release, and its keys: made once, copied for each test."""
    folder = tmp_path_factory.mktemp("maker")
    maker(folder).add(model_directory, NO_TERMS)
    return folder


@pytest.fixture
def released(tmp_path: Path, prepared: Path) -> Tool:
    for name in ("repo", "keys"):
        shutil.copytree(prepared / name, tmp_path / name)
    return Tool(tmp_path / "repo", keys_in(tmp_path / "keys"), now())


@pytest.fixture
def device(tmp_path: Path, released: Tool) -> Device:
    return Device(tmp_path / "device", released.folder)


def test_a_client_accepts_what_every_verb_makes(model_directory, tmp_path):
    tool = maker(tmp_path)
    device = Device(tmp_path / "device", tool.folder)
    assert device.releases() == {}
    made, _, is_new = tool.add(model_directory, NO_TERMS)
    assert is_new
    assert device.releases()[PATH]["basis_points"] == 0
    tool.rollout(NAME, "1.0.0", Rollout(percent=10, profiles=("raspberry-pi-5",)))
    assert device.releases()[PATH]["basis_points"] == 1000
    tool.rollout(NAME, "1.0.0", Rollout(percent=100))
    tool.refresh({})
    tool.refresh({}, targets=True)
    for role in ("timestamp", "snapshot", "targets"):
        assert tool.draft(role, "", DRAFT)[1]
        assert device.releases()[PATH]["basis_points"] == 10_000
    second, _, _ = tool.add(model(tmp_path, "1.0.1"), NO_TERMS)
    tool.revoke(NAME, "1.0.0", "wrong  by\na half")
    facts = device.releases()
    assert facts[PATH]["revoked"] == "wrong by a half"
    assert facts[second.path]["counter"] == made.counter + 1
    newcomer = Device(tmp_path / "newcomer", tool.folder)
    assert newcomer.releases() == facts


def test_a_client_downloads_the_bundle_that_was_packed(released, device):
    made = repository.read(released.folder).releases()[0]

    content = device.download(made.path)

    assert len(content) == made.length
    assert digest(repository.bundle_path(released.folder, made)) == made.digest


def test_the_device_of_ours_reads_what_the_maker_signed_and_learns_the_time(released, tmp_path):
    moment = int(now().timestamp())
    released.rollout(NAME, "1.0.0", Rollout(percent=12.34, devices=("bed-7",)))

    found = metadata.refresh(
        tmp_path / "tuf",
        (released.folder / "metadata/1.root.json").read_bytes(),
        [str(released.folder)],
        Fetcher(),
        now=moment,
    )

    assert found.releases == repository.read(released.folder).releases()
    assert found.releases[0].percent == 12.34
    assert found.proven_time == int(released.now.timestamp())
    part = tmp_path / "part"
    metadata.download(found, found.releases[0], part, fetcher=Fetcher())
    assert digest(part) == found.releases[0].digest


def test_the_same_directory_gives_the_same_bytes_in_another_repository(tmp_path, model_directory):
    digests = []
    for name in ("a", "b"):
        made, _, _ = maker(tmp_path / name).add(model_directory, NO_TERMS)
        digests.append(made.digest)

    assert digests[0] == digests[1]


def test_adding_the_same_again_changes_nothing_but_mends_a_lost_bundle(released, model_directory):
    made = repository.read(released.folder).releases()[0]
    before = (released.folder / "metadata/timestamp.json").read_bytes()
    repository.bundle_path(released.folder, made).unlink()

    again, _, is_new = released.add(model_directory, NO_TERMS)

    assert (again, is_new) == (made, False)
    assert repository.has_bundle(released.folder, made)
    assert (released.folder / "metadata/timestamp.json").read_bytes() == before


def test_other_bytes_under_a_released_version_are_refused(released, tmp_path):
    changed = model(tmp_path / "changed")
    (changed / "README.md").write_text("something else")

    with pytest.raises(ConfigError, match="raise version"):
        released.add(changed, NO_TERMS)


def test_signatures_end_and_a_refresh_gives_them_new_life(tmp_path):
    old = maker(tmp_path, now() - timedelta(days=8))
    device = Device(tmp_path / "device", old.folder)
    with pytest.raises(ExpiredMetadataError):
        device.refresh()

    replace(old, now=now()).refresh({})

    device.refresh(after=timedelta(days=6.9))
    with pytest.raises(ExpiredMetadataError):
        device.refresh(after=timedelta(days=7.1))


def test_a_new_life_stays_until_another_is_asked_for(released, device):
    released.refresh({"timestamp": 30, "snapshot": 30})
    released.refresh({})

    device.refresh(after=timedelta(days=29))


def test_a07_the_timer_needs_no_key_that_could_change_what_is_installed(released, tmp_path):
    online = tmp_path / "online"
    online.mkdir()
    for path in (tmp_path / "keys").glob("*"):
        if path.name.startswith(("snapshot", "timestamp")):
            path.rename(online / path.name)
    timer = replace(released, keys=keys_in(online, secret=""))

    timer.refresh({})

    Device(tmp_path / "device", released.folder).refresh()
    with pytest.raises(ConfigError, match=r"targets: 1 of its keys must sign, 0 found"):
        timer.rollout(NAME, "1.0.0", Rollout(percent=50))


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_a17_after_a_rotation_the_old_key_signs_nothing_that_counts(released, device, role):
    seen = repository.read(released.folder)
    stolen = released.keys.find(role, seen.root.signed)[0]

    released.draft(role, "", DRAFT)

    forged = getattr(repository.read(released.folder), role)
    forged.signed.version += 1
    forged.sign(stolen)
    assert not repository.signed_by(repository.read(released.folder).root, role, forged)
    device.refresh()


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_a_lost_key_is_replaced_without_it(released, device, tmp_path, role):
    next((tmp_path / "keys").glob(f"{role}-*")).unlink()

    assert released.draft(role, "", DRAFT)[1]

    device.refresh()


def test_each_root_key_can_be_replaced_and_old_devices_follow(released, device, tmp_path):
    for keyid in repository.read(released.folder).root.signed.roles["root"].keyids:
        (tmp_path / "keys" / f"root-{keyid[:8]}.pem").unlink()
        assert released.draft("root", keyid[:8], DRAFT)[1]

    assert device.refresh()._trusted_set.root.version == 4


def test_a_root_is_signed_on_separate_machines(released, device, tmp_path):
    sticks = []
    for number, path in enumerate(sorted((tmp_path / "keys").glob("root-*"))):
        stick = tmp_path / f"stick-{number}"
        stick.mkdir()
        path.rename(stick / path.name)
        sticks.append(keys_in(stick))

    draft, whole = released.draft("timestamp", "", tmp_path / "draft.json")

    assert not whole
    with pytest.raises(VerificationError, match="too few signatures"):
        released.publish_root(draft)
    assert roots.add_signatures(draft, sticks[0]) == 1
    assert roots.add_signatures(draft, sticks[0]) == 1  # one key counts once
    assert roots.add_signatures(draft, sticks[2]) == 0
    released.publish_root(draft)
    assert device.refresh()._trusted_set.root.version == 2
    with pytest.raises(VerificationError, match="root 3 comes next"):
        released.publish_root(draft)


def test_one_root_key_alone_replaces_nothing(released, device, tmp_path):
    for path in sorted((tmp_path / "keys").glob("root-*"))[1:]:
        path.unlink()

    assert not released.draft("targets", "", tmp_path / "draft.json")[1]
    assert device.refresh()._trusted_set.root.version == 1


def gone(tool: Tool) -> None:
    if repository.read(tool.folder).releases():
        tool.revoke(NAME, "1.0.0", "wrong")
        tool.remove(NAME, "1.0.0")


VERBS = {
    "add": lambda tool, second: tool.add(second, NO_TERMS),
    "rollout": lambda tool, second: tool.rollout(NAME, "1.0.0", Rollout(percent=50)),
    "revoke": lambda tool, second: tool.revoke(NAME, "1.0.0", "wrong"),
    "remove": lambda tool, second: gone(tool),
    "refresh": lambda tool, second: tool.refresh({}),
    "rotate targets": lambda tool, second: tool.draft("targets", "", DRAFT),
    "rotate snapshot": lambda tool, second: tool.draft("snapshot", "", DRAFT),
    "rotate timestamp": lambda tool, second: tool.draft("timestamp", "", DRAFT),
    "renew root": lambda tool, second: tool.draft("", "", DRAFT),
}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_client_is_content_after_every_file_that_a_verb_writes(
    released, device, verb, tmp_path, monkeypatch
):
    second, seen = model(tmp_path, "1.0.1"), []
    whole = files.settle

    def look(folder: Path) -> None:
        whole(folder)
        seen.append(folder)
        device.refresh()
        Device(tmp_path / f"newcomer-{len(seen)}", released.folder).refresh()

    monkeypatch.setattr(files, "settle", look)
    VERBS[verb](released, second)

    assert len(seen) >= 2


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_that_is_cut_off_at_any_file_leaves_a_repository_that_goes_on(
    released, device, verb, tmp_path, monkeypatch
):
    second, whole, cuts = model(tmp_path, "1.0.1"), files.settle, 0

    def cut(folder: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        whole(folder)

    for before in range(10):
        left = before
        monkeypatch.setattr(files, "settle", cut)
        try:
            VERBS[verb](released, second)
            break
        except KeyboardInterrupt:
            cuts += 1
        monkeypatch.setattr(files, "settle", whole)
        device.refresh()
        released.refresh({})
        device.refresh()

    assert cuts >= 2
    assert not list(released.folder.rglob("*.new"))


def test_a_full_disk_shows_clients_nothing_new(released, device, tmp_path, monkeypatch):
    before = device.releases()

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "settle", full)
    with pytest.raises(OSError, match="No space"):
        released.add(model(tmp_path, "1.0.1"), NO_TERMS)
    monkeypatch.undo()
    assert device.releases() == before


def test_a_file_that_was_not_finished_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "timestamp.json"
    path.write_text("old")

    with pytest.raises(KeyboardInterrupt), files.replacing(path) as fresh:
        fresh.write_text("ne")
        raise KeyboardInterrupt

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_never_meet(released):
    descriptor = os.open(released.folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    with pytest.raises(UpdateError) as caught:
        released.refresh({})

    os.close(descriptor)
    assert caught.value.reason == "busy"


@pytest.mark.parametrize("role", ["1.root", "timestamp", "2.snapshot", "2.targets"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_what_its_keys_did_not_sign_is_never_signed_over(released, role, damage):
    path = released.folder / "metadata" / f"{role}.json"
    found = json.loads(path.read_bytes())
    found["signed"]["expires"] = "2099-01-01T00:00:00Z"
    {
        "changed": lambda: path.write_text(json.dumps(found)),
        "cut": lambda: path.write_bytes(path.read_bytes()[:200]),
        "gone": path.unlink,
    }[damage]()

    says = "no repository here" if (role, damage) == ("1.root", "gone") else role
    with pytest.raises(UpdateError, match=says):
        released.refresh({})


def test_a_clock_that_fell_back_signs_nothing(released):
    with pytest.raises(ConfigError, match="set the clock"):
        replace(released, now=now() - timedelta(days=400)).refresh({})


def test_old_metadata_is_removed_and_every_root_kept(released, device):
    for _ in range(13):
        released.refresh({})
    names = {path.name for path in (released.folder / "metadata").iterdir()}

    kept = {f"{version}.snapshot.json" for version in range(6, 16)}
    assert {"1.root.json", "timestamp.json", "2.targets.json", *kept} <= names
    assert "5.snapshot.json" not in names
    device.refresh()


def test_a_key_of_another_repository_signs_nothing(released, tmp_path):
    foreign = maker(tmp_path / "foreign")

    with pytest.raises(EdgeRunError, match="0 found"):
        replace(released, keys=foreign.keys).refresh({})


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/precious").write_text("mine")

    with pytest.raises(ConfigError, match="not empty"):
        roots.create(tmp_path / "repo", keys_in(tmp_path / "keys"), DAYS, now())

    assert [path.name for path in tmp_path.rglob("*")] == ["repo", "precious"]


def test_a_client_refuses_what_one_root_key_signed(released, device, tmp_path):
    seen = repository.read(released.folder)
    draft = roots.successor(seen, "", "", released.keys, now())
    first = released.keys.find("root", seen.root.signed)[0]
    draft.sign(first)
    (released.folder / "metadata/2.root.json").write_bytes(draft.to_bytes())

    with pytest.raises(UnsignedMetadataError):
        device.refresh()


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_a_lost_key_that_is_replaced_in_a_run_that_is_cut_off_leaves_a_repository_that_goes_on(
    released, tmp_path, monkeypatch, role
):
    next((tmp_path / "keys").glob(f"{role}-*")).unlink()
    whole, cuts, mended = files.settle, 0, 0

    def cut(folder: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        whole(folder)

    for before in range(10):
        left, folder = before, tmp_path / str(before)
        for name in ("repo", "keys"):
            shutil.copytree(tmp_path / name, folder / name)
        tool = Tool(folder / "repo", keys_in(folder / "keys"), now())
        device = Device(folder / "device", tool.folder)
        monkeypatch.setattr(files, "settle", cut)
        try:
            tool.draft(role, "", DRAFT)
        except (OSError, ConfigError):
            cuts += 1
        finally:
            monkeypatch.setattr(files, "settle", whole)
        seen = repository.read(tool.folder)
        if seen.root.signed.version == 2:
            mended += seen.cut_off
            assert bool(status.look(seen, now()).faults) == seen.cut_off
            tool.refresh({}, targets=True)
        else:
            assert len(list((folder / "keys").iterdir())) == 5  # not one that nothing names
        seen = repository.read(tool.folder)
        assert not seen.cut_off
        assert (
            not (tool.folder / "metadata" / repository.NEXT).exists()
            or seen.root.signed.version == 1
        )
        device.refresh()
        Device(folder / "newcomer", tool.folder).refresh()

    assert cuts >= 4
    assert mended


def test_a_new_key_that_nothing_names_is_not_left_behind(released, tmp_path):
    next((tmp_path / "keys").glob("snapshot-*")).unlink()
    before = sorted((tmp_path / "keys").iterdir())

    with pytest.raises(ConfigError, match="snapshot: 1 of its keys must sign"):
        released.draft("timestamp", "", DRAFT)
    for path in (tmp_path / "keys").glob("root-*"):
        path.rename(tmp_path / path.name)
    with pytest.raises(OSError, match="Not a directory"):
        released.draft("timestamp", "", DRAFT)

    assert sorted((tmp_path / "keys").iterdir()) == [p for p in before if "root" not in p.name]


def test_an_init_that_fails_leaves_no_key_and_may_be_tried_again(tmp_path, monkeypatch):
    def full(folder: Path) -> None:
        if (left := left_of.pop()) == 0:
            raise KeyboardInterrupt
        left_of.append(left - 1)

    for before in range(10):
        left_of = [before]
        monkeypatch.setattr(files, "settle", full)
        with pytest.raises(KeyboardInterrupt):
            roots.create(tmp_path / "repo", keys_in(tmp_path / "keys"), DAYS, now())
        assert not list(tmp_path.rglob("*.*"))
    monkeypatch.undo()
    roots.create(tmp_path / "repo", keys_in(tmp_path / "keys"), DAYS, now())
    assert len(list((tmp_path / "keys").iterdir())) == 6


def test_a_draft_that_ended_while_it_was_signed_is_not_published(released, device, tmp_path):
    draft = roots.successor(repository.read(released.folder), "", "", released.keys, released.now)
    late = replace(released, now=now() + timedelta(days=366))

    with pytest.raises(VerificationError, match="make it anew") as caught:
        late.publish_root(draft)

    assert caught.value.reason == "expired"
    assert device.refresh()._trusted_set.root.version == 1


def test_a_fact_that_could_not_be_read_again_is_never_signed(released):
    poisoned = replace(repository.read(released.folder).releases()[0], min_version="new")

    with pytest.raises(VerificationError, match="min_version is 'new'"):
        released._sign(repository.read(released.folder), poisoned)

    assert repository.read(released.folder).releases()[0].min_version == ""


def test_adding_the_same_again_mends_a_damaged_bundle(released, model_directory, device):
    made = repository.read(released.folder).releases()[0]
    path = repository.bundle_path(released.folder, made)
    path.write_bytes(bytes(made.length))

    released.add(model_directory, NO_TERMS)

    assert digest(path) == made.digest


def test_a_removed_release_goes_with_its_bundle_and_the_others_stay(released, device, tmp_path):
    first = repository.read(released.folder).releases()[0]
    second, _, _ = released.add(model(tmp_path, "1.0.1"), NO_TERMS)
    released.rollout(NAME, "1.0.1", Rollout(percent=10))

    assert released.remove(NAME, "1.0.0") == first

    assert set(device.releases()) == {second.path}
    assert not repository.bundle_path(released.folder, first).exists()
    assert len(device.download(second.path)) == second.length
    assert not status.look(repository.read(released.folder), now()).warnings


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (Rollout(percent=0.01), "is out to 0.01 %"),
        (Rollout(percent=100), "is out to 100 %"),
        (Rollout(devices=("bed-7",)), "is out to 1 by name"),
        (Rollout(), "is the newest of its name"),
    ],
)
def test_a_release_that_a_device_may_have_is_removed_only_when_revoked(released, told, says):
    released.rollout(NAME, "1.0.0", told)
    with pytest.raises(ConfigError, match=says) as caught:
        released.remove(NAME, "1.0.0")
    assert f"edge-release revoke {NAME} 1.0.0 first" in str(caught.value)
    assert repository.has_bundle(released.folder, repository.read(released.folder).releases()[0])

    released.revoke(NAME, "1.0.0", "wrong")
    released.remove(NAME, "1.0.0")

    assert repository.read(released.folder).releases() == ()


def test_a_counter_is_never_given_out_twice(released, tmp_path):
    for number in (1, 2):
        made, _, _ = released.add(model(tmp_path, f"2.0.{number}"), NO_TERMS)
        assert made.counter == number + 1
        released.revoke(NAME, made.version, "wrong")
        released.remove(NAME, made.version)
        released.refresh({}, targets=True)

    assert released.add(model(tmp_path, "3.0.0"), NO_TERMS)[0].counter == 4


def test_a_bundle_goes_only_after_the_last_client_was_told(released, device, tmp_path, monkeypatch):
    first = repository.read(released.folder).releases()[0]
    bundle = repository.bundle_path(released.folder, first)
    released.revoke(NAME, "1.0.0", "wrong")
    whole, there = files.settle, []

    def look(folder: Path) -> None:
        there.append((first.path in device.releases(), bundle.exists()))
        whole(folder)

    monkeypatch.setattr(files, "settle", look)
    released.remove(NAME, "1.0.0")

    assert there == [(True, True), (True, True), (False, True)]
    assert not bundle.exists()


def test_what_a_cut_off_removal_leaves_is_told(released, monkeypatch, tmp_path):
    released.revoke(NAME, "1.0.0", "wrong")
    path = repository.bundle_path(released.folder, repository.read(released.folder).releases()[0])

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".tar":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(UpdateError, match="is removed, but for .*: Permission denied; delete it"):
        released.remove(NAME, "1.0.0")
    monkeypatch.undo()

    found = status.look(repository.read(released.folder), now())
    assert not found.faults
    assert found.warnings == (
        f"{path} belongs to no release: add its directory again, or delete it",
    )


@pytest.mark.parametrize(("share", "warned"), [(0.79, False), (0.81, True)])
def test_targets_that_clients_will_soon_not_take_are_told(released, share, warned):
    length = int(publish.TARGETS_MAX * share)

    told = status.look(replace(repository.read(released.folder), length=length), now()).warnings

    assert bool(told) == warned
    assert not warned or "edge-release remove" in told[0]


def test_the_cap_is_the_one_of_the_devices():
    assert UpdaterConfig().targets_max_length == publish.TARGETS_MAX


def test_targets_that_clients_would_not_take_are_not_published(released, monkeypatch):
    monkeypatch.setattr(publish, "TARGETS_MAX", 1000)

    with pytest.raises(UpdateError, match="edge-release remove") as caught:
        released.rollout(NAME, "1.0.0", Rollout(devices=[f"bed-{n}" for n in range(100)]))

    assert caught.value.reason == "oversize"
    assert repository.read(released.folder).releases()[0].devices == ()
