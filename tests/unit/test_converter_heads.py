"""Networks of several heads: labels for each, a score for each, and a gate that none may fail."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from edge_runtime.converters import card, comparing
from edge_runtime.converters import contract as contracts
from edge_runtime.converters import report as reporting
from edge_runtime.converters.convert import convert
from edge_runtime.converters.data import read
from edge_runtime.converters.errors import GateError
from edge_runtime.converters.gate.estimate import Resampling
from edge_runtime.converters.gate.measure import How, ModelFile, measure
from edge_runtime.converters.gate.scores import score_many
from edge_runtime.converters.gate.verdict import judge
from edge_runtime.converters.wish import wish

from edge_runtime import manifest
from edge_runtime.errors import ConfigError, EdgeRunError
from tests.converter_nets import HEADS, heads_cases, heads_net
from tests.families import python_of
from tests.needs import ROOT
from tests.runtimes import need_runtime

FOLDER = ROOT / "models/ecg-edge"
EDGE = manifest.read(FOLDER)
ALL = 24  # strips, of twelve patients


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The contract of a small network of two heads."""
    (path := tmp_path_factory.mktemp("toy") / "model.toml").write_text(HEADS)
    return contracts.read(path).manifest


@pytest.fixture(scope="module")
def ecg(tmp_path_factory):
    """Strips of noise and waves with what the FP16 file says of them as labels; two runs."""
    need_runtime("onnx")
    random = np.random.default_rng(5)
    time = np.arange(1000)[None, :, None] / 100
    rates = random.uniform(0.5, 6, (ALL, 1, 12))
    strips = np.sin(2 * np.pi * rates * time) * random.uniform(0, 2, (ALL, 1, 12))
    strips += random.normal(0, 0.1, strips.shape)
    files = [FOLDER / f"ecg-edge-{kind}.onnx" for kind in ("float16", "int8")]
    inputs = {"signal": strips.astype(np.float32)}
    runs = [measure(ModelFile(file, inputs, EDGE), How(calls=0)) for file in files]
    scores = runs[0].values[0]
    path = tmp_path_factory.mktemp("ecg") / "strips.npz"
    findings = (scores[:, 3:8] >= 0.5).astype(np.float32)
    findings[0] = np.nan
    rhythm = scores[:, :3].argmax(axis=1)
    rhythm[:2] = -1
    groups = [f"p{row // 2}" for row in range(ALL)]
    labels = {"labels/rhythm": rhythm, "labels/findings": findings}
    np.savez(path, **inputs, **labels, groups=groups)
    return path, runs


# Data


def test_labels_of_heads_are_read_with_what_is_not_known(ecg):
    path, _ = ecg
    cases = read(str(path), EDGE)

    assert list(cases.heads) == ["rhythm", "findings", "noise"]
    assert cases.heads["rhythm"].sum(axis=1).tolist() == [-3, -3, *[1] * (ALL - 2)]
    assert cases.heads["findings"].shape == (ALL, 5)
    assert (cases.heads["findings"][0] == -1).all()
    assert (cases.heads["noise"] == -1).all()
    assert (cases.labels, cases.labelled, cases.groups[3]) == (None, True, "p1")
    assert set(cases.per_class()) == set(EDGE.labels()[:8])
    assert sum(list(cases.per_class().values())[:3]) == ALL - 2
    part = cases.part([5, 0])
    assert part.heads["rhythm"][1].tolist() == [-1, -1, -1]
    assert not read(str(path), EDGE, limit=5, balanced=True).balanced


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels/rythm": [0, 0]}, "no head 'rythm'; did you mean 'rhythm'"),
        ({"labels": [0, 0]}, "'labels' are of no head: name them 'labels/rhythm'"),
        (
            {"labels/rhythm": [0, 3]},
            r"'rhythm': 3 in case 1: give 0 to 2 \(sinus, af, other\)",
        ),
        ({"labels/rhythm": [0.5, 1]}, "head 'rhythm': 0.5 in case 0"),
        ({"labels/rhythm": [[1, 0, 0]] * 2}, r"are \(2, 3\), and must be \(cases,\), an index of"),
        ({"labels/findings": [0, 1]}, r"are \(2,\), and must be \(cases, 2\) of 0 and 1"),
        ({"labels/findings": [[0, 1], [2, 0]]}, "head 'findings': 2 in case 1: give 0 or 1"),
        ({"labels/rhythm": ["af", "af"]}, "hold <U2, not numbers"),
        ({"labels/rhythm": [0]}, "equally many cases: 'x' 2, 'labels/rhythm' 1"),
        ({"groups": ["a"]}, "equally many cases: 'x' 2, 'groups' 1"),
    ],
)
def test_labels_that_cannot_be_those_of_a_head_are_refused(toy, tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 5)), **arrays)
    with pytest.raises(ConfigError, match=message):
        read(str(tmp_path / "data.npz"), toy)


