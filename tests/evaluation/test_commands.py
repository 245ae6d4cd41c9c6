"""`lyra eval`: what is printed, and the exit code."""

import pytest

from lyra.cli import main
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
