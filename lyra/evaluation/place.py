"""Protocol of gravity, ground and standing things on scenes with ground truth, as printed by `lyra eval place`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from lyra.common.arrays_file import ArrayLimit, read_arrays
from lyra.common.progress import SILENT, Progress
from lyra.common.psnr import psnr_of_error
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimator
from lyra.depth.checks import sanitise
from lyra.depth.edges import crisp
from lyra.depth.gravity import up_of
from lyra.depth.place import CEILING, FREE, GROUND, SKY, UPRIGHT, find_ground, settle
from lyra.evaluation import scenes as evaluated
from lyra.evaluation.depth_quality import rendered_files
from lyra.evaluation.scenes import EXAMPLES, RenderedScene, hall, street
from lyra.geometry.camera import Camera
from lyra.synthetic.pictures import PICTURE

# The procedural worlds, one picture each of these kinds: those on which the parameters were chosen, and others.
TUNED = ("forest", "hall", "village", "gate", "ruins", "room", "street", "castle", "pavilion", "terrace")
HELD_OUT = ("room", "street", "hall", "castle", "path", "bridge", "corridor", "stairs", "village", "ruins")
TUNED_SEED, HELD_OUT_OFFSET = 77, 77
SIZE = (480, 832)
# By how many degrees the first camera of the courtyard looks up (examples/make_courtyard.py).
COURTYARD_PITCH = 4.0
# Cosines between normal and up from which on a surface lies, and up to which it stands.
LIES, STANDS = 0.85, 0.25
# Surfaces that lie at less than this share of the camera's height below it are no ground, but steps and tables.
LOW = 0.7
# Lean is measured over this many rows of one true upright surface that is vertical within the angle, degrees.
ROWS, VERTICAL = 24, 3.0
# Upright things with at most this share of the picture's width are slender.
SLENDER = 0.1
# Standard deviation in pixels of the blur of true depth, and the sideways step in median depths.
BLUR, STEP = 4.0, 0.2
# What a rendered scene's file holds, as lyra.common.arrays_file describes it.
SCENE = {
    **PICTURE,
    "up": ArrayLimit(64, "f", (3,)),
    "held_out": ArrayLimit(1, "b", ()),
}
# Fewer pixels of a kind than this share of a picture give no figure.
FEWEST = 2e-3


@dataclass(frozen=True)
class TrueScene:
    """A picture with truth: `image` (H, W, 3) uint8, z-depth `depth` (H, W), inf for sky, `normals` (H, W, 3) towards
    the camera and `up` (3,) in camera axes, `intrinsics` (3, 3); `held_out` from the choice of parameters."""

    name: str
    image: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    up: np.ndarray
    intrinsics: np.ndarray
    held_out: bool


@dataclass(frozen=True)
class PlaceRow:
    """Figures of one scene; nan where it shows none of the kind.

    `gravity`: error of up in degrees. `upright`, `ground_upright`: shares of true upright and of true ground that are
    called upright. `lean_slender`, `lean_wide`: median lean in degrees of true vertical pairs, `..._before` on the
    estimate. `ground`, `depth`: mean absolute relative error on true ground and everywhere, after scaling by the
    median of all. `step_before`, `step`: PSNR in dB after a step aside of the estimate and of the settled depth, scaled
    likewise. `blurred`, `crisp`: the same of true depth that was blurred, and then made crisp. `seconds` of processor
    time.
    """

    scene: str
    gravity: float
    upright: float
    ground_upright: float
    lean_slender_before: float
    lean_slender: float
    lean_wide_before: float
    lean_wide: float
    ground_before: float
    ground: float
    depth_before: float
    depth: float
    step_before: float
    step: float
    blurred: float
    crisp: float
    seconds: float


def rendered_scenes(folder: Path) -> Iterator[TrueScene]:
    """The scenes of a folder, as `benchmarks.place_scenes` renders them. Raises InvalidInputError if there are none."""
    for path in rendered_files(folder):
        stored = read_arrays(path, SCENE, advice="render it again with benchmarks.place_scenes")
        image, depth = stored["image"], stored["depth"]
        up, intrinsics = (stored[name].astype(np.float64) for name in ("up", "intrinsics"))
        normals = true_normals(depth, intrinsics)
        yield TrueScene(path.stem, image, depth, normals, up, intrinsics, bool(stored["held_out"]))


def scenes(size: tuple[int, int] = SIZE, rendered: Path | None = None) -> Iterator[TrueScene]:
    """The scenes one by one: the three examples, the procedural ones on which parameters were chosen, and others.

    `size` is the (height, width) of all but the rendered example, which only a source checkout has, and the scenes of
    the folder `rendered`.
    """
    from lyra.synthetic import HELD_OUT_SEED, generate

    if rendered is not None:
        yield from rendered_scenes(rendered)
    courtyard = EXAMPLES / "courtyard"
    found = [(RenderedScene(courtyard), COURTYARD_PITCH)] if (courtyard / "depth.npz").is_file() else []
    examples: list[tuple[evaluated.TrueScene, float]] = [*found, (hall(size), 0.0), (street(size), 0.0)]
    for example, pitch in examples:
        view = example.first
        normals = true_normals(view.depth, view.intrinsics)
        name = f"example {example.name}"
        yield TrueScene(name, view.image, view.depth, normals, up_of(pitch, 0.0), view.intrinsics, True)
    for kinds, seed, held_out in (
        (TUNED, TUNED_SEED, False),
        (HELD_OUT, HELD_OUT_SEED + HELD_OUT_OFFSET, True),
    ):
        for kind in kinds:
            made = generate(seed, 1, *size, [kind])
            up = made.up[0].astype(np.float64)
            yield TrueScene(
                kind, made.images[0], made.depth[0], made.normals[0], up, made.intrinsics[0], held_out
            )


def _rays(intrinsics: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Rays (H, W, 3) of the pixels in camera axes, z = 1."""
    return Camera(np.eye(4), intrinsics, *size_hw).rays()


