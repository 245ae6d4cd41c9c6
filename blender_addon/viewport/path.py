"""Drawing of a sampled camera path with Blender's gpu module, given view and projection matrix and size."""

from __future__ import annotations

import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix

from ..camera.trajectory import CHUNK_FRAMES, Sampled

TICK_FRAMES = CHUNK_FRAMES // 8
PATH_WIDTH, MARK_WIDTH = 2.5, 1.5
# Half the length of a tick, in pyramids.
TICK = 0.12
# What lies behind something is drawn with this part of the opacity.
HIDDEN = 0.3


def ticks(sampled: Sampled, size: float) -> np.ndarray:
    """Line segments (2 M, 3) across the path, along each tenth camera's x axis."""
    cameras = sampled.matrices[::TICK_FRAMES]
    center, across = cameras[:, :3, 3], cameras[:, :3, 0] * (TICK * size)
    return np.stack([center - across, center + across], 1).reshape(-1, 3)


def pyramids(sampled: Sampled, size: float) -> np.ndarray:
    """The views at the borders of the chunks as line segments (K, 16, 3): four edges, then the picture's frame."""
    cameras, intrinsics = sampled.matrices[::CHUNK_FRAMES], sampled.intrinsics[::CHUNK_FRAMES]
    w, h = sampled.width, sampled.height
    pixels = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]], np.float64)
    rays = np.linalg.solve(intrinsics, pixels.T[None]).transpose(0, 2, 1) * [1, -1, -1]
    center = cameras[:, None, :3, 3]
    corners = center + size * rays @ cameras[:, :3, :3].transpose(0, 2, 1)
    edges = np.stack([np.broadcast_to(center, corners.shape), corners], 2)
    frame = np.stack([corners, np.roll(corners, -1, axis=1)], 2)
    return np.concatenate([edges, frame], 1).reshape(len(cameras), 16, 3)


class PathDrawing:
    """A path on the GPU. `size` is the length of a camera's pyramid in scene units."""

    def __init__(self, sampled: Sampled, size: float):
        self._size = size
        self._shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
        self._line = self._batch("LINE_STRIP", sampled.matrices[:, :3, 3])
        self._ticks = self._batch("LINES", ticks(sampled, size))
        self._apexes = sampled.matrices[::CHUNK_FRAMES, :3, 3]
        self._pyramids = [self._batch("LINES", lines) for lines in pyramids(sampled, size)]

    def _batch(self, kind: str, points: np.ndarray):
        return batch_for_shader(self._shader, kind, {"pos": points.astype(np.float32)})

    def draw(
        self,
        view: np.ndarray,
        projection: np.ndarray,
        width: int,
        height: int,
        color: np.ndarray,
        scale: float,
    ) -> None:
        """Draws over the bound framebuffer; `color` (4,) is in screen values, `scale` that of the line widths."""
        eye = np.linalg.inv(view)[:3, 3]
        # A pyramid that one looks out of is only a frame around the picture.
        around = np.linalg.norm(self._apexes - eye, axis=1) > 0.5 * self._size
        marks = [self._ticks, *(lines for lines, shown in zip(self._pyramids, around, strict=True) if shown)]
        with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
            gpu.matrix.load_matrix(Matrix(view.tolist()))
            gpu.matrix.load_projection_matrix(Matrix(projection.tolist()))
            gpu.state.blend_set("ALPHA")
            for test, opacity in (("NONE", HIDDEN), ("LESS_EQUAL", 1.0)):
                gpu.state.depth_test_set(test)
                self._shader.uniform_float("viewportSize", (width, height))
                self._shader.uniform_float("color", (*color[:3], color[3] * opacity))
                for batches, line_width in (([self._line], PATH_WIDTH), (marks, MARK_WIDTH)):
                    self._shader.uniform_float("lineWidth", line_width * scale)
                    for batch in batches:
                        batch.draw(self._shader)
            gpu.state.depth_test_set("NONE")
            gpu.state.blend_set("NONE")
