"""Warp kernel of lyra.depth.edges."""

import warp as wp

import lyra.geometry  # noqa: F401  silences Warp before its first launch

wp.set_module_options({"enable_backward": False})

BINS = 32
_BINS = wp.constant(BINS)
_Histogram = wp.types.vector(length=BINS, dtype=wp.float32)
_Places = wp.types.vector(length=BINS, dtype=wp.int32)


@wp.kernel
def snap(
    values: wp.array2d(dtype=wp.float32),
    lab: wp.array2d(dtype=wp.vec3),
    active: wp.array2d(dtype=wp.uint8),
    radius: wp.int32,
    colour: wp.float32,
    space: wp.float32,
    span: wp.float32,
    source: wp.array2d(dtype=wp.int32),
):
    """The flat index of the pixel of each window whose value is the weighted median; of the middle where `span` is not
    reached."""
    i, j = wp.tid()
    width = values.shape[1]
    source[i, j] = i * width + j
    if active[i, j] == wp.uint8(0):
        return
    low = values[i, j]
    high = low
    top = wp.max(i - radius, 0)
    bottom = wp.min(i + radius, values.shape[0] - 1)
    left = wp.max(j - radius, 0)
    right = wp.min(j + radius, width - 1)
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            low = wp.min(low, values[y, x])
            high = wp.max(high, values[y, x])
    if high - low <= span:
        return
    histogram = _Histogram()
    likest = _Histogram()
    places = _Places()
    scale = wp.float32(_BINS) / (high - low) * wp.float32(0.9999)
    total = wp.float32(0.0)
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            off = lab[y, x] - lab[i, j]
            away = wp.float32((y - i) * (y - i) + (x - j) * (x - j))
            weight = wp.exp(-wp.dot(off, off) * colour - away * space)
            bin = wp.int32((values[y, x] - low) * scale)
            histogram[bin] += weight
            total += weight
            if weight > likest[bin]:
                likest[bin] = weight
                places[bin] = y * width + x
    middle = wp.int32(0)
    sum = histogram[0]
    while sum < wp.float32(0.5) * total and middle < _BINS - 1:
        middle += 1
        sum += histogram[middle]
    if likest[middle] > wp.float32(0.0):
        source[i, j] = places[middle]
