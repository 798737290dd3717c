"""Which release a device takes: decided from signed facts alone, the same on every run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.update.choose import Device, choose, in_cohort, mismatch, share
from edge_runtime.update.release import Release
from edge_runtime.update.store.journal import Installed, Journal, Quarantined

DEVICE = Device(
    name="bed-7",
    model="ecg-beats",
    task="beats",
    profile="raspberry-pi-5",
    arch="aarch64",
    formats=("tflite", "onnx"),
    memory_mb=4096,
    version="0.4.0.dev2",
)
NOW = 1_800_000_000


def release(counter: int = 1, **facts: object) -> Release:
    made = Release(
        path=f"ecg-beats/1.{counter}.0.tar",
        digest=f"{counter:064x}",
        length=1000,
        name="ecg-beats",
        version=f"1.{counter}.0",
        counter=counter,
        task="beats",
        formats=("tflite",),
        percent=100.0,
    )
    return replace(made, **facts)


def running(made: Release, **facts: object) -> Journal:
    active = Installed(made.digest, made.name, made.version, made.counter)
    return replace(Journal(active=active, floor=((made.name, made.counter),)), **facts)


def words(releases: list[Release], journal: Journal = Journal(), now: int = NOW) -> list[str]:  # noqa: B008
    return [word for _, word in choose(releases, DEVICE, journal, now).refused]


def test_the_highest_counter_wins_whatever_the_order_and_the_version():
    newest = release(3, version="0.9.0")

    choice = choose([release(1), newest, release(2)], DEVICE, Journal(), NOW)

    assert choice.release == newest
    assert choice.refused == ()


def test_a_release_that_does_not_fit_gives_way_to_one_that_does():
    choice = choose([release(1), release(2, percent=0.0)], DEVICE, Journal(), NOW)

    assert choice.release == release(1)
    assert [(made.counter, word) for made, word in choice.refused] == [(2, "not-in-cohort")]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"name": "shapes"}, "model shapes"),
        ({"task": "detection"}, "task detection"),
        ({"formats": ("tensorrt",)}, "format tensorrt"),
        ({"formats": ()}, "format none"),
        ({"archs": ("x86_64", "armv7l")}, "architecture x86_64 or armv7l, here is aarch64"),
        ({"profiles": ("jetson-orin-nano",)}, "board jetson-orin-nano"),
        ({"min_memory_mb": 4097}, "memory of 4097 MB"),
        ({"min_version": "0.4.1"}, "edge-runtime 0.4.1"),
        ({"min_version": "1"}, "edge-runtime 1"),
    ],
)
def test_a13_what_is_made_for_another_device_is_incompatible(facts, says):
    made = release(1, **facts)

    assert words([made]) == ["incompatible"]
    assert mismatch(made, DEVICE).startswith(says)


@pytest.mark.parametrize(
    "facts",
    [
        {"archs": ("aarch64",)},
        {"profiles": ("jetson-orin-nano", "raspberry-pi-5")},
        {"min_memory_mb": 4096},
        {"min_version": "0.4"},
        {"min_version": "0.4.0.0"},
        {"formats": ("onnx", "tensorrt")},
    ],
)
def test_what_a_device_has_is_enough(facts):
    assert choose([release(1, **facts)], DEVICE, Journal(), NOW).release is not None


def test_memory_that_is_not_known_is_not_enough():
    assert mismatch(release(1, min_memory_mb=1), replace(DEVICE, memory_mb=0))


def test_a10_what_is_below_the_floor_is_older():
    journal = Journal(floor=(("ecg-beats", 3),))

    assert words([release(2)], journal) == ["older"]
    assert choose([release(3)], DEVICE, journal, NOW).release == release(3)


def test_a10_the_floor_of_another_model_says_nothing():
    assert words([release(2)], Journal(floor=(("shapes", 9),))) == []


def test_a10_a_signed_downgrade_is_taken_only_when_what_runs_is_no_release_any_more():
    older = release(1, allow_downgrade=True)

    assert choose([older, release(2)], DEVICE, running(release(2)), NOW).release is None
    gone = choose([older, release(2, revoked="wrong")], DEVICE, running(release(2)), NOW)
    assert gone.release == older


def test_what_runs_is_current_and_nothing_is_to_do():
    choice = choose([release(1), release(2)], DEVICE, running(release(2)), NOW)

    assert choice.release is None
    assert sorted(word for _, word in choice.refused) == ["current", "older"]


def test_what_runs_stays_current_when_its_rollout_no_longer_names_this_board():
    elsewhere = release(2, percent=0.0, profiles=("jetson-orin-nano",))

    assert words([elsewhere], running(release(2))) == ["current"]


def test_a_revoked_release_is_refused_and_told_when_it_runs():
    bad = release(2, revoked="misses beats")

    assert words([bad]) == ["revoked"]
    assert choose([bad], DEVICE, Journal(), NOW).revoked is None
    choice = choose([release(1), bad], DEVICE, running(bad), NOW)
    assert choice.revoked == bad
    assert choice.release is None  # the one before lies in a slot: that is rolled back to


def test_a_quarantined_digest_waits_for_another_counter():
    failed = Quarantined(release(2).digest, 2, "too slow")
    journal = Journal(quarantine=(failed,))

    assert words([release(2)], journal) == ["quarantined"]
    again = release(3, digest=release(2).digest)
    assert choose([again], DEVICE, journal, NOW).release == again


def test_a_release_waits_for_its_time():
    assert words([release(1, not_before=NOW + 1)]) == ["not-yet"]
    assert words([release(1, not_before=NOW)]) == []


def test_devices_that_are_named_get_it_at_no_per_cent():
    named = release(1, percent=0.0, devices=("bed-7",))

    assert choose([named], DEVICE, Journal(), NOW).release == named
    assert not in_cohort(named, "bed-8")


@given(
    device=st.text(max_size=40),
    counter=st.integers(1, 10**6),
    low=st.integers(0, 10_000),
    high=st.integers(0, 10_000),
)
def test_a_raised_percentage_only_adds_devices(device, counter, low, high):
    low, high = sorted((low, high))
    before = release(counter, percent=low / 100)

    if in_cohort(before, device):
        assert in_cohort(replace(before, percent=high / 100), device)
    assert 0.0 <= share(device, before) < 1.0
    assert in_cohort(replace(before, percent=100.0), device)
    assert not in_cohort(replace(before, percent=0.0), device)


@pytest.mark.parametrize("percent", [1.0, 10.0, 50.0, 90.0])
def test_the_share_of_ten_thousand_devices_is_the_percentage(percent):
    made = release(7, percent=percent)

    reached = sum(in_cohort(made, f"device-{number}") for number in range(10_000))

    spread = (10_000 * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(reached - 100 * percent) < 4 * spread


def test_places_are_spread_evenly_over_the_whole_range():
    counts = [0] * 100
    for number in range(10_000):
        counts[int(share(f"device-{number}", release(1)) * 100)] += 1

    chi_squared = sum((count - 100) ** 2 / 100 for count in counts)
    assert chi_squared < 148.2  # 99 degrees of freedom, p = 0.001


def test_who_is_first_is_independent_from_release_to_release():
    devices = [f"device-{number}" for number in range(10_000)]
    for other in (release(2), release(1, name="shapes")):
        both = sum(share(d, release(1)) < 0.1 and share(d, other) < 0.1 for d in devices)
        assert abs(both - 100) < 4 * 99**0.5


def test_a_place_never_changes_between_versions_of_this_program():
    assert share("bed-7", release(1)) == 0.24010057091038894  # sha256("bed-7:ecg-beats:1")
