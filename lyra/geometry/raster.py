"""RGB-D layers as quad meshes, rasterized into any view with a z-buffer.

A `Surface` is an image with disparity (1 / z-depth; 0 for sky) in which every pixel is a quad. Neighbours on one
surface share corners, so it never tears, however far the view moves; across depth jumps they do not, so nothing is
stretched over the gap. Rendered from its own camera a surface reproduces its image exactly.

A point at pixel (u, v) with disparity w has the homogeneous coordinates (ray, w): it projects into the target camera
at `M (u, v, 1) + m w`, whose last component times 1 / w is its depth there. Sky needs no special case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp

from lyra.geometry import finishing_kernels, surface_kernels
from lyra.geometry import raster_kernels as kernels
from lyra.geometry.raster_cameras import relative_camera
from lyra.geometry.surface_kernels import FAR_SIDE, NEAR_SIDE

MODULES = (surface_kernels, kernels, finishing_kernels)

__all__ = ["FAR_SIDE", "MODULES", "NEAR_SIDE", "Edges", "Picture", "Rasterizer", "Surface"]


@dataclass(frozen=True)
class Edges:
    """What counts as a step in depth.

    `join`: neighbours whose extrapolated disparities differ by less than this share are one surface. `step`: a
    difference above this share is an edge whose pixels blend two colours. `near_band`, `far_band`: the width of that
    blend in pixels on the near and the far side.
    """

    join: float = 0.05
    step: float = 0.08
    near_band: int = 1
    far_band: int = 1


class Surface:
    """An image with disparity, placed in the world by its camera.

    `image` (H, W, 3) uint8 or float32 in [0, 255]; `disparity` (H, W) float32; `drawn` (H, W) bool, which pixels
    exist; `w2c` (4, 4); `intrinsics` (3, 3). With a `weight` below 1 it is hidden by what is up to that share farther,
    and by what lies on both sides of a crack in another surface.
    """

    def __init__(
        self, image, disparity, w2c, intrinsics, drawn=None, edges: Edges = Edges(), weight=1.0, device="cpu"
    ):
        height, width = disparity.shape
        self.weight = weight
        self.height, self.width = height, width
        self.w2c = np.array(w2c, np.float64)
        self.intrinsics = np.array(intrinsics, np.float64)
        drawn = np.ones((height, width), bool) if drawn is None else drawn
        texture = np.empty((height, width, 4), np.float32)
        texture[..., :3] = image
        texture[..., 3] = np.where(drawn, disparity, -1.0)
        self.pixels = wp.array(np.flatnonzero(drawn).astype(np.int32), dtype=wp.int32, device=device)
        self.texture = wp.array(texture, dtype=wp.vec4, device=device)
        self.corners = wp.zeros(len(self), dtype=wp.vec4, device=device)
        self.other = wp.zeros(len(self), dtype=wp.float32, device=device)
        self.side = wp.zeros((height, width), dtype=wp.uint8, device=device)
        wp.launch(
            surface_kernels.build_surface,
            len(self),
            [self.pixels, self.texture, edges.join, edges.step, edges.near_band, edges.far_band],
            [self.corners, self.other, self.side],
            device=device,
        )

    def __len__(self) -> int:
        return self.pixels.shape[0]

    def drawn(self, first: int, matrix: np.ndarray, shift: np.ndarray) -> kernels.Drawn:
        """The kernel argument for a view in which this surface's quads are numbered from `first`."""
        result = kernels.Drawn()
        result.first = first
        result.backstage = int(self.weight < 1)
        result.m = wp.mat33(matrix.astype(np.float32))
        result.shift = wp.vec3(*shift)
        for name in ("pixels", "texture", "corners", "other", "side"):
            setattr(result, name, getattr(self, name))
        return result


