"""The check of golden tensors itself, on the copy that comes with the suite and on folders made from it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import parity

GOLDENS = Path(__file__).parent / "goldens"

CHECKS = parity.checks_of(parity.Folder(GOLDENS))


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_golden(name):
    deviation = CHECKS[name](parity.Folder(GOLDENS))
    assert deviation.passes, f"{name}: {deviation.largest} > {deviation.tolerance}"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDENS, tmp_path / "goldens"))


def test_every_golden_has_its_line(folder, capsys):
    np.savez(folder / "unheard_of.npz", out=np.zeros(3))
    assert parity.main([str(folder)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [*sorted(CHECKS), "unheard_of"]
    assert all(line[1] == "max" and line[3] == "tol" and line[5] == "pass" for line in lines[:-1])
    assert " ".join(lines[-1]) == "unheard_of no code yet"


def test_a_wrong_golden_fails(folder, capsys):
    points = np.load(folder / "cache_points.npz")["points"]
    points[0, 0, -1] += 1e-3
    np.savez(folder / "cache_points.npz", points=points)
    (folder / "retrieval.json").write_text('{"single_t0_n1": [16]}')
    assert parity.main([str(folder)]) == 1
    verdicts = {line.split()[0]: line.split()[-1] for line in capsys.readouterr().out.splitlines()}
    assert verdicts["cache_points"] == verdicts["retrieval"] == "FAIL"
    assert verdicts["warp"] == verdicts["plucker"] == "pass"


def test_another_shape_fails_instead_of_crashing(folder, capsys):
    np.savez(folder / "reliable_depth_mask.npz", mask=np.zeros((6, 1, 20, 20), bool))
    assert parity.main([str(folder)]) == 1
    assert "reliable_depth_mask  max inf" in capsys.readouterr().out


def test_a_folder_without_goldens_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        parity.main([str(tmp_path)])
    assert stop.value.code == 2
    assert str(tmp_path) in capsys.readouterr().err
