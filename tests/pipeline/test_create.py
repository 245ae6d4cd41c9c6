"""Beginning of a world: what it says of its depth and lens, and what is refused."""

import numpy as np
import pytest

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.depth.base import DepthEstimate
from lyra.geometry.cameras import Trajectory
from lyra.hub.licences import LICENCES
from lyra.pipeline.create import WorldRequest, begin_world, create_world
from lyra.world.folder import World
from tests.worlds import SCENE_SIZE, seeded


@pytest.mark.parametrize(
    ("licence", "expected"), [("cc-by-nc-4.0", "non-commercial use only"), ("apache-2.0", "no model licence")]
)
def test_a_world_says_what_the_weights_of_its_depth_allow(
    small_scene, tmp_path, monkeypatch, licence, expected
):
    class Estimator:
        id = "weights"

        def estimate(self, image, intrinsics=None):
            notes = tuple(filter(None, ("It was a bright day.", LICENCES[licence].notice)))
            return DepthEstimate(
                np.ones(image.shape[:2], np.float32), intrinsics, True, "weights", notes=notes
            )

    monkeypatch.setattr(
        "lyra.pipeline.create.depth_estimators.create_estimator", lambda *_, **__: Estimator()
    )
    path = Trajectory.load(small_scene / "path.npz")
    world = create_world(tmp_path / "world", small_scene / "image.png", size=SCENE_SIZE, lens=path)
    assert expected in World.open(world.folder).settings.license
    assert ("no model licence" in world.settings.license) == (licence == "apache-2.0")


def test_a_picture_s_lens_is_checked_against_it(small_scene, tmp_path):
    def made(**lens):
        return create_world(
            tmp_path / "world",
            small_scene / "image.png",
            depth_file=small_scene / "depth.npz",
            size=SCENE_SIZE,
            **lens,
        )

    good = Trajectory.load(small_scene / "path.npz").intrinsics[0]
    for bad, words in (
        (good / [[208], [112], [1]], "look normalised"),
        (good * [[4], [4], [1]], "about 832x448"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            made(intrinsics=bad)
    with pytest.raises(InvalidInputError, match="of a 112x208 picture and the picture is 208x112"):
        made(intrinsics=good, intrinsics_hw=(208, 112))
    assert not (tmp_path / "world").exists()
    world = made(intrinsics=(good * [[1.33], [1], [1]] - [[0, 0, 0.33 * 104], [0, 0, 0], [0, 0, 0]])[None])
    assert any("not square" in note for note in world.notes)
    assert world.intrinsics[0, 0] == pytest.approx(1.33 * good[0, 0])


def test_unknown_and_unready_engines(small_scene, tmp_path):
    with pytest.raises(InvalidInputError, match=r"'warp9'.*preview"):
        seeded(small_scene, tmp_path / "world", engine="warp9")
    with pytest.raises(EngineNotReadyError, match="Engine 'lyra2' is not ready"):
        seeded(small_scene, tmp_path / "world", engine="lyra2")
    assert not (tmp_path / "world").exists()


def test_the_keywords_of_create_world_are_the_fields_of_a_request(small_scene, tmp_path):
    fields = {
        "depth_file": small_scene / "depth.npz",
        "size": SCENE_SIZE,
        "name": "Yard",
        "seed": 7,
        "world_id": "a-yard",
    }
    sugar = create_world(tmp_path / "sugar", small_scene / "image.png", **fields)
    plain = begin_world(WorldRequest(tmp_path / "plain", small_scene / "image.png", **fields))
    assert (plain.id, plain.name, plain.settings.seed) == ("a-yard", "Yard", 7)
    assert sugar.notes == plain.notes
    np.testing.assert_array_equal(sugar.seed_view().depth, plain.seed_view().depth)
