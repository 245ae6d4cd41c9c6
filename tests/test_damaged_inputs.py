"""Damaged paths and depth files: read, or refused in one line of at most 300 characters; never anything else."""

import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.depth.file import read_depth
from lyra.depth.relative import read_relative
from lyra.geometry.cameras import Trajectory, intrinsics_from_fov

MUTATIONS = 500
LENS = intrinsics_from_fov(1.0, 12, 16)


def write_path(path):
    Trajectory(np.tile(np.eye(4), (5, 1, 1)), np.tile(LENS, (5, 1, 1)), 12, 16).save(path)


def depth():
    return np.linspace(1, 9, 12 * 16, dtype=np.float32).reshape(12, 16)


def write_pfm(path):
    path.write_bytes(b"Pf\n16 12\n-1.0\n" + depth().tobytes())


READERS = {
    "path.npz": (write_path, Trajectory.load),
    "packed.npz": (lambda path: np.savez_compressed(path, depth=depth(), intrinsics=LENS), read_depth),
    "depth.npz": (lambda path: np.savez(path, depth=depth(), intrinsics=LENS), read_relative),
    "depth.npy": (lambda path: np.save(path, depth()), read_depth),
    "depth.pfm": (write_pfm, read_depth),
}


def mutated(data, rng):
    """`data` with some bytes changed, cut off, taken out, doubled or replaced by extremes."""
    changed = bytearray(data)
    match rng.integers(5):
        case 0:
            for at in rng.integers(len(changed), size=rng.integers(1, 5)):
                changed[at] = rng.integers(256)
        case 1:
            del changed[rng.integers(len(changed)) :]
        case 2:
            at = rng.integers(len(changed))
            del changed[at : at + rng.integers(1, 40)]
        case 3:
            at = rng.integers(len(changed))
            changed[at:at] = changed[at : at + rng.integers(1, 40)]
        case 4:
            at, fill = rng.integers(len(changed)), (0, 255, 32, 10)[rng.integers(4)]
            changed[at : at + 8] = bytes([fill] * len(changed[at : at + 8]))
    return bytes(changed)


@pytest.mark.parametrize("name", READERS)
def test_mutations(tmp_path, name):
    write, read = READERS[name]
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(whole, rng))
        try:
            read(path)
        except InvalidInputError as error:
            message = str(error)
            assert len(message) <= 300 and "\n" not in message and name in message
            refused += 1
    assert refused > MUTATIONS / 5
