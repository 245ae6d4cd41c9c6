"""The check of golden tensors itself, on the copy that comes with the suite and on a folder of other sizes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.parity import __main__ as parity
from tests.parity.base import largest_deviation
from tests.parity.writer import Sizes, write

GOLDENS = Path(__file__).parents[1] / "goldens"
CHECKS = parity.checks_of(parity.Folder(GOLDENS))
SLOW = ["loop", "vae", "cond_ar", "net_"]


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_golden(name):
    deviation = CHECKS[name](parity.Folder(GOLDENS))
    assert deviation.passes, f"{name}: {deviation.largest} > {deviation.tolerance}"


@pytest.fixture(scope="module")
def other_sizes(tmp_path_factory):
    return write(tmp_path_factory.mktemp("parity") / "other", Sizes()).path


@pytest.fixture
def quick(tmp_path):
    """The goldens that take no time."""
    folder = Path(shutil.copytree(GOLDENS, tmp_path / "goldens"))
    for file in folder.glob("*.npz"):
        if file.name.startswith(tuple(SLOW)):
            file.unlink()
    return folder


def table(folder: Path, capsys, *options: str) -> tuple[int, dict[str, str]]:
    """Exit status and, per line, what stands behind the name."""
    status = parity.main([str(folder), *options])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    return status, dict(lines)


def edit(file: Path, change) -> None:
    """Writes `file` again with its arrays as `change` leaves them."""
    arrays = parity.Folder(file.parent).arrays(file.stem)
    change(arrays)
    if file.suffix == ".json":
        file.write_text(json.dumps({key: value.tolist() for key, value in arrays.items()}))
    else:
        np.savez(file, **arrays)


def test_every_array_of_a_folder_of_other_sizes_passes(other_sizes, capsys):
    folder = parity.Folder(other_sizes)
    status, lines = table(other_sizes, capsys, "--arrays")
    arrays = {f"{name}.{key}" for name in folder.names() for key in folder.arrays(name)}
    assert status == 0 and set(lines) == arrays | set(folder.names())
    assert all(
        said.split()[::2] == ["max", "tol", "pass"] or said.endswith("pass") for said in lines.values()
    )


def test_one_wrong_number_fails_whatever_the_golden(other_sizes, tmp_path, capsys):
    folder = Path(shutil.copytree(other_sizes, tmp_path / "wrong"))

    def spoil(arrays):
        for array in arrays.values():
            flat = array.reshape(-1)
            flat[-1] = ~flat[-1] if array.dtype == bool else flat[-1] + np.array(1).astype(array.dtype)

    for name in parity.Folder(folder).names():
        edit(folder / f"{name}{'.json' if name == 'retrieval' else '.npz'}", spoil)
    status, lines = table(folder, capsys, "--arrays")
    assert status == 1 and all(said.endswith("FAIL") for said in lines.values()), lines


def test_what_has_no_code_is_named_and_does_not_fail(quick, capsys):
    np.savez(quick / "unheard_of.npz", out=np.zeros(3))
    edit(quick / "plucker.npz", lambda arrays: arrays.update(moments=np.zeros(3)))
    status, lines = table(quick, capsys)
    assert status == 0
    assert lines["unheard_of"] == lines["plucker.moments"] == "no code yet"
    assert lines["plucker"].endswith("pass") and list(lines)[-1] == "unheard_of"


def test_a_golden_of_which_nothing_is_compared_fails(quick, capsys):
    np.savez(quick / "cache_points.npz", world=np.zeros(3))
    status, lines = table(quick, capsys)
    assert status == 1 and lines["cache_points"] == "max inf  tol 1.0e-04  FAIL"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("reliable_depth_mask.npz", {"mask": np.zeros((6, 1, 20, 20), bool)}),
        ("plucker.npz", {"rays": np.full((1, 3, 12, 20, 6), np.nan)}),
        ("warp.npz", {"image": np.zeros(0)}),
    ],
)
def test_a_broken_golden_fails_and_the_others_have_their_say(quick, capsys, file, content):
    np.savez(quick / file, **content)
    status, lines = table(quick, capsys)
    assert status == 1 and len(lines) == 6
    for name, said in lines.items():
        assert (
            said.startswith("max inf") and said.endswith("FAIL") if name + ".npz" == file else "pass" in said
        )


def test_deviation_counts_what_is_no_number():
    numbers = np.array([1.0, np.nan, np.inf])
    assert largest_deviation(numbers[:1], numbers[:1]) == 0
    assert largest_deviation(numbers[2:], numbers[2:]) == 0
    assert largest_deviation(numbers[1:2], numbers[1:2]) == np.inf
    assert largest_deviation(numbers[:1], numbers[1:2]) == np.inf
    assert largest_deviation(-numbers[2:], numbers[2:]) == np.inf
    assert largest_deviation(np.zeros((2, 1)), np.zeros((1, 2))) == np.inf


def test_half_precision_is_excused_only_where_it_alone_exceeds_the_tolerance():
    small, large = np.array([1.5], np.float16), np.array([5.0], np.float16)
    assert largest_deviation(np.array([1.5004]), small, 1e-3) == pytest.approx(4e-4)
    assert largest_deviation(np.array([5.0019]), large, 1e-3) == 0
    assert largest_deviation(np.array([5.004]), large, 1e-3) == pytest.approx(0.004 - 2**-9)


def test_a_folder_without_goldens_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        parity.main([str(tmp_path)])
    assert stop.value.code == 2
    assert str(tmp_path) in capsys.readouterr().err
