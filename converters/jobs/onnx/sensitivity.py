"""Which nodes of an ONNX model suffer most from int8: the error when only that one is quantised.

Options: those of int8 in `onnx_precision`, `seconds` as in `sensitivity`, `max_cases`. The names
in `sensitivity` are those that `keep_float` takes. `out` becomes the same table as JSON.
"""

from __future__ import annotations

import json

from .. import sensitivity
from ..difference import Outputs
from ..job import Facts, Job
from . import file as onnx_file
from . import quantise as onnx_quantise
from . import session as onnx_session


def run(job: Job) -> Facts:
    """Quantise and run the model once for each node; see `sensitivity.rank`."""
    prepared = onnx_quantise.prepare(job)
    float_session = onnx_session.session(prepared.model)
    cases = onnx_session.feeds(float_session, job.cases)
    cases = cases[: int(job.options.get("max_cases", 16))]

    def outputs(name: str) -> Outputs:
        model = onnx_quantise.quantise(prepared, [name])
        onnx_file.sort(model.graph)
        return onnx_session.predict(onnx_session.session(model), cases)

    names = set(prepared.nodes())
    parts = [(n.name, n.op_type) for n in prepared.model.graph.node if n.name in names]
    expected = onnx_session.predict(float_session, cases)
    facts = sensitivity.rank(job, parts, outputs, expected)
    job.out.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts
