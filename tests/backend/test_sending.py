"""Files over HTTP are read from the descriptor that was measured, whatever happens to their names."""

import asyncio
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.api.sending import _asked, file_response, read_small_file
from backend.errors import RangeError
from backend.worker.task import PREVIEW_FILE
from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory
from lyra.world.folder import World
from tests.backend.inside import WORLD, ask, backend_of, client_of
from tests.backend.test_parts import job
from tests.worlds import cameras, make_chunk

SEED = f"/v1/worlds/{WORLD}/files/seed.png"
CAMERAS = f"/v1/worlds/{WORLD}/trajectory"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", (0, 99)),
        ("bytes=0-", (0, 99)),
        ("bytes=10-19", (10, 19)),
        ("bytes=10-1000", (10, 99)),
        (f"bytes=10-{'9' * 5000}", (10, 99)),
        ("bytes=-5", (95, 99)),
        ("bytes=-500", (0, 99)),
        ("bytes=-0", (0, 99)),
        ("bytes=19-10", (0, 99)),
        ("bytes=0-1,5-6", (0, 99)),
        ("bytes=-", (0, 99)),
        ("lines=1-2", (0, 99)),
        ("bytes=0x1-2", (0, 99)),
        ("bytes=٣-", (0, 99)),
    ],
)
def test_ranges_are_understood_or_passed_over(wanted, found):
    assert _asked(wanted, 100) == found


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=1000-2000", f"bytes={'9' * 5000}-"])
def test_a_range_behind_the_end_is_refused(wanted):
    with pytest.raises(RangeError, match="has 100 bytes") as refusal:
        _asked(wanted, 100)
    assert len(str(refusal.value)) < 200


def test_a_file_that_is_replaced_meanwhile_is_sent_as_it_was(tmp_path):
    file = tmp_path / "splats.ply"
    file.write_bytes(b"old" * 1000)
    response = file_response(file.open("rb"), 3000, file.name)
    (tmp_path / "new").write_bytes(b"n")
    (tmp_path / "new").replace(file)
    sent = []

    async def send(message: dict) -> None:
        sent.append(message.get("body", b""))

    async def receive() -> dict:
        await asyncio.sleep(60)

    asyncio.run(response({"type": "http", "method": "GET", "headers": []}, receive, send))
    assert b"".join(sent) == b"old" * 1000


def test_previews_that_are_replaced_all_the_time_are_whole(tmp_path):
    """The worker replaces the file while it is fetched: every answer is a picture."""
    backend = backend_of(tmp_path)
    shown = backend.book.submit(job(id="abc", kind="export", preview=True))
    preview = backend.book.folder(shown.id) / PREVIEW_FILE
    preview.parent.mkdir()
    frames = []
    for size in (64, 96):
        buffer = io.BytesIO()
        Image.new("RGB", (size, size)).save(buffer, "JPEG")
        frames.append(buffer.getvalue())
    preview.write_bytes(frames[0])
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            for frame in frames:
                preview.with_suffix(".partial").write_bytes(frame)
                preview.with_suffix(".partial").replace(preview)

    async def fetch() -> set:
        async with client_of(backend) as client:
            answers = [await client.get(f"/v1/jobs/{shown.id}/preview") for _ in range(300)]
        # What is sent has the length that was announced, or the connection breaks.
        lengths = [int(answer.headers["content-length"]) for answer in answers]
        whole = [length == len(a.content) for a, length in zip(answers, lengths, strict=True)]
        return {(a.status_code, a.content in frames and fits) for a, fits in zip(answers, whole, strict=True)}

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert asyncio.run(fetch()) == {(200, True)}
    finally:
        ended.set()
        worker.join()


def test_links_and_what_is_no_file_are_not_sent(tmp_path):
    secret, folder = tmp_path / "secret", tmp_path / "job"
    secret.write_text("secret")
    folder.mkdir()
    (folder / PREVIEW_FILE).symlink_to(secret)
    with pytest.raises(InvalidInputError, match="link"):
        read_small_file(folder, PREVIEW_FILE)
    (folder / PREVIEW_FILE).unlink()
    os.mkfifo(folder / PREVIEW_FILE)
    with pytest.raises(InvalidInputError):
        read_small_file(folder, PREVIEW_FILE)
    with pytest.raises(FileNotFoundError):
        read_small_file(folder, "nothing.jpg")


def test_a_file_is_sent_with_what_a_client_needs_to_keep_it(tmp_path):
    whole, part, again = ask(
        tmp_path,
        ("GET", SEED),
        ("GET", SEED, {"headers": {"Range": "bytes=1-3"}}),
        ("GET", SEED),
    )
    assert (whole.status_code, whole.headers["content-type"]) == (200, "image/png")
    assert len(whole.content) == int(whole.headers["content-length"])
    assert (part.status_code, part.content) == (206, b"PNG")
    assert part.headers["content-range"] == f"bytes 1-3/{len(whole.content)}"
    assert whole.headers["etag"] == part.headers["etag"] == again.headers["etag"]


def test_the_rest_of_another_version_is_not_sent(tmp_path):
    """A client that goes on with a download says which version it has the beginning of."""
    backend = backend_of(tmp_path)
    file = backend.config.worlds / WORLD / "seed.png"
    os.utime(file, (1_700_000_000, 1_700_000_000))
    rest = {"Range": "bytes=4-"}
    versions = ["", '"another"', "Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:21 GMT"]
    answers = ask(
        backend, *[("GET", SEED, {"headers": {**rest, "If-Range": version}}) for version in versions]
    )
    assert [answer.status_code for answer in answers] == [206, 200, 206, 200]
    etag = answers[0].headers["etag"]
    (same,) = ask(backend_of(tmp_path / "b"), ("GET", SEED))
    assert same.headers["etag"] != etag


def test_the_cameras_of_a_world_are_one_file(tmp_path):
    backend = backend_of(tmp_path)
    folder = backend.config.worlds / WORLD
    answers = ask(backend, ("GET", CAMERAS), ("GET", CAMERAS), ("GET", "/v1/worlds/no-world/trajectory"))
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert answers[0].headers["content-type"] == "application/octet-stream"
    assert answers[0].headers["etag"] == answers[1].headers["etag"]
    assert len(_read_trajectory(answers[0].content, tmp_path)) == 1
    World.open(folder).add_chunk(cameras(), make_chunk(1), "", 0, 1.0)
    (longer,) = ask(backend, ("GET", CAMERAS))
    found, true = _read_trajectory(longer.content, tmp_path), World.open(folder).trajectory()
    assert len(found) == 81 and longer.headers["etag"] != answers[0].headers["etag"]
    np.testing.assert_array_equal(found.w2c, true.w2c)
    np.testing.assert_array_equal(found.intrinsics, true.intrinsics)
    assert (found.height, found.width) == (true.height, true.width)


def test_a_damaged_world_has_no_cameras_and_says_why(tmp_path):
    backend = backend_of(tmp_path)
    (backend.config.worlds / WORLD / "seed.npz").write_bytes(b"no zip")
    (answer,) = ask(backend, ("GET", CAMERAS))
    assert answer.status_code == 400 and "seed.npz" in answer.json()["detail"]


def _read_trajectory(content: bytes, folder: Path) -> Trajectory:
    (folder / "cameras.npz").write_bytes(content)
    return Trajectory.load(folder / "cameras.npz", fitted=True)
