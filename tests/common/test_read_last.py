"""The last entry of an array, read without the rest."""

import io

import numpy as np
import pytest

from lyra.common.arrays_file import ArrayLimit, read_last
from lyra.common.errors import InvalidInputError

DEPTH = np.arange(80 * 6 * 5, dtype=np.float16).reshape(80, 6, 5)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["<f2", ">f4"])
def test_the_last_entry_comes_back(tmp_path, save, dtype):
    save(tmp_path / "d.npz", depth=DEPTH.astype(dtype), other=1)
    last = read_last(tmp_path / "d.npz", "depth", ArrayLimit(6 * 5 * 4))
    np.testing.assert_array_equal(last, DEPTH.astype(dtype)[-1])
    assert last.dtype.isnative


@pytest.mark.parametrize(
    ("array", "limit", "words"),
    [
        (DEPTH, 6 * 5 * 2 - 1, "does not fit"),
        (DEPTH.astype(complex), 10**6, "complex128"),
        (np.asfortranarray(DEPTH), 10**6, "shape"),
        (np.zeros((0, 6, 5)), 10**6, "shape"),
        (np.float32(1), 10**6, "shape"),
    ],
)
def test_what_has_no_such_entry_is_refused(tmp_path, array, limit, words):
    np.savez(tmp_path / "d.npz", depth=array)
    with pytest.raises(InvalidInputError, match=words):
        read_last(tmp_path / "d.npz", "depth", ArrayLimit(limit))
    with pytest.raises(InvalidInputError, match="no array 'w2c'"):
        read_last(tmp_path / "d.npz", "w2c", ArrayLimit(limit))


def test_a_damaged_file_is_refused():
    out = io.BytesIO()
    np.savez(out, depth=DEPTH)
    for cut in (10, 200, len(out.getvalue()) // 2):
        with pytest.raises(InvalidInputError):
            read_last(out.getvalue()[:cut], "depth", ArrayLimit(10**6))
