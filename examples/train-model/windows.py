"""Training windows: up to 10 s of a stream of speech, cut anywhere, and the tokens that Whisper should answer."""
import base64
import dataclasses
import functools, pathlib

import numpy as np
import tiktoken
import whisper

from sounds import colored_noise, microphone, reverberate, sound
from speech import RATE, Clip, Corpus, Word, resample
from vocabulary import DIGITS, WORDS

SECONDS = 10
SAMPLES = SECONDS * RATE
FRAMES = 500  # of the encoder, 20 ms each
# Whisper's English-only vocabulary.
END, START, PREVIOUS, NO_TIMES, TIME_0 = 50256, 50257, 50360, 50362, 50363
NEWLINE, BLANK = 198, 220
IGNORE = -100
LONGEST = 96
GAP = 1.0  # seconds without a word that end a segment
FIRST_TIME = 50  # whisper.cpp allows a first timestamp of at most 1 s
OTHER = len(WORDS) + 1  # the frame label of speech outside the vocabulary; 0 is no speech
LABELS = {word: number + 1 for number, word in enumerate(WORDS)}
# espeak-ng's phonemes in English; a flap, a palatal glide and others that are rare are not taught.
PHONES = {
    name: number + 1 for number, name in enumerate(
        "n t s k E r I d @ v f oU l eI aI u: m i: 0 w 3 T p a z b i I2 h V g o@ D i@ N O@ j @2 A: a# tS dZ 3: A@ aa O2 O: "
        "aU @L e@ i@3 U aI@ S Z".split()
    )
}


@functools.cache
def encode(text):
    return tuple(_encoding().encode(text))


@functools.cache
def tokens_as_bytes():
    """GPT-2's tokens in order. tiktoken's own loader would fetch them; openai-whisper carries the file."""
    path = pathlib.Path(whisper.__file__).parent / "assets" / "gpt2.tiktoken"
    ranked = sorted((int(rank), base64.b64decode(token)) for token, rank in (line.split() for line in path.open()))
    return [token for _, token in ranked]


@functools.cache
def _encoding():
    ranks = {token: rank for rank, token in enumerate(tokens_as_bytes())}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    return tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


@dataclasses.dataclass
class Window:
    audio: np.ndarray  # SAMPLES, 16 bit
    tokens: np.ndarray  # LONGEST, the decoder's input
    targets: np.ndarray  # LONGEST, IGNORE where nothing is learned
    spans: np.ndarray  # LONGEST × 2, encoder frames that an alignment head should look at; -1 none
    frames: np.ndarray  # FRAMES, the word in each encoder frame, IGNORE where not known
    phones: np.ndarray  # FRAMES, the phoneme in each, likewise
    blank: bool  # the first target is learned with the end of text ruled out, as whisper.cpp does


