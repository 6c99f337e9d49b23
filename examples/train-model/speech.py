"""Clips of speech: samples at 16 kHz, and which word and which sound is spoken when."""
import dataclasses
import typing
from math import gcd

import numpy as np
from scipy.signal import resample_poly

RATE = 16_000


@dataclasses.dataclass
class Word:
    """A word, or a sound of one, and the seconds in which it is spoken."""

    text: str
    start: float
    end: float


@dataclasses.dataclass
class Clip:
    """Mono samples between -1 and 1, the words in it, who speaks, and the sounds: espeak-ng's names of phonemes."""

    audio: np.ndarray
    words: list
    speaker: str
    phones: list

    @property
    def seconds(self):
        return len(self.audio) / RATE

    def cut(self, start, end):
        """The part from `start` to `end`, in seconds."""
        audio = self.audio[int(start * RATE) : int(end * RATE)]
        limit = end - start

        def moved(spans):
            return [Word(w.text, min(max(w.start - start, 0), limit), min(max(w.end - start, 0), limit)) for w in spans]

        return Clip(audio, moved(self.words), self.speaker, moved(self.phones))


def resample(audio, rate):
    """From `rate` to 16 kHz."""
    if rate == RATE:
        return audio.astype(np.float32)
    common = gcd(rate, RATE)
    return resample_poly(audio, RATE // common, rate // common).astype(np.float32)


def trim(audio, below=40.0):
    """The first and one past the last sample within `below` dB of the loudest 10 ms."""
    frame = RATE // 100
    count = len(audio) // frame
    if count == 0:
        return 0, 0
    power = (audio[: count * frame].reshape(count, frame) ** 2).mean(1)
    loud = np.nonzero(power > power.max() * 10 ** (-below / 10))[0]
    if power.max() <= 0 or len(loud) == 0:
        return 0, 0
    return int(loud[0]) * frame, int(loud[-1] + 1) * frame


def save(path, clips):
    """Writes clips so that many processes can map them: one array of samples, and a table."""
    table, at, parts = [], 0, []
    for clip in clips:
        samples = (np.clip(clip.audio, -1, 1) * 32767).astype(np.int16)
        spans = [[(w.text, w.start, w.end) for w in each] for each in (clip.words, clip.phones)]
        table.append((at, len(samples), clip.speaker, *spans))
        parts.append(samples)
        at += len(samples)
    np.save(f"{path}.samples.npy", np.concatenate(parts))
    np.save(f"{path}.table.npy", np.array(table, dtype=object), allow_pickle=True)


class Row(typing.NamedTuple):
    """A clip on disk. Words and sounds are triples: text, start, end."""

    file: int
    at: int
    length: int
    speaker: str
    words: list
    phones: list


class Corpus:
    """Clips that `save` wrote, of several files, read as they are asked for."""

    def __init__(self, *paths):
        self.samples = [np.load(f"{path}.samples.npy", mmap_mode="r") for path in paths]
        self.table = [
            Row(file, *row) for file, path in enumerate(paths) for row in np.load(f"{path}.table.npy", allow_pickle=True)
        ]

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        row = self.table[index]
        samples = self.samples[row.file][row.at : row.at + row.length].astype(np.float32) / 32768
        return Clip(samples, [Word(*w) for w in row.words], row.speaker, [Word(*p) for p in row.phones])
