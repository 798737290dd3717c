"""Which operations of a .tflite file suffer most from int8: the error when only one is quantised.

Options: `precision` (int8, int16x8), those of calibration in `tflite_quantise`, `seconds` as in
`sensitivity`, `max_cases`. The names in `sensitivity` are those that `keep_float` takes. `out`
becomes the same table as JSON.
"""

from __future__ import annotations

import json

from .. import sensitivity
from ..difference import Outputs
from ..job import Facts, Job
from . import file as tflite_file
from . import quantise as tflite_quantise
from .facts import has_variables
from .session import Session


def run(job: Job) -> Facts:
    """Quantise and run the model once for each operation; see `sensitivity.rank`."""
    prepared = tflite_quantise.prepare(job, calibrate=True)
    anew = has_variables(tflite_file.parse(prepared.content))
    source = Session(prepared.content, anew=anew)
    cases = source.feeds(job.cases)[: int(job.options.get("max_cases", 16))]
    bits = 16 if job.options.get("precision") == "int16x8" else 8
    known = tflite_quantise.quantisable()
    parts = {part.name: part for part in prepared.parts if part.op in known}

    def outputs(name: str) -> Outputs:
        scope = tflite_quantise.exactly(parts[name].scope)
        content = tflite_quantise.quantise(
            prepared, lambda worker: tflite_quantise.static(worker, bits=bits, scope=scope)
        )
        return Session(content, anew=anew).predict(cases)

    names = [(part.name, part.op) for part in parts.values()]
    facts = sensitivity.rank(job, names, outputs, source.predict(cases))
    job.out.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts
