"""The model of the disk: what it calls possible after a power cut, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from ..needs import ROOT, program
from .disk import NOISE, SECTOR, Disk, File
from .recorder import Kind, Operation, build, environment, read
from .states import as_killed, states

HOME, PATH = "/home", "/home/file"


def operation(kind: Kind, fd: int = 3, a: int = 0, b: int = 0, data: bytes = b"") -> Operation:
    return Operation(kind, fd, a, b, data)


def opened(content: bytes | None = None) -> Disk:
    """A disk with one open file, which is durable when it has a content."""
    disk = Disk(HOME, {} if content is None else {PATH: File(content)})
    disk.apply(operation(Kind.OPEN, b=content is not None, data=PATH.encode()))
    return disk


def contents(disk: Disk, budget: int = 1000, kind: str | None = None) -> set[bytes | None]:
    """What the file may hold; None where it is not found."""
    found = states(disk, budget, Random(1))
    return {state.files.get(PATH) for state in found if kind in (None, state.kind)}


def test_a_write_is_there_or_not_until_it_is_synchronised():
    disk = opened(b"old.")
    disk.apply(operation(Kind.WRITE, data=b"new!"))
    assert contents(disk) == {b"old.", b"new!"}

    disk.apply(operation(Kind.SYNC))
    assert contents(disk) == {b"new!"}


def test_a_write_is_torn_between_sectors_and_never_within_one():
    disk = opened(b"a" * 2 * SECTOR)
    disk.apply(operation(Kind.WRITE, a=SECTOR // 2, data=b"b" * SECTOR))

    half, whole = SECTOR // 2, b"a" * 2 * SECTOR
    assert contents(disk) == {
        whole,
        b"a" * half + b"b" * half + b"a" * SECTOR,
        b"a" * SECTOR + b"b" * half + b"a" * half,
        b"a" * half + b"b" * SECTOR + b"a" * half,
    }


def test_a_later_write_may_be_there_without_an_earlier_one_elsewhere_but_not_in_its_sector():
    disk = opened(b"." * 2 * SECTOR)
    disk.apply(operation(Kind.WRITE, a=0, data=b"1"))
    disk.apply(operation(Kind.WRITE, a=1, data=b"2"))
    disk.apply(operation(Kind.WRITE, a=SECTOR, data=b"3"))

    firsts = {(found[:2], found[SECTOR : SECTOR + 1]) for found in contents(disk) if found}
    assert firsts == {(a, b) for a in (b"..", b"1.", b"12") for b in (b".", b"3")}


def test_a_file_may_have_grown_without_what_was_written():
    disk = opened(b"")
    disk.apply(operation(Kind.WRITE, data=b"data"))

    assert contents(disk) == {b"", b"data", bytes(4), NOISE * 4}


def test_a_truncation_is_open_until_it_is_synchronised():
    disk = opened(b"content")
    disk.apply(operation(Kind.TRUNCATE, a=3))
    assert contents(disk) == {b"content", b"con"}

    disk.apply(operation(Kind.SYNC))
    assert contents(disk) == {b"con"}


def test_a_name_is_sure_with_its_folder_and_on_ext4_with_its_file():
    disk = opened()
    disk.apply(operation(Kind.WRITE, data=b"data"))
    disk.apply(operation(Kind.SYNC))
    assert contents(disk) == {None, b"data"}
    assert contents(disk, kind="ordered") == {b"data"}

    disk.apply(operation(Kind.OPEN, fd=4, b=1, data=HOME.encode()))
    disk.apply(operation(Kind.SYNC, fd=4))
    assert contents(disk) == {b"data"}


def test_a_file_is_found_under_its_old_or_its_new_name_until_the_folder_is_synchronised():
    disk = opened(b"x")
    disk.apply(operation(Kind.RENAME, data=f"{PATH}\0{PATH}2".encode()))

    names = {tuple(state.files) for state in states(disk, 100, Random(1))}
    assert names == {(PATH,), (f"{PATH}2",)}


def test_what_a_failed_sync_left_open_no_later_sync_makes_sure():
    disk = opened(b"." * 2 * SECTOR)
    disk.apply(operation(Kind.WRITE, a=0, data=b"1"))
    disk.apply(operation(Kind.SYNC_FAILED))
    disk.apply(operation(Kind.WRITE, a=SECTOR, data=b"2"))
    disk.apply(operation(Kind.SYNC))
    found = {(item[:1], item[SECTOR : SECTOR + 1]) for item in contents(disk) if item}
    assert found == {(b".", b"2"), (b"1", b"2")}

    disk.apply(operation(Kind.WRITE, a=0, data=b"1"))  # written again, and so synchronised again
    disk.apply(operation(Kind.SYNC))
    assert {item[:1] for item in contents(disk) if item} == {b"1"}


def test_a_sample_of_many_states_has_the_corners_and_differs_by_seed():
    disk = opened(b"." * 64 * SECTOR)
    for number in range(32):
        disk.apply(operation(Kind.WRITE, a=2 * number * SECTOR, data=b"x" * 2 * SECTOR))

    def sample(seed: int) -> list[bytes]:
        return [state.files[PATH] for state in states(disk, 60, Random(seed))]

    assert len(sample(1)) == 60
    assert {b"." * 64 * SECTOR, b"x" * 64 * SECTOR} <= set(sample(1))
    assert sample(1) == sample(1) != sample(2)
    assert as_killed(disk).files[PATH] == b"x" * 64 * SECTOR


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program("gcc", "gcc")
    return build(tmp_path_factory.mktemp("recorder"))


def test_the_recorder_sees_every_change_that_the_kernel_sees(shim: Path, tmp_path: Path):
    strace, home = program("strace", "strace"), tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from pathlib import Path; from random import Random\n"
        "from tests.crash.history import NAME, Ground, Life, Style\n"
        "from tests.crash.promise import Promise\n"
        "path = Path(sys.argv[1]) / NAME\n"
        "Life(path, Ground({}, Promise()), Random(7), Style(30, 8, 5000, 16, False)).live()\n"
        "path.rename(f'{path}.aside'); path.write_bytes(b'text')\n"
    )
    log, trace = tmp_path / "log", tmp_path / "trace"
    command = [strace, "-f", "-y", "-o", str(trace), "-E", f"LD_PRELOAD={shim}",
               "-E", f"RECORDER_FOLDER={home.resolve()}", "-E", f"RECORDER_LOG={log}",
               sys.executable, "-c", code, str(home)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr

    recorded = Counter(item.kind.name for item in read(log.read_bytes()))
    assert recorded["WRITE"] > 50
    assert recorded["SYNC"] > 10
    assert seen_by_the_kernel(trace.read_text(), str(home.resolve())) == {
        "change": sum(recorded[name] for name in ("WRITE", "TRUNCATE", "UNLINK", "RENAME")),
        "sync": recorded["SYNC"],
    }


HARMLESS = (
    "openat", "close", "read", "pread64", "lseek", "fcntl", "newfstatat", "fstat", "stat", "lstat",
    "statx", "statfs", "access", "faccessat", "readlink", "getcwd", "execve", "fchown", "ioctl",
    "getdents64", "fstatfs", "chdir", "faccessat2", "mmap",
)  # fmt: skip
CHANGES = ("write", "pwrite64", "ftruncate", "unlinkat", "renameat2")


def seen_by_the_kernel(trace: str, home: str) -> dict[str, int]:
    """Successful calls about files of a folder, by what they do; unknown ones by their names."""
    calls: Counter[str] = Counter()
    for line in trace.splitlines():
        name, _, rest = line.partition(" ")[2].strip().partition("(")
        if " = -1 " in rest or not (f"{home}/" in rest or f"<{home}>" in rest):
            continue
        if name == "mmap" and "MAP_SHARED" in rest:
            calls["mmap"] += 1
        elif name in CHANGES:
            calls["change"] += 1
        elif name in ("fsync", "fdatasync"):
            calls["sync"] += 1
        elif name not in HARMLESS:
            calls[name] += 1
    return dict(calls)


def test_an_operation_without_a_model_is_not_passed_over(shim: Path, tmp_path: Path):
    log = tmp_path / "log"
    code = (
        "import mmap, os, sys\n"
        "with open(sys.argv[1] + '/f', 'wb+') as file:\n"
        "    file.write(bytes(4096)); file.flush()\n"
        "    mmap.mmap(file.fileno(), 4096).close()\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    started = environment(shim, RECORDER_FOLDER=str(home.resolve()), RECORDER_LOG=str(log))
    subprocess.run([sys.executable, "-c", code, str(home.resolve())], env=started, check=True)

    with pytest.raises(ValueError, match="mmap"):
        list(read(log.read_bytes()))
    shutil.rmtree(home)
