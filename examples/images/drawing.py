"""Draws the images: noisy stripes of any colours, width and phase."""

import io

import numpy as np
from PIL import Image

LABELS = ("horizontal", "vertical", "diagonal")


def draw(label: str, rng: np.random.Generator, file_format: str) -> bytes:
    """The bytes of an image file."""
    height, width = rng.integers(48, 96, 2)
    y, x = np.mgrid[0:height, 0:width]
    along = {"horizontal": y, "vertical": x, "diagonal": (x + y) / 2**0.5}[label]
    wave = np.sin(2 * np.pi * (along / rng.uniform(16, 32) + rng.random()))
    dark, light = rng.uniform(0, 100, 3), rng.uniform(150, 255, 3)
    pixels = dark + (light - dark) * (wave[..., np.newaxis] > 0)
    noisy = np.clip(pixels + rng.normal(0, 10, pixels.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, file_format)
    return file.getvalue()
