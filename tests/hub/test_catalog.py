import subprocess
import sys

import pytest

from lyra.common.errors import InvalidInputError
from lyra.hub.catalog import CONVERSIONS, DEPTH_MODELS, ENGINES, EVERYTHING, ITEMS, item, needs, used_by
from lyra.hub.licences import LICENCES


def test_every_need_is_in_the_catalogue():
    for need in EVERYTHING.values():
        assert set(need.items) <= set(ITEMS)
        assert set(need.conversions) <= set(CONVERSIONS)
    assert {entry.licence for entry in ITEMS.values()} <= set(LICENCES)


def test_every_item_is_needed_by_something():
    assert all(used_by(item_id) for item_id in ITEMS)


def test_what_is_required_belongs_to_the_item():
    for entry in ITEMS.values():
        for pattern in entry.required:
            assert entry.holds(pattern.replace("*", "x")), (entry.id, pattern)


def test_the_engine_needs_about_93_gigabytes():
    assert sum(ITEMS[i].size for i in ENGINES["lyra2"].items) == pytest.approx(92.7e9, rel=0.01)


def test_memory_of_every_item_is_known():
    assert all(entry.memory > 0 for entry in ITEMS.values())
    # Stored in float32 and used in bfloat16.
    assert ITEMS["wan-text-encoder"].memory == ITEMS["wan-text-encoder"].size / 2
    for entry in (ITEMS[i] for need in DEPTH_MODELS.values() for i in need.items):
        assert entry.memory > entry.size
    # Two sets of weights lie there, one of them works.
    small = DEPTH_MODELS["depth-anything-v2"]
    assert small.working == ITEMS["depth-anything-v2-indoor-small"].working


def test_the_memory_of_depth_anything_3_is_near_what_its_authors_publish():
    """504x378, 120 frames: 28.3 GB on a GPU; the same terms for another window."""
    pixels, patches = 480 * 832, 34 * 59
    working = ITEMS["depth-anything-3"].working
    patch = 114_000
    pixel = (working - 10 * patches * patch) / pixels
    peak = ITEMS["depth-anything-3"].size + pixel * 504 * 378 + patch * 120 * 36 * 27
    assert peak == pytest.approx(28.3e9, rel=0.03)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InvalidInputError, match=r"'lyra3'.*lyra2-fast"):
        needs("lyra3")
    with pytest.raises(InvalidInputError, match=r"'unet'.*wan-vae"):
        item("unet")


def test_listing_needs_neither_torch_nor_the_hub_s_package():
    script = (
        "import sys, lyra.hub, lyra.cli.models; "
        "assert not {'torch', 'huggingface_hub', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
