"""Recorded speech: digits of the Free Spoken Digit Dataset, and words cut out of LibriSpeech by alignment.

A LibriSpeech transcript says which words are spoken, not when. espeak-ng speaks the same text, with known times, and
dynamic time warping of the two spectra carries those times over to the recording. No trained model is needed for it.
"""
import csv, pathlib, wave

import librosa
import numpy as np
import soundfile

from speech import RATE, Clip, Word, resample, trim
from vocabulary import DIGITS, WORDS
from voices import Espeak

HOP = 160
# Left out of all training: ordinary speech and real words are measured with these two (a woman, a man).
UNHEARD_READERS = ("237", "260")
# The written form of each word in a transcript of capitals.
WRITTEN = {word.upper(): word for word in WORDS if word not in ("a", "an", "and", "at", "for", "in", "is", "it", "of", "on", "or", "that", "the", "to")}


def digits(folder):
    """Every take of FSDD as a clip of one word; the speaker is the file's."""
    espeak = Espeak()
    for path in sorted(pathlib.Path(folder).glob("[0-9]_*_*.wav")):
        digit, speaker, _ = path.stem.split("_")
        with wave.open(str(path)) as file:
            audio = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
            audio = resample(audio, file.getframerate())
        first, last = trim(audio, 35)
        clip = Clip(audio, [Word(DIGITS[int(digit)], first / RATE, last / RATE)], speaker, [])
        clip.phones = phones(espeak, clip)
        yield clip


def faster(clip, factor):
    """The same with the same voice, said faster."""
    def moved(spans):
        return [Word(w.text, w.start / factor, w.end / factor) for w in spans]

    audio = librosa.effects.time_stretch(clip.audio, rate=factor, n_fft=512)
    return Clip(audio, moved(clip.words), clip.speaker, moved(clip.phones))


def transcripts(audio_folder, prefix):
    """(path, transcript) of each recording that refs.tsv names under `prefix`."""
    with open(pathlib.Path(audio_folder) / "refs.tsv", encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row and row[0].startswith(prefix):
                yield pathlib.Path(audio_folder) / row[0], row[2]


def _features(audio):
    mfcc = librosa.feature.mfcc(y=audio, sr=RATE, n_mfcc=13, n_fft=400, hop_length=HOP)
    both = np.concatenate([mfcc[1:], librosa.feature.delta(mfcc)[1:], mfcc[:1] * 0.3])
    return (both - both.mean(1, keepdims=True)) / (both.std(1, keepdims=True) + 1e-5)


def _times(spoken, audio):
    """From a time in espeak-ng's speech to that in a recording of the same words; None where one cannot be the other."""
    first, last = trim(audio)
    try:
        _, path = librosa.sequence.dtw(_features(spoken.audio), _features(audio[first:last]), metric="cosine",
                                       step_sizes_sigma=np.array([[1, 1], [1, 2], [2, 1], [1, 3], [3, 1]]))
    except librosa.ParameterError:
        # Too short, or the lengths differ by more than three times.
        return None
    path = path[::-1]
    return lambda seconds: float(np.interp(seconds * RATE / HOP, path[:, 0], path[:, 1])) * HOP / RATE + first / RATE


def align(espeak, audio, text):
    """The recording as a clip with the times of the words of `text` and their sounds; None where that cannot be."""
    spoken = espeak.say(text.lower(), "en-us", 150)
    if spoken is None or spoken.seconds < 0.3 or len(audio) < RATE // 2:
        return None
    there = _times(spoken, audio)
    if there is None:
        return None
    words = [Word(word, there(w.start), there(w.end)) for word, w in zip(text.split(" "), spoken.words)]
    return Clip(audio, words, "", [Word(p.text, there(p.start), there(p.end)) for p in spoken.phones])


def phones(espeak, clip):
    """The sounds of a clip whose words are known, by alignment; one without a name where that cannot be."""
    spoken = espeak.say(" ".join(word.text for word in clip.words).lower(), "en-us", 150)
    there = spoken and _times(spoken, clip.audio)
    if not there:
        return [Word(None, 0.0, clip.seconds)]
    return [Word(p.text, there(p.start), there(p.end)) for p in spoken.phones]


def readers(audio_folder, wanted):
    """LibriSpeech recordings of the `wanted` readers, with the times of their words and sounds."""
    espeak = Espeak()
    for path, text in transcripts(audio_folder, "librispeech/"):
        speaker = path.parts[-3]
        if speaker not in wanted:
            continue
        audio, rate = soundfile.read(path, dtype="float32")
        clip = align(espeak, resample(audio, rate), " ".join(text.split()))
        if clip:
            clip.speaker = speaker
            yield clip


def known_words(clip, margin=0.03):
    """The model's words cut out of an aligned recording. Short function words are too often swallowed to be of use."""
    for word in clip.words:
        written, length = WRITTEN.get(word.text), word.end - word.start
        if written and 0.09 + 0.035 * len(word.text) <= length <= 0.9:
            cut = clip.cut(max(0.0, word.start - margin), min(clip.seconds, word.end + margin))
            cut.words = [Word(written, margin, max(margin, cut.seconds - margin))]
            yield cut
