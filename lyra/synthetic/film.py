"""From linear light to an image: exposure, tone, colour grading, lens, sensor, compression. NumPy and SciPy only."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from lyra.common.shapes import height_width
from lyra.synthetic import film_paint

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def develop(
    linear: np.ndarray, depth: np.ndarray, normals: np.ndarray, rngs: list[np.random.Generator]
) -> np.ndarray:
    """Pictures (N, H, W, 3) uint8 sRGB from linear light, z-depth (inf for sky) and normals.

    Each image draws its own style: a plain photograph, a graded still, a painting, an ink or wash drawing. Image
    content stays aligned with depth to about a pixel.
    """
    images = np.empty(linear.shape, np.uint8)
    for k, rng in enumerate(rngs):
        light = _lens(_expose(linear[k], rng), rng)
        picture = _grade(_tone(light, rng), rng)
        picture = film_paint.by_hand(picture, depth[k], normals[k], rng)
        picture = _sensor(picture, rng, outdoors=bool(np.isinf(depth[k]).mean() > 0.05))
        images[k] = _file(np.rint(255 * picture.clip(0, 1)).astype(np.uint8), rng)
    return images


def exposure_gain(linear: np.ndarray) -> float:
    """The factor that brings the geometric mean of a linear picture (H, W, 3) to a middle grey."""
    return 0.2 / _middle(linear)


def plain(linear: np.ndarray, gain: float) -> np.ndarray:
    """Images (N, H, W, 3) uint8 sRGB at one exposure and without effects, for flights."""
    light = linear * gain
    light = light * (1 + light / 9) / (1 + light)
    return np.rint(255 * light.clip(0, 1) ** (1 / 2.2)).astype(np.uint8)


def _middle(light: np.ndarray) -> float:
    """Geometric mean of the luminance."""
    return float(np.exp(np.log(np.maximum(light @ LUMA, 1e-3)).mean()))


def _expose(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gain = exposure_gain(light) ** rng.uniform(0.6, 1.0) * np.exp(rng.normal(0, 0.28))
    return np.minimum(light * gain, 12.0)


def _lens(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vignette, bloom, a veil of stray light from one side."""
    height, width = light.shape[:2]
    if rng.random() < 0.4:
        y, x = np.mgrid[:height, :width]
        radius = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2
        light = light * (1 - rng.uniform(0.1, 0.7) * radius)[..., None].astype(np.float32)
    if rng.random() < 0.35:
        size = rng.uniform(0.01, 0.06) * width
        light = light + rng.uniform(0.05, 0.4) * gaussian_filter(np.maximum(light - 0.5, 0), (size, size, 0))
    if rng.random() < 0.08:
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[:height, :width]
        ramp = 0.5 + (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)
        tint = rng.uniform(0.3, 1.0, 3)
        light = light + rng.uniform(0.1, 0.6) * (ramp.clip(0, 1) ** 2)[..., None] * tint
    return light.astype(np.float32)


def _tone(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """sRGB after a shoulder of random hardness (extended Reinhard, by its white point)."""
    white = rng.uniform(1.5, 6)
    light = light * (1 + light / white**2) / (1 + light)
    return np.maximum(light, 0) ** (1 / rng.uniform(1.9, 2.4))


def _grade(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White balance, saturation, contrast, split toning, and occasionally monochrome tinting."""
    mean = picture.mean((0, 1))
    neutral = (mean.mean() / np.maximum(mean, 0.02)) ** rng.uniform(0.0, 0.8)
    picture = picture * (neutral * np.exp(rng.normal(0, 0.06, 3))).astype(np.float32)
    grey = (picture @ LUMA)[..., None]
    draw = rng.random()
    if draw < 0.06:
        picture = grey * (1 + rng.normal(0, 0.08, 3) * (rng.random() < 0.7))
    elif draw < 0.5:
        picture = grey + (picture - grey) * rng.uniform(0.3, 1.35)
    if rng.random() < 0.6:
        # Stretched to the full range.
        low, high = np.percentile(grey, [1, 99])
        full = (picture - low) * (0.93 / max(high - low, 0.15)) + 0.02
        picture = picture + rng.uniform(0.3, 1.0) * (full - picture)
    if rng.random() < 0.3:
        shadow, highlight = rng.normal(0, 0.06, 3), rng.normal(0, 0.06, 3)
        picture = picture + (1 - grey) ** 2 * shadow + grey**2 * highlight
    if rng.random() < 0.5:
        pivot = rng.uniform(0.3, 0.6)
        picture = pivot + (picture - pivot) * rng.uniform(0.65, 1.35)
    if rng.random() < 0.2:
        low = rng.uniform(0.0, 0.18)
        picture = low + picture * (rng.uniform(0.85, 1.0) - low)
    return picture.astype(np.float32)


def _sensor(picture: np.ndarray, rng: np.random.Generator, outdoors: bool) -> np.ndarray:
    """Blur or sharpening, then noise, and outdoors occasionally snow or rain."""
    draw = rng.random()
    height, width = picture.shape[:2]
    if draw < 0.17:
        size = rng.uniform(0.3, 0.8) * width / 160
        picture = gaussian_filter(picture, (size, size, 0))
    elif draw < 0.45:
        soft = gaussian_filter(picture, (1, 1, 0))
        picture = picture + rng.uniform(0.2, 0.9) * (picture - soft)
    if rng.random() < 0.5:
        strength = min(rng.exponential(0.009), 0.035)
        picture = picture + strength * rng.standard_normal((height, width, 1), np.float32)
        if rng.random() < 0.5:
            picture = picture + 0.7 * strength * rng.standard_normal(picture.shape, np.float32)
    if rng.random() < 0.06 and outdoors:
        picture = picture + _flakes(height, width, rng)
    return picture


def _flakes(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Falling snow or rain in front of everything."""
    sparks = (rng.random((height, width)) < rng.uniform(0.002, 0.012)).astype(np.float32)
    size = (rng.uniform(0.5, 2.5), 0.3) if rng.random() < 0.5 else (0.5, 0.5)
    blurred = gaussian_filter(sparks, size)
    return (rng.uniform(0.3, 0.9) * blurred / max(blurred.max(), 1e-6))[..., None]


def _file(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Resampling and JPEG artefacts."""
    if rng.random() < 0.12:
        share = rng.uniform(0.5, 0.9)
        small = Image.fromarray(image).resize(
            (round(image.shape[1] * share), round(image.shape[0] * share)), Image.Resampling.BILINEAR
        )
        image = np.asarray(small.resize(height_width(image)[::-1], Image.Resampling.BICUBIC))
    if rng.random() < 0.3:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=int(rng.uniform(25, 92)))
        image = np.asarray(Image.open(file))
    return image
