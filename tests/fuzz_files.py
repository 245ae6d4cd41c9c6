"""What the readers that are fuzzed have in common: a whole file, and how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64


@dataclass(frozen=True)
class Reader:
    """`make` writes a whole file into a folder and returns its path; `read` reads it, or refuses."""

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def picture(mode: str = "RGB") -> Image.Image:
    ramp = np.linspace(0, 255, SIDE * SIDE * 4).reshape(SIDE, SIDE, 4).astype(np.uint8)
    return Image.fromarray(ramp, "RGBA").convert(mode)
