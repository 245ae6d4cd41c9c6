"""Remarks on a camera path that hardly belongs to the scene before it: its length, its axes, its picture."""

from __future__ import annotations

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory, cover_transform
from lyra.geometry.lens import lens_remark
from lyra.world.folder import World

# Where float32, in which splats and meshes are stored, is exact to 6 cm.
FARTHEST = 1e6
# Median depths that a camera goes within a chunk. An orbit of what is there is 2, a fast flight 3.
LONG = 4.0
# Pixels that the scene moves by along the whole path. Below one nothing is seen of its way.
SHORT = 1.0
# Ways below this share of the depth are rounding: the camera stands, or turns about itself.
ROUNDING = 1e-6
# The crop to the world's aspect leaves less of the path's picture only where it has another orientation.
CROPPED = 0.6
# Share of the way that goes against the direction of view.
BACKWARDS = 0.9
# Optical axes meet in a point when all pass it within this share of their way to it, and turn by so many radians.
MEETING, TURNING = 0.05, 0.2
SCALE_IT = (
    "If it is in {unit}, or as from COLMAP in a unit of its own, scale it with --pose-scale, {unit} by {factor} (in "
    "Blender: Set Scale)."
)


def require_reach(path: Trajectory) -> None:
    """Raises InvalidInputError for a path that leaves the range of the files it is stored in."""
    away = _away(path.centers)
    if away.max() > FARTHEST:
        i = int(np.argmax(away > FARTHEST))
        raise InvalidInputError(
            f"The path is {away[i]:.3g} units from its start at frame {i}; at most {FARTHEST:g} are possible. Bring it "
            "to the world's unit with a smaller pose scale (--pose-scale)."
        )


def median_depth(world: World) -> tuple[float, float] | None:
    """The least and the greatest median of finite depth in the first and the newest frame; None where all is sky."""
    depths = [world.seed_view().depth]
    if world.chunks:
        depths.append(world.chunks[-1].load_last_depth())
    medians = [float(np.median(depth[np.isfinite(depth)])) for depth in depths if np.isfinite(depth).any()]
    return (min(medians), max(medians)) if medians else None


def length_remarks(path: Trajectory, depth: tuple[float, float] | None) -> list[str]:
    """What is to be said of the way of a prepared `path`, beside the least and greatest median `depth` of its world."""
    if _stands_still(path):
        return [
            f"The path stands still: all its {len(path)} cameras are the same. Choose frames in which the camera moves."
        ]
    if depth is None:
        return []
    near, far = depth
    centers = path.centers
    starts = range(0, len(centers) - 1, CHUNK_FRAMES)
    reach = max(_away(centers[first : first + CHUNK_FRAMES + 1]).max() for first in starts)
    if reach > LONG * far:
        return [
            f"The path goes {reach:.3g} units within {CHUNK_FRAMES} frames, {reach / far:.3g} times the scene's median "
            f"depth of {far:.3g}. {SCALE_IT.format(unit='centimetres', factor=0.01)}"
        ]
    away = _away(centers).max()
    moved = path.intrinsics[0, 0, 0] * away / near
    if moved < SHORT and away > ROUNDING * max(near, np.abs(centers).max()):
        return [
            f"The path goes {away:.3g} units from its start, {away / near:.2g} of the scene's median depth of "
            f"{near:.3g}: less than a pixel. {SCALE_IT.format(unit='kilometres', factor=1000)}"
        ]
    return []


def picture_remarks(given: Trajectory, fitted: Trajectory) -> list[str]:
    """What is to be said of the picture and the lens of a `given` path that was `fitted` to a world."""
    scale, *_ = cover_transform((given.height, given.width), (fitted.height, fitted.width))
    shares = fitted.width / (given.width * scale), fitted.height / (given.height * scale)
    notes = []
    if min(shares) < CROPPED:
        side = "width" if shares[0] < shares[1] else "height"
        notes.append(
            f"The path's pictures are {given.width}x{given.height} and the world's {fitted.width}x{fitted.height}: "
            f"only the middle {min(shares):.0%} of their {side} is seen. Export the path at the world's size."
        )
    remark = lens_remark(fitted.intrinsics[0], "the path's first frame")
    return [*notes, remark] if remark else notes


def axes_remarks(path: Trajectory) -> list[str]:
    """What speaks for other axes than OpenCV's, or for matrices of the other direction, in a path from a file.

    A file does not say them. A camera that is meant to go forward, or to circle something, then goes backwards, or has
    what it circles behind it.
    """
    centers, forward = path.centers, path.w2c[:, 2, :3]
    steps = np.diff(centers, axis=0)
    way = np.linalg.norm(steps, axis=1).sum()
    if way <= ROUNDING * (1 + np.abs(centers).max()):
        return []
    against = np.maximum(0, -(steps * forward[:-1]).sum(1)).sum()
    if against >= BACKWARDS * way:
        said = "The camera goes backwards along the path. If it should go forward"
    elif _circles_what_is_behind(centers, forward):
        said = "The camera turns its back on what it circles. If it should look at it"
    else:
        return []
    return [
        f"{said}, the path has OpenGL's or Blender's axes (z backward: multiply c2w by diag(1, -1, -1, 1)), or its "
        "matrices are c2w (invert them)."
    ]


def _circles_what_is_behind(centers: np.ndarray, forward: np.ndarray) -> bool:
    """Whether the optical axes meet in a point that all cameras have behind them.

    The point x is the nearest to the axes in the sense of least squares: sum (I - d d^T) (x - c) = 0.
    """
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    total = across.mean(0)
    # Axes that turn by an angle a in all leave a^2 / 12 along their mean direction.
    if np.linalg.eigvalsh(total)[0] < TURNING**2 / 12:
        return False
    offset = centers - centers[0]
    point = np.linalg.solve(total, (across @ offset[:, :, None]).mean(0))[:, 0]
    there = point - offset
    along = (there * forward).sum(1)
    missed = np.linalg.norm(there - along[:, None] * forward, axis=1)
    # A camera that turns about itself has all axes meet where it stands.
    far = -along.min() > MEETING * _away(centers).max()
    return bool(far and (along < 0).all() and (missed < MEETING * -along).all())


def _away(centers: np.ndarray) -> np.ndarray:
    return np.linalg.norm(centers - centers[0], axis=1)


def _stands_still(path: Trajectory) -> bool:
    poses = np.abs(path.w2c - path.w2c[0]).max() <= ROUNDING * (1 + np.abs(path.w2c[0, :3, 3]).max())
    return bool(poses and np.ptp(path.intrinsics, axis=0).max() <= ROUNDING * path.width)
