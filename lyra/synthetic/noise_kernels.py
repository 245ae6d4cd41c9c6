"""Hashes and smooth noise."""

import warp as wp

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})


@wp.func
def unit_hash(a: int, b: int, c: int):
    """A number in [0, 1) from three integers, by multiply and xor-shift rounds."""
    x = wp.uint32(a) * wp.uint32(0x1E3779B1) + wp.uint32(b) * wp.uint32(0x05EBCA77) + wp.uint32(c)
    x = (x ^ (x >> wp.uint32(16))) * wp.uint32(0x7FEB352D)
    x = (x ^ (x >> wp.uint32(15))) * wp.uint32(0x46CA68B5)
    x = x ^ (x >> wp.uint32(16))
    return float(x >> wp.uint32(8)) * 5.9604645e-8


@wp.func
def turbulence(noise: wp.array3d(dtype=wp.vec3), p: wp.vec3):
    """Three independent smooth noises in about [0, 1] of period 1, read from the periodic table."""
    size = noise.shape[0]
    mask = size - 1
    x = p[0] * float(size)
    y = p[1] * float(size)
    z = p[2] * float(size)
    i = int(wp.floor(x))
    j = int(wp.floor(y))
    k = int(wp.floor(z))
    a = x - float(i)
    b = y - float(j)
    c = z - float(k)
    i0 = i & mask
    i1 = (i + 1) & mask
    j0 = j & mask
    j1 = (j + 1) & mask
    k0 = k & mask
    k1 = (k + 1) & mask
    near = (1.0 - b) * ((1.0 - c) * noise[i0, j0, k0] + c * noise[i0, j0, k1]) + b * (
        (1.0 - c) * noise[i0, j1, k0] + c * noise[i0, j1, k1]
    )
    far = (1.0 - b) * ((1.0 - c) * noise[i1, j0, k0] + c * noise[i1, j0, k1]) + b * (
        (1.0 - c) * noise[i1, j1, k0] + c * noise[i1, j1, k1]
    )
    return (1.0 - a) * near + a * far