def test_labels_of_a_head_for_a_model_without_any_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 5)), **{"labels/rhythm": [0, 1]})
    resnet8 = manifest.read(ROOT / "examples/contracts/resnet8.toml")
    with pytest.raises(ConfigError, match=r"head 'rhythm', and the model has no \[\[head\]\]"):
        read(str(tmp_path / "data.npz"), resnet8)


def test_a_generator_says_of_each_case_what_it_knows(toy, tmp_path, monkeypatch):
    (tmp_path / "cases_of_heads.py").write_text(
        "def cases():\n"
        "    yield {'x': [0] * 5, 'label': {'rhythm': 2, 'findings': [1, -1]}}\n"
        "    yield {'x': [0] * 5, 'label': 'rhythm: af'}\n"
        "    yield {'x': [0] * 5, 'label': 'findings: up'}\n"
        "    yield {'x': [0] * 5}\n"
    )
    monkeypatch.chdir(tmp_path)
    heads = read("cases_of_heads:cases", toy).heads
    assert heads["rhythm"].tolist() == [[0, 0, 1], [0, 1, 0], [-1] * 3, [-1] * 3]
    assert heads["findings"].tolist() == [[1, -1], [-1, -1], [1, -1], [-1, -1]]


# Figures


def test_labels_of_which_any_may_hold_are_scored_as_worked_out_by_hand():
    right = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 0], [0, 1, 0]])
    called = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)

    scores = score_many(right, called, ("a", "b", "c"), Resampling(4, replicates=50))

    a, b = scores.classes  # c never holds and is never called; b of case 2 is not known
    assert (a.cases, a.called, a.precision, a.recall, a.f1) == (2, 2, 1 / 2, 1 / 2, 1 / 2)
    assert (b.cases, b.called, b.precision, b.recall, b.f1) == (2, 1, 1, 1 / 2, 2 / 3)
    assert scores.macro_f1.value == pytest.approx((1 / 2 + 2 / 3) / 2)


def changed(run, rows, columns):
    """The run with the scores of these cases a place farther along in some columns."""
    values = run.values[0].copy()
    values[np.ix_(rows, columns)] = np.roll(values[np.ix_(rows, columns)], 1, axis=1)
    return replace(run, values=(values,))


def test_a_network_of_heads_is_scored_head_by_head_over_what_is_known(ecg):
    path, runs = ecg
    verdict = judge("onnx:int8", EDGE, read(str(path), EDGE), runs[0], runs[1], max_drop=100)

    rhythm, findings = verdict.drops
    assert (rhythm.head, rhythm.metric, rhythm.cases) == ("rhythm", "accuracy", ALL - 2)
    assert (findings.head, findings.metric, findings.cases) == ("findings", "macro-F1", ALL - 1)
    assert rhythm.before.value == findings.before.value == 1
    assert "11 groups" in rhythm.loss.method  # of twelve patients one is not known
    assert rhythm.patients == 11
    assert verdict.passed
    assert any(note.startswith("head 'noise': of no known accuracy") for note in verdict.notes)
    facts = json.loads(json.dumps(verdict.facts(), allow_nan=False))
    assert [one["head"] for one in facts["drops"]] == ["rhythm", "findings"]
    assert set(facts["agreement"]["heads"]) == {"rhythm", "findings", "noise"}


