"""Time and quality of splats and mesh on a ray-cast scene of 81 frames: `python -m benchmarks.splats [WxH]`."""

from __future__ import annotations

import sys
import time

import numpy as np

from lyra.mesh import fuse
from lyra.splats import SplatRasterizer, psnr_along_path, reconstruct_splats
from tests.splats.scenes import make_views, surface_distance

FRAMES = 81
RENDERINGS = 5


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def main() -> None:
    width, height = map(int, (sys.argv[1] if len(sys.argv) > 1 else "832x480").split("x"))
    # Warm-up: compiles the kernels.
    small = make_views(2, 48, 80)
    fuse(small)
    psnr_along_path(reconstruct_splats(small), small)

    views, seconds = timed(make_views, FRAMES, height, width)
    print(f"{FRAMES} frames {width}x{height}, ray-cast in {seconds:.1f} s")
    cloud, seconds = timed(reconstruct_splats, views)
    print(f"{'reconstruct splats':<24}{seconds:>8.2f} s   {len(cloud):,} splats")
    rasterizer, view = SplatRasterizer(cloud), views[FRAMES // 2]
    best = min(
        timed(rasterizer.render, view.w2c, view.intrinsics, height, width)[1] for _ in range(RENDERINGS)
    )
    print(f"{'rasterize one view':<24}{best:>8.2f} s   best of {RENDERINGS}")
    print(f"{'psnr along the path':<24}{psnr_along_path(cloud, views[::5]):>8.2f} dB  every fifth frame")
    mesh, seconds = timed(fuse, views)
    print(f"{'fuse mesh':<24}{seconds:>8.2f} s   {len(mesh.faces):,} triangles")
    vertices = mesh.vertices.astype(np.float64)
    off = surface_distance(vertices) / np.linalg.norm(vertices, axis=1) * view.intrinsics[0, 0]
    middle, most = np.quantile(off, [0.5, 0.95])
    print(f"{'distance to truth':<24}{middle:>8.3f} px  median; 95 % below {most:.3f} px")


if __name__ == "__main__":
    main()
