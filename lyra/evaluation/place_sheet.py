"""Contact sheet of a place made of one image: steps, turns, and the splats from the same cameras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from lyra.common.files import whole_file
from lyra.common.progress import SILENT, Progress
from lyra.depth.base import DepthEstimator
from lyra.depth.checks import sanitise
from lyra.depth.place import settled
from lyra.engines.preview import PreviewEngine
from lyra.engines.preview.scene import PreviewScene
from lyra.evaluation.depth_sheet import BEHIND, stacked
from lyra.geometry.cameras import Trajectory
from lyra.geometry.views import View
from lyra.media.images import fit, load_image
from lyra.splats import reconstruct_splats
from lyra.splats.rasterize import SplatRasterizer
from lyra.splats.reconstruct import SplatSettings

# Steps to the right and ahead in median depths, and turns to the right in degrees.
SHOWN = (
    ("10 % aside", (0.1, 0, 0)),
    ("20 % aside", (0.2, 0, 0)),
    ("40 % aside", (0.4, 0, 0)),
    ("20 % ahead", (0, 0.2, 0)),
    ("40 % ahead", (0, 0.4, 0)),
    ("15 degrees", (0, 0, 15)),
    ("30 degrees", (0, 0, 30)),
    ("60 degrees", (0, 0, 60)),
)
SIZE = (240, 416)
CAPTION = 18


class _Unprepared(PreviewEngine):
    """The engine as it begins worlds that were made before images had surroundings."""

    def begin(self, view: View) -> PreviewScene:
        scene = super().begin(view)
        scene.mirror()
        return scene


def draw_place_sheet(
    images: Sequence[Path],
    estimator: DepthEstimator,
    picture: Path,
    progress: Progress = SILENT,
    device: str = "cpu",
    size: tuple[int, int] = SIZE,
) -> None:
    """Writes `picture`, which is whole or not there, with three captioned rows for each of `images`.

    The frames of SHOWN made by reflection, made with layers and surroundings, and the splats of the latter.
    """
    rows = []
    for number, image in enumerate(images):
        share = progress.part(number / len(images), (number + 1) / len(images))
        view = _view(image, estimator, size)
        cameras = _cameras(view)
        for name, engine, span in (
            ("before", _Unprepared(device), share.part(0, 0.3)),
            ("after", PreviewEngine(device), share.part(0.3, 0.6)),
        ):
            made = engine.extend(engine.begin(view), cameras, "", 0, span)
            rows += [_caption(f"{image.stem} {name}", view.width), np.concatenate(list(made.frames), 1)]
        around = [
            View(f, d, cameras[i]) for i, (f, d) in enumerate(zip(made.frames, made.depth, strict=True))
        ]
        cloud = reconstruct_splats(
            [view, *around], share.part(0.6, 1), SplatSettings(keyframe_step=1), device
        )
        splats = SplatRasterizer(cloud, device)
        renderings = [
            splats.render(c, k, view.height, view.width)
            for c, k in zip(cameras.w2c, cameras.intrinsics, strict=True)
        ]
        frames = [np.rint(255 * rendering.rgb).astype(np.uint8) for rendering in renderings]
        covered = min(float((rendering.alpha > 0.5).mean()) for rendering in renderings)
        rows += [
            _caption(f"{image.stem} splats, at least {covered:.2%} covered", view.width),
            np.concatenate(frames, 1),
        ]
    with whole_file(picture) as temporary:
        Image.fromarray(stacked(rows)).save(temporary, picture.suffix.lstrip(".") or "png")


def _view(image: Path, estimator: DepthEstimator, size: tuple[int, int]) -> View:
    fitted = fit(load_image(image), size)
    estimate, _ = settled(fitted.image, sanitise(estimator.estimate(fitted.image, None)))
    return View.at_origin(fitted.image, estimate.depth, estimate.intrinsics)


def _cameras(view: View) -> Trajectory:
    """The cameras of SHOWN."""
    solid = view.depth[np.isfinite(view.depth)]
    reach = float(np.median(solid)) if len(solid) else 1.0
    c2w = np.tile(np.eye(4), (len(SHOWN), 1, 1))
    for pose, (_, (aside, ahead, turn)) in zip(c2w, SHOWN, strict=True):
        pose[:3, :3] = Rotation.from_euler("Y", turn, degrees=True).as_matrix()
        pose[:3, 3] = aside * reach, 0, ahead * reach
    lenses = np.tile(view.intrinsics, (len(SHOWN), 1, 1))
    return Trajectory(np.linalg.inv(c2w), lenses, *view.depth.shape)


def _caption(text: str, width: int) -> np.ndarray:
    """A caption (h, n * width, 3) uint8 for the row below, with the name of each of its n frames."""
    band = Image.new("RGB", (width * len(SHOWN), CAPTION), BEHIND)
    draw = ImageDraw.Draw(band)
    font = ImageFont.load_default(11)
    for number, (name, _) in enumerate(SHOWN):
        line = f"{text}: {name}" if number == 0 else name
        draw.text((number * width + 6, CAPTION // 2), line, "white", font, anchor="lm")
    return np.asarray(band)
