"""The text of a model's contract and of its run file."""

from __future__ import annotations

from network import LEADS, SAMPLES

SUMMARIES = {
    "ecg-edge": "12-lead ECG, ten seconds: rhythm, findings, noise; 0.95 M parameters",
    "ecg-mobile": "12-lead ECG, ten seconds: rhythm, findings, noise; 3.8 M parameters",
    "ecg-hybrid": "12-lead ECG, ten seconds: rhythm, findings, noise; CNN, GRU and attention, 15 M",
    "ecg-ensemble": "12-lead ECG, ten seconds: mean of ecg-edge, ecg-mobile and ecg-hybrid",
}
_NAMES = ", ".join(f'"{name}"' for name in LEADS)
_STEPS = """[[step]]
kind = "leads"
names = [{names}]
# absent = "zero"    # for a source with fewer leads: this network was trained with leads missing

[[step]]
kind = "resample"
rate_hz = {rate_hz}

[[step]]
kind = "window"
length_s = 10.0
"""
_CONTRACT = """name = "{name}"
version = "1.0.0"
task = "classification"
summary = "{summary}; engineering use, no medical device"
licence = "Apache-2.0; trained on CinC 2017, PTB-XL, mitdb and NSTDB, see README.md"
source = "models/ecg-family/make.py"

# The steps that must stand before it: leads (12, by name), resample ({rate_hz} Hz), window (10 s).
[[input]]
name = "signal"
kind = "signal"
shape = [1, {samples}, 12]
dtype = "float32"
layout = "NTC"
units = "mV"              # not filtered; a lead that is not there may be zero throughout
rate_hz = {rate_hz}
leads = [{names}]

[[output]]                # sigmoid and softmax are in the file
name = "scores"
meaning = "scores"

[postprocess]
kind = "heads"

[[head]]
name = "rhythm"           # its scores add up to 1
output = "scores"
first = 0
labels = ["sinus", "af", "other"]
report = "best"

[[head]]
name = "findings"         # the superclasses of PTB-XL: any of them
output = "scores"
first = 3
labels = ["NORM", "MI", "STTC", "CD", "HYP"]
report = "all"
threshold = 0.5

[[head]]
name = "noise"            # nothing can be said of this window
output = "scores"
first = 8
labels = ["noise"]
report = "all"
threshold = 0.5
"""


def contract(name: str, samples: int = 1000) -> str:
    """A model.toml without weights: what `edge-convert` is given."""
    return _CONTRACT.format(
        name=name,
        summary=SUMMARIES[name],
        samples=samples,
        rate_hz=SAMPLES[samples],
        names=_NAMES,
    )


def run_file(name: str, samples: int = 1000) -> str:
    """A run file that plays a PTB-XL record through the model."""
    steps = _STEPS.format(names=_NAMES, rate_hz=SAMPLES[samples])
    return (
        "# Ten seconds of a record; name one of your own in [[source]]. Out come the best rhythm, "
        "and the\n# findings and the noise whose score is at least a half.\n"
        f'name = "{name}"\n\n[model]\npath = "."\n\n[[source]]\nkind = "wfdb"\n'
        f'path = "data/ecg/ptbxl/records100/00000/00001_lr"\n\n{steps}'
        '\n[[sink]]\nkind = "console"\n'
    )
