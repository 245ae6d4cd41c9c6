import pytest

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2.framepack import PUBLISHED_LAYOUT, FramePackLayout, SlotGroup


def test_published_layout():
    layout = FramePackLayout.parse(PUBLISHED_LAYOUT)
    assert layout.groups == (
        SlotGroup(1, "k", 1, 0),
        SlotGroup(4, "s", 2, 1),
        SlotGroup(1, "s", 1, 5),
        SlotGroup(16, "k", 4, 6),
        SlotGroup(2, "k", 2, 22),
        SlotGroup(1, "k", 1, 24),
    )
    assert (layout.history_slots, layout.generated, layout.slots) == (25, 20, 45)
    assert layout.spatial_slots == (1, 2, 3, 4, 5)
    assert layout.temporal_slots == (0, *range(6, 25))


@pytest.mark.parametrize("text", [PUBLISHED_LAYOUT, "f1k1_g1", "f10s3f2k2_g20"])
def test_reads_what_it_writes(text):
    assert str(FramePackLayout.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "f1k1", "_g20", "f1x1_g20", "f0k1_g20", "f1k1_g20f1k1", "f1k1_g", "k1f1_g20"]
)
def test_refuses_other_texts(text):
    with pytest.raises(InvalidInputError, match=repr(text)):
        FramePackLayout.parse(text)


@pytest.mark.parametrize(
    "grid, counts",
    [
        ((30, 52), (1560, 1560, 1560, 416, 390, 1560, 31200)),
        ((28, 48), (1344, 1344, 1344, 336, 336, 1344, 26880)),
    ],
)
def test_token_counts_of_the_published_sizes(grid, counts):
    assert FramePackLayout.parse(PUBLISHED_LAYOUT).token_counts(*grid) == counts


def test_every_slot_belongs_to_one_group():
    layout = FramePackLayout.parse(PUBLISHED_LAYOUT)
    slots = [slot for group in (*layout.groups, layout.generated_group) for slot in group.slots]
    assert slots == list(range(layout.slots))
