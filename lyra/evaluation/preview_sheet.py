"""Contact sheet of one walkthrough on the depth of several estimators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lyra.common.errors import InvalidInputError
from lyra.common.files import whole_file
from lyra.common.progress import SILENT, Progress
from lyra.depth.base import DepthEstimator
from lyra.engines.preview import PreviewEngine
from lyra.evaluation.depth_sheet import BEHIND, stacked
from lyra.evaluation.preview import estimated_view, settled_view
from lyra.evaluation.scenes import EXAMPLES, RenderedScene, TrueScene

SHOWN = (0, 27, 54, 80)
# Height of a caption and of its letters, as shares of a frame's height.
CAPTION, LETTERS = 0.09, 0.055


def example_scene() -> RenderedScene:
    """The courtyard example. Raises InvalidInputError outside a source checkout."""
    folder = EXAMPLES / "courtyard"
    if not (folder / "trajectory.npz").is_file():
        raise InvalidInputError(
            f"{folder} is missing: the sheet shows the example scene, which only a source checkout has."
        )
    return RenderedScene(folder)


def draw_preview_sheet(
    scene: TrueScene,
    estimators: Sequence[DepthEstimator],
    picture: Path,
    progress: Progress = SILENT,
    device: str = "cpu",
) -> None:
    """Writes `picture` atomically: the frames SHOWN of the scene's walkthrough in a captioned row.

    One row for each of `estimators`, at the true scale (`estimated_view`), and one for the true depth.
    """
    rows = []
    origins = [*estimators, None]
    for number, estimator in enumerate(origins):
        share = progress.part(number / len(origins), (number + 1) / len(origins))
        source = scene.first if estimator is None else settled_view(estimated_view(scene.first, estimator))
        engine = PreviewEngine(device)
        chunk = engine.extend(engine.begin(source), scene.trajectory[1 : max(SHOWN) + 1], "", 0, share)
        frames = [source.image if frame == 0 else chunk.frames[frame - 1] for frame in SHOWN]
        origin = "true depth" if estimator is None else f"depth by {estimator.id}"
        row = np.concatenate(frames, 1)
        rows += [_caption(f"{scene.name}, {origin}", row.shape[1], source.image.shape[0]), row]
    with whole_file(picture) as temporary:
        Image.fromarray(stacked(rows)).save(temporary)


def _caption(text: str, width: int, frame_height: int) -> np.ndarray:
    """A caption (h, width, 3) uint8 for the row below, with the frame number of each quarter."""
    height = max(12, round(CAPTION * frame_height))
    band = Image.new("RGB", (width, height), BEHIND)
    draw = ImageDraw.Draw(band)
    font = ImageFont.load_default(max(9, round(LETTERS * frame_height)))
    margin, middle = height // 3, height // 2
    draw.text((margin, middle), f"{text}: frame {SHOWN[0]}", "white", font, anchor="lm")
    for number, frame in enumerate(SHOWN[1:], 1):
        draw.text(
            (number * width // len(SHOWN) + margin, middle), f"frame {frame}", "white", font, anchor="lm"
        )
    return np.asarray(band)
