"""Requests about worlds that are refused, each in one line that says why."""

import json

import pytest

from tests.backend.service import detail, picture, straight_path


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (b"this is text, not a picture", "a_picture.png is no image"),
        (b"", "a_picture.png is no image"),
        (picture(63, 200), "63x200"),
        (picture()[:300], "damaged or cut short"),
    ],
)
def test_bad_pictures_are_refused(slow, image, says):
    text = detail(slow.post_world(image=image))
    assert says in text
    assert str(slow.folder) not in text


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(slow):
    header = picture().replace((208).to_bytes(4, "big") + (112).to_bytes(4, "big"),
                               (20000).to_bytes(4, "big") + (9000).to_bytes(4, "big"))  # fmt: skip
    text = detail(slow.post_world(image=header))
    assert "a_picture.png" in text


@pytest.mark.parametrize(
    ("settings", "status", "says"),
    [
        ({"engine": "magic"}, 400, "'magic'"),
        ({"engine": "lyra2"}, 409, "Engine 'lyra2' is not ready"),
        ({"size": [100, 100]}, 400, "100x100"),
        ({"size": [10**400, 112]}, 400, "Use 1664x112"),
        ({"size": [100]}, 400, "size"),
        ({"depth": "psychic"}, 400, "'psychic'"),
        ({"depth_scene": "cave"}, 400, "'cave'"),
        ({"depth_values": "feet"}, 400, "'feet'"),
        ({"depth_values": "inverse"}, 400, "need a depth file"),
        ({"depth_blend": True}, 400, "needs a depth file"),
        ({"seed": -1}, 400, "-1"),
        ({"seed": "x"}, 400, "'x'"),
        ({"name": "n" * 65}, 400, "64"),
        ({"colour": "red"}, 400, "colour"),
        ({"intrinsics": [[0, 0, 1], [0, -5, 1], [0, 0, 1]]}, 400, "focal lengths"),
        ({"intrinsics": [[1, 2]]}, 400, "(1, 1, 2)"),
    ],
)
def test_bad_settings_are_refused(slow, settings, status, says):
    before = set((slow.worlds / ".backend" / "jobs").iterdir())
    assert says in detail(slow.post_world(settings), status)
    assert set((slow.worlds / ".backend" / "jobs").iterdir()) == before


def test_bad_forms_are_refused(slow):
    post = slow.client.post
    assert "image" in detail(post("/v1/worlds", data={"settings": "{}"}))
    assert "image" in detail(post("/v1/worlds", data={"image": "text"}))
    image = ("x.png", picture())
    assert "settings" in detail(post("/v1/worlds", files={"image": image}, data={"settings": "{no json"}))
    assert "settings" in detail(post("/v1/worlds", files={"image": image, "settings": ("s.json", b"{}")}))
    post_depth = slow.post_world(depth=("depth.txt", b"1 2 3"))
    assert "depth.txt is no depth file" in detail(post_depth)


def changed(key, value, frames=81):
    path = straight_path(frames)
    path[key] = value if not callable(value) else value(path[key])
    return {"trajectory": path}


def with_pose(row, column, value):
    def change(w2c):
        w2c[40][row][column] = value
        return w2c

    return changed("w2c", change)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"trajectory": straight_path(100)}, "100 frames; a world needs 1 + 80k"),
        ({"trajectory": straight_path(1)}, "1 frames"),
        (with_pose(0, 3, float("nan")), "frame 40 is not finite"),
        (with_pose(0, 0, 2.0), "frame 40 is no rotation"),
        (with_pose(0, 0, -1.0), "frame 40 is no rotation"),
        (with_pose(0, 0, "x"), "trajectory.w2c.40.0.0 is 'x'"),
        (changed("intrinsics", [[[0, 0, 1], [0, 9, 1], [0, 0, 1]]] * 81), "frame 0 are [0., 9.]"),
        (changed("intrinsics", [[[9, 0, 1], [0, -9, 1], [0, 0, 1]]] * 81), "frame 0 are [ 9., -9.]"),
        (changed("intrinsics", []), "81 poses"),
        (changed("image_height", 0), "208x0"),
        (changed("w2c", lambda w2c: [*w2c[:80], [[1, 0], [0, 1]]]), "no number"),
        ({"captions": {"x1": "a street"}}, "'x1'"),
        ({"captions": {"-3": "a street"}}, "'-3'"),
        ({"captions": {}}, "captions"),
        ({"captions": {"500": "a street"}}, "frame 500"),
        ({"captions": {"0": 5}}, "captions.0 is 5"),
        ({"captions": {"0": "a"}, "prompt": "b"}, "Both"),
        ({"pose_scale": 0}, "pose_scale is 0"),
        ({"pose_scale": float("inf")}, "pose_scale"),
        ({"seed": 1.5}, "1.5"),
        ({"promt": "typo"}, "promt"),
        ({"trajectory": None}, "trajectory"),
    ],
)
def test_bad_paths_are_refused_at_once(slow, slow_world, body, says):
    body = {"trajectory": straight_path(), **body}
    content = json.dumps(body)  # unlike httpx, this passes NaN on
    answer = slow.client.post(
        f"/v1/worlds/{slow_world['id']}/chunks", content=content, headers={"Content-Type": "application/json"}
    )
    assert says in detail(answer)


def test_bad_bodies_are_refused(slow, slow_world):
    url = f"/v1/worlds/{slow_world['id']}"
    json_type = {"Content-Type": "application/json"}
    assert "JSON" in detail(slow.client.post(f"{url}/chunks", content=b"{", headers=json_type))
    assert "chunks is -1" in detail(slow.client.post(f"{url}/revert", json={"chunks": -1}))
    assert slow.client.post(f"{url}/revert", json={"chunks": True}).status_code == 400
    assert "reverted to 5" in detail(slow.client.post(f"{url}/revert", json={"chunks": 5}))
    assert "'moon.png'" in detail(slow.client.post(f"{url}/export", json={"items": ["moon.png"]}))
    assert "items" in detail(slow.client.post(f"{url}/export", json={"items": []}))
    assert "after is '-1'" in detail(slow.client.get("/v1/jobs/x/events", params={"after": -1}))
    assert slow.client.get("/v1/nothing").status_code == 404
    assert slow.client.put("/v1/health").status_code == 405
