"""F17 and the contract: manifests that are garbage, and such as do not fit the pipeline."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter

import pytest

from edge_runtime import manifest as manifests
from edge_runtime.config import ModelConfig, Rung
from edge_runtime.update.gate import child as gate_child
from edge_runtime.update.gate import contents, contract

from . import hostile, mutants
from .gates import ONNX, refusal, unwalled
from .hostile import BEATS, HALF, SHAPES

GARBAGE = {
    "empty": "",
    "binary": "\0\1\2",
    "json": '{"name": "half-plus-two"}',
    "a key twice": 'name = "a"\nname = "b"\n',
    "a table twice": "[golden]\n[golden]\n",
    "deep lists": "a = " + "[" * 10_000 + "]" * 10_000,
    "deep tables": "a = " + "{b = " * 10_000 + "1" + "}" * 10_000,
    "a number of 9000 digits": "a = " + "9" * 9000,
}
EDITS = {
    "NaN": ("tolerance = 0.0", "tolerance = nan"),
    "infinite": ("rate_hz = 1.0", "rate_hz = inf"),
    "NaN among figures": ("onnx = 0.0", "onnx = nan"),
    "text for number": ("rate_hz = 1.0", 'rate_hz = "1"'),
    "number for text": ('task = "tensors"', "task = 7"),
    "list for table": ('[postprocess]\nkind = "tensors"', "[[postprocess]]\nkind = 1"),
    "table for list": ("[[output]]", "[output]"),
    "unknown key": ('task = "tensors"', 'task = "tensors"\nwebhook = "http://x"'),
    "unknown task": ('task = "tensors"', 'task = "weather"'),
    "file outside": ('path = "half_plus_two.onnx"', 'path = "../half_plus_two.onnx"'),
    "file by URL": ('file = "golden.npz"', 'file = "https://example.org/golden.npz"'),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_f17_a_manifest_that_is_garbage_is_refused(tmp_path, what):
    (tmp_path / "model.toml").write_text(GARBAGE[what])
    manifest, check = contents.read(tmp_path)
    assert manifest is None
    assert (check.name, check.passed) == ("manifest", False)
    assert check.seen


@pytest.mark.parametrize("what", EDITS)
def test_f17_a_manifest_with_wrong_values_is_refused(tmp_path, what):
    slot = hostile.slot(tmp_path / "slot", HALF, hostile.text(*EDITS[what]))
    manifest, read = contents.read(slot)
    checks = iter([read]) if manifest is None else contents.look(slot, manifest)
    failure = next(check for check in checks if not check.passed)
    assert failure.name in ("manifest", "files", "hash")


def test_f17_a_manifest_of_a_hundred_megabytes_is_not_read(tmp_path):
    slot = hostile.slot(tmp_path / "slot", HALF)
    with (slot / "model.toml").open("r+b") as file:
        file.truncate(100 << 20)  # a hole: nothing is written
    failure = refusal(slot, HALF, ONNX)
    assert (failure.name, failure.seen) == ("manifest", "100 MB")


def test_f17_a_manifest_that_is_a_knot_is_not_untied(tmp_path):
    (tmp_path / "model.toml").write_bytes(b".".join([b"a"] * 100_000) + b" = 1")
    manifest, check = contents.read(tmp_path)
    assert (manifest, check.name) == (None, "manifest")
    assert check.seen.endswith("a key of many parts")


@pytest.mark.parametrize("base", [HALF, SHAPES, BEATS], ids=lambda base: base.name)
def test_f17_a_damaged_manifest_is_refused_or_fits_and_nothing_else(tmp_path, base):
    slot, outcomes = hostile.slot(tmp_path / "slot", base), Counter()
    whole = (slot / "model.toml").read_bytes()
    for seed in range(150):
        (slot / "model.toml").write_bytes(mutants.mutant(whole, seed))
        outcomes[_verdict(slot, base)] += 1
    assert outcomes["manifest"] > 75
    assert outcomes["fits"]  # some damage is to words for people


def _verdict(slot, base) -> str:
    manifest, read = contents.read(slot)
    if manifest is None:
        return read.name
    checks = (*contents.look(slot, manifest), *gate_child._contract(ModelConfig(base), manifest))
    return next((check.name for check in checks if not check.passed), "fits")


def test_f17_labels_that_are_numbered_without_sense_are_refused(tmp_path):
    slot = hostile.slot(tmp_path / "slot", SHAPES, hostile.content("labels.txt", b"\xc2\xb2 cat\n"))
    failure = unwalled(slot, SHAPES, Rung("xnnpack"))
    assert failure.name == "labels"


def test_f17_a_manifest_that_is_a_pipe_or_a_link_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "model.toml")
    assert contents.read(tmp_path)[1].seen == "no plain file"
    (tmp_path / "model.toml").unlink()
    (tmp_path / "model.toml").symlink_to("/dev/zero")
    assert contents.read(tmp_path)[1].seen == "no plain file"


def test_f17_no_manifest_at_all_is_refused(tmp_path):
    assert refusal(tmp_path / "nothing", HALF, ONNX).name == "manifest"


def changed(base, **values):
    return dataclasses.replace(manifests.read(base), **values)


def changed_input(base, position, **values):
    entries = list(manifests.read(base).input)
    entries[position] = dataclasses.replace(entries[position], **values)
    return changed(base, input=tuple(entries))


def changed_rules(base, **values):
    rules = dataclasses.replace(manifests.read(base).postprocess, **values)
    return changed(base, postprocess=rules)


DIFFERENT = {
    "task": (SHAPES, changed(SHAPES, task="tensors")),
    "stateful": (SHAPES, changed(SHAPES, stateful=True)),
    "postprocess": (SHAPES, changed_rules(SHAPES, kind="tensors")),
    "unsure": (SHAPES, changed_rules(SHAPES, unsure="?")),
    "names": (SHAPES, changed_rules(SHAPES, names=("nose",))),
    "colour": (SHAPES, changed_input(SHAPES, 0, colour="grey")),
    "input kind": (BEATS, changed(BEATS, input=manifests.read(BEATS).input[:2])),
    "leads": (BEATS, changed_input(BEATS, 2, leads=("MLII", "V1", "V2"))),
    "rate_hz": (BEATS, changed_input(BEATS, 2, rate_hz=360.0)),
    "units": (BEATS, changed_input(BEATS, 2, units="mV")),
    "window": (BEATS, changed_input(BEATS, 2, shape=(1, 250, 3))),
    "context": (BEATS, changed_input(BEATS, 2, context=10)),
    "shape": (BEATS, changed_input(BEATS, 0, shape=(1, 16))),
    "feature": (BEATS, changed_input(BEATS, 1, feature="other")),
}


@pytest.mark.parametrize("word", DIFFERENT)
def test_each_difference_from_the_live_model_has_its_word(word):
    base, candidate = DIFFERENT[word]
    failed = [check.name for check in contract.compare(manifests.read(base), candidate)]
    assert failed == [word]


def test_what_is_a_models_own_may_differ():
    values = {"layout": "NCHW", "mean": (0.5,), "shape": (1, 3, 96, 96), "name": "image"}
    candidate = changed_input(SHAPES, 0, **values)
    rules = dataclasses.replace(candidate.postprocess, threshold=0.3, top_k=1)
    candidate = dataclasses.replace(candidate, version="9.0.0", postprocess=rules)
    (check,) = contract.compare(manifests.read(SHAPES), candidate)
    assert (check.name, check.passed) == ("contract", True)


def test_the_order_of_the_inputs_in_the_file_is_the_models_own():
    candidate = changed(BEATS, input=manifests.read(BEATS).input[::-1])
    (check,) = contract.compare(manifests.read(BEATS), candidate)
    assert check.passed
