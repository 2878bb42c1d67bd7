"""Sounds of many kinds, as 16-bit PCM: always the same ones for the same arguments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]


def speech(frames: int, rate: int, random: np.random.Generator) -> Wave:
    """Syllables: a voice of gliding pitch through three formants that move, a hiss before some, and pauses."""
    sound = np.zeros(frames)
    position = 0
    while position < frames:
        length = int(rate * random.uniform(0.08, 0.35))
        time = np.arange(length) / rate
        pitch = random.uniform(90, 220) * (1 + random.uniform(-0.2, 0.2) * time / time[-1])
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        formants = [random.uniform(*span) for span in ((250, 850), (800, 2400), (2200, 3300))]
        voice = np.zeros(length)
        for harmonic in range(1, int(min(4000, rate / 2.2) / pitch.max())):
            gain = sum(1 / (1 + ((harmonic * pitch - formant) / 90) ** 2) for formant in formants)
            voice += gain * np.sin(harmonic * phase)
        voice *= np.sin(np.pi * time / time[-1]) * random.uniform(0.05, 0.2)
        if random.random() < 0.3:
            voice += random.standard_normal(length) * 0.05 * np.exp(-30 * time)
        end = min(frames, position + length)
        sound[position:end] += voice[: end - position]
        position = end + int(rate * random.choice([0, 0, 0.05, 0.7]))
    return sound


def music(frames: int, rate: int, random: np.random.Generator) -> Wave:
    """Four voices of plucked notes, and a drum."""
    step = rate // 5
    sound = np.zeros(frames)
    within = np.arange(frames) % step / step
    for voice in range(4):
        notes = 220 * 2 ** (random.integers(-12, 24, frames // step + 1) / 12)
        phase = np.cumsum(np.repeat(notes, step)[:frames]) / rate % 1
        sound += (2 * phase - 1) * np.exp(-within * (2 + voice)) / 6
    return sound + random.standard_normal(frames) * 0.1 * np.exp(-40 * (np.arange(frames) % (3 * step)) / step)


def noise(frames: int, rate: int, random: np.random.Generator) -> Wave:
    """White or pink, from loud to the level of dither."""
    sound = random.standard_normal(frames)
    if random.random() < 0.5:
        spectrum = np.fft.rfft(sound)
        sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), frames)
        sound /= np.abs(sound).max()
    return sound * float(random.choice([0.3, 0.02, 0.0005, 0.00003]))


def silence(frames: int, rate: int, random: np.random.Generator) -> Wave:
    """None at all, or a few clicks in it."""
    sound = np.zeros(frames)
    sound[random.integers(0, frames, random.integers(0, 4))] = 0.8
    return sound


def clipped(frames: int, rate: int, random: np.random.Generator) -> Wave:
    return np.clip(music(frames, rate, random) * 40, -1, 1)


def bursts(frames: int, rate: int, random: np.random.Generator) -> Wave:
    """Noise of very different loudness, with digital silence of up to three seconds between."""
    sound = np.zeros(frames)
    position = 0
    while position < frames:
        end = min(frames, position + int(rate * random.uniform(0.01, 1)))
        sound[position:end] = random.standard_normal(end - position) * random.choice([0.001, 0.1, 0.5])
        position = end + int(rate * random.uniform(0.1, 3))
    return sound


def fading(frames: int, rate: int, random: np.random.Generator) -> Wave:
    """Music that dies away, so that the encoder's idea of loudness goes down for as long."""
    return music(frames, rate, random) * np.exp(-np.arange(frames) / rate / random.uniform(2, 12))


def sweep(frames: int, rate: int, random: np.random.Generator) -> Wave:
    pitch = 100 + (rate / 2.5) * (np.arange(frames) % (11 * rate)) / (11 * rate)
    return 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / rate)


def gated(frames: int, rate: int, random: np.random.Generator) -> Wave:
    """Speech and music in turn, every few seconds, with nothing at all between."""
    period = random.uniform(2, 7)
    part = np.floor(np.arange(frames) / rate / period) % 4
    gated_sound: Wave = speech(frames, rate, random) * (part == 0) + music(frames, rate, random) * (part == 2)
    return gated_sound


def mixed(frames: int, rate: int, random: np.random.Generator) -> Wave:
    return speech(frames, rate, random) + music(frames, rate, random) * 0.4 + random.standard_normal(frames) * 0.003


KINDS: dict[str, Callable[[int, int, np.random.Generator], Wave]] = {
    made.__name__: made for made in (speech, music, noise, silence, clipped, bursts, fading, sweep, gated, mixed)
}


def pcm16(kind: str, frames: int, rate: int, channels: int, seed: int) -> bytes:
    """s16le. The second channel has another sound of the kind, or much of the first's."""
    random = np.random.default_rng(seed)
    sounds = [KINDS[kind](frames, rate, random) for _ in range(channels)]
    if channels == 2 and random.random() < 0.5:
        sounds[1] = 0.8 * sounds[0] + 0.2 * sounds[1]
    samples = np.clip(np.round(np.stack(sounds, axis=1) * 32767), -32768, 32767)
    return samples.astype("<i2").tobytes()
