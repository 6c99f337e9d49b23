"""Makes the corpora to train with: `prepare.py AUDIO DATA [--phrases N]`, minutes of computing."""
import argparse, os, pathlib, random
from concurrent.futures import ProcessPoolExecutor

import recordings, voices
from speech import save
from vocabulary import WORDS, phrase

# Texts in one job, and how often each word is among them by itself.
JOB, EACH, FESTIVAL = 2_000, 1, 1_500
# How much faster each recorded digit is said a second time.
FASTER = (1.15, 1.5)


def _texts(seed, count):
    rng = random.Random(seed)
    texts = [phrase(rng) for _ in range(count)] + WORDS * EACH
    rng.shuffle(texts)
    return texts


def _unknown(audio, seed, count):
    """Ordinary text: parts of LibriSpeech transcripts, and lists of their words that the model does not know."""
    rng = random.Random(seed)
    known = {word.lower() for word in WORDS}
    lines = [t.lower().split() for p, t in recordings.transcripts(audio, "librispeech/") if p.parts[-3] not in recordings.UNHEARD_READERS]
    strange = [w for line in lines for w in line if w not in known and len(w) > 2]
    for number in range(count):
        if number % 2:
            yield " ".join(rng.choices(strange, k=rng.randint(1, 4)))
        else:
            line = rng.choice(lines)
            start = rng.randrange(max(1, len(line) - 6))
            yield " ".join(line[start : start + rng.randint(4, 14)])


def _espeak(seed, texts):
    return list(voices.espeak_clips(texts, seed))


def _festival(voice, texts):
    espeak, clips = voices.Espeak(), list(voices.festival_clips(texts, voice))
    for clip in clips:
        clip.phones = recordings.phones(espeak, clip)
    return clips


def _readers(audio, speaker):
    words, clips = [], []
    for clip in recordings.readers(audio, [speaker]):
        words += recordings.known_words(clip)
        clips.append(clip)
    return words, clips


def espeak(pool, audio, phrases):
    jobs = [pool.submit(_espeak, seed, _texts(seed, JOB)) for seed in range(phrases // JOB)]
    others = [pool.submit(_espeak, seed, list(_unknown(audio, seed, JOB // 8))) for seed in range(phrases // JOB)]
    yield "phrases-espeak", [clip for job in jobs for clip in job.result()]
    yield "other-espeak", [clip for job in others for clip in job.result()]


def festival(pool, audio, _):
    jobs = [pool.submit(_festival, voice, _texts(voice, FESTIVAL)) for voice in voices.FESTIVAL]
    others = [pool.submit(_festival, voice, list(_unknown(audio, voice, FESTIVAL // 6))) for voice in voices.FESTIVAL]
    yield "phrases-festival", [clip for job in jobs for clip in job.result()]
    yield "other-festival", [clip for job in others for clip in job.result()]


def readers(pool, audio, _):
    speakers = sorted(path.name for path in (audio / "librispeech").iterdir() if path.is_dir())
    jobs = [pool.submit(_readers, audio, speaker) for speaker in speakers if speaker not in recordings.UNHEARD_READERS]
    words, clips = zip(*(job.result() for job in jobs))
    yield "words", sum(words, [])
    yield "readers", sum(clips, [])


def digits(_, audio, __):
    takes, rng = list(recordings.digits(audio / "fsdd")), random.Random(3)
    # Some people speak half as fast again as others, and there are four of them.
    yield "digits", takes + [recordings.faster(take, rng.uniform(*FASTER)) for take in takes]


PARTS = {"digits": digits, "readers": readers, "festival": festival, "espeak": espeak}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--phrases", type=int, default=16_000, help="that espeak-ng speaks")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts to make")
    arguments = parser.parse_args()
    arguments.data.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for part in arguments.only:
            for name, clips in PARTS[part](pool, arguments.audio, arguments.phrases):
                save(arguments.data / name, clips)
                print(f"{name}: {len(clips)} clips, {sum(clip.seconds for clip in clips) / 3600:.2f} h", flush=True)


if __name__ == "__main__":
    main()
