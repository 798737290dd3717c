"""Cases that were read once, in one .npz: reading and resampling take longer than loading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from network import LEADS
from records import Case

_TEXTS = ("source", "name", "patient", "part")


def save(path: Path, cases: Sequence[Case]) -> None:
    """Write all cases to a file."""
    columns = np.array([[lead in case.columns for lead in range(len(LEADS))] for case in cases])
    np.savez(
        path,
        **{key: np.array([getattr(case, key) for case in cases]) for key in _TEXTS},
        rhythm=[case.rhythm for case in cases],
        noise=[case.noise for case in cases],
        findings=[case.findings for case in cases],
        order=[[*case.columns, *[-1] * (len(LEADS) - len(case.columns))] for case in cases],
        leads=columns.sum(axis=1),
        length=[len(case.signal) for case in cases],
        signal=np.concatenate([case.signal.ravel() for case in cases]),
    )


def load(path: Path) -> list[Case]:
    """The cases of such a file."""
    with np.load(path, allow_pickle=False) as file:
        held = {key: file[key] for key in file.files}
    ends = np.cumsum(held["length"] * held["leads"])
    signals = np.split(held["signal"], ends[:-1])
    return [
        Case(
            *(str(held[key][at]) for key in _TEXTS),
            signal=signals[at].reshape(held["length"][at], held["leads"][at]),
            columns=tuple(held["order"][at][: held["leads"][at]].tolist()),
            rhythm=float(held["rhythm"][at]),
            noise=float(held["noise"][at]),
            findings=tuple(held["findings"][at].tolist()),
        )
        for at in range(len(ends))
    ]
