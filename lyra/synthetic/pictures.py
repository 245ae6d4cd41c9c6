"""Pictures with true depth in .npz files, as `scripts.blender_scenes` renders them: the arrays that one holds."""

from lyra.common.arrays_file import ArrayLimit

# The largest pictures that are taken, as the picture's own bytes and as float64 depth.
_PIXELS = 100_000_000
PICTURE = {
    "image": ArrayLimit(3 * _PIXELS, "u", (None, None, 3)),
    "depth": ArrayLimit(8 * _PIXELS, "f", (None, None)),
    "intrinsics": ArrayLimit(1024, "f", (3, 3)),
}
