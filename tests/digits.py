#!/usr/bin/env python3
"""Connected digits for `hearken eval`, put together from takes of the Free Spoken Digit Dataset.

    git clone https://github.com/Jakobovski/free-spoken-digit-dataset
    tests/digits.py free-spoken-digit-dataset/recordings digits 100
    hearken eval digits/refs.tsv

Each recording has 3 to 8 digits of one speaker with 0.05 to 0.4 s of silence between them, the same ones each time.
The data set is under CC BY-SA 4.0, and so are these recordings. refs.tsv says where the last take ends; the takes are
trimmed, so that the last word ends there.
"""
import pathlib, random, sys, wave

NAMES = "zero one two three four five six seven eight nine".split()


def main(source, folder, count):
    takes = {}
    for path in sorted(pathlib.Path(source).glob("[0-9]_*_*.wav")):
        digit, speaker, _ = path.stem.split("_")
        takes.setdefault(speaker, []).append((int(digit), path))
    if not takes:
        sys.exit(f"{source} holds no digit_speaker_take.wav")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    with open(folder / "refs.tsv", "w", encoding="utf-8") as refs:
        for number in range(count):
            speaker = sorted(takes)[number % len(takes)]
            name, spoken, audio = f"{number:03}_{speaker}.wav", [], b""
            for digit, path in rng.sample(takes[speaker], rng.randint(3, 8)):
                with wave.open(str(path)) as take:
                    parameters = take.getparams()
                    if spoken:
                        audio += bytes(2 * int(parameters.framerate * rng.uniform(0.05, 0.4)))
                    audio += take.readframes(parameters.nframes)
                spoken.append(NAMES[digit])
            with wave.open(str(folder / name), "wb") as out:
                out.setparams(parameters)
                out.writeframes(audio)
            print(name, "en", " ".join(spoken), f"{len(audio) / 2 / parameters.framerate:.3f}", sep="\t", file=refs)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
