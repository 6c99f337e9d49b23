"""Measures a model file on the sets that `sets.py` made: `evaluate.py MODEL SETS [--hearken PROGRAM] [--only NAME,…]`.

Whole recordings go through `hearken file`, as a user's would, or with `--native` through whisper.cpp itself, which has no voice activity and
can be asked for text without times. Words are compared in lower case and as they are:
Whisper's English normalizer makes one number of digits in a row, and one wrong digit of six would count as one of one.
"""
import argparse, csv, functools, json, pathlib, subprocess, tempfile


def transcripts(program, model, folder, names):
    """What hearken hears in each recording, by name."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [program, "file", "--model", model, "-f", "json", "-o", out + "/", *(folder / name for name in names)],
            check=True, stderr=subprocess.DEVNULL,
        )
        found = {}
        for name in names:
            text = json.loads((pathlib.Path(out) / name).with_suffix(".json").read_text(encoding="utf-8"))
            found[name] = " ".join(segment["text"].strip() for segment in text["segments"])
        return found


def native_transcripts(model, times, folder, names):
    """What native whisper.cpp hears in each recording, by name."""
    import soundfile
    from pywhispercpp.model import Model

    native = Model(str(model), print_progress=False, redirect_whispercpp_logs_to=None)
    found = {}
    for name in names:
        samples, _ = soundfile.read(folder / name, dtype="float32")
        segments = native.transcribe(samples, language="en", no_timestamps=not times)
        found[name] = " ".join(segment.text.strip() for segment in segments)
    return found


def errors(reference, hypothesis):
    """Levenshtein distance in words."""
    row = list(range(len(hypothesis) + 1))
    for number, word in enumerate(reference, 1):
        previous, row[0] = row[0], number
        for at, other in enumerate(hypothesis, 1):
            previous, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, previous + (word != other))
    return row[-1]


def measure(hear, folder):
    """Reference words, wrong ones, recordings, and recordings that gave words; with the worst of them."""
    with open(folder / "refs.tsv", encoding="utf-8", newline="") as file:
        references = {row[0]: row[2] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    words = wrong = spoken = 0
    worst = []
    for name, hypothesis in hear(folder, sorted(references)).items():
        reference, heard = references[name].lower().split(), hypothesis.lower().split()
        mistakes = errors(reference, heard)
        words, wrong, spoken = words + len(reference), wrong + mistakes, spoken + bool(heard)
        worst.append((mistakes, name, references[name], hypothesis))
    return words, wrong, len(references), spoken, sorted(worst, reverse=True)[:5]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("sets", type=pathlib.Path)
    parser.add_argument("--hearken", default="hearken", help="the program")
    parser.add_argument("--native", choices=["times", "no-times"], help="whisper.cpp itself, asked for times or not")
    parser.add_argument("--only", help="sets whose names contain one of these, with commas")
    parser.add_argument("--worst", action="store_true", help="show the recordings with the most errors")
    arguments = parser.parse_args()
    if arguments.native:
        hear = functools.partial(native_transcripts, arguments.model, arguments.native == "times")
    else:
        hear = functools.partial(transcripts, arguments.hearken, arguments.model)
    print("| set | recordings | words | word error rate | recordings with words |\n|---|---|---|---|---|")
    for folder in sorted(path.parent for path in arguments.sets.glob("*/refs.tsv")):
        if arguments.only and not any(part in folder.name for part in arguments.only.split(",")):
            continue
        words, wrong, count, spoken, worst = measure(hear, folder)
        rate = f"{100 * wrong / words:.1f} %" if words else "–"
        print(f"| {folder.name} | {count} | {words} | {rate} | {spoken} |", flush=True)
        if arguments.worst:
            for mistakes, name, reference, heard in worst:
                print(f"  {mistakes} {name}: {reference} → {heard}")


if __name__ == "__main__":
    main()
