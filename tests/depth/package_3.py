"""A stand-in for the package of Depth Anything 3: its interface, with known numbers instead of a network."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np

# Units of the stand-in per unit of the given cameras.
UNITS = 2.5


@dataclass
class Prediction:
    depth: np.ndarray
    is_metric: int = 1
    sky: np.ndarray | None = None
    conf: np.ndarray | None = None
    extrinsics: np.ndarray | None = None
    intrinsics: np.ndarray | None = None


class Package:
    """Predicts a depth of 4 of its units, and sky in the left half of the upper quarter.

    With cameras its own are the given ones in its units and another frame. A white picture is all sky to it.
    """

    with_sky = True
    calls: list[dict] = []

    @classmethod
    def from_pretrained(cls, source):
        if "broken" in source:
            raise OSError("no weights in it\nand more")
        return cls()

    def eval(self):
        return self

    def to(self, device):
        self.device = device
        return self

    def inference(self, image, extrinsics=None, intrinsics=None, **options):
        import torch

        self.calls.append({"extrinsics": extrinsics, "intrinsics": intrinsics, **options})
        frames = np.stack(image)
        assert not (frames == 255).all(), "Insufficient non-sky pixels for alignment"
        count, height, width = frames.shape[:3]
        h, w = (14 * round(n * options["process_res"] / max(height, width) / 14) for n in (height, width))
        rng = np.random.default_rng(int(torch.randint(1000, ())))
        depth = 4 * (1 + 1e-4 * rng.random((count, h, w), np.float32))
        sky = np.zeros(depth.shape, bool)
        sky[:, : h // 4, : w // 2] = True
        depth[sky] = 200
        lens = np.array([[w, 0, w / 2], [0, w, h / 2], [0, 0, 1]], np.float32)
        own = None
        if extrinsics is not None:
            c2w = np.linalg.inv(extrinsics.astype(np.float64))
            turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
            c2w[:, :3, 3] = UNITS * c2w[:, :3, 3] @ turn.T + (3, 2, 1)
            c2w[:, :3, :3] = turn @ c2w[:, :3, :3]
            own = np.linalg.inv(c2w)[:, :3]
        return Prediction(
            depth.astype(np.float32),
            sky=sky if self.with_sky else None,
            conf=np.full(depth.shape, 4.0, np.float32),
            extrinsics=own,
            intrinsics=np.tile(lens, (count, 1, 1)),
        )


def install(monkeypatch, **attributes) -> type[Package]:
    """Puts a fresh stand-in where the package would be; returns its class."""
    package = type("Package", (Package,), {"calls": [], **attributes})
    for name in ("depth_anything_3", "depth_anything_3.api"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["depth_anything_3.api"].DepthAnything3 = package
    return package