def test_the_gate_fails_when_any_one_head_loses_more(ecg):
    path, (one, _) = ecg
    cases = read(str(path), EDGE)
    assert judge("same", EDGE, cases, one, one, max_drop=0).passed
    unknown = judge("x", EDGE, cases, one, changed(one, [0, 1], [0, 1, 2]), max_drop=0)
    assert unknown.passed  # the rhythm of these two is not known

    worse = changed(one, range(2, 8), [0, 1, 2])
    verdict = judge("x", EDGE, cases, one, worse, max_drop=0.5)

    rhythm, findings = verdict.drops
    assert rhythm.points == pytest.approx(100 * 6 / (ALL - 2))
    assert findings.points == 0
    (reason,) = verdict.reasons
    assert reason.startswith(f"head 'rhythm': loses {rhythm.points:.2f} points of accuracy (95 %")


def test_of_a_head_without_labels_each_changed_answer_counts_as_lost(ecg):
    path, (one, _) = ecg
    cases = read(str(path), EDGE)
    values = one.values[0].copy()
    values[:6, 8] = 1 - (values[:6, 8] >= 0.5)
    other = replace(one, values=(values,))

    verdict = judge("x", EDGE, cases, one, other, max_drop=24.9)

    (reason,) = verdict.reasons
    assert reason.startswith("head 'noise': 25.00 % of 24 answers changed, and without labels")
    assert judge("x", EDGE, cases, one, other, max_drop=25).passed
    assert verdict.agreement.heads == {"rhythm": 24, "findings": 24, "noise": 18}


def test_a_head_whose_labels_never_hold_has_no_score(ecg):
    path, (one, _) = ecg
    cases = read(str(path), EDGE)
    never = {**cases.heads, "noise": np.zeros((ALL, 1), np.int8)}
    verdict = judge("x", EDGE, replace(cases, heads=never), one, one, max_drop=0)
    assert verdict.passed
    assert [one.head for one in verdict.drops] == ["rhythm", "findings"]


# What is told


