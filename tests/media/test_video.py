"""Walkthroughs: what the file says of its colours, and what a browser shows of them."""

import contextlib
import functools
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest

from lyra.media import video

HEIGHT, WIDTH = 120, 208
COLORS = [(200, 60, 40), (40, 180, 60), (60, 80, 210)]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REC_709 = (1, 1, 1)
STUDIO_RANGE = 1

PAGE = """<video id=v muted src=v.mp4></video><canvas id=c width=208 height=120></canvas><pre id=o></pre>
<script>
v.onloadedmetadata = () => { v.currentTime = 0.001 }
v.onseeked = () => {
  const context = c.getContext("2d")
  context.drawImage(v, 0, 0)
  o.textContent = JSON.stringify([35, 104, 173].map(x => [...context.getImageData(x, 60, 1, 1).data].slice(0, 3)))
}
</script>"""


@contextlib.contextmanager
def serving(folder):
    """The address at which the files of a folder are served for the length of a block."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def bars():
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for color, columns in zip(COLORS, np.array_split(np.arange(WIDTH), 3), strict=True):
        frame[:, columns] = color
    return frame


def write(path, count=4):
    video.write_watchable(path, [bars()] * count, HEIGHT, WIDTH)
    return path


def said(path):
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return (context.color_primaries, context.color_trc, context.colorspace), context.color_range


def test_stream_and_container_say_all_of_the_colours(tmp_path):
    part = write(tmp_path / "part.mp4")
    video.join_watchable(tmp_path / "whole.mp4", [part, part])
    for path in (part, tmp_path / "whole.mp4"):
        assert said(path) == (REC_709, STUDIO_RANGE)
        # The box that browsers read: kind, three codes of 16 bits, and a bit for full range.
        assert b"colrnclx" + bytes([0, 1, 0, 1, 0, 1, 0]) in path.read_bytes()


def test_the_pixels_are_those_of_the_matrix_that_is_said(tmp_path):
    with av.open(str(write(tmp_path / "v.mp4"))) as container:
        frame = next(container.decode(video=0))
    shown = frame.to_ndarray(format="rgb24", src_colorspace="ITU709")[60, [35, 104, 173]]
    np.testing.assert_allclose(shown, COLORS, atol=4)


def test_a_part_that_says_only_its_matrix_is_encoded_anew(tmp_path, monkeypatch):
    assert video.encoded_as(write(tmp_path / "v.mp4"), 4) is not None

    def as_older_releases(context):
        context.colorspace, context.color_range = 1, 1

    monkeypatch.setattr(video, "_say_colors", as_older_releases)
    assert video.encoded_as(write(tmp_path / "old.mp4"), 4) is None


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to play the file")
def test_chromium_shows_the_colours_of_the_frames(tmp_path):
    write(tmp_path / "v.mp4", 17)
    (tmp_path / "p.html").write_text(PAGE)
    with serving(tmp_path) as address:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
        dump = subprocess.run(
            [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", f"{address}/p.html"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
    shown = json.loads(re.search(r'<pre id="o">(.*?)</pre>', dump)[1])
    np.testing.assert_allclose(shown, COLORS, atol=8)
