"""PyTorch to ONNX, float32: captured by torch.export, cleaned, checked and compared.

Options: those of torch_model, `batch` (1 fixed, 0 dynamic), `opset` (18; TorchScript 17),
`metadata` (a table of texts for metadata_props). TorchScript goes through the older exporter of
torch, since torch.export refuses it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..difference import Outputs, require_same
from ..job import Array, Facts, Job, JobError
from ..onnx import file as onnx_file
from ..onnx import session as onnx_session
from ..onnx.model import slim
from . import model as torch_model
from . import run as torch_run
from .model import Network
from .program import capture, place_of
from .weights import first_line

_OPSET, _OPSET_SCRIPT = 18, 17
_WAY_OUT = "write it with other operations, or leave it to the postprocessing"


def run(job: Job) -> Facts:
    """Write the ONNX file, when it gives what the network gives."""
    import onnx

    network = torch_model.load(job)
    arrays = torch_run.samples(network, job)
    expected = torch_run.predict(network, arrays, job)
    names = torch_run.file_names(list(expected))
    make = _from_script if network.kind == "script" else _from_program
    job.progress(0, 3, "export")
    model = make(network, arrays, names, job)
    _strip(model)
    notes: list[str] = []
    model = slim(model, notes)
    _strip(model)
    _name_batch(model)
    texts = {key: str(value) for key, value in job.options.get("metadata", {}).items()}
    onnx.helper.set_model_props(model, texts)
    job.progress(1, 3, "compare")
    compared = _compare(network, model, arrays, expected, job)
    job.progress(2, 3, "write")
    onnx_file.write(model, job.out)
    facts = onnx_file.facts(model)
    told = torch_model.facts(network)
    return {
        **facts,
        "versions": {**told["versions"], **facts["versions"], **_versions()},
        "compared": compared,
        "notes": [*told["notes"], *notes],
    }


def _from_program(network: Network, arrays: Sequence[Array], names: Sequence[str], job: Job) -> Any:
    import torch

    program = capture(network, arrays, int(job.options.get("batch", 1)))
    try:
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=int(job.options.get("opset") or _OPSET),
            input_names=[each.name for each in network.inputs],
            output_names=list(names),
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as exc:
        raise JobError(_refusal(program, exc)) from exc
    return made.model_proto


def _from_script(network: Network, arrays: Sequence[Array], names: Sequence[str], job: Job) -> Any:
    import onnx
    import torch

    batch = int(job.options.get("batch", 1))
    inputs = [each.name for each in network.inputs]
    buffer = io.BytesIO()
    example = torch_run.tensors(arrays, batch or 1)
    try:
        torch.onnx.export(
            _listed(network.module, example),
            example,
            buffer,
            dynamo=False,
            opset_version=int(job.options.get("opset") or _OPSET_SCRIPT),
            input_names=inputs,
            output_names=list(names),
            dynamic_axes=None if batch else {name: {0: "batch"} for name in (*inputs, *names)},
        )
    except torch.onnx.errors.UnsupportedOperatorError as exc:
        found = re.search(r"aten::\w+", str(exc))
        place = _script_place(network.module, found[0]) if found else ""
        raise JobError(
            f"{place or network.path}: {first_line(exc)}; {_WAY_OUT}, or convert the module "
            "itself (module:callable or .pt2)"
        ) from exc
    except torch.onnx.OnnxExporterError as exc:
        raise JobError(
            f"{_scope(exc) or network.path}: {first_line(exc).partition('  [')[0]}; TorchScript "
            "goes through torch's older exporter: convert the module itself (module:callable or "
            ".pt2)"
        ) from exc
    return onnx.load_from_string(buffer.getvalue())


def _listed(script: Any, example: tuple[Any, ...]) -> Any:
    """A script that gives a tuple where it gave a dict, which the older exporter does not know."""
    import torch

    class Listed(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = script

        def forward(self, *arguments: Any) -> tuple[Any, ...]:
            return tuple(tensor for _, tensor in torch_run.flatten(self.network(*arguments)))

    with torch.no_grad():
        if not isinstance(script(*example), Mapping):
            return script
        return torch.jit.trace(Listed().eval(), example, check_trace=False)


def _refusal(program: Any, exc: BaseException) -> str:
    """The innermost reason, and the module that it concerns."""
    reasons = [exc]
    while reasons[-1].__cause__ is not None:
        reasons.append(reasons[-1].__cause__)
    text = str(reasons[-1])
    found = re.search(r"op='([\w.]+)'", text)
    if found and "No ONNX function" in text:
        place = place_of(program, found[1]) or "the network"
        return f"{place}: ONNX has nothing for {found[1]}; {_WAY_OUT}"
    return f"torch cannot express the network in ONNX: {first_line(reasons[-1])}"  # type: ignore[arg-type]


def _script_place(script: Any, operator: str) -> str:
    """The submodule whose own code calls an operator ("aten::svd")."""
    for name, module in reversed(list(script.named_modules())):  # the exporter fills outer ones
        graph = getattr(module, "graph", None)
        if graph is not None and graph.findNode(operator) is not None:
            return f"`{name}` ({module.original_name})" if name else ""
    return ""


def _scope(exc: BaseException) -> str:
    """The module in a message of the older exporter: "scope: Net::/...Encoder::enc/...Head::fc"."""
    scopes = re.findall(r"scope: ([\w.:/]+)", str(exc))
    parts = [part.partition("::") for part in scopes[0].split("/")[1:]] if scopes else []
    path = ".".join(name for _, _, name in parts)
    return f"`{path}` ({parts[-1][0].rpartition('.')[2]})" if path else ""


def _strip(model: Any) -> None:
    """Drop what the exporter keeps for debugging: source paths, traces, module names."""
    model.producer_name, model.producer_version, model.doc_string = "", "", ""
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        item.doc_string = ""
        del item.metadata_props[:]
    for node in onnx_file.nodes(graph):
        node.doc_string = ""
        del node.metadata_props[:]


def _name_batch(model: Any) -> None:
    """Call an open batch axis "batch", where torch.export has "s77"."""
    graph = model.graph
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if symbol and dimension.dim_param == symbol:
                dimension.dim_param = "batch"


def _compare(
    network: Network, model: Any, arrays: Sequence[Array], expected: Outputs, job: Job
) -> Facts:
    """What ONNX Runtime makes of the cases beside what torch makes of them."""
    opened = onnx_session.session(model)
    names = [each.name for each in network.inputs]
    given = [node.name for node in opened.get_inputs()]
    if given != names:
        raise JobError(f"the exporter made the inputs {', '.join(given)} of {', '.join(names)}")

    def run_once(feed: list[Array]) -> list[Array]:
        return onnx_session.run(opened, dict(zip(names, feed, strict=True)))

    found = torch_run.replay(run_once, arrays, int(job.options.get("batch", 1)))
    return require_same(expected, dict(zip(expected, found, strict=True)), network.path.name)


def _versions() -> dict[str, str]:
    import onnxscript
    import onnxslim

    return {"onnxscript": onnxscript.__version__, "onnxslim": onnxslim.__version__}
