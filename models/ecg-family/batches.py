"""Training batches: windows drawn by class, varied, with leads and signal taken away on purpose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from network import LEADS
from records import WINDOW, Case, Floats

SHARE = {"cinc2017": 0.45, "ptbxl": 0.35, "mitdb": 0.2}  # of each batch
_FEW = 6  # leads, below which findings are not asked for


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """`steps` batches an epoch. A batch depends on seed, epoch and place alone: it can resume."""

    def __init__(
        self, cases: Sequence[Case], noise: Floats, *, size: int, steps: int, seed: int
    ) -> None:
        super().__init__()
        self._groups: dict[str, dict[float, list[Case]]] = defaultdict(lambda: defaultdict(list))
        for case in cases:
            known = case.rhythm if not np.isnan(case.rhythm) else -1.0
            # Each finding is drawn from apart, so that rare ones are not lost.
            kind = 10.0 + np.argmax(case.findings) if 1.0 in case.findings else known
            self._groups[case.source][kind].append(case)
        self._noise, self._size, self._steps, self._seed = noise, size, steps, seed
        self.epoch = 0  # set by who trains

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        random = np.random.default_rng([self._seed, self.epoch, index])
        sources = [name for name in SHARE if name in self._groups]
        shares = np.array([SHARE[name] for name in sources])
        made = []
        for source in random.choice(sources, self._size, p=shares / shares.sum()):
            groups = list(self._groups[source].values())
            sizes = np.sqrt([len(group) for group in groups])
            group = groups[random.choice(len(groups), p=sizes / sizes.sum())]
            made.append(self._example(group[random.integers(len(group))], random))
        signal, rhythm, findings, noise = (np.stack(part) for part in zip(*made, strict=True))
        wanted = {"rhythm": rhythm, "findings": findings, "noise": noise}
        targets = {
            head: np.nan_to_num(values).astype(np.float32) for head, values in wanted.items()
        }
        weights = {
            head: (~np.isnan(values).any(axis=1)).astype(np.float32)
            for head, values in wanted.items()
        }
        return signal, targets, weights

    def _example(self, case: Case, random: np.random.Generator) -> tuple[Floats, ...]:
        start = random.integers(0, max(1, len(case.signal) - WINDOW + 1))
        part = case.signal[start : start + WINDOW] * random.uniform(0.7, 1.4)
        if case.source == "cinc2017" and random.random() < 0.3:
            part = -part  # hand-held recordings are at times held the other way round
        shift = random.integers(0, 100) if len(case.signal) == WINDOW else 0
        signal = np.zeros((WINDOW, len(LEADS)), np.float32)
        signal[shift : shift + len(part), case.columns] = part[: WINDOW - shift]
        there = np.zeros(len(LEADS), bool)
        there[list(case.columns)] = True
        if len(case.columns) == len(LEADS) and random.random() < 0.4:
            there = _some_leads(random)
        targets = [np.array([x], np.float32) for x in (case.rhythm, case.noise)]
        rhythm, noisy = targets
        findings = np.array(case.findings, np.float32)
        level = random.random()
        if level < 0.15:  # buried: nothing can be said of it but that
            signal += self._disturbance(signal, random.uniform(-15, -6), random)
            rhythm, findings, noisy = rhythm * np.nan, findings * np.nan, np.ones(1, np.float32)
        elif level < 0.45:
            signal += self._disturbance(signal, random.uniform(6, 24), random)
        signal += random.uniform(-0.3, 0.3, (1, len(LEADS))).astype(np.float32)
        signal *= there
        if there.sum() < _FEW:
            findings = findings * np.nan
        return signal, rhythm, findings, noisy

    def _disturbance(self, signal: Floats, ratio_db: float, random: np.random.Generator) -> Floats:
        """Baseline wander and muscle noise of NSTDB, other stretches for each lead."""
        power = signal.std(axis=0)
        mixed = np.zeros_like(signal)
        for lead in range(signal.shape[1]):
            share = random.random()
            for kind, weight in (
                (random.integers(0, 2), share),
                (random.integers(2, 4), 1 - share),
            ):
                start = random.integers(0, len(self._noise) - WINDOW)
                mixed[:, lead] += weight * self._noise[start : start + WINDOW, kind]
        spread = np.maximum(mixed.std(axis=0), 1e-6)
        return (mixed / spread * power * 10 ** (-ratio_db / 20)).astype(np.float32)


def _some_leads(random: np.random.Generator) -> Any:
    """Which leads stay: I alone, the limb leads, or any."""
    kind = random.random()
    if kind < 0.3:
        return np.arange(len(LEADS)) == 0
    if kind < 0.5:
        return np.arange(len(LEADS)) < 6
    there = random.random(len(LEADS)) < random.uniform(0.3, 0.95)
    there[random.integers(len(LEADS))] = True
    return there
