"""FramePack layout: latent slots of the history and the compression of each group.

The notation is the published one, for example `f1k1f4s2f1s1f16k4f2k2f1k1_g20`: groups "f<count><kind><size>" in slot
order, then the number of latents to generate. Kind "k" holds temporal history and is compressed in time too, kind
"s" holds retrieved (spatial) frames and is compressed in the image only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import value

PUBLISHED_LAYOUT = "f1k1f4s2f1s1f16k4f2k2f1k1_g20"

_GROUP = re.compile(r"f([1-9]\d*)([ks])([1-9]\d*)")
_LAYOUT = re.compile(rf"((?:{_GROUP.pattern})+)_g([1-9]\d*)")


@dataclass(frozen=True)
class SlotGroup:
    """`count` consecutive slots from slot `start` on that share a patch embedding.

    `kind` is "k" (temporal history) or "s" (retrieved frames); `size` is the factor of compression on top of the
    network's own patch of 2x2 latents.
    """

    count: int
    kind: str
    size: int
    start: int

    @property
    def pooling(self) -> tuple[int, int, int]:
        """Slots, rows and columns of the base token grid that become one token."""
        return (self.size if self.kind == "k" else 1, self.size, self.size)

    @property
    def slots(self) -> range:
        return range(self.start, self.start + self.count)

    def grid(self, rows: int, columns: int) -> tuple[int, int, int]:
        """Tokens in time, rows and columns for a base token grid of `rows` x `columns`; the last may be partial."""
        time, down, across = self.pooling
        return -(-self.count // time), -(-rows // down), -(-columns // across)


@dataclass(frozen=True)
class FramePackLayout:
    """The parsed layout: history groups in slot order, then `generated` slots that are not compressed."""

    groups: tuple[SlotGroup, ...]
    generated: int

    @classmethod
    def parse(cls, text: str) -> FramePackLayout:
        """Raises InvalidInputError when `text` is not in the published notation."""
        match = _LAYOUT.fullmatch(text)
        if not match:
            raise InvalidInputError(
                f"FramePack layout {value(text)} cannot be read; write it like {PUBLISHED_LAYOUT!r} "
                "(groups f<count><k or s><size>, then _g<latents to generate>)."
            )
        groups, start = [], 0
        for count, kind, size in _GROUP.findall(match[1]):
            groups.append(SlotGroup(int(count), kind, int(size), start))
            start += int(count)
        return cls(tuple(groups), int(text.rpartition("_g")[2]))

    def __str__(self) -> str:
        return "".join(f"f{g.count}{g.kind}{g.size}" for g in self.groups) + f"_g{self.generated}"

    @cached_property
    def history_slots(self) -> int:
        return sum(group.count for group in self.groups)

    @cached_property
    def slots(self) -> int:
        return self.history_slots + self.generated

    @cached_property
    def generated_group(self) -> SlotGroup:
        """The generated slots as a group without compression."""
        return SlotGroup(self.generated, "s", 1, self.history_slots)

    @cached_property
    def spatial_slots(self) -> tuple[int, ...]:
        """Slots of retrieved frames, least valuable frame first."""
        return tuple(slot for group in self.groups if group.kind == "s" for slot in group.slots)

    @cached_property
    def temporal_slots(self) -> tuple[int, ...]:
        """Slots of the walkthrough's own history: the anchor, then the newest latents, oldest first."""
        return tuple(slot for group in self.groups if group.kind == "k" for slot in group.slots)

    def token_counts(self, rows: int, columns: int) -> tuple[int, ...]:
        """Tokens of every group and, last, of the generated slots, for a base token grid of `rows` x `columns`."""
        grids = (group.grid(rows, columns) for group in (*self.groups, self.generated_group))
        return tuple(t * y * x for t, y, x in grids)
