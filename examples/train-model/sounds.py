"""What is not speech: noise, hum, clicks, tones, music, rooms, microphones. All of it is computed, none is recorded."""
import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve, lfilter

from speech import RATE


def colored_noise(rng, count, slope=None):
    """Noise whose power falls with frequency to the power of `slope` (0 white, 1 pink, 2 brown)."""
    slope = rng.uniform(-0.5, 2.2) if slope is None else slope
    length = next_fast_len(count, real=True)
    spectrum = rfft(rng.standard_normal(length, np.float32))
    frequency = np.fft.rfftfreq(length, 1 / RATE).astype(np.float32)
    spectrum *= np.maximum(frequency, 20) ** (-slope / 2)
    noise = irfft(spectrum, length)[:count]
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def _envelope(rng, count):
    """Slow, random loudness."""
    points = rng.uniform(0, 1, max(2, count // int(RATE * rng.uniform(0.1, 0.8)) + 2)) ** rng.uniform(0.5, 3)
    return np.interp(np.linspace(0, len(points) - 1, count), np.arange(len(points)), points)


def _tone(rng, count, frequency, sharp):
    """A plucked, struck, blown or bowed tone: harmonics under a decay or an attack."""
    time = np.arange(count) / RATE
    wobble = 1 + rng.uniform(0, 0.006) * np.sin(2 * np.pi * rng.uniform(3, 7) * time)
    tone = np.zeros(count)
    for harmonic in range(1, rng.integers(2, 12)):
        if frequency * harmonic < RATE / 2:
            decay = np.exp(-time * sharp * harmonic**0.5)
            tone += np.sin(2 * np.pi * frequency * harmonic * time * wobble + rng.uniform(0, 6)) * decay / harmonic ** rng.uniform(0.6, 2)
    return tone


def music(rng, count):
    """Notes of a scale, at a beat, one or several at a time."""
    out, at = np.zeros(count), 0
    beat, base = rng.uniform(0.12, 0.6), rng.uniform(70, 300)
    scale = base * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 19, 24]) / 12)
    sharp = rng.choice([0.3, 2.0, 6.0])
    while at < count:
        length = min(count - at, int(RATE * beat * rng.integers(1, 5) * 1.5))
        for frequency in rng.choice(scale, rng.integers(1, 4), replace=False):
            out[at : at + length] += _tone(rng, length, frequency, sharp)
        at += int(RATE * beat * rng.integers(1, 4))
    return out


def calls(rng, count):
    """Chirps, barks, bleats: gliding, rough, voiced sounds with pauses, as animals and machines make them."""
    out, at = np.zeros(count), 0
    base, rough, glide = rng.uniform(90, 1800), rng.uniform(0, 0.6), rng.uniform(-0.6, 0.6)
    while at < count:
        length = min(count - at, int(RATE * rng.uniform(0.06, 0.9)))
        if length < 200:
            break
        position = np.linspace(0, 1, length)
        frequency = base * rng.uniform(0.8, 1.25) * (1 + glide * position) * (1 + 0.03 * np.sin(2 * np.pi * rng.uniform(5, 30) * position))
        phase = 2 * np.pi * np.cumsum(frequency) / RATE
        voice = sum(np.sin(phase * h) / h ** rng.uniform(0.3, 1.5) for h in range(1, 9) if base * h < 7000)
        voice = voice * (1 - rough) + rough * rng.standard_normal(length)
        # One or two resonances, so that it is near enough to a voice to be worth telling apart.
        for _ in range(rng.integers(0, 3)):
            center, width = rng.uniform(300, 3500), rng.uniform(80, 500)
            radius = np.exp(-np.pi * width / RATE)
            voice = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * center / RATE), radius**2], voice)
        out[at : at + length] += voice / (np.abs(voice).max() + 1e-9) * np.sin(np.pi * position) ** rng.uniform(0.3, 1.5)
        at += length + int(RATE * rng.exponential(0.4))
    return out


def clicks(rng, count):
    """Keys, knocks, crackle."""
    out = np.zeros(count)
    for at in rng.integers(0, count, rng.integers(1, 60)):
        length = min(count - at, int(RATE * rng.uniform(0.002, 0.06)))
        out[at : at + length] += rng.standard_normal(length) * np.exp(-np.linspace(0, 6, length)) * rng.uniform(0.1, 1)
    return out


def hum(rng, count):
    """Mains and motors."""
    time, base = np.arange(count) / RATE, rng.choice([50, 60, rng.uniform(30, 400)])
    return sum(np.sin(2 * np.pi * base * h * time) * rng.uniform(0, 1) / h for h in range(1, 12))


def sound(rng, count):
    """Something that is not speech, with a deviation of 1."""
    out = np.zeros(count)
    for _ in range(rng.integers(1, 3)):
        kind = rng.integers(0, 6)
        if kind == 0:
            part = colored_noise(rng, count)
        elif kind == 1:
            part = colored_noise(rng, count) * _envelope(rng, count)
        else:
            part = (music, calls, clicks, hum)[kind - 2](rng, count)
        out = out + part / (part.std() + 1e-9) * rng.uniform(0.2, 1)
    return (out / (out.std() + 1e-9)).astype(np.float32)


def reverberate(rng, audio):
    """A room: exponentially decaying noise behind the direct sound, 0.1 to 0.7 s long."""
    length = int(RATE * rng.uniform(0.1, 0.7))
    tail = rng.standard_normal(length) * np.exp(-np.linspace(0, 6.9, length))
    tail *= rng.uniform(0.1, 0.7) / np.sqrt((tail**2).sum())
    tail[: int(RATE * 0.002)] = 0
    tail[0] = 1
    return fftconvolve(audio, tail)[: len(audio)].astype(np.float32)


def microphone(rng, audio):
    """A microphone and a line: louder here and softer there by up to 8 dB, and often nothing above some frequency.

    Telephones and many recordings end at 3.4 or 4 kHz, where what tells an s from a t is gone.
    """
    length = next_fast_len(len(audio), real=True)
    frequency = np.fft.rfftfreq(length, 1 / RATE)
    knots = np.geomspace(60, RATE / 2, 9)
    decibels = np.interp(np.log(np.maximum(frequency, 1)), np.log(knots), rng.uniform(-8, 8, len(knots)) * rng.uniform(0, 1))
    if rng.random() < 0.6:
        top, width = rng.choice([3400, 4000, rng.uniform(3000, 7500)]), rng.uniform(50, 600)
        decibels -= 100 * np.clip((frequency - top) / width, 0, 1)
    if rng.random() < 0.3:
        decibels -= 40 * np.clip(1 - frequency / rng.uniform(80, 300), 0, 1)
    spectrum = rfft(audio, length) * (10 ** (decibels / 20)).astype(np.float32)
    return irfft(spectrum, length)[: len(audio)].astype(np.float32)