def test_two_files_of_heads_are_compared_head_by_head(ecg):
    path, _ = ecg
    sides = [comparing.side(FOLDER / f"ecg-edge-{kind}.onnx") for kind in ("float16", "int8")]
    found = comparing.compare(*sides, str(path), how=How(calls=0))

    rows = {row[0]: row[1:] for row in found.rows()}
    assert rows["rhythm accuracy, %"][0].startswith("100.00 (")
    assert rows["findings macro-F1, %"][2].startswith("loses ")
    assert rows["same noise"][1].endswith(f"of {ALL}")
    assert {"rhythm", "findings"} == {one["head"] for one in found.facts()["drops"]}
    for one in found.differences:
        if one.case not in {"0", "1"}:
            assert "rhythm: " in one.right


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A folder with a small network of two heads, its contract, and labelled cases."""
    python_of("convert")
    monkeypatch.chdir(tmp_path)
    heads_net(tmp_path / "net.onnx")
    (tmp_path / "net.toml").write_text(HEADS)
    np.savez(tmp_path / "cases.npz", **heads_cases(60))
    return tmp_path


def asked(folder, *targets, **more):
    given = {
        "model": str(folder / "net.onnx"), "out": folder / "out", "contract": folder / "net.toml",
        "targets": targets, "purpose": None, "calibrate": None, "steps": None,
        "evaluate": str(folder / "cases.npz"), "calibration_cases": 200, "evaluation_cases": None,
        "seed": 0, "calibration": "minmax", "max_drop": 0.5, "weights": None,
        "dynamic_batch": False, "unroll": False, "signature": None, "trust": False,
        "overwrite": False, "timeout_s": 200.0,
    }  # fmt: skip
    return wish(**{**given, **more})


def quiet(*_):
    """Nobody looks."""


def test_a_head_that_a_precision_spoils_stops_the_conversion(network):
    with pytest.raises(GateError, match="float16 head 'findings': loses .* macro-F1") as error:
        convert(asked(network, "onnx:float16"), quiet)
    assert "rhythm" not in str(error.value)
    assert not (network / "out").exists()


def test_report_card_and_manifest_have_the_figures_of_each_head(network):
    report = convert(asked(network, "onnx:float32"), quiet)

    assert "rhythm accuracy 100.00 %, loses 0.00, findings macro-F1 100.00 %" in report.text()
    text = (network / "out/README.md").read_text()
    assert "| `net-float32.onnx` | rhythm | 60 | accuracy | 100.00 (" in text
    assert "| `net-float32.onnx` | findings | 58 | macro-F1 | 100.00 (" in text
    assert "Head `rhythm`. F1 in percent." in text
    assert "Head `findings`. F1 in percent." in text
    assert "allows a loss of 0.5 points, of each head" in text
    assert "(rhythm: sinus " in text
    accuracy = manifest.read(network / "out").accuracy
    assert (accuracy["metric_findings"], accuracy["source_rhythm"]) == ("macro-F1", 1.0)
    assert accuracy["onnx_float32_findings"] == 1.0


def test_a_card_says_which_head_has_no_labels(network):
    cases = heads_cases(60)
    del cases["labels/findings"]
    np.savez(network / "cases.npz", **cases)
    facts = convert(asked(network, "onnx:float32"), quiet).facts
    text = card.text(manifest.read(network / "out"), facts)
    assert "| findings | 0 | no labels | not measured |" in text
    assert "Head 'findings': of no known accuracy" in text


# Calibration, contract


def test_ranges_of_few_cases_are_said_aloud(network):
    np.savez(network / "few.npz", x=heads_cases(1)["x"])
    wanted = asked(network, "onnx:int8", calibrate=str(network / "few.npz"), max_drop=100.0)

    report = convert(wanted, quiet)

    note = "the integer ranges are of one case of few.npz only: what lies beyond them is clipped"
    assert f"note: {note}" in report.text()
    assert f"- {note[0].upper()}{note[1:]}" in (network / "out/README.md").read_text()
    assert [one.startswith(note) for one in report.facts["notes"]] == [True]


def test_sixteen_cases_of_calibration_are_enough_to_say_nothing():
    few, enough = ({"cases": count, "source": "few.npz"} for count in (15, 16))
    assert "of 15 cases of few.npz only" in next(reporting._notes(few))
    assert list(reporting._notes(enough)) == list(reporting._notes(None)) == []


@pytest.mark.parametrize(
    ("changes", "array", "message"),
    [
        (
            {'name = "x"': 'name = "y"'},
            ("y", 5),
            "cases are for y; the model takes x: name its",
        ),
        ({"[1, 5]": "[1, 6]"}, ("x", 6), r"input 'x' is \['n', 5\], and a case \[1, 6\]: mend"),
        ({'"scores"\n': '"logits"\n'}, ("x", 5), "'logits' is not in the file; it has 0 'scores'"),
        (
            {'"down"]': '"down", "no"]'},
            ("x", 5),
            r"6 for output 'scores', which is \(1, 5\)",
        ),
    ],
)
def test_a_contract_that_is_not_the_models_is_the_users_to_mend(network, changes, array, message):
    text = HEADS
    for old, new in changes.items():
        text = text.replace(old, new)
    text = text.replace('meaning = "logits"', 'meaning = "scores"')
    (network / "net.toml").write_text(text)
    name, width = array
    np.savez(network / "cases.npz", **{name: np.ones((4, width))})
    with pytest.raises(EdgeRunError, match=message) as error:
        convert(asked(network, "onnx:float32"), quiet)
    assert error.value.exit_code == 2
