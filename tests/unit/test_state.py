"""Where a pipeline keeps its state, and what is said when it cannot."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from edge_runtime import state
from edge_runtime.errors import ConfigError
from edge_runtime.frame import Identity

WHO = Identity("bed-7", "ward")


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ("/data", {"STATE_DIRECTORY": "/s", "XDG_STATE_HOME": "/x"}, "/data/bed-7/ward"),
        ("", {"STATE_DIRECTORY": "/s", "XDG_STATE_HOME": "/x"}, "/s/bed-7/ward"),
        ("", {"STATE_DIRECTORY": "/s/a:/s/b"}, "/s/a/bed-7/ward"),
        ("", {"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x"}, "/x/edge-run/bed-7/ward"),
    ],
)
def test_the_first_place_that_is_given_counts(given, environment, expected):
    assert state.folder(WHO, given, environment) == Path(expected)


@pytest.mark.parametrize("environment", [{}, {"XDG_STATE_HOME": "relative"}])
def test_else_it_is_in_the_home_folder(environment, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ward")

    found = state.folder(WHO, "", environment)

    assert found == Path("/home/ward/.local/state/edge-run/bed-7/ward")


@pytest.mark.parametrize("name", ["..", "."])
def test_a_name_does_not_lead_out_of_the_folder(name):
    with pytest.raises(ConfigError, match="pipeline"):
        state.folder(Identity("bed-7", name), "/data", {})
    with pytest.raises(ConfigError, match="device"):
        state.folder(Identity(name, "ward"), "/data", {})


def test_what_is_missing_is_made_for_our_user_alone_and_what_is_there_is_left(tmp_path):
    tmp_path.chmod(0o755)

    state.ensure(tmp_path / "a" / "b")
    state.ensure(tmp_path / "a" / "b")

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_file_in_the_way_is_named_with_cause_and_remedy(tmp_path):
    (tmp_path / "file").write_text("")

    for path in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(ConfigError) as caught:
            state.ensure(path)
        assert str(tmp_path / "file") in str(caught.value)
        assert "StateDirectory=" in str(caught.value)


def test_a_folder_of_another_user_is_a_matter_of_configuration():
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            for path in (Path(folder), Path(folder) / "a"):
                with pytest.raises(ConfigError, match="permission denied"):
                    state.ensure(path)
        finally:
            os.seteuid(0)


@pytest.fixture
def disk(tmp_path):
    """A factory of file systems in memory: `disk("ro")`."""
    made = []

    def make(options: str) -> Path:
        folder = tmp_path / f"disk-{len(made)}"
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(words, check=False).returncode:
            pytest.skip("needs root and the right to mount")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_no_matter_of_configuration(disk):
    folder = disk("nr_inodes=2")
    state.ensure(folder / "a")

    with pytest.raises(OSError) as caught:
        state.ensure(folder / "b")
    assert caught.value.errno == errno.ENOSPC


def test_a_disk_that_became_read_only_is_no_matter_of_configuration(disk):
    folder = disk("ro")

    for path in (folder, folder / "a"):
        with pytest.raises(OSError) as caught:
            state.ensure(path)
        assert caught.value.errno == errno.EROFS


def test_a_full_disk_leaves_the_old_file(disk):
    path = disk("size=8k") / "file"
    state.replace(path, b"old")

    with pytest.raises(OSError) as caught:
        state.replace(path, b"x" * 20_000)
    assert caught.value.errno == errno.ENOSPC
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    state.replace(path, b"one")
    (tmp_path / "file.new").mkdir()

    with pytest.raises(IsADirectoryError):
        state.replace(path, b"two")

    assert path.read_bytes() == b"one"
    (tmp_path / "file.new").rmdir()
    state.replace(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
