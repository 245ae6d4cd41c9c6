"""The sheet of `lyra eval sheet`."""

import numpy as np
from PIL import Image

from lyra.cli.main import main
from lyra.depth.base import DepthEstimate
from lyra.evaluation.place_sheet import CAPTION, SHOWN, draw_place_sheet
from lyra.evaluation.scenes import street


class TrueDepth:
    """The street's own depth."""

    id = "true"

    def estimate(self, image, intrinsics=None):
        scene = street(image.shape[:2])
        return DepthEstimate(scene.first.depth, scene.intrinsics, False, "a test")


def test_every_image_has_three_rows_of_all_views(tmp_path):
    size = (96, 160)
    Image.fromarray(street(size).first.image).save(tmp_path / "street.png")
    draw_place_sheet([tmp_path / "street.png"], TrueDepth(), tmp_path / "sheet.png", size=size)
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened)
    assert sheet.shape == (3 * (CAPTION + size[0]), len(SHOWN) * size[1], 3)
    before, after, splats = (
        sheet[CAPTION + n * (CAPTION + size[0]) : (n + 1) * (CAPTION + size[0])].astype(float)
        for n in range(3)
    )
    turned = np.s_[:, 7 * size[1] :]
    assert np.abs(before[turned] - after[turned]).mean() > 3
    # The splats show what the frames show, and nothing is left black.
    assert np.abs(splats - after).mean() < 12
    assert (splats.max(-1) < 3).mean() < 0.01


def test_images_are_asked_for(tmp_path, capsys):
    assert main(["eval", "sheet", "--sheet", str(tmp_path / "sheet.png")]) != 0
    assert "Name images" in capsys.readouterr().err
    assert main(["eval", "depth", str(tmp_path / "image.png")]) != 0
    assert "lyra eval sheet" in capsys.readouterr().err
