"""Synthetic speech with the time of every word: espeak-ng through its C library, Festival through its Scheme."""
import ctypes, pathlib, random, re, subprocess, tempfile, wave

import numpy as np

from speech import RATE, Clip, Word, resample, trim

ACCENTS = "en-us en-us en-us en en en-gb-x-rp en-gb-scotland en-029 en-us-nyc en-gb-x-gbclan en-gb-x-gbcwmd".split()
# Never trained on: what "unheard variants" means in the model card.
UNHEARD_VARIANTS = "Andy Alicia Lee belinda boris f2 f5 grandma linda m3 m7 max steph2 klatt3".split()
# Effects rather than voices.
EFFECTS = re.compile("robo|Robot|whisper|Demonic|croak|fast|Tweaky|UniRobot|AnxiousAndy|Storm|serious|Nguyen")
FESTIVAL = "kal_diphone ked_diphone cmu_us_slt_arctic_hts".split()


def variants(data=pathlib.Path("/usr/lib/x86_64-linux-gnu/espeak-ng-data")):
    """The espeak-ng variants to train with."""
    names = sorted(path.name for path in (data / "voices" / "!v").iterdir())
    return [name for name in names if name not in UNHEARD_VARIANTS and not EFFECTS.search(name)]


class _Value(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _Value),
    ]


class Espeak:
    """espeak-ng. One instance in a process, for the library has one state."""

    _WORD, _PHONEME, _END_OF_LIST = 1, 7, 0

    def __init__(self):
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        # 2: AUDIO_OUTPUT_SYNCHRONOUS, samples come to the callback. 1: so do the phonemes.
        self._rate = self._library.espeak_Initialize(2, 0, None, 1)
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
        self._callback = callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count, events):
        if samples and count > 0:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != self._END_OF_LIST:
            if events[index].type == self._WORD:
                self._words.append((events[index].text_position - 1, events[index].audio_position / 1000))
            elif events[index].type == self._PHONEME:
                name = bytes(events[index].id)[:8].split(b"\0")[0].decode(errors="replace")
                self._phones.append((name, events[index].audio_position / 1000))
            index += 1
        return 0

    def has(self, voice):
        return self._library.espeak_SetVoiceByName(voice.encode()) == 0

    def say(self, text, voice="en-us", words_per_minute=165, pitch=50, range_=50):
        """Speaks `text` (words between single spaces); the words' times are in seconds."""
        self._samples, self._words, self._phones = [], [], []
        if not self.has(voice):
            raise ValueError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((1, words_per_minute), (3, pitch), (4, range_)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, 1, None, None)
        audio = resample(np.concatenate(self._samples or [np.zeros(1, np.int16)]).astype(np.float32) / 32768, self._rate)
        # By the character at which a word begins, for espeak-ng speaks some neighbors as one.
        begins, position = {}, 0
        for number, word in enumerate(text.split(" ")):
            begins[position] = number
            position += len(word) + 1
        starts = [None] * len(begins)
        for position, start in self._words:
            if position in begins and starts[begins[position]] is None:
                starts[begins[position]] = start
        ends = [start for _, start in self._phones[1:]] + [len(audio) / RATE]
        phones = [Word(name, start, end) for (name, start), end in zip(self._phones, ends) if not name.startswith("_")]
        return _clip(audio, text.split(" "), starts, f"espeak:{voice}", phones)


def _clip(audio, words, starts, speaker, phones=()):
    """A clip whose words begin at `starts`; one without a start shares its neighbor's time. None where nothing was said."""
    first, last = trim(audio)
    if last - first < 0.05 * RATE or starts[0] is None:
        return None
    end = last / RATE
    times = []
    for number, start in enumerate(starts):
        if start is None:
            # Spoken together with the word before: halve what there is until the next known start.
            known = next((s for s in starts[number + 1 :] if s is not None), end)
            start = (times[-1] + known) / 2
        times.append(min(start, end))
    times[0] = max(times[0], first / RATE)
    ends = times[1:] + [end]
    clip = Clip(audio, [Word(w, s, max(e, s)) for w, s, e in zip(words, times, ends)], speaker, phones)
    return clip.cut(max(0, first / RATE - 0.03), min(len(audio) / RATE, end + 0.03))


def espeak_clips(texts, seed, voices=None):
    """Each text by a random voice at a random rate and pitch."""
    rng, espeak = random.Random(seed), Espeak()
    # Some variants are of other languages and refuse some accents.
    voices = voices or [v for v in (f"{a}+{n}" for a in ACCENTS for n in variants()) if espeak.has(v)]
    for text in texts:
        voice = rng.choice(voices)
        clip = espeak.say(text, voice, rng.randint(120, 230), rng.randint(25, 75), rng.randint(20, 80))
        if clip:
            yield clip


def festival_clips(texts, voice):
    """Each text by one of Festival's voices."""
    with tempfile.TemporaryDirectory() as folder:
        script = [f"(voice_{voice})"]
        for number, text in enumerate(texts):
            spoken = text.replace("X-ray", "x ray").lower()
            script += [
                f'(set! u (Utterance Text "{spoken}"))', "(utt.synth u)",
                f'(utt.save.wave u "{folder}/{number}.wav" "riff")', f'(utt.save.words u "{folder}/{number}.words")',
            ]
        program = pathlib.Path(folder) / "say.scm"
        program.write_text("\n".join(script), encoding="utf-8")
        subprocess.run(["festival", "-b", program], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for number, text in enumerate(texts):
            path = pathlib.Path(folder) / f"{number}.wav"
            if not path.exists():
                continue
            with wave.open(str(path)) as file:
                audio = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
                audio = resample(audio, file.getframerate())
            # Lines "end color word" after a header that ends in "#".
            lines = (pathlib.Path(folder) / f"{number}.words").read_text().split("#\n", 1)[1].split("\n")
            ends = [(float(line.split()[0]), line.split()[2]) for line in lines if len(line.split()) >= 3]
            starts, previous = [], 0.0
            spoken = [end for end in ends]
            for word in text.split(" "):
                starts.append(previous)
                for _ in range(2 if word == "X-ray" else 1):
                    if not spoken:
                        break
                    previous = spoken.pop(0)[0]
            if len(ends) == len(text.replace("X-ray", "x ray").split(" ")):
                clip = _clip(audio, text.split(" "), starts, f"festival:{voice}")
                if clip:
                    yield clip
