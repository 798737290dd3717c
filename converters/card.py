"""The card of a model directory (README.md), written from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_runtime.manifest import InputEntry, Manifest

from .card_scores import MOST, classes, heads, percent

Facts = Mapping[str, Any]  # plain values, as conversion.json has them

_MISSING = "not measured"


def text(manifest: Manifest, facts: Facts) -> str:
    """The whole card, as Markdown.

    `facts` are those of `report.facts_of`: source, options, calibration and evaluation
    (`Cases.facts`, or None), golden (`Golden.facts`, or None), and for each of `files` what
    `Verdict.facts` says, with `kept_float`, `kept_for_the_gate` and `versions`; perhaps `machine`,
    the one that measured, and `notes` on the whole. What was not done is said to be so.
    """
    parts = [
        [f"# {manifest.name} {manifest.version}", "", manifest.summary or f"Task: {manifest.task}"],
        ["## Limits first", "", *(f"- {line}" for line in limits(manifest, facts))],
        ["## Figures", "", *_figures(facts)],
        list(classes(facts["files"])),
        ["## What goes in and out", "", *_contract(manifest)],
        ["## How it was made", "", *_made(manifest, facts)],
        ["## Golden vectors", "", *_golden(facts.get("golden"))],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def limits(manifest: Manifest, facts: Facts) -> Iterator[str]:
    """What was not measured, said plainly, and the notes of the gate."""
    evaluation, files = facts.get("evaluation"), facts["files"]
    if evaluation is None:
        yield f"Accuracy: {_MISSING}. There were no evaluation data."
    elif not _drops(files):
        yield (
            f"Accuracy: {_MISSING}. The data have no labels that this task is scored by; only the "
            "agreement with the source is known."
        )
    else:
        yield f"Accuracy on other data than `{evaluation['source']}`: {_MISSING}."
    if shared := _shared(facts.get("calibration"), evaluation):
        yield f"{shared} of the calibration cases are evaluation cases too."
    machine = facts.get("machine")
    where = f" The figures are of {machine}." if machine else " The figures are a workstation's."
    yield f"Latency and memory on a device: {_MISSING}.{where}"
    if not facts.get("golden"):
        yield "Golden vectors: none, so a device cannot check that it computes the same."
    if not manifest.licence:
        yield "Licence: not stated."
    notes = (*facts.get("notes", ()), *(note for one in files for note in one["notes"]))
    for note in dict.fromkeys(notes):
        yield f"{note[0].upper()}{note[1:]}."


def _drops(files: Sequence[Facts]) -> list[Facts]:
    return [one["drops"][0] for one in files if one["drops"]]


def _shared(one: Facts | None, other: Facts | None) -> int:
    if not one or not other or one["source"] != other["source"]:
        return 0
    return len(set(one["names"]) & set(other["names"]))


def _figures(facts: Facts) -> Iterator[str]:
    drops = _drops(facts["files"])
    several = bool(drops and drops[0]["head"])
    metric = drops[0]["metric"] if drops else "score"
    if drops:
        first = drops[0]
        source = f"{metric} of the source, in percent: {percent(first['before'])}. "
        yield (
            f"{'' if several else source}In brackets are 95 % intervals "
            f"({first['before']['method']}); what is lost is compared case by case "
            f"({first['loss']['method']})."
        )
        yield ""
    scores = "" if several else f" {metric} % | lost, points |"
    yield f"| file | size |{scores} same answers | latency | over float32's |"
    yield "|---" * (5 if several else 7) + "|"
    for one in facts["files"]:
        yield f"| {' | '.join(_row(one, several=several))} |"
    yield ""
    if several:
        yield from heads(facts["files"])
        yield ""
    allowed = facts["options"].get("max_drop")
    gate = "was not set" if allowed is None else f"allows a loss of {allowed:g} points"
    each = ", of each head" if several and allowed is not None else ""
    yield f"The gate {gate}{each}. Latency: median of single calls, one thread, after a warm-up."


def _row(one: Facts, *, several: bool) -> list[str]:
    lost, same, took = one["drops"], one["agreement"], one["latency_ms"]
    ratio = one["latency_ratio"]
    scores = [percent(lost[0][key]) if lost else _MISSING for key in ("after", "loss")]
    return [
        f"`{one.get('file', one['target'])}`",
        f"{one['size_bytes'] / 1e3:.1f} kB" if one["size_bytes"] else _MISSING,
        *([] if several else scores),
        f"{100 * same['share']:.2f} % of {same['cases']}" if same else _MISSING,
        f"{took['median_ms']:.3f} ms" if took else _MISSING,
        f"x {ratio:.2f}" if ratio is not None else _MISSING,
    ]


def _contract(manifest: Manifest) -> Iterator[str]:
    yield "| input | kind | shape | values |"
    yield "|---|---|---|---|"
    for entry in manifest.input:
        shape = " x ".join(map(str, entry.shape)) or "the file's"
        yield f"| {entry.name} | {entry.kind} | {shape} | {_values(entry)} |"
    yield ""
    outputs = ", ".join(f"{one.name} ({one.meaning})" for one in manifest.output)
    yield f"Outputs: {outputs or 'as the file has them'}. Read as `{manifest.postprocess.kind}`."


def _values(entry: InputEntry) -> str:
    if entry.kind == "image":
        mean, std = (", ".join(f"{one:g}" for one in each) for each in (entry.mean, entry.std))
        return f"{entry.layout}, {entry.colour}, {entry.resize}; (pixel - ({mean})) / ({std})"
    if entry.kind == "signal":
        leads = ", ".join(entry.leads) or "as they come"
        return f"{entry.layout}, {entry.units} at {entry.rate_hz:g} Hz; leads: {leads}"
    if entry.kind == "constant":
        return "always " + ", ".join(f"{one:g}" for one in entry.value)
    return entry.feature or f"the output {entry.state} of the run before"


def _made(manifest: Manifest, facts: Facts) -> Iterator[str]:
    source = facts["source"]
    yield f"From {source['name']} ({source['kind']}), converted by `edge-convert`."
    yield ""
    yield f"- Calibration: {_data(facts.get('calibration')) or 'none'}."
    yield f"- Evaluation: {_data(facts.get('evaluation')) or 'none'}."
    for one in facts["files"]:
        yield f"- Stayed float in `{one['target']}`: {_stayed(one)}."
    versions = {name: to for one in facts["files"] for name, to in one.get("versions", {}).items()}
    if versions:
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield f"- Versions: {listed}."
    yield f"- Licence: {manifest.licence or 'not stated'}."


def _stayed(one: Facts) -> str:
    """Layers that are not quantised, and why; a converter gives names, or names and reasons."""
    gate = [f"`{name}` (the gate would not be passed)" for name in one.get("kept_for_the_gate", [])]
    shown = []
    for layer in one.get("kept_float", []):
        if isinstance(layer, str):
            shown.append("" if layer in one.get("kept_for_the_gate", []) else f"`{layer}`")
        else:
            shown.append(f"`{layer['node']}` ({layer['op']}: {layer['why']})")
    listed = "; ".join([*gate, *filter(None, shown)])
    if not listed and (count := one.get("float_tensors")):
        return f"{count} tensors; which layers, the converter did not say"
    return listed or "nothing that the converter named"


def _data(data: Facts | None) -> str:
    if data is None:
        return ""
    line = f"{data['cases']} of {data['of']} cases of `{data['source']}`"
    if data["cases"] < data["of"]:
        line += f", chosen with seed {data['seed']}"
        line += ", equally many of each class" if data["balanced"] and data["per_class"] else ""
    if data["groups"]:
        line += f", of {data['groups']} patients"
    if data["per_class"] and len(data["per_class"]) <= MOST:
        line += f" ({', '.join(f'{name} {count}' for name, count in data['per_class'].items())})"
    left = "; ".join(f"{count} {what}" for what, count in data["left_out"].items())
    return f"{line}. Left out: {left}" if left else line


def _golden(golden: Facts | None) -> Iterator[str]:
    if not golden:
        yield "None."
        return
    yield (
        f"{len(golden['real'])} cases of the data; edges: {', '.join(golden['edges']) or 'none'}. "
        f"They hold what the source gives. The largest error of any file here is "
        f"{golden['largest_error']:.3g}, {golden['tolerance']:g} is allowed ({golden['rule']}); "
        f"{100 * golden['agreement']:g} % of answers must agree."
    )
    if golden["left_out"]:
        yield ""
        yield f"Left out: {'; '.join(golden['left_out'])}."
