"""One view of a cloud, projected and binned into depth-sorted tiles, for repeated compositing."""

from __future__ import annotations

import numpy as np
import warp as wp
from warp.utils import array_scan, radix_sort_pairs

import lyra.geometry  # noqa: F401  (silences Warp's greeting before the first launch)
from lyra.geometry.gaussians import GaussianCloud
from lyra.splats import kernels


class DeviceCloud:
    """The geometry of a cloud in Warp arrays, uploaded once for many views."""

    def __init__(self, cloud: GaussianCloud, device: str = "cpu"):
        def upload(array: np.ndarray, dtype) -> wp.array:
            return wp.array(np.ascontiguousarray(array, np.float32), dtype=dtype, device=device)

        self.device = device
        self.count = len(cloud)
        self.means = upload(cloud.means, wp.vec3)
        self.log_scales = upload(cloud.log_scales, wp.vec3)
        self.rotations = upload(cloud.rotations, wp.vec4)
        self.opacity_logits = upload(cloud.opacity_logits, wp.float32)


class TiledView:
    """A cloud projected into one camera, with the splats of every 16x16 tile sorted front to back."""

    def __init__(self, cloud: DeviceCloud, w2c: np.ndarray, intrinsics: np.ndarray, height: int, width: int):
        self.cloud = cloud
        self.device = cloud.device
        self.shape = (height, width)
        self.camera = _camera(w2c, intrinsics, height, width)
        self.tiles = self.camera.tiles_x * self.camera.tiles_y
        self._bin()

    def _bin(self) -> None:
        cloud, count, device = self.cloud, self.cloud.count, self.device

        def empty(dtype, size: int = count) -> wp.array:
            return wp.empty(size, dtype, device=device)

        # The radix sort uses the upper half of its arrays as scratch space.
        depth_keys, order = empty(wp.float32, 2 * count), empty(wp.int32, 2 * count)
        self.splats, self.conics = empty(wp.vec4), empty(wp.vec3)
        tile_bounds, tile_counts, ends = empty(wp.vec4i), empty(wp.int32), empty(wp.int32)
        wp.launch(
            kernels.project_gaussians,
            count,
            inputs=[self.camera, cloud.means, cloud.log_scales, cloud.rotations, cloud.opacity_logits],
            outputs=[depth_keys, order, self.splats, self.conics, tile_bounds, tile_counts],
            device=device,
        )
        radix_sort_pairs(depth_keys, order, count)
        wp.launch(kernels.reorder_counts, count, inputs=[order, tile_counts], outputs=[ends], device=device)
        array_scan(ends, ends, inclusive=True)
        pairs = int(ends[count - 1 :].numpy()[0]) if count else 0
        pair_tiles, self.pair_gaussians = empty(wp.int32, 2 * pairs), empty(wp.int32, 2 * pairs)
        wp.launch(
            kernels.emit_pairs,
            count,
            inputs=[order, ends, tile_bounds, tile_counts, self.camera.tiles_x],
            outputs=[pair_tiles, self.pair_gaussians],
            device=device,
        )
        if pairs:
            radix_sort_pairs(pair_tiles, self.pair_gaussians, pairs)
        self.starts = empty(wp.int32, self.tiles + 1)
        wp.launch(
            kernels.find_tile_ranges,
            pairs + 1,
            inputs=[pair_tiles, pairs],
            outputs=[self.starts],
            device=device,
        )

    def composite(self, colors: wp.array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weighted sums of colour (H, W, 3) and z-depth (H, W), and the transmittance (H, W)."""
        transmittance = wp.ones(self.shape, wp.float32, device=self.device)
        rgb = wp.zeros(self.shape, wp.vec3, device=self.device)
        depth = wp.zeros(self.shape, wp.float32, device=self.device)
        wp.launch(
            kernels.composite,
            self.tiles,
            inputs=[self.camera, self.splats, self.conics, colors, self.pair_gaussians, self.starts],
            outputs=[transmittance, rgb, depth],
            device=self.device,
        )
        return rgb.numpy(), depth.numpy(), transmittance.numpy()

    def gather(self, residual: np.ndarray, sums: wp.array) -> None:
        """Adds the residual (H, W, 3), weighted by each Gaussian's visibility, and the weights to `sums` (M, 4)."""
        wp.launch(
            kernels.gather_residuals,
            self.tiles,
            inputs=[
                self.camera,
                self.splats,
                self.conics,
                self.pair_gaussians,
                self.starts,
                wp.array(np.ascontiguousarray(residual, np.float32), dtype=wp.vec3, device=self.device),
                wp.ones(self.shape, wp.float32, device=self.device),
            ],
            outputs=[sums],
            device=self.device,
        )


def _camera(w2c: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> kernels.TileCamera:
    camera = kernels.TileCamera()
    camera.rotation = wp.mat33(*np.asarray(w2c, np.float32)[:3, :3].ravel())
    camera.translation = wp.vec3(*np.asarray(w2c, np.float32)[:3, 3])
    camera.fx, camera.fy = float(intrinsics[0, 0]), float(intrinsics[1, 1])
    camera.cx, camera.cy = float(intrinsics[0, 2]), float(intrinsics[1, 2])
    camera.width, camera.height = width, height
    tile = int(kernels.TILE)
    camera.tiles_x, camera.tiles_y = -(-width // tile), -(-height // tile)
    return camera
