"""What a switch says and asks: `info` on the wire, agreement of answers, the table [update]."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import config
from edge_runtime.errors import ConfigError
from edge_runtime.outcome import (
    Beat,
    Beats,
    Box,
    CannotSay,
    Detection,
    Detections,
    Keypoint,
    Keypoints,
    Label,
    Labels,
    Tensor,
    Tensors,
)
from edge_runtime.swap.comparison import agreement, brief
from edge_runtime.update_state import Disagreement, ShadowReport, UpdateState
from edge_runtime.wire import Encoder

from ...messages import IDENTITY, INFO
from ...needs import ROOT

SAMPLE = Disagreement("port", 7, 1_700_000_000_000_000_000, "N 0.98", "V 0.61")
REPORT = ShadowReport(120, 0.95, float("nan"), (SAMPLE,))


def test_where_an_update_stands_is_in_info_and_fits_the_schema():
    validator = pytest.importorskip("jsonschema").Draft202012Validator(
        json.loads((ROOT / "edge_runtime" / "info.schema.json").read_text())
    )
    update = UpdateState("shadow", "shapes", "1.2.0", 7, 'a "reason"', REPORT)
    payload = Encoder(IDENTITY).info(INFO._replace(update=update), 1, "5")
    document = json.loads(payload)
    validator.validate(document)
    assert document["update"]["reason"] == 'a "reason"'
    assert document["update"]["shadow"]["latency_ratio"] is None
    assert document["update"]["shadow"]["samples"][0]["candidate"] == "V 0.61"
    assert "update" not in json.loads(Encoder(IDENTITY).info(INFO, 1, "5"))


def labels(*names: str, head: str = "") -> Labels:
    return Labels(tuple(Label(0, name, 0.5, head) for name in names))


def box(left: float, label: str = "cat") -> Detection:
    return Detection(0, label, 0.9, Box(left, 0, left + 10, 10))


def beats(*names: str) -> Beats:
    return Beats(tuple(Beat(0, name, 0.9, 0, None, None) for name in names))


def pose(shift: float) -> Keypoints:
    return Keypoints((Keypoint("a", 1, 0, 0), Keypoint("b", 1, 100 + shift, 0)))


@pytest.mark.parametrize(
    ("one", "two", "degree"),
    [
        (labels("N", "V"), labels("N", "S"), 1.0),
        (labels("N", "V"), labels("V", "N"), 0.0),
        (labels(), labels("N"), 0.0),
        (labels(), labels(), 1.0),
        (
            Labels(labels("af", head="rhythm").labels + labels("mi", head="findings").labels),
            Labels(labels("af", head="rhythm").labels + labels("norm", head="findings").labels),
            0.5,
        ),
        (beats("N", "V"), beats("N", "N"), 0.5),
        (Detections((box(0),)), Detections((box(2),)), 1.0),
        (Detections((box(0),)), Detections((box(8),)), 0.0),
        (Detections((box(0),)), Detections((box(0, "dog"),)), 0.0),
        (Detections((box(0), box(50))), Detections((box(0),)), 2 / 3),
        (Detections(()), Detections(()), 1.0),
        (pose(0), pose(5), 1.0),
        (pose(0), pose(20), 0.5),
        (Tensors((Tensor("y", np.array([1, 3])),)), Tensors((Tensor("y", np.array([2, 9])),)), 1),
        (Tensors((Tensor("y", np.array([1, 3])),)), Tensors((Tensor("y", np.array([9, 2])),)), 0),
        (CannotSay("quality"), CannotSay("noise"), 1.0),
        (CannotSay("quality"), labels("N"), 0.0),
    ],
)
def test_agreement_is_what_the_answers_have_in_common(one, two, degree):
    assert agreement(one, two) == pytest.approx(degree)
    if not isinstance(one, Keypoints):
        assert agreement(two, one) == pytest.approx(degree)


def test_an_answer_is_told_in_a_few_words():
    assert brief(labels("N", "V")) == "N 0.50, V 0.50"
    assert brief(Detections(())) == "nothing"
    assert brief(CannotSay("quality")) == "cannot say: quality"


RUN_FILE = """\
name = "a"
[model]
path = "shapes"
[[source]]
kind = "shapes"
[[sink]]
kind = "console"
[update]
{lines}
"""


def loaded(tmp_path: Path, *lines: str):
    path = tmp_path / "run.toml"
    path.write_text(RUN_FILE.format(lines="\n".join(lines)))
    return config.load(path, {}).update


def test_update_takes_one_place_or_several_mirrors(tmp_path):
    one = loaded(tmp_path, 'repository = "https://a/b"', "probation_s = 5")
    assert one.repository == ("https://a/b",)
    assert one.root_file == str(tmp_path / "root.json")
    assert (one.probation_s, one.probation_results, one.require_approval) == (5.0, 1000, False)
    two = loaded(tmp_path, 'repository = ["https://a", "stick"]', 'state = "kept"')
    assert two.repository == ("https://a", str(tmp_path / "stick"))
    assert two.state == str(tmp_path / "kept")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("probation_s = 1",), "repository: is missing"),
        (('repository = "x"', "probation_s = 0"), "probation_s: 0.0 must be above 0"),
        (('repository = "x"', "canary = 5"), "did you mean 'canary_percent'"),
        (("repository = [1]",), "repository: must be a text"),
        (("repository = 1",), "repository: must be a text"),
        (('repository = ""',), "repository: is missing"),
        (('repository = ["stick", ""]',), "repository: is missing"),
        (('repository = "x"', "root_file = 1"), "root_file: must be a text"),
    ],
)
def test_what_is_wrong_in_update_is_named(tmp_path, lines, message):
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, *lines)


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        ("http://models.example.org/", "must be https://host/path, file:///path or a folder"),
        ("ftp://models.example.org/", "must be https://host/path, file:///path or a folder"),
        ("https://:443/", "must be https://host/path, file:///path or a folder"),
        ("https://models.example.org:port/", "is no URL"),
        ("https://bed-7:s3cret@models.example.org/", "no log-in, query and fragment"),
        ("https://models.example.org/?s3cret", "no log-in, query and fragment"),
    ],
)
def test_an_address_that_no_model_may_come_from_is_refused_where_it_stands(
    tmp_path, mirror, message
):
    with pytest.raises(ConfigError, match=message) as found:
        loaded(tmp_path, f'repository = ["stick", "{mirror}"]')
    assert str(found.value).startswith(f"{tmp_path / 'run.toml'}:9: [update] repository: ")
    assert "s3cret" not in str(found.value)
    assert found.value.exit_code == 2


@pytest.mark.parametrize("mirror", ["http://127.0.0.1:8000/", "file:///media/stick", "https://a"])
def test_an_address_of_a_server_of_this_machine_or_a_folder_is_taken(tmp_path, mirror):
    assert loaded(tmp_path, f'repository = "{mirror}"').repository == (mirror,)
