"""`lyra eval`: what is printed, and the exit code."""

import numpy as np
import pytest
from PIL import Image

from lyra.cli.main import main
from lyra.evaluation.depth_alignment import AlignmentRow


@pytest.fixture
def figures(monkeypatch):
    """Figures that are good, as if they had been measured; a test may change them."""
    measured = {"synthetic": {"abs_rel": 0.1, "fov": 5.0}, "speed": {"seconds": 1.0}}
    rows = [AlignmentRow("hall", "scale", 0.2, 0.01, 0.02, 0.001, 0.001, 0.001, 0.5)]
    monkeypatch.setattr("lyra.evaluation.depth_quality.evaluate_depth", lambda *given: measured)
    monkeypatch.setattr("lyra.evaluation.depth_alignment.evaluate_alignment", lambda progress: rows)
    return measured, rows


def test_good_figures_exit_with_0_and_what_is_left_out_is_said(figures, capsys):
    assert main(["eval", "depth", "--depth-model", "layout"]) == 0
    told = capsys.readouterr().err
    assert "give --images DIR" in told and "give --rendered DIR" in told


def test_a_figure_of_the_estimator_or_of_the_aligner_that_is_missed_exits_with_1(figures, capsys):
    measured, rows = figures
    measured["speed"] = {"seconds": 2.0}
    assert main(["eval", "depth", "--depth-model", "layout"]) == 1
    assert "2.000, at most 1.5" in capsys.readouterr().err
    measured["speed"] = {"seconds": 1.0}
    rows[0] = AlignmentRow("hall", "scale", 0.2, 0.05, 0.06, 0.001, 0.001, 0.001, 0.5)
    assert main(["eval", "depth", "--depth-model", "layout"]) == 1
    assert "5.00%, at most 3.00%" in capsys.readouterr().err


@pytest.fixture
def unmarked(tmp_path):
    """A folder with a picture that nobody has marked."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (96, 160, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    return folder


def test_pictures_of_a_sheet_need_not_be_marked(figures, unmarked, tmp_path, capsys):
    given = ["eval", "depth", "--depth-model", "layout", "--images", str(unmarked)]
    assert main([*given, "--sheet", str(tmp_path / "sheet.png")]) == 0
    told = capsys.readouterr()
    assert "abs_rel" in told.out and "None of the 1 pictures" in told.err
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--images", "{unmarked}"], "None of the 1 pictures"),
        (["--images", "{unmarked}/none"], "No such file"),
        (["--images", "{unmarked}", "--sheet", "sheet.foo"], r"sheet.foo is no name of a picture"),
        (["--sheet", "sheet.png"], "--images"),
        (["--rendered", "{unmarked}"], "holds no .npz"),
    ],
)
def test_what_cannot_be_used_is_said_before_the_work(figures, unmarked, monkeypatch, capsys, options, words):
    def too_late(*given, **options):
        raise AssertionError("it went to work")

    monkeypatch.setattr("lyra.evaluation.depth_alignment.evaluate_alignment", too_late)
    filled = [option.format(unmarked=unmarked) for option in options]
    assert main(["eval", "depth", "--depth-model", "layout", *filled]) == 2
    assert words in capsys.readouterr().err