@dataclass(frozen=True)
class Picture:
    """A rasterized view, on the device.

    `image` (H, W) vec3 in [0, 255]; `disparity` (H, W), -1 in holes; `side` (H, W) int32: NEAR_SIDE on the near side
    of a depth edge that has moved apart from the background it occluded in its own image, BACKSTAGE on surfaces with a
    weight below 1, otherwise 0.
    """

    image: wp.array
    disparity: wp.array
    side: wp.array

    def numpy(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Copies of image (H, W, 3) float32, disparity (H, W) float32 and side (H, W) int32."""
        return self.image.numpy().copy(), self.disparity.numpy().copy(), self.side.numpy().copy()


class Rasterizer:
    """Rasterizes surfaces into views of one size; nothing closer than `near` is drawn.

    Not thread-safe: its buffers are reused.
    """

    def __init__(self, height: int, width: int, near: float, device="cpu"):
        self.height, self.width, self.near, self.device = height, width, near, device
        self.keys = wp.zeros((height, width), dtype=wp.int64, device=device)
        self.marks = wp.zeros((height, width), dtype=wp.uint8, device=device)
        self.buffers = [self._buffer() for _ in range(2)]

    def _buffer(self) -> Picture:
        shape = (self.height, self.width)
        return Picture(
            wp.zeros(shape, dtype=wp.vec3, device=self.device),
            wp.zeros(shape, dtype=wp.float32, device=self.device),
            wp.zeros(shape, dtype=wp.int32, device=self.device),
        )

    def draw(
        self, surfaces: Sequence[Surface], w2c: np.ndarray, intrinsics: np.ndarray, soften=False
    ) -> Picture:
        """The view of a camera; where two surfaces coincide, the earlier one wins.

        Cracks thinner than three pixels within one surface are closed. With `soften`, silhouettes that have moved
        over a new background are antialiased. The result is valid until the next call.
        """
        drawn = self._rasterize(surfaces, w2c, intrinsics)
        raw, closed = self.buffers
        wp.launch(
            kernels.resolve,
            (self.height, self.width),
            [self.keys, wp.array(drawn, dtype=kernels.Drawn, device=self.device)],
            [raw.image, raw.disparity, raw.side],
            device=self.device,
        )
        shape = (self.height, self.width)
        wp.launch(
            finishing_kernels.close_cracks,
            shape,
            [raw.image, raw.disparity, raw.side],
            [closed.image, closed.disparity, closed.side],
            device=self.device,
        )
        if not soften:
            return closed
        wp.launch(
            finishing_kernels.soften_silhouettes,
            shape,
            [closed.image, closed.disparity, closed.side],
            [raw.image],
            device=self.device,
        )
        return Picture(raw.image, closed.disparity, closed.side)

    def holes(self, surfaces: Sequence[Surface], w2c: np.ndarray, intrinsics: np.ndarray) -> int:
        """The number of hole pixels of a view; cracks that `draw` closes do not count."""
        self._rasterize(surfaces, w2c, intrinsics)
        if self.keys.numpy().all():
            return 0
        shape, disparity, side = (self.height, self.width), self.buffers[0].disparity, self.buffers[0].side
        side.zero_()
        wp.launch(kernels.read_disparity, shape, [self.keys, self.near], [disparity], device=self.device)
        wp.launch(finishing_kernels.mark_holes, shape, [disparity, side], [self.marks], device=self.device)
        return int(np.count_nonzero(self.marks.numpy()))

    def close_rest(self, picture: Picture) -> Picture:
        """Fills every remaining hole from its rim, from the farther pixels first; meant for small holes."""
        source, target = picture, self._buffer()
        while True:
            left = int((source.disparity.numpy() < 0).sum())
            if left in (0, self.height * self.width):
                return source
            wp.launch(
                finishing_kernels.grow_rim,
                (self.height, self.width),
                [source.image, source.disparity, source.side],
                [target.image, target.disparity, target.side],
                device=self.device,
            )
            source, target = target, (self._buffer() if source is picture else source)

    def _rasterize(self, surfaces, w2c, intrinsics) -> list:
        if sum(len(surface) for surface in surfaces) >= kernels.MAX_QUADS:
            raise OverflowError(f"More than {kernels.MAX_QUADS} pixels in one view.")
        self.keys.zero_()
        drawn, first = [], 0
        for rank, surface in enumerate(surfaces):
            matrix, shift = relative_camera(surface.w2c, surface.intrinsics, w2c, intrinsics)
            # Where two surfaces show the same thing, the earlier one, closer to the source image, must win.
            priority = self.near * (1.0 if rank == 0 else 0.99 - 0.001 * min(rank, 20)) * surface.weight
            drawn.append(surface.drawn(first, matrix, shift))
            wp.launch(
                kernels.rasterize,
                len(surface),
                [drawn[-1], 1.0 / self.near, priority],
                [self.keys],
                device=self.device,
            )
            first += len(surface)
        return drawn