def true_normals(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Unit normals (H, W, 3) towards the camera of exact z-depth (H, W), 0 for sky, from differences of points."""
    points = _rays(intrinsics, height_width(depth)) * np.where(np.isfinite(depth), depth, 0)[..., None]
    normals = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    normals *= np.where((normals * points).sum(-1, keepdims=True) > 0, -1, 1)
    return np.where(np.isfinite(depth)[..., None], normals, 0)


def true_labels(scene: TrueScene) -> np.ndarray:
    """Labels (H, W) uint8 as in lyra.depth.place from true normals; the ground lies about as low as most that lies."""
    solid = np.isfinite(scene.depth)
    rays = _rays(scene.intrinsics, height_width(scene.depth))
    cosine = scene.normals.astype(np.float64) @ scene.up
    below = -(rays @ scene.up) * np.where(solid, scene.depth, 0)
    labels = np.where(solid, FREE, SKY).astype(np.uint8)
    labels[solid & (np.abs(cosine) < STANDS)] = UPRIGHT
    labels[solid & (cosine < -LIES) & (below < 0)] = CEILING
    lies = solid & (cosine > LIES) & (below > 0)
    if lies.any():
        heights = np.log(below[lies])
        counts, edges = np.histogram(heights, np.arange(heights.min() - 0.1, heights.max() + 0.2, 0.05))
        mode = np.exp(edges[np.convolve(counts, [1, 1, 1], "same").argmax()] + 0.025)
        labels[lies & (below > LOW * mode)] = GROUND
    return labels


def evaluate_scene(scene: TrueScene, estimator: DepthEstimator) -> PlaceRow:
    """The figures of one scene on the depth of `estimator` for the true lens."""
    depth = sanitise(estimator.estimate(scene.image, scene.intrinsics)).depth
    # Compiles the kernels, which is not counted.
    crisp(scene.image[:16, :16], depth[:16, :16])
    started = time.process_time()
    ground = find_ground(scene.image, depth, scene.intrinsics)
    settled = settle(scene.image, depth, scene.intrinsics, ground)
    seconds = time.process_time() - started
    truth = true_labels(scene)
    enough = FEWEST * truth.size
    share = {
        kind: float((ground.labels[truth == kind] == UPRIGHT).mean())
        if (truth == kind).sum() > enough
        else np.nan
        for kind in (UPRIGHT, GROUND)
    }
    slender = _slender(truth, scene.depth)
    on_ground, everywhere = truth == GROUND, np.ones(truth.shape, bool)
    soft = blurred(scene.depth)
    return PlaceRow(
        scene=scene.name,
        gravity=float(np.degrees(np.arccos(np.clip(ground.up @ scene.up, -1, 1)))),
        upright=share[UPRIGHT],
        ground_upright=share[GROUND],
        lean_slender_before=lean(scene, truth, depth, slender),
        lean_slender=lean(scene, truth, settled, slender),
        lean_wide_before=lean(scene, truth, depth, ~slender),
        lean_wide=lean(scene, truth, settled, ~slender),
        ground_before=relative_error(depth, scene.depth, on_ground),
        ground=relative_error(settled, scene.depth, on_ground),
        depth_before=relative_error(depth, scene.depth, everywhere),
        depth=relative_error(settled, scene.depth, everywhere),
        step_before=seen_after_step(scene, scaled(depth, scene.depth)),
        step=seen_after_step(scene, scaled(settled, scene.depth)),
        blurred=seen_after_step(scene, soft),
        crisp=seen_after_step(scene, crisp(scene.image, soft)),
        seconds=seconds,
    )


def _slender(truth: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Which upright pixels (H, W) lie on a run of one surface along the row of at most SLENDER of the width."""
    inverse = np.where(np.isfinite(depth), np.log(np.where(np.isfinite(depth), depth, 1)), np.inf)
    upright = truth == UPRIGHT
    begins = np.ones(truth.shape, bool)
    with np.errstate(invalid="ignore"):
        begins[:, 1:] = (upright[:, 1:] != upright[:, :-1]) | (np.abs(np.diff(inverse, axis=1)) > 0.05)
    run = np.cumsum(begins.ravel())
    return upright & (np.bincount(run)[run].reshape(truth.shape) <= SLENDER * truth.shape[1])


def lean(scene: TrueScene, truth: np.ndarray, depth: np.ndarray, part: np.ndarray) -> float:
    """Median lean in degrees of what is vertical in truth, over pairs ROWS apart of upright pixels in `part` (H, W)."""
    rows = max(4, round(ROWS * len(depth) / SIZE[0]))
    rays = _rays(scene.intrinsics, height_width(depth))
    upright = (truth == UPRIGHT) & part
    whole = ndimage.minimum_filter1d(upright.astype(np.uint8), rows + 1, axis=0, mode="constant").astype(bool)
    # The filter's window is centred on the middle of a pair.
    pair = whole[rows // 2 : rows // 2 + len(depth) - rows]

    def tilt(values: np.ndarray) -> np.ndarray:
        points = rays * np.where(np.isfinite(values), values, 0)[..., None]
        step = points[:-rows] - points[rows:]
        cosine = (step @ scene.up) / np.maximum(np.linalg.norm(step, axis=-1), 1e-12)
        return np.degrees(np.arccos(np.clip(cosine, -1, 1)))

    pair &= tilt(scene.depth) < VERTICAL
    pair &= np.isfinite(depth[:-rows]) & np.isfinite(depth[rows:])
    return float(np.median(tilt(depth)[pair])) if pair.sum() > FEWEST * truth.size else np.nan


def relative_error(depth: np.ndarray, truth: np.ndarray, part: np.ndarray) -> float:
    """Mean absolute relative error of z-depth (H, W) over `part`, after scaling by the median of all that is solid."""
    both = np.isfinite(depth) & np.isfinite(truth)
    if (both & part).sum() <= FEWEST * truth.size:
        return np.nan
    both &= part
    return float(np.abs(scaled(depth, truth)[both] / truth[both] - 1).mean())


def scaled(depth: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """z-depth (H, W) at the scale of `truth`: times the median ratio where both are solid."""
    both = np.isfinite(depth) & np.isfinite(truth)
    return depth * np.median(truth[both] / depth[both]) if both.any() else depth


def blurred(depth: np.ndarray) -> np.ndarray:
    """z-depth (H, W) float32 blurred in its log by BLUR pixels, as a soft estimator would have it; sky stays sky."""
    solid = np.isfinite(depth)
    farthest = 3.0 * float(depth[solid].max()) if solid.any() else 1.0
    values = np.log(np.where(solid, depth, farthest).astype(np.float64))
    sigma = BLUR * max(depth.shape) / max(SIZE)
    return np.where(solid, np.exp(ndimage.gaussian_filter(values, sigma)), np.inf).astype(np.float32)


def seen_after_step(scene: TrueScene, depth: np.ndarray) -> float:
    """PSNR in dB of the picture warped STEP median depths aside with `depth`, against that with the true depth.

    Over the pixels that the true warp covers; what the other leaves open takes the nearest pixel of its row.
    """
    solid = np.isfinite(scene.depth)
    if not solid.any():
        return np.nan
    shift = STEP * float(np.median(scene.depth[solid])) * scene.intrinsics[0, 0]
    there, covered = _stepped(scene.image, scene.depth, shift)
    image, filled = _stepped(scene.image, depth, shift)
    if not covered.any() or not filled.any():
        return np.nan
    nearest = ndimage.distance_transform_edt(
        ~filled, sampling=(100, 1), return_distances=False, return_indices=True
    )
    error = (image[tuple(nearest)].astype(np.float64) - there)[covered]
    return psnr_of_error(float((error**2).mean()), peak=255, limit=99)


def _stepped(image: np.ndarray, depth: np.ndarray, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """`image` (H, W, 3) from a camera further right, the nearer pixel in front, and which pixels (H, W) it covers."""
    inverse = np.where(np.isfinite(depth), 1 / depth, 0)
    rows, columns = np.indices(depth.shape)
    columns = np.rint(columns - shift * inverse).astype(int)
    order = np.argsort(inverse, axis=None, kind="stable")
    order = order[((columns >= 0) & (columns < depth.shape[1])).ravel()[order]]
    to = rows.ravel()[order], columns.ravel()[order]
    moved, covered = np.zeros_like(image), np.zeros(depth.shape, bool)
    moved[to], covered[to] = image.reshape(-1, 3)[order], True
    return moved, covered


def evaluate(
    chosen: Sequence[TrueScene] | Iterator[TrueScene], estimator: DepthEstimator, progress: Progress = SILENT
) -> list[tuple[PlaceRow, bool]]:
    """A row for every scene, and whether it was held out."""
    rows = []
    expected = 3 + len(TUNED) + len(HELD_OUT)
    for number, scene in enumerate(chosen):
        progress.update("place", min(number / expected, 1.0))
        rows.append((evaluate_scene(scene, estimator), scene.held_out))
    return rows


def table(rows: Sequence[tuple[PlaceRow, bool]]) -> str:
    """The figures as lines of text, with the means of both halves and the goals."""
    names = ("scene", "gravity", "U as U", "G as U", "slender", "", "wide", "", "ground", "", "depth", "")
    names += ("20 %", "", "blurred", "crisp", "s")
    decimals = (1, 2, 2, 1, 1, 1, 1, 3, 3, 3, 3, 2, 2, 2, 2, 1)

    def line(name: str, values: Sequence[float]) -> str:
        return f"{name:<20}" + "".join(f"{v:>9.{d}f}" for v, d in zip(values, decimals, strict=True))

    lines = [f"{names[0]:<20}" + "".join(f"{name:>9}" for name in names[1:])]
    for held_out, title in ((False, "tuned"), (True, "held out")):
        half = [row for row, held in rows if held is held_out]
        if not half:
            continue
        lines += [line(row.scene, astuple(row)[1:]) for row in half]
        values = np.array([astuple(row)[1:] for row in half], float)
        known = [column[~np.isnan(column)] for column in values.T]
        for name, of in (("mean", np.mean), ("median", np.median)):
            lines.append(line(f"{title}, {name}", [of(c) if len(c) else np.nan for c in known]))
        under = np.mean(values[:, 0] < 5)
        worst = min(half, key=lambda row: row.step - row.step_before)
        lines.append(
            f"{title}: gravity under 5 degrees in {under:.0%} (goal 90 %); a step aside changes by "
            f"{worst.step - worst.step_before:+.2f} dB at worst, {worst.scene} (goal -0.5)"
        )
    goals = (
        "1.5",
        ">= 0.95",
        "<= 0.10",
        "",
        "15",
        "",
        "8",
        "",
        "0.08",
        "",
        "no worse",
        "",
        "",
        "",
        "+ 2.5",
        "3",
    )
    lines.append(f"{'goal':<20}" + "".join(f"{goal:>9}" for goal in goals))
    return "\n".join(lines)
