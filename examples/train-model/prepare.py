"""Makes the corpora to train with: `prepare.py AUDIO DATA`, minutes of computing."""
import pathlib, random, sys
from concurrent.futures import ProcessPoolExecutor

import recordings, voices
from speech import save
from vocabulary import WORDS, phrase

PHRASES, PER_WORD, FESTIVAL = 16_000, 8, 1_500


def _texts(seed, count, per_word):
    rng = random.Random(seed)
    texts = [phrase(rng) for _ in range(count)] + WORDS * per_word
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
    return list(voices.festival_clips(texts, voice))


def _readers(audio):
    words, ordinary = [], []
    for clip in recordings.readers(audio):
        words += recordings.known_words(clip)
        ordinary.append(clip)
    return words, ordinary


def main(audio, data):
    audio, data = pathlib.Path(audio), pathlib.Path(data)
    data.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        readers = pool.submit(_readers, audio)
        jobs = [pool.submit(_festival, voice, _texts(voice, FESTIVAL, 1)) for voice in voices.FESTIVAL]
        jobs += [pool.submit(_espeak, seed, _texts(seed, PHRASES // 4, PER_WORD // 4)) for seed in range(4)]
        strange = [pool.submit(_espeak, 9, list(_unknown(audio, 9, 900)))]
        strange += [pool.submit(_festival, voice, list(_unknown(audio, voice, 200))) for voice in voices.FESTIVAL]
        phrases = [clip for job in jobs for clip in job.result()]
        words, ordinary = readers.result()
        strange = [clip for job in strange for clip in job.result()]
    save(data / "digits", recordings.digits(audio / "fsdd"))
    for name, clips in (("phrases", phrases), ("words", words), ("ordinary", ordinary + strange)):
        save(data / name, clips)
        seconds = sum(clip.seconds for clip in clips)
        print(f"{name}: {len(clips)} clips, {seconds / 3600:.2f} h", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