class Mixer:
    """Makes windows out of corpora. `speakers` are those of the real digits.

    Noise and rooms come in by and by, over the first `ease` windows: words are learned sooner from clean speech.
    """

    # Digits are recorded takes, strings are digits that synthetic voices say.
    KINDS = ("digits", "strings", "phrases", "words", "ordinary", "nothing")

    def __init__(self, data, speakers, shares, seed, ease=0):
        self.ease, self.made = ease, 0
        self.rng = np.random.default_rng(seed)
        data = pathlib.Path(data)
        self.digits, self.words = Corpus(data / "digits"), Corpus(data / "words")
        self.phrases = self.strings = Corpus(data / "phrases-espeak", data / "phrases-festival")
        self.ordinary = Corpus(data / "readers", data / "other-espeak", data / "other-festival")
        self.by = {
            "digits": _by_speaker(self.digits, lambda row: row.speaker in speakers),
            "strings": _by_speaker(self.strings, lambda row: all(word in DIGITS for word, _, _ in row.words)),
            "phrases": _by_speaker(self.phrases),
            "words": _by_speaker(self.words),
            "ordinary": _by_speaker(self.ordinary),
        }
        self.shares = np.array([shares[kind] for kind in self.KINDS])
        self.shares = self.shares / self.shares.sum()

    def window(self):
        self.made += 1
        kind = self.rng.choice(self.KINDS, p=self.shares)
        clip = self._nothing() if kind == "nothing" else self._stream(kind)
        return self._answer(*self._cut(clip), known=kind != "ordinary")

    def _stream(self, kind):
        """Clips of one speaker after each other, with gaps."""
        rng, corpus = self.rng, getattr(self, kind)
        speakers = self.by[kind]
        counts = np.array([len(clips) for clips in speakers.values()])
        speaker = list(speakers)[rng.choice(len(counts), p=counts / counts.sum())]
        wanted = rng.uniform(1.0, SECONDS + 4)
        # Connected, with pauses, or anything between.
        gaps = rng.choice([0.25, 0.5, 1.6])
        parts, words, phones, at = [], [], [], 0.0
        if rng.random() < 0.8:
            at = rng.uniform(0, 0.8)
            parts.append(np.zeros(int(at * RATE), np.float32))
            at = len(parts[0]) / RATE
        speed = rng.uniform(0.82, 1.22)
        while at < wanted:
            clip = corpus[rng.choice(self.by[kind][speaker])]
            level = 10 ** (rng.uniform(-4, 4) / 20) * 0.1 / (np.sqrt((clip.audio**2).mean()) + 1e-6)
            audio = resample(clip.audio * level, int(RATE * speed * rng.uniform(0.95, 1.05)) // 500 * 500)
            real = len(clip.audio) / max(1, len(audio))
            words += [Word(w.text, at + w.start / real, at + w.end / real) for w in clip.words]
            phones += [Word(p.text, at + p.start / real, at + p.end / real) for p in clip.phones]
            gap = np.zeros(int(RATE * rng.uniform(0.02, gaps)), np.float32)
            parts += [audio, gap]
            at += (len(audio) + len(gap)) / RATE
            if kind == "phrases" and rng.random() < 0.35 or kind == "ordinary" and rng.random() < 0.4:
                break
        return Clip(np.concatenate(parts), words, speaker, phones)

    def _nothing(self):
        count = int(RATE * self.rng.uniform(0.3, SECONDS))
        kind = self.rng.random()
        if kind < 0.12:
            return Clip(np.zeros(count, np.float32), [], "", [])
        audio = sound(self.rng, count) if kind > 0.35 else colored_noise(self.rng, count)
        return Clip(audio * 10 ** (self.rng.uniform(-70, -8) / 20), [], "", [])

    def _cut(self, clip):
        """At most ten seconds of the clip, spoiled as rooms and microphones do. Gives the words before the cut, too."""
        rng, before = self.rng, []
        start = 0.0
        if clip.words and rng.random() < 0.3:
            start = rng.uniform(0, max(0.0, clip.seconds - 0.6))
        length = SECONDS if rng.random() < 0.5 else rng.uniform(0.8, SECONDS)
        end = min(clip.seconds, start + length)
        words = []
        for word in clip.words:
            span = max(1e-3, word.end - word.start)
            inside = (min(word.end, end) - max(word.start, start)) / span
            if word.end <= start:
                before.append(word.text)
            elif inside >= 0.6:
                words.append(Word(word.text, max(word.start, start) - start, min(word.end, end) - start))
            elif inside > 0:
                words.append(Word(None, max(word.start, start) - start, min(word.end, end) - start))
        audio = clip.audio[int(start * RATE) : int(end * RATE)].copy()
        return self._spoil(audio, bool(clip.words)), words, before, clip.cut(start, end).phones

    def _spoil(self, audio, speech):
        rng, count = self.rng, len(audio)
        if count == 0 or rng.random() * self.ease > self.made:
            return audio
        if speech and rng.random() < 0.35:
            audio = reverberate(rng, audio)
        if speech and rng.random() < 0.6:
            audio = microphone(rng, audio)
        if speech and rng.random() < 0.75:
            level = np.sqrt((audio**2).mean() + 1e-12)
            noise = self._babble(count) if rng.random() < 0.2 else sound(rng, count) if rng.random() < 0.3 else colored_noise(rng, count)
            audio = audio + noise * level * 10 ** (-rng.uniform(0, 35) / 20)
        if rng.random() < 0.25:
            audio = microphone(rng, audio)
        audio = audio * 10 ** (rng.uniform(-30, 6) / 20)
        return np.clip(audio, -1, 1).astype(np.float32)

    def _babble(self, count):
        """Other people, too many to be understood."""
        out = np.zeros(count, np.float32)
        for _ in range(self.rng.integers(3, 7)):
            other = self.ordinary[self.rng.integers(len(self.ordinary))].audio
            other = np.resize(np.roll(other, self.rng.integers(len(other))), count)
            out += other / (other.std() + 1e-6)
        return out / (out.std() + 1e-6)

    def _answer(self, audio, words, before, phones, known):
        rng = self.rng
        frames, sounds = np.zeros(FRAMES, np.int64), np.zeros(FRAMES, np.int64)
        for word in words:
            label = IGNORE if word.text is None else LABELS.get(word.text, OTHER) if known else OTHER
            frames[int(word.start * 50) : max(int(word.start * 50) + 1, int(word.end * 50))] = label
        for phone in phones:
            sounds[round(phone.start * 50) : round(phone.end * 50)] = PHONES.get(phone.text, IGNORE)
        spoken = [word for word in words if word.text is not None] if known else []
        timed, blank = rng.random() < 0.7, False

        tokens, targets, spans = [], [], []

        def put(token, target, start=None, end=None):
            """The decoder sees `token` and should answer `target`, looking at what lies between `start` and `end`."""
            tokens.append(token)
            targets.append(target)
            spans.append((-1, -1) if start is None else (int(start * 50), max(int(start * 50) + 1, int(end * 50 + 0.999))))

        previous = before[-12:] if before else list(rng.choice(WORDS, rng.integers(1, 6)))
        if rng.random() < (0.6 if before else 0.15):
            put(PREVIOUS, IGNORE)
            for token in encode(" " + " ".join(previous).lower() if not known else " " + " ".join(previous)):
                put(token, IGNORE)
        last = START
        if not timed:
            put(START, IGNORE)
            last = NO_TIMES

        def answer(target, start=None, end=None):
            nonlocal last
            put(last, target, start, end)
            last = target

        if not spoken:
            if timed:
                answer(TIME_0)
            elif rng.random() < 0.5:
                # whisper.cpp rules out an empty answer here; a line break is one that shows nothing.
                answer(NEWLINE)
                blank = True
            answer(END)
        segments = []
        for word in spoken:
            if segments and word.start - segments[-1][-1].end < GAP:
                segments[-1].append(word)
            else:
                segments.append([word])
        for number, segment in enumerate(segments):
            if timed:
                start = round(segment[0].start * 50)
                answer(TIME_0 + (min(start, FIRST_TIME) if number == 0 else start), segment[0].start, segment[0].start + 0.1)
            for word in segment:
                for token in encode(" " + word.text):
                    answer(token, word.start, word.end)
            if timed:
                end = segment[-1].end
                answer(TIME_0 + min(round(end * 50), FRAMES), max(0, end - 0.1), end)
        if spoken:
            end = spoken[-1].end
            answer(END, max(0, end - 0.1), min(SECONDS, end + 0.1))
        room = LONGEST - len(tokens)
        if room < 0:
            return self.window()
        padded = np.zeros(SAMPLES, np.int16)
        padded[: len(audio)] = audio[:SAMPLES] * 32767
        return Window(
            padded, np.array(tokens + [END] * room), np.array(targets + [IGNORE] * room),
            np.array(spans + [(-1, -1)] * room), frames, sounds, blank,
        )


def _by_speaker(corpus, wanted=lambda row: True):
    by = {}
    for index, row in enumerate(corpus.table):
        if wanted(row):
            by.setdefault(row.speaker, []).append(index)
    if not by:
        raise ValueError("no clips of the wanted speakers")
    return by
