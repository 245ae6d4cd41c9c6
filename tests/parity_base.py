"""A folder of golden tensors and what a check of it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

# Files that hold inputs, not results; so do the lists of tensor names, *_keys_*.json.
INPUTS = {"meta", "geometry_inputs"}


@dataclass(frozen=True)
class Deviation:
    """How far a result is from its golden, and how far it may be. Exact goldens count what differs."""

    largest: float
    tolerance: float

    @property
    def passes(self) -> bool:
        return self.largest <= self.tolerance


class Folder:
    """A folder of goldens."""

    def __init__(self, path: Path):
        self.path = path
        self.meta = json.loads((path / "meta.json").read_text())

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.path / f"{name}.npz", allow_pickle=False) as data:
            return {key: data[key] for key in data.files}

    def geometry_inputs(self) -> dict[str, torch.Tensor]:
        """Depth, cameras and images as float32 tensors."""
        return {key: torch.from_numpy(value).float() for key, value in self.arrays("geometry_inputs").items()}

    def names(self) -> list[str]:
        """Goldens that this folder holds."""
        stems = {p.stem for p in self.path.iterdir() if p.suffix in (".npz", ".json")} - INPUTS
        return sorted(stem for stem in stems if "_keys_" not in stem)


def largest_deviation(result, golden: np.ndarray) -> float:
    """Largest absolute deviation; infinite for another shape or where one is not a number."""
    result = np.asarray(result, np.float64)
    if result.shape != golden.shape or np.isnan(result).any():
        return np.inf
    return float(np.abs(result - golden).max())
