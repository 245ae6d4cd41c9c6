"""Uploads are looked at in a process of their own, which may die of them; the service does not."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from backend.api.schemas import NewWorldSettings
from backend.inspection import Inspector
from lyra.common.errors import InvalidInputError
from tests.backend.inside import ask
from tests.backend.service import picture

HUNGRY = "import sys, numpy; sys.stdin.readline(); numpy.ones(1 << 40)"
DEAD = "import sys, os, signal; sys.stdin.readline(); os.kill(os.getpid(), signal.SIGSEGV)"
DEAF = "import sys, time; sys.stdin.readline(); time.sleep(60)"
LOUD = "import sys; sys.stdin.readline(); print('x' * 10**6, flush=True); sys.stdin.readline()"


@pytest.fixture(scope="module")
def inspector():
    inspector = Inspector()
    yield inspector
    inspector.close()


@pytest.fixture
def posted(tmp_path, inspector):
    """The answer to a form with one picture."""

    def post(path: str, image: bytes, name: str = "a.png", **options):
        request = ("POST", path, {"files": {"image": (name, image)}, **options})
        (answer,) = ask(tmp_path, request, inspector=inspector)
        return answer

    return post


def upright(width: int, height: int, orientation: int) -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height), (90, 120, 40)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (picture(208, 112), (208, 112)),
        (picture(97, 301, "WEBP"), (97, 301)),
        (upright(200, 100, 6), (100, 200)),
    ],
)
def test_a_picture_is_measured_as_the_engine_sees_it(posted, tmp_path, image, size):
    answer = posted("/v1/pictures/measure", image)
    assert (answer.status_code, answer.json()) == (200, {"width": size[0], "height": size[1]})
    assert not any((tmp_path / "worlds" / ".backend" / "uploads").iterdir())


@pytest.mark.parametrize("image", [b"", b"no picture", picture()[:20], b"\x89PNG\r\n\x1a\n" + bytes(1000)])
def test_what_is_no_picture_has_no_size(posted, tmp_path, image):
    answer = posted("/v1/pictures/measure", image, "../../my picture.png")
    assert answer.status_code == 400
    detail = answer.json()["detail"]
    assert "my_picture.png" in detail and str(tmp_path) not in detail and len(detail) <= 300


@pytest.mark.parametrize(
    ("lens", "says"),
    [
        ({"intrinsics_size": [208, 112]}, None),
        ({}, None),
        ({"intrinsics_size": [832, 448]}, "are of a picture of 832x448, and a.png has 208x112"),
        ({"intrinsics_size": [112, 208]}, "are of a picture of 112x208"),
        ({"intrinsics_size": [208]}, "intrinsics_size"),
        ({"intrinsics_size": [208, 0]}, "intrinsics_size"),
        ({"intrinsics_size": [208, 112], "intrinsics": None}, "no intrinsics"),
    ],
)
def test_a_lens_of_another_picture_is_refused(posted, lens, says):
    settings = {"size": [208, 112], "intrinsics": [[190, 0, 104], [0, 190, 56], [0, 0, 1]], **lens}
    answer = posted("/v1/worlds", picture(), data={"settings": json.dumps(settings)})
    assert answer.status_code == (202 if says is None else 400), answer.text
    assert says is None or says in answer.json()["detail"]


@pytest.fixture
def image(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(picture())
    return file


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (HUNGRY, "exit code 1"),
        (DEAD, "signal SIGSEGV"),
        (DEAF, "took more than 0 s"),
        (LOUD, "signal SIGKILL"),
        ("", "exit code 0"),
    ],
)
def test_a_picture_that_ends_its_process_is_refused_and_so_is_the_next(image, program, says):
    inspector = Inspector((sys.executable, "-c", program), seconds=0.5 if program == DEAF else 20.0)
    for _ in range(2):
        with pytest.raises(InvalidInputError, match=f"^a.png cannot be read: .*{says}.* Save it anew"):
            inspector.measure(image)
        assert inspector._process is None


def test_one_process_reads_one_picture_after_another_until_it_dies(image, inspector):
    assert inspector.measure(image) == (112, 208)
    process = inspector._process
    assert inspector.check(image, None, NewWorldSettings(size=[208, 112], depth="builtin").model_dump()) == (
        112,
        208,
    )
    assert inspector._process is process
    process.kill()
    process.wait()
    assert inspector.measure(image) == (112, 208)


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems bound a process's memory otherwise, or not at all"
)
def test_the_process_takes_no_more_memory_than_it_may(image, tmp_path):
    """A depth file whose header promises a square kilometre of zeros."""
    bound = "import backend.worker.inspector as i; i.MEMORY_BYTES = 1 << 28; i._bound_memory();"
    use = (
        "import lyra.media.images; lyra.media.images.measure = lambda _: __import__('numpy').ones(1 << 28); "
    )
    inspector = Inspector((sys.executable, "-P", "-c", bound + use + "i.serve(*i.own_pipes())"))
    try:
        with pytest.raises(
            InvalidInputError, match=r"^a\.png takes more than 0\.3 GB of memory; save it smaller"
        ):
            inspector.measure(image)
    finally:
        inspector.close()


def test_messages_do_not_tell_where_uploads_are_kept(tmp_path, inspector):
    """Even where a long path is shortened in them."""
    image = tmp_path / ("long" * 30) / "image" / "a.png"
    depth = image.parents[1] / "depth" / "d.npz"
    for file in (image, depth):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"nothing")
    with pytest.raises(InvalidInputError, match=r"^a\.png"):
        inspector.measure(image)
    with pytest.raises(InvalidInputError, match=r"^a\.png"):
        inspector.check(image, depth, NewWorldSettings().model_dump())
    image.write_bytes(picture())
    with pytest.raises(InvalidInputError, match=r"^d\.npz"):
        inspector.check(image, depth, NewWorldSettings(size=[208, 112]).model_dump())


def test_the_depth_is_looked_at_too(image, tmp_path, inspector):
    depth = tmp_path / "depth.npz"
    np.savez(depth, depth=np.ones((7, 9), np.float32))
    with pytest.raises(InvalidInputError, match="9x7"):
        inspector.check(image, depth, NewWorldSettings(size=[208, 112]).model_dump())
    with pytest.raises(InvalidInputError, match="no depth file"):
        inspector.check(
            image, image.with_suffix(".txt"), NewWorldSettings(size=[208, 112], depth="builtin").model_dump()
        )
