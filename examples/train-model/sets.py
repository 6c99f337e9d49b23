"""Makes the recordings that the model is measured with: `sets.py AUDIO OUT`. Each folder gets a refs.tsv for `hearken eval`; those in
`together` are several utterances in a recording.

Nothing here is trained on: FSDD speakers are measured by folds that did not hear them, espeak-ng by variants that were
left out, flite and two readers of LibriSpeech by all models.
"""
import dataclasses
import itertools, pathlib, random, shutil, subprocess, sys, wave

import numpy as np
import soundfile

import recordings, voices
from sounds import colored_noise
from speech import RATE, resample
from vocabulary import phrase

FLITE = "kal16 awb rms slt".split()
DIGIT_RECORDINGS, PHRASES, ORDINARY = 150, 200, 20


def write(folder, clips):
    """`clips`: (name, samples, reference text)."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "refs.tsv", "w", encoding="utf-8") as refs:
        for name, audio, text in clips:
            with wave.open(str(folder / f"{name}.wav"), "wb") as out:
                out.setparams((1, 2, RATE, 0, "NONE", ""))
                out.writeframes((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())
            print(f"{name}.wav", "en", text, sep="\t", file=refs)


def connected_digits(clips, speaker, seed):
    """3 to 8 takes of one speaker, equally loud, 0.05 to 0.4 s apart, between 0.3 s of silence.

    Who says a string of digits says them about equally loud. Takes were recorded on different days: theo's are up to 20 dB
    apart, and noise that is 15 dB below the loud ones would cover the others.
    """
    rng = random.Random(seed)
    takes = equally_loud([clip for clip in clips if clip.speaker == speaker])
    for number in range(DIGIT_RECORDINGS):
        chosen = [rng.choice(takes) for _ in range(rng.randint(3, 8))]
        yield f"{number:03}", joined(rng, chosen, 0.05, 0.4), " ".join(clip.words[0].text for clip in chosen)


def equally_loud(clips):
    levels = [np.sqrt((clip.audio**2).mean()) for clip in clips]
    return [dataclasses.replace(clip, audio=clip.audio * (np.median(levels) / level)) for clip, level in zip(clips, levels)]


def joined(rng, clips, least, most):
    edge = np.zeros(int(0.3 * RATE), np.float32)
    parts = [edge]
    for number, clip in enumerate(clips):
        if number:
            parts.append(np.zeros(int(rng.uniform(least, most) * RATE), np.float32))
        parts.append(clip.audio)
    return np.concatenate(parts + [edge])


def noisy(clips, decibels, seed):
    """With pink noise all along, `decibels` below the speech."""
    rng = np.random.default_rng(seed)
    for name, audio, text in clips:
        level = np.sqrt((audio[audio != 0] ** 2).mean()) * 10 ** (-decibels / 20)
        noisy = audio + colored_noise(rng, len(audio), 1.0) * level
        yield name, noisy / max(1.0, np.abs(noisy).max()), text


def phrases(seed):
    rng = random.Random(seed)
    return [phrase(rng) for _ in range(PHRASES)]


def espeak(seed):
    accents = ("en-us", "en", "en-gb-scotland", "en-us-nyc")
    names = [f"{a}+{v}" for a in accents for v in voices.UNHEARD_VARIANTS]
    texts = phrases(seed)
    for number, (text, clip) in enumerate(zip(texts, voices.espeak_clips(texts, seed, names))):
        yield f"{number:03}", np.pad(clip.audio, RATE // 4), " ".join(word.text for word in clip.words)


def flite(folder, seed):
    for number, text in enumerate(phrases(seed)):
        path = folder / "flite.wav"
        spoken = text.replace("X-ray", "x ray")
        subprocess.run(["flite", "-voice", FLITE[number % len(FLITE)], "-t", spoken, "-o", path], check=True)
        audio, rate = soundfile.read(path, dtype="float32")
        yield f"{number:03}_{FLITE[number % len(FLITE)]}", np.pad(resample(audio, rate), RATE // 4), text


def readers_words(audio, seed):
    """Words of the two readers, one to four in a recording."""
    rng = random.Random(seed)
    words = {}
    for clip in recordings.readers(audio, recordings.UNHEARD_READERS):
        for word in recordings.known_words(clip):
            words.setdefault(clip.speaker, []).append(word)
    for speaker, clips in sorted(words.items()):
        rng.shuffle(clips)
        at = 0
        while at < len(clips):
            chosen = clips[at : at + rng.randint(1, 4)]
            at += len(chosen)
            yield f"{speaker}_{at:03}", joined(rng, chosen, 0.2, 0.5), " ".join(clip.words[0].text for clip in chosen)


def ordinary(audio):
    """The first recordings of the two readers and of LJSpeech in refs.tsv, at most 10 s of each."""
    chosen = []
    for speaker in recordings.UNHEARD_READERS:
        chosen += sorted(recordings.transcripts(audio, f"librispeech/{speaker}/"))[: ORDINARY // 2]
    chosen += sorted(recordings.transcripts(audio, "ljspeech/"))[:ORDINARY]
    for path, _ in chosen:
        samples, rate = soundfile.read(path, dtype="float32")
        yield path.stem, resample(samples, rate)[: 10 * RATE], ""


def nonspeech(audio):
    for path in sorted((audio / "nonspeech").iterdir()):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        samples = resample(samples.mean(1), rate)
        for part in range(0, max(1, len(samples) - RATE), 10 * RATE):
            yield f"{path.stem}_{part // RATE:02}", samples[part : part + 10 * RATE], ""


def pauses(*clips):
    """The clips with a second and a half before, between and behind them: each is an utterance."""
    pause = np.zeros(3 * RATE // 2, np.float32)
    return np.concatenate([pause, *(part for clip in clips for part in (clip, pause))])


def series(clips):
    """Five recordings in a row."""
    for five in zip(*[iter(clips)] * 5):
        names, audio, texts = zip(*five)
        yield names[0], pauses(*audio), " ".join(texts)


def after(spoken, others):
    """Each of the others after something that was said."""
    for (_, said, text), (name, audio, _) in zip(itertools.cycle(spoken), others):
        yield name, pauses(said, audio), text


def main(audio, out):
    audio, out = pathlib.Path(audio), pathlib.Path(out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    takes = list(recordings.digits(audio / "fsdd"))
    together = out / "together"
    for number, speaker in enumerate(sorted({clip.speaker for clip in takes})):
        clean = list(connected_digits(takes, speaker, number))
        write(out / f"digits-{speaker}", clean)
        for decibels in (15, 5):
            write(out / f"digits-{speaker}-{decibels}dB", noisy(clean, decibels, decibels))
            write(together / f"digits-{speaker}-{decibels}dB", noisy(series(clean), decibels, decibels))
    spoken = list(espeak(77))
    write(out / "espeak", spoken)
    write(together / "espeak", series(spoken))
    write(together / "espeak-15dB", noisy(series(spoken), 15, 15))
    write(together / "ordinary", after(spoken, ordinary(audio)))
    write(together / "nonspeech", after(spoken, nonspeech(audio)))
    write(out / "flite", flite(out, 78))
    write(out / "words", readers_words(audio, 79))
    write(out / "ordinary", ordinary(audio))
    write(out / "nonspeech", nonspeech(audio))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
