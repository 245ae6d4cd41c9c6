"""The figures of `lyra eval preview`."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lyra.cli.main import main
from lyra.common.errors import InvalidInputError
from lyra.depth.base import DepthEstimate
from lyra.evaluation.preview import (
    PreviewRow,
    estimated_view,
    evaluate,
    evaluate_scene,
    psnr,
    seen_by_source,
    table,
)
from lyra.evaluation.preview_sheet import draw_preview_sheet, example_scene
from lyra.evaluation.scenes import PaintedScene, all_scenes, hall, street

SIZE = (96, 160)


@pytest.fixture(scope="module")
def scene() -> PaintedScene:
    return replace(street(SIZE), frames=(40, 80))


def test_psnr():
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert psnr(black, black) == pytest.approx(99)
    assert psnr(black, grey) == pytest.approx(20 * np.log10(5))
    half = np.arange(4)[:, None].repeat(4, 1) < 2
    mixed = np.where(half[..., None], black, grey)
    assert psnr(black, mixed, half) == pytest.approx(99)


def test_truth_is_exact_in_depth(scene):
    """The street's ground is the plane y = 1.6."""
    depth = scene.first.depth
    y = (SIZE[0] - 0.5 - scene.intrinsics[1, 2]) / scene.intrinsics[1, 1]
    # The bottom row is ground except where houses stand.
    assert np.median(depth[-1]) == pytest.approx(1.6 / y, rel=1e-4)
    assert np.isinf(depth).any() and not np.isnan(depth).any() and (depth > 0).all()


def test_the_source_saw_itself_and_not_what_it_hid(scene):
    seed = scene.first
    assert seen_by_source(seed, seed.depth, np.eye(4), seed.intrinsics).all()
    _, depth = scene.truth(80)
    share = seen_by_source(seed, depth, scene.trajectory.w2c[80], seed.intrinsics).mean()
    assert 0.6 < share < 0.97


def test_every_path_is_a_walk_of_ten_to_twenty_percent_of_the_mean_depth():
    for scene in (hall(SIZE), street(SIZE)):
        depth = scene.first.depth
        share = np.linalg.norm(scene.trajectory.centers[-1]) / depth[np.isfinite(depth)].mean()
        assert 0.095 < share < 0.2
        assert len(scene.trajectory) == 81


def test_figures_of_a_small_street(scene):
    row = evaluate_scene(scene)
    assert row.psnr_seen > 28  # 30 at full size
    assert row.psnr_whole > 24  # 22 is asked for
    assert row.unfilled == 0
    assert row.psnr_loop > 38  # 35 is asked for
    assert row.psnr_revisit > 38
    text = table([row])
    assert "street" in text and f"{row.psnr_seen:.2f}" in text


class Tilted:
    """True depth in other units, or a wall at its median."""

    id = "tilted"

    def __init__(self, depth: np.ndarray):
        self.depth = depth

    def estimate(self, image, intrinsics=None):
        return DepthEstimate(self.depth, intrinsics, False, "a test")


def test_an_estimate_takes_the_place_of_the_truth_at_its_scale(scene):
    seed = scene.first
    thrice = estimated_view(seed, Tilted(3 * seed.depth))
    np.testing.assert_allclose(thrice.depth, seed.depth, rtol=1e-5)
    assert thrice.intrinsics is seed.intrinsics and thrice.image is seed.image
    wall = estimated_view(seed, Tilted(np.full_like(seed.depth, 0.3)))
    assert wall.depth[0, 0] == pytest.approx(np.median(seed.depth[np.isfinite(seed.depth)]))
    with pytest.raises(InvalidInputError, match="tilted takes for sky"):
        estimated_view(seed, Tilted(np.full_like(seed.depth, np.inf)))


def test_figures_of_an_estimate_are_against_the_truth(scene):
    """A wall in place of the street: what the source saw is still known from true depth, and is missed."""
    wall = Tilted(np.full_like(scene.first.depth, 0.3))
    (row,) = evaluate([replace(scene, frames=(80,))], estimator=wall)
    assert row.psnr_seen < 24  # above 28 with true depth
    assert "goal" not in table([row], goals=False) and "goal" in table([row])


def test_the_sheet_has_a_captioned_row_for_every_depth(scene, tmp_path):
    seed = scene.first
    wall = Tilted(np.full_like(seed.depth, 0.3))
    draw_preview_sheet(scene, [wall], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened)
    height, width = SIZE
    caption = 12
    assert sheet.shape == (2 * (caption + height), 4 * width, 3)
    first, second = (sheet[start : start + height] for start in (caption, 2 * caption + height))
    # Frame 0 is the picture itself in both rows; the last frames differ as the depths do.
    assert np.array_equal(first[:, :width], seed.image) and np.array_equal(second[:, :width], seed.image)
    truth, _ = scene.truth(80)
    assert psnr(second[:, 3 * width :], truth) > psnr(first[:, 3 * width :], truth) + 1
    assert (sheet[:caption] > 150).any() and (sheet[caption + height : 2 * caption + height] > 150).any()


def test_the_command_takes_a_depth_model_and_a_sheet(monkeypatch, tmp_path, capsys):
    given = {}

    def draw(scene, estimators, picture, progress):
        given["rows"] = (scene.name, [estimator.id for estimator in estimators], picture)

    def measure(scenes, progress, estimator):
        given["estimator"] = estimator and estimator.id
        return [PreviewRow("hall", 40, 30, 0, 50, 99, 9)]

    monkeypatch.setattr("lyra.evaluation.preview_sheet.draw_preview_sheet", draw)
    monkeypatch.setattr("lyra.evaluation.preview.evaluate", measure)
    assert main(["eval", "preview"]) == 0
    assert given == {"estimator": None} and "goal" in capsys.readouterr().out
    sheet = tmp_path / "sheet.png"
    assert main(["eval", "preview", "--depth-model", "layout", "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert given == {"estimator": "layout", "rows": ("courtyard", ["layout", "builtin"], sheet)}
    assert "depth by layout" in printed and "goal" not in printed


def test_without_the_example_there_is_no_sheet(monkeypatch, tmp_path):
    monkeypatch.setattr("lyra.evaluation.preview_sheet.EXAMPLES", tmp_path)
    with pytest.raises(InvalidInputError, match="source checkout"):
        example_scene()


def test_evaluate_takes_any_scenes():
    assert evaluate([]) == []
    assert {scene.name for scene in all_scenes()} >= {"hall", "street"}
