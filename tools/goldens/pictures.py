"""Procedural pictures and videos: waves, discs and noise, so that every patch differs from its neighbours.

The same arguments give the same pixels. Sizes are in pixels, width first.
"""

import os

import numpy as np
from PIL import Image

NOISE, DISCS = 4.0, 9


def picture(size, seed, time=0.0):
    """One picture; with the same seed, growing `time` moves its waves and its discs."""
    width, height = size
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 110 * np.sin(x / (7 + 5 * c) + y / (11 + 3 * c) + seed + 0.7 * time) for c in range(3)]
    pixels = np.stack(waves, -1)
    for _ in range(DISCS):
        cx, cy = rng.integers(0, width), rng.integers(0, height)
        radius, color = rng.integers(4, max(5, min(size) // 3)), rng.integers(0, 256, 3)
        pixels[(x - cx - 5 * time) ** 2 + (y - cy) ** 2 < radius**2] = color
    pixels = pixels + rng.normal(0, NOISE, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def save_picture(path, size, seed):
    picture(size, seed).save(path, optimize=True)


def save_video(folder, size, seed, frames):
    """A folder of PNG frames whose names sort in time order."""
    os.makedirs(folder)
    for i in range(frames):
        picture(size, seed, time=float(i)).save(os.path.join(folder, f"{i:03}.png"), optimize=True)
