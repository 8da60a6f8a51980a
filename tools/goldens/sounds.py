"""Procedural sounds: two rising tones, one that comes and goes, and noise, so that every frame differs from the next.

The same arguments give the same samples: mono, 16 kHz, 16 bits.
"""

import wave

import numpy as np

RATE = 16000


def sound(samples, seed):
    """Samples as 16-bit integers."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / RATE
    low, high = rng.uniform(150, 400), rng.uniform(1500, 3000)
    rising = 0.35 * np.sin(2 * np.pi * low * t * (1 + 0.8 * t)) + 0.15 * np.sin(2 * np.pi * high * t * (1 + 0.2 * t))
    pulsing = 0.2 * np.sin(2 * np.pi * 5200 * t) * (np.sin(2 * np.pi * 3.3 * t + seed) > 0)
    return np.round(32767 * (rising + pulsing + 0.02 * rng.normal(size=samples)).clip(-1, 1)).astype(np.int16)


def save_sound(path, samples, seed):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound(samples, seed).astype("<i2").tobytes())


def read_sound(path):
    """Samples in [-1, 1) as float32."""
    with wave.open(path, "rb") as file:
        form = file.getnchannels(), file.getsampwidth(), file.getframerate()
        if form != (1, 2, RATE):
            raise ValueError(f"{path}: {form} channels, bytes and samples a second; expected (1, 2, {RATE})")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
