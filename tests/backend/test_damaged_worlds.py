"""One damaged world does not take the others from the list, whatever is wrong with it."""

import os
import shutil
import struct
import zipfile

import numpy as np
import pytest

from tests.backend.inside import WORLD, ask, backend_of


def a_bomb(world):
    """A header that promises 60 million numbers."""
    with zipfile.ZipFile(world / "seed.npz", "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (60000000,), }".ljust(117) + b"\n"
        archive.writestr("depth.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)


def objects(world):
    np.savez(world / "seed.npz", depth=np.ones(4, object))


def a_link_to_itself(world):
    (world / "world.json").unlink()
    (world / "world.json").symlink_to("world.json")


def a_pipe(world):
    (world / "world.json").unlink()
    os.mkfifo(world / "world.json")


def a_folder(world):
    (world / "world.json").unlink()
    (world / "world.json").mkdir()


def replaced(name: str, content: bytes):
    def change(world):
        (world / name).write_bytes(content)

    change.__name__ = f"{name} {content[:12]!r}"
    return change


DAMAGE = [
    a_bomb,
    objects,
    a_link_to_itself,
    a_pipe,
    a_folder,
    replaced("world.json", b"\xff\xfe"),
    replaced("world.json", b""),
    replaced("world.json", b"[" * 200_000),
    replaced("world.json", b'{"format_version": ' + b"9" * 5000 + b"}"),
    replaced("world.json", b'{"format_version": 1, "id": "' + b"x" * 100_000 + b'"}'),
    replaced("seed.npz", b""),
    replaced("seed.npz", b"PK\x03\x04" + bytes(100)),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_the_other_worlds_are_listed(tmp_path, damage):
    backend = backend_of(tmp_path)
    worse = backend.config.worlds / "worse-world"
    shutil.copytree(backend.config.worlds / WORLD, worse)
    damage(worse)
    url = f"/v1/worlds/{worse.name}"
    listed, one, deleted = ask(backend, ("GET", "/v1/worlds"), ("GET", url), ("DELETE", url))
    assert listed.status_code == 200
    states = {world["id"]: (world["state"], world["error"]) for world in listed.json()}
    assert states[WORLD] == ("ready", None)
    assert states[worse.name][0] == "damaged"
    error = states[worse.name][1]
    assert len(error) <= 300 and error.isprintable()
    assert (one.status_code, one.json()["detail"]) == (400, error)
    assert deleted.status_code == 204 and not worse.exists()
