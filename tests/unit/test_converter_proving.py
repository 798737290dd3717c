"""What must stay float so that INT8 says what its source says: as little as passes the gate."""

from __future__ import annotations

import numpy as np
import pytest
from edge_runtime.converters.convert import convert
from edge_runtime.converters.errors import GateError
from edge_runtime.converters.wish import wish

from tests.converter_nets import HEADS, heads_cases
from tests.families import python_of

LARGE = ["add", "off", "rest"]  # the nodes that give or take values of hundreds


@pytest.fixture
def network(tmp_path):
    """Scores that have 200 added and taken off again in two steps, and five more products."""
    python_of("convert")
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "half": np.full(5, 0.5), "all": np.full(5, 200.0), "most": np.full(5, -120.0),
        "few": np.full(5, -80.0), "twice": 2 * np.eye(5),
    }  # fmt: skip
    steps = [("Mul", "scale", "half"), ("Add", "add", "all"), ("Add", "off", "most")]
    steps += [("Add", "rest", "few"), *(("MatMul", f"product_{at}", "twice") for at in range(5))]
    names = ["x", *(name for _, name, _ in steps[:-1]), "scores"]
    nodes = [
        helper.make_node(kind, [given, constant], [made], name=name)
        for (kind, name, constant), given, made in zip(steps, names, names[1:], strict=False)
    ]
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 5]) for name in ("x", "scores")
    ]
    weights = [
        numpy_helper.from_array(one.astype(np.float32), name) for name, one in constants.items()
    ]
    graph = helper.make_graph(nodes, "net", sides[:1], sides[1:], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "net.onnx")
    (tmp_path / "net.toml").write_text(HEADS)
    np.savez(tmp_path / "cases.npz", x=heads_cases(100)["x"])
    return tmp_path


def made(folder, **more):
    given = {
        "model": str(folder / "net.onnx"), "out": folder / "out", "contract": folder / "net.toml",
        "targets": ["onnx:int8"], "purpose": None, "calibrate": str(folder / "cases.npz"),
        "steps": None, "evaluate": str(folder / "cases.npz"), "calibration_cases": 200,
        "evaluation_cases": None, "seed": 0, "calibration": "minmax", "max_drop": 100.0,
        "weights": None, "dynamic_batch": False, "unroll": False, "signature": None,
        "trust": False, "overwrite": False, "timeout_s": 200.0,
    }  # fmt: skip
    (file,) = convert(wish(**{**given, **more}), lambda *_: None).facts["files"]
    return file


def test_no_more_stays_float_than_the_least_agreement_asks_for(network):
    careless = made(network)
    assert (careless["kept_for_the_gate"], careless["agreement"]["share"] < 0.5) == ([], True)

    careful = made(network, min_agreement=95.0, overwrite=True)
    assert sorted(careful["kept_for_the_gate"]) == LARGE
    assert careful["agreement"]["share"] >= 0.95


def test_an_agreement_that_cannot_be_had_writes_nothing(network):
    with pytest.raises(GateError, match=r"% of answers are the source's, at least 100 must be"):
        made(network, min_agreement=100.0)
    assert not (network / "out").exists()
