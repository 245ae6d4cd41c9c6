"""The reader of .npz and .npy files: what NumPy writes comes back, and what misleads is refused in one line."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from lyra.common.arrays_file import ArrayLimit, array_names, read_array, read_arrays
from lyra.common.errors import InvalidInputError

MB = 1_000_000
ANY = ArrayLimit(MB, "biufc")


def packed(compressed=False, **arrays) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode("latin-1") + data


def zipped(members: dict[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def refusal(source, wanted=None) -> str:
    with pytest.raises(InvalidInputError) as refused:
        read_arrays(source, {"a": ANY} if wanted is None else wanted)
    message = str(refused.value)
    assert len(message) <= 300
    assert "\n" not in message
    return message


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
        np.arange(6, dtype=">i4").reshape(1, 2, 3),
        np.array([True, False]),
        np.int64(480),
        np.zeros((0, 3), np.float16),
        np.array([1 + 2j]),
    ],
)
def test_numpys_arrays_come_back(array, compressed):
    found = read_arrays(packed(compressed, a=array), {"a": ANY})["a"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.asarray(array).dtype.newbyteorder("=")


def test_an_npy_file_comes_back(tmp_path):
    np.save(tmp_path / "depth.npy", np.ones((4, 5), np.float32))
    assert read_array(tmp_path / "depth.npy", ArrayLimit(MB)).shape == (4, 5)


def test_only_what_is_wanted_is_read():
    data = packed(a=np.ones(3), words=np.array(["x"]), things=np.array([{}], object))
    assert list(read_arrays(data, {"a": ANY, "b": ArrayLimit(1, optional=True)})) == ["a"]
    assert array_names(data) == ("a", "things", "words")


def test_others_come_under_their_own_limit():
    data = packed(a=np.ones(3), b=np.ones(4))
    assert set(read_arrays(data, {}, others=ANY)) == {"a", "b"}
    with pytest.raises(InvalidInputError, match="'b' would take"):
        read_arrays(data, {"a": ANY}, others=ArrayLimit(8))
    assert set(read_arrays(data, {}, others=ANY, total=56)) == {"a", "b"}
    with pytest.raises(InvalidInputError, match="'b' would take"):
        read_arrays(data, {}, others=ANY, total=55)


def test_the_file_and_the_array_are_named(tmp_path):
    file = tmp_path / "state.npz"
    file.write_bytes(packed(a=np.array(["text"])))
    assert str(file) in refusal(file)
    assert "'a'" in refusal(file)
    with pytest.raises(InvalidInputError, match=r"^The picture's depth .*; render it again\.$"):
        read_arrays(file, {"b": ANY}, name="The picture's depth", advice="render it again")


@pytest.mark.parametrize("limit", [ArrayLimit(7), ArrayLimit(MB, "iu"), ArrayLimit(MB, shape=(None, 3))])
def test_what_is_beyond_a_limit_is_refused(limit):
    assert "'a'" in refusal(packed(a=np.ones((3, 2))), {"a": limit})


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('x', '<f8')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'shape': (1,)}",
        "[" * 9000,
        "-" * 9000 + "1",
        "__import__('os').getpid()",
        "",
    ],
)
def test_headers_that_are_none_are_refused(header):
    refusal(zipped({"a.npy": npy(header, b"\0" * 8)}))


def test_an_array_that_is_cut_short_or_goes_on_is_refused():
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"
    assert "8 bytes" in refusal(zipped({"a.npy": npy(header, b"\0" * 8)}))
    assert "24 bytes" in refusal(zipped({"a.npy": npy(header, b"\0" * 24)}))
    assert "no array" in refusal(zipped({"a.npy": b"text that is no array"}))


def test_archives_that_numpy_does_not_write_are_refused():
    array = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", b"\0" * 8)
    assert "method 14" in refusal(zipped({"a.npy": array}, zipfile.ZIP_LZMA))
    assert "twice" in refusal(zipped({"a.npy": array, "a": array}))
    assert "1001 files" in refusal(zipped({f"{i}": b"" for i in range(1001)}))
    encrypted = bytearray(zipped({"a.npy": array}))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refusal(bytes(encrypted))
    assert "no .npz" in refusal(b"")
    assert "no .npz" in refusal(array)


def test_a_damaged_sum_is_refused():
    data = bytearray(packed(a=np.arange(100.0)))
    data[300] ^= 1
    assert "'a'" in refusal(bytes(data))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "There is no file" in refusal(tmp_path / "missing.npz")
    assert "cannot be read" in refusal(tmp_path)


def test_nothing_large_is_taken_for_what_is_refused():
    wide = packed(compressed=True, a=np.zeros(8 * MB))
    lying = zipped({"a.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,)}")})
    tracemalloc.start()
    try:
        refusal(wide)
        refusal(lying, {"a": ArrayLimit(10**15)})
        assert tracemalloc.get_traced_memory()[1] < 4 * MB
    finally:
        tracemalloc.stop()
