"""A folder of golden tensors, and what a check of one of its files says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from lyra.geometry.arrays import Array

# Files that hold inputs, not results; so do the lists of tensor names, *_keys_*.json.
INPUTS = {"meta", "geometry_inputs"}


@dataclass(frozen=True)
class Deviation:
    """How far a result is from its golden, and how far it may be; both in the golden's units."""

    largest: float
    tolerance: float

    @property
    def passes(self) -> bool:
        return self.largest <= self.tolerance

    @property
    def severity(self) -> float:
        """In units of the tolerance; of two deviations the worse one has more."""
        if self.tolerance == 0:
            return np.inf if self.largest > 0 else 0.0
        return self.largest / self.tolerance


class Folder:
    """A folder of goldens."""

    def __init__(self, path: Path):
        self.path = path
        self.meta = json.loads((path / "meta.json").read_text())

    @property
    def seed(self) -> int:
        return self.meta["seed"]

    @property
    def net_cases(self) -> dict[str, list[int]]:
        """Name -> rows and columns of the latents of each case of the network."""
        return self.meta.get("net_cases", {})

    @property
    def chunks(self) -> int:
        """How many steps the conditioning case has."""
        return self.meta.get("conditioning", {}).get("chunks", 0)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a file; a JSON file is an object of lists of whole numbers."""
        if (self.path / f"{name}.json").is_file():
            return {key: np.array(value, np.int64) for key, value in self.json(name).items()}
        with np.load(self.path / f"{name}.npz", allow_pickle=False) as data:
            return {key: data[key] for key in data.files}

    def json(self, name: str) -> dict:
        return json.loads((self.path / f"{name}.json").read_text())

    def geometry_inputs(self) -> dict[str, torch.Tensor]:
        """Depth, cameras and images as float32 tensors."""
        return {key: torch.from_numpy(value).float() for key, value in self.arrays("geometry_inputs").items()}

    def names(self) -> list[str]:
        """Goldens that this folder holds."""
        stems = {p.stem for p in self.path.iterdir() if p.suffix in (".npz", ".json")} - INPUTS
        return sorted(stem for stem in stems if "_keys_" not in stem)


# Of the golden only names and shapes are read: they say which cases and sizes are wanted.
Results = Callable[[Folder, Mapping[str, np.ndarray]], Mapping[str, Array]]


@dataclass(frozen=True)
class Check:
    """How the arrays of one golden file are made again, and how far off they may be.

    `results` gives arrays under the golden's names. `tolerance` is absolute and holds for every array but those in
    `tolerances`.
    """

    golden: str
    results: Results
    tolerance: float
    tolerances: Mapping[str, float] = field(default_factory=dict)

    def deviations(self, folder: Folder) -> dict[str, Deviation | None]:
        """By name of the array; None where nothing makes it."""
        golden = folder.arrays(self.golden)
        results = self.results(folder, golden)
        return {
            name: self._deviation(name, results[name], expected) if name in results else None
            for name, expected in golden.items()
        }

    def __call__(self, folder: Folder) -> Deviation:
        """That of the array which is worst in units of its tolerance."""
        return worst(self.deviations(folder).values(), self.tolerance)

    def _deviation(self, name: str, result: Array, golden: np.ndarray) -> Deviation:
        tolerance = self.tolerances.get(name, self.tolerance)
        return Deviation(largest_deviation(result, golden, tolerance), tolerance)


def worst(deviations, tolerance: float) -> Deviation:
    """The most severe of `deviations`, leaving out None; none at all is infinitely far off."""
    known = [deviation for deviation in deviations if deviation is not None]
    return max(known, key=lambda deviation: deviation.severity, default=Deviation(np.inf, tolerance))


def largest_deviation(result: Array, golden: np.ndarray, tolerance: float = 0.0) -> float:
    """Largest absolute deviation; infinite for another shape or where one of the two is not a number.

    Of a golden in float16, numbers so large that their storing alone may exceed `tolerance` are allowed half their
    last digit, which nothing could do without.
    """
    result = np.asarray(result, np.float64)
    if result.shape != golden.shape:
        return np.inf
    exact = golden.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.where(result == exact, 0.0, np.abs(result - exact))
    if golden.dtype == np.float16:
        rounding = np.abs(np.spacing(golden)).astype(np.float64) / 2
        difference = np.where(rounding > tolerance, np.maximum(difference - rounding, 0), difference)
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))
